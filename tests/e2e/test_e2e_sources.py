"""Files that are not what they were, or cannot be kept: told per file on both sides, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Ended, Processes, Running
from trees import MIB, copied, leftovers, make, make_sparse


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    for name in ("a first", "changes", "grows", "shrinks", "becomes a link", "vanishes", "z last"):
        make(tmp_path / "tree" / name, name.encode())
    with Processes(tmp_path) as processes:
        yield processes


def failures(ended: Ended) -> dict[str, str]:
    """Why which file failed, from JSON events."""
    return {event["path"]: event["reason"] for event in ended.events if event.get("status") == "failed"}


def incomplete(sender: Running, receiver: Running) -> tuple[Ended, Ended]:
    sent, received = sender.ended(), receiver.ended()
    assert (sent.exit_code, received.exit_code) == (3, 3), sent.err + received.err
    return sent, received


def test_files_that_change_before_they_are_read(start: Processes) -> None:
    tree = start.work / "tree"
    sender = start.send("tree", "--json")
    receiver = start.receive(sender.code(), "-o", "out", terminal=True)
    receiver.out.wait_for(rb"\[y/N\]")
    (tree / "changes").write_text("another content"[: len("changes")])
    (tree / "grows").write_text("grows and grows")
    os.truncate(tree / "shrinks", 3)
    (tree / "vanishes").unlink()
    (tree / "becomes a link").unlink()
    (tree / "becomes a link").symlink_to("a first")
    receiver.type("y\r")
    sent, received = incomplete(sender, receiver)
    failed = failures(sent)
    assert set(failed) == {f"tree/{name}" for name in ("changes", "grows", "shrinks", "vanishes", "becomes a link")}
    assert "vanished" in failed["tree/vanishes"]
    assert "changed" in failed["tree/changes"]
    done = sent.told("done")
    assert (done["ok"], done["files_done"], done["files_failed"]) == (False, 2, 5)
    assert {path.name for path in (start.work / "out" / "tree").iterdir()} == {"a first", "z last"}
    assert "vanishes" in received.err
    assert "5 failed" in received.err
    assert not leftovers(start.work)


def test_a_file_that_may_no_longer_be_read(start: Processes) -> None:
    sender = start.send("tree", "--json", like_anybody=True)
    receiver = start.receive(sender.code(), "-o", "out", terminal=True)
    receiver.out.wait_for(rb"\[y/N\]")
    (start.work / "tree" / "changes").chmod(0)
    receiver.type("y\r")
    sent, _ = incomplete(sender, receiver)
    assert failures(sent) == {"tree/changes": "it cannot be read"}


def test_a_file_that_shrinks_while_it_is_read(start: Processes) -> None:
    large = start.work / "tree" / "large"
    make_sparse(large, 16 * MIB)
    sender = start.send("tree", "--compress", "never", "--json")
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--existing", "skip", "--json", before=STALLING)
    receiver.err.wait_for(b"stalled")  # the sender comes no further than the credit that it has, some MiB
    os.truncate(large, 15 * MIB)
    (start.work / "go on").touch()
    for ended in incomplete(sender, receiver):
        assert list(failures(ended)) == ["tree/large"]
        assert "changed" in failures(ended)["tree/large"]
        assert (ended.told("done")["files_done"], ended.told("done")["files_failed"]) == (7, 1)
    assert not (start.work / "out" / "tree" / "large").exists()
    assert (start.work / "out" / "tree" / "z last").exists()
    assert not leftovers(start.work)


# For before=: this side stores no large block until there is a file "go on".
STALLING = """
import os, sys, time
from p2pcopy.transfer import storing
real = storing.unpack_block
def unpack_block(block):
    while block.raw_size > 1000 and not os.path.exists("go on"):
        print("stalled", file=sys.stderr, flush=True)
        time.sleep(0.1)
    return real(block)
storing.unpack_block = unpack_block
"""


def test_a_directory_that_may_not_be_listed_is_left_out(start: Processes) -> None:
    (start.work / "tree" / "secret").mkdir(mode=0)
    sender = start.send("tree", like_anybody=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y")
    sent, received = incomplete(sender, receiver)
    assert "tree/secret: not sent: it cannot be read" in sent.err
    assert "1 failed" in sent.err
    assert "1 failed" in received.err
    assert (start.work / "out" / "tree" / "z last").exists()


def test_a_name_that_is_taken_by_something_else(start: Processes) -> None:
    """A directory is never replaced by a file, nor a file by a directory."""
    tree, out = start.work / "tree", start.work / "out" / "tree"
    make(tree / "below" / "file", b"in a directory")
    (out / "changes").mkdir(parents=True)
    make(out / "below", b"a file")
    sender = start.send("tree", "--json")
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--existing", "replace", "--json")
    sent, received = incomplete(sender, receiver)
    for ended in (sent, received):
        assert set(failures(ended)) == {"tree/changes", "tree/below", "tree/below/file"}
        assert (ended.told("done")["files_done"], ended.told("done")["files_failed"]) == (6, 3)
    assert (out / "below").read_bytes() == b"a file"
    assert (out / "changes").is_dir()
    assert (out / "z last").exists()
    assert not leftovers(start.work)


def test_all_that_is_sent_is_gone_at_once(start: Processes) -> None:
    sender = start.send("tree", "--json")
    receiver = start.receive(sender.code(), "-o", "out", terminal=True)
    receiver.out.wait_for(rb"\[y/N\]")
    (start.work / "tree").rename(start.work / "elsewhere")
    receiver.type("y\r")
    sent, _ = incomplete(sender, receiver)
    assert len(failures(sent)) == 7
    assert set(failures(sent).values()) == {"it vanished"}


# Data that arrives damaged. Entry 0 is the directory, entry 1 its first file.
def damaging(times: int) -> str:
    """For before=: this side finds the first block of entry 1 damaged so often."""
    return f"""
from p2pcopy.transfer import storing
real, left = storing.unpack_block, [{times}]
def unpack_block(block):
    if block.entry == 1 and left[0]:
        left[0] -= 1
        return None
    return real(block)
storing.unpack_block = unpack_block
"""


def test_a_block_that_arrives_damaged_is_sent_again(start: Processes) -> None:
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "out", "-y", before=damaging(2))
    assert (sender.ended().exit_code, receiver.ended().exit_code) == (0, 0)
    assert copied(start.work / "tree", start.work / "out")


def test_a_file_that_arrives_damaged_again_and_again(start: Processes) -> None:
    sender = start.send("tree", "--json")
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", before=damaging(3))
    sent, received = sender.ended(), receiver.ended()
    assert (sent.exit_code, received.exit_code) == (8, 8)
    for ended in (sent, received):
        assert set(failures(ended)) == {"tree/a first"}
        assert "damaged" in failures(ended)["tree/a first"]
    assert not (start.work / "out" / "tree" / "a first").exists()
    assert (start.work / "out" / "tree" / "z last").exists()
    assert not leftovers(start.work)
