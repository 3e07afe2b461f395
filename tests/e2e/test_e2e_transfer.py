"""Two processes and one code: what arrives is what was sent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from processes import Ended, Processes
from trees import MIB, copied, facts, leftovers, make, make_odd, noise


def copy(work: Path, *paths: str, send: tuple[str, ...] = (), receive: tuple[str, ...] = ()) -> tuple[Ended, Ended]:
    """One copy into out, with nobody at either side, and how both ended."""
    with Processes(work) as start:
        sender = start.send(*send, "--", *paths)
        receiver = start.receive(sender.code(), "--output", "out", "--yes", *receive)
        return sender.ended(), receiver.ended()


def both_succeed(ends: tuple[Ended, Ended]) -> None:
    sent, received = ends
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err


def test_a_tree_of_odd_things_arrives_as_it_is(tmp_path: Path) -> None:
    make_odd(tmp_path / "tree")
    sent, received = copy(tmp_path, "tree")
    both_succeed((sent, received))
    assert copied(tmp_path / "tree", tmp_path / "out")
    assert len(sent.codes) == 1
    assert "Warning" not in sent.err + received.err


def test_several_paths_at_once(tmp_path: Path) -> None:
    make(tmp_path / "a", b"")
    make(tmp_path / "-b", noise(10))
    make(tmp_path / "deep" / "c", noise(MIB))
    (tmp_path / "deep" / "d").mkdir()
    (tmp_path / "link").symlink_to("a")
    both_succeed(copy(tmp_path, "a", "-b", "deep/c", "deep/d/", "link"))
    assert {path: each.kind for path, each in facts(tmp_path / "out").items()} == {
        b"a": "file",
        b"-b": "file",
        b"c": "file",
        b"d": "directory",
        b"link": "file",  # an argument that is a link stands for what it leads to
    }


def test_two_thousand_small_files(tmp_path: Path) -> None:
    for number in range(2000):
        make(tmp_path / "many" / str(number % 40) / f"{number}.txt", f"number {number}\n".encode() * (number % 90))
    both_succeed(copy(tmp_path, "many"))
    assert copied(tmp_path / "many", tmp_path / "out")


def test_excluded_names_stay_behind(tmp_path: Path) -> None:
    for name in ("keep.txt", "drop.log", "build/x", "src/build/y", "src/keep.log"):
        make(tmp_path / "tree" / name, b"text")
    both_succeed(
        copy(tmp_path, "tree", send=("--exclude", "*.log", "--exclude", "!src/keep.log", "--exclude", "/build/"))
    )
    kept = [path for path, each in facts(tmp_path / "out").items() if each.kind == "file"]
    assert kept == [b"tree/keep.txt", b"tree/src/build/y", b"tree/src/keep.log"]


def test_followed_links_arrive_as_what_they_lead_to(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere" / "file", b"content")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").symlink_to("../elsewhere/file")
    (tmp_path / "tree" / "directory").symlink_to("../elsewhere")
    both_succeed(copy(tmp_path, "tree", send=("--follow-symlinks",)))
    arrived = facts(tmp_path / "out")
    assert arrived[b"tree/file"] == arrived[b"tree/directory/file"] == facts(tmp_path / "elsewhere")[b"file"]


def test_a_link_that_leads_out_of_the_tree_is_left_out_with_a_note(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"content")
    (tmp_path / "tree" / "out").symlink_to("/etc/passwd")
    sent, received = copy(tmp_path, "tree")
    both_succeed((sent, received))
    assert list(facts(tmp_path / "out" / "tree")) == [b"file"]
    assert "tree/out" in sent.err


def test_the_umask_of_the_receiver_counts(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", b"content", mode=0o4777)
    with Processes(tmp_path) as start:
        sender = start.send("tree")
        receiver = start.receive(sender.code(), "-o", "out", "-y", before="import os\nos.umask(0o027)\n")
        both_succeed((sender.ended(), receiver.ended()))
    assert facts(tmp_path / "out")[b"tree/file"].mode == 0o750


@pytest.mark.parametrize("compress", ["always", "never"])
def test_compressed_or_not(tmp_path: Path, compress: str) -> None:
    make(tmp_path / "tree" / "text", b"the same again and again\n" * 100_000)
    make(tmp_path / "tree" / "noise", noise(MIB + 1))
    both_succeed(copy(tmp_path, "tree", send=("--compress", compress)))
    assert copied(tmp_path / "tree", tmp_path / "out")


# Through pipes


def test_standard_input_becomes_a_named_file(tmp_path: Path) -> None:
    content = noise(2 * MIB + 3)
    with Processes(tmp_path) as start, (tmp_path / "input").open("w+b") as file:
        file.write(content)
        file.seek(0)
        sender = start.send("-", "--name", "named.bin", stdin=file.fileno())
        receiver = start.receive(sender.code(), "-o", "out", "-y", keyboard=True)
        both_succeed((sender.ended(), receiver.ended()))
    assert (tmp_path / "out" / "named.bin").read_bytes() == content


def test_standard_input_of_unknown_length_and_standard_output(tmp_path: Path) -> None:
    """As in: produce | p2pcopy send -; p2pcopy receive CODE --output -."""
    with Processes(tmp_path) as start:
        sender = start.send("-", keyboard=True)
        receiver = start.receive(sender.code(), "--output", "-")
        written = noise(3 * MIB + 5)
        for begin in range(0, len(written), 100_000):
            sender.type(written[begin : begin + 100_000])
        sender.close_input()
        sent, received = sender.ended(), receiver.ended()
        both_succeed((sent, received))
        assert received.out == written, "the bytes, and nothing but the bytes"
        assert not leftovers(tmp_path)


def test_nothing_on_standard_input_is_an_empty_file(tmp_path: Path) -> None:
    with Processes(tmp_path) as start:
        sender = start.send("-")
        receiver = start.receive(sender.code(), "--output", "-")
        both_succeed((sender.ended(), receiver.ended()))
        assert receiver.out.content == b""


def test_tar_through_both_pipes(tmp_path: Path) -> None:
    make_odd(tmp_path / "tree")
    (tmp_path / "out").mkdir()
    with (
        Processes(tmp_path) as start,
        subprocess.Popen(["tar", "c", "tree"], cwd=tmp_path, stdout=subprocess.PIPE) as pack,
        subprocess.Popen(["tar", "xp"], cwd=tmp_path / "out", stdin=subprocess.PIPE) as unpack,
    ):
        assert pack.stdout is not None
        assert unpack.stdin is not None
        sender = start.send("-", "--name", "tree.tar", stdin=pack.stdout.fileno())
        receiver = start.receive(sender.code(), "--output", "-", stdout=unpack.stdin.fileno())
        unpack.stdin.close()
        both_succeed((sender.ended(), receiver.ended()))
        assert (pack.wait(), unpack.wait()) == (0, 0)
    unpacked = facts(tmp_path / "out" / "tree")
    assert all(unpacked[path].content == each.content for path, each in facts(tmp_path / "tree").items())


# Names that are taken


def taken(work: Path) -> None:
    make(work / "tree" / "a", b"new a")
    make(work / "tree" / "b", b"new b")
    make(work / "out" / "tree" / "a", b"old a", mtime_s=1)


def test_existing_skip(tmp_path: Path) -> None:
    taken(tmp_path)
    sent, received = copy(tmp_path, "tree", send=("--json",), receive=("--existing", "skip"))
    both_succeed((sent, received))
    assert contents(tmp_path / "out/tree") == {"a": b"old a", "b": b"new b"}
    assert (sent.told("done")["files_done"], sent.told("done")["files_skipped"]) == (1, 1)


def test_existing_rename(tmp_path: Path) -> None:
    taken(tmp_path)
    sent, received = copy(tmp_path, "tree", receive=("--existing", "rename"))
    both_succeed((sent, received))
    assert contents(tmp_path / "out/tree") == {"a": b"old a", "a (1)": b"new a", "b": b"new b"}
    assert "renamed: tree/a -> tree/a (1)" in received.err


def test_existing_replace(tmp_path: Path) -> None:
    taken(tmp_path)
    both_succeed(copy(tmp_path, "tree", receive=("--existing", "replace")))
    assert contents(tmp_path / "out/tree") == {"a": b"new a", "b": b"new b"}


def test_existing_refuse_is_what_happens_without_a_word(tmp_path: Path) -> None:
    taken(tmp_path)
    before = facts(tmp_path / "out", directory_times=False)
    sent, received = copy(tmp_path, "tree")
    assert (sent.exit_code, received.exit_code) == (7, 7)
    assert facts(tmp_path / "out", directory_times=False) == before
    assert "tree/a" in received.err
    assert "--existing" in received.err
    assert "tree/a" in sent.err


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    make(tmp_path / "out" / "data", b"old")
    with Processes(tmp_path) as start:
        sender = start.send("-", "--name", "data", keyboard=True)
        receiver = start.receive(sender.code(), "-o", "out", "-y", "--existing", "replace", "--json")
        sender.type(noise(MIB))
        receiver.out.wait_for(rb'"bytes_done": 1048576')
        assert (tmp_path / "out" / "data").read_bytes() == b"old"
        sender.close_input()
        both_succeed((sender.ended(), receiver.ended()))
    assert (tmp_path / "out" / "data").read_bytes() == noise(MIB)
    assert not leftovers(tmp_path / "out")


def contents(root: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in root.iterdir()}
