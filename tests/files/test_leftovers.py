"""Part files and journals of earlier runs: found, told from others, and removed when asked to."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from descriptors import open_files

from p2pcopy.errors import ExitCode, LocalFileError
from p2pcopy.files import leftovers
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.dirs import Directory
from p2pcopy.files.leftovers import Leftover, Unread
from p2pcopy.files.plain import part_name
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.wire import Entry, Kind

if sys.platform != "win32":
    import resource

MIB = 1 << 20
ENTRY = Entry(Kind.FILE, "f", 4 * MIB + 7, 0o644, 1_000_000_000)


def leave(root: Path, path: str = "f", blocks: int = 2) -> DirectoryStore:
    """An open store that has written some of a file."""
    store = DirectoryStore(str(root))
    store.open()
    store.begin(MIB)
    for number in range(blocks):
        data = bytes([number + 1]) * MIB
        store.write(0, replace(ENTRY, path=path), number * MIB, data, digest=blake3(data).digest())
    return store


def found(root: Path) -> dict[str, Leftover]:
    everything = [each for each in leftovers.find(str(root)) if isinstance(each, Leftover)]
    return {each.path: each for each in everything}


def test_what_an_interrupted_run_left(tmp_path: Path) -> None:
    leave(tmp_path, "d/e/f").close()
    ((path, left),) = found(tmp_path).items()
    assert path == "d/e/.f.p2pcopy-part"
    assert (left.held, left.size, left.in_use) == (2 * MIB, ENTRY.size, False)
    assert left.taken >= 2 * MIB
    assert abs(left.changed_s - os.stat(tmp_path / path).st_ctime) < 60
    assert leftovers.remove(str(tmp_path), left)
    assert not leftovers.remove(str(tmp_path), left)
    assert os.listdir(tmp_path / "d" / "e") == []
    assert found(tmp_path) == {}


@pytest.mark.skipif(os.name == "nt", reason="paths there are short")
@pytest.mark.parametrize("descriptors", [200, 1000])
def test_deeper_than_pythons_stack(tmp_path: Path, descriptors: int) -> None:
    depth = 600
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open(".f.p2pcopy-part", os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        (only,) = leftovers.find(str(tmp_path))
        if isinstance(only, Leftover):
            assert leftovers.remove(str(tmp_path), only)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)
    if descriptors < depth:
        assert isinstance(only, Unread)
        assert only.reason == os.strerror(errno.EMFILE)
    else:
        assert only.path == "d/" * depth + ".f.p2pcopy-part"


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    with closing(leave(tmp_path)):
        (left,) = found(tmp_path).values()
        assert left.in_use
        assert not leftovers.remove(str(tmp_path), left)
        assert len(os.listdir(tmp_path)) == 2
    (left,) = found(tmp_path).values()
    assert not left.in_use
    assert leftovers.remove(str(tmp_path), left)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["", "d", "d/e"])
def test_what_a_running_transfer_has_closed_for_a_while_stays(tmp_path: Path, where: str) -> None:
    leave(tmp_path / "d", "e/f").close()
    leave(tmp_path / "other", "f").close()
    store = DirectoryStore(str(tmp_path / "d"), open_parts=1)
    store.open()
    store.begin(MIB)
    with closing(store):
        assert isinstance(store.held(0, replace(ENTRY, path="e/f")), Held)
        assert store.write(1, replace(ENTRY, path="g"), 0, bytes(MIB)) is None
        left = found(tmp_path / where)
        used = [each for each in left.values() if each.in_use]
        assert len(used) == (1 if where == "d/e" else 2)
        assert len(left) == len(used) + (1 if not where else 0)
        assert not any(leftovers.remove(str(tmp_path / where), replace(each, in_use=False)) for each in used)
        assert store.write(0, replace(ENTRY, path="e/f"), 0, bytes(MIB)) is None
    assert all(leftovers.remove(str(tmp_path), each) for each in found(tmp_path).values())


def test_several_transfers_into_one_directory(tmp_path: Path) -> None:
    first, second = leave(tmp_path, "a"), leave(tmp_path, "b")
    first.close()
    assert [each.in_use for each in found(tmp_path).values()] == [True, True]
    second.close()
    assert [each.in_use for each in found(tmp_path).values()] == [False, False]


def test_they_are_sorted_and_tell_for_which_file_they_are(tmp_path: Path) -> None:
    for path in ("b", "a/z", "a.b", "x" * 250):
        leave(tmp_path, path).close()
    everything = list(found(tmp_path).values())
    assert [each.file for each in everything if each.file] == ["a.b", "b", "a/z"]
    assert [each.path for each in everything if not each.file] == [part_name("x" * 250)]


def test_looking_does_not_disturb_who_is_writing(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path), open_parts=1)
    store.open()
    with closing(store):
        for number in range(10):
            for index, path in enumerate("ab"):
                assert store.write(index, Entry(Kind.FILE, path, 100), number * 10, b"0123456789") is None
            assert len(found(tmp_path)) == 2
        for index, path in enumerate("ab"):
            store.whole(index, Entry(Kind.FILE, path, 100), 100)
        assert all(outcome.ok for outcome in store.finish())


def test_whatever_else_has_such_a_name(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".x.p2pcopy-part").write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / ".dir.p2pcopy-part").mkdir()
    os.mkfifo(root / ".fifo.p2pcopy-part")
    (root / "x.p2pcopy-part").write_bytes(b"a name that no run gives")
    (root / ".part.p2pcopy-part").write_bytes(b"abc")
    (root / ".part.p2pcopy-journal").symlink_to(tmp_path / "outside" / ".x.p2pcopy-part")
    (root / ".bad.p2pcopy-part").write_bytes(b"abc")
    (root / ".bad.p2pcopy-journal").write_bytes(b"no journal")
    (root / ".alone.p2pcopy-journal").write_bytes(b"abc")
    (root / ".l.p2pcopy-part").symlink_to("wherever")
    (root / ".l.p2pcopy-journal").symlink_to("wherever")
    left = found(root)
    assert sorted(left) == [
        ".alone.p2pcopy-journal",
        ".bad.p2pcopy-part",
        ".l.p2pcopy-part",
        ".part.p2pcopy-part",
    ]
    assert all((each.held, each.size, each.in_use) == (0, None, False) for each in left.values())
    for each in left.values():
        assert leftovers.remove(str(root), each)
    assert sorted(os.listdir(root)) == [
        ".dir.p2pcopy-part",
        ".fifo.p2pcopy-part",
        ".l.p2pcopy-journal",
        ".part.p2pcopy-journal",
        "link",
        "x.p2pcopy-part",
    ]
    assert os.listdir(tmp_path / "outside") == [".x.p2pcopy-part"]


def test_a_journal_beside_the_part_file_of_another_run(tmp_path: Path) -> None:
    leave(tmp_path).close()
    (tmp_path / ".f.p2pcopy-part").rename(tmp_path / "kept")
    (tmp_path / ".f.p2pcopy-part").write_bytes(b"abc")
    (left,) = found(tmp_path).values()
    assert (left.held, left.size) == (0, None)


def test_names_that_are_too_long_have_both_files_under_one_hash(tmp_path: Path) -> None:
    for length in (238, 239, 242, 255):
        leave(tmp_path, "x" * length).close()
    left = found(tmp_path)
    assert len(left) == 4
    assert all(each.held == 2 * MIB for each in left.values())
    assert all(leftovers.remove(str(tmp_path), each) for each in left.values())
    assert os.listdir(tmp_path) == []


def test_removed_while_it_is_searched(tmp_path: Path) -> None:
    for number in range(300):
        below = tmp_path / f"d{number % 7}" / f"e{number % 5}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f".f{number}.p2pcopy-part").write_bytes(b"x")
    for each in leftovers.find(str(tmp_path)):
        assert isinstance(each, Leftover)
        assert leftovers.remove(str(tmp_path), each)
    assert found(tmp_path) == {}


def test_a_directory_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".f.p2pcopy-part").write_bytes(b"x")
    real = os.open
    for error in (PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file or directory")):

        def refuse(
            path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None, error: OSError = error
        ) -> int:
            if path in ("b", ".f.p2pcopy-part"):
                raise error
            return real(path, flags, mode, dir_fd=dir_fd)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            each = list(leftovers.find(str(tmp_path)))
        unread = [one for one in each if isinstance(one, Unread)]
        assert unread == ([Unread("a/b", "Permission denied")] if error.errno == 13 else [])
        assert [one.path for one in each if isinstance(one, Leftover)] == [".f.p2pcopy-part"]


def test_a_deep_tree_leaves_no_descriptor(tmp_path: Path) -> None:
    below = tmp_path
    for _ in range(100):
        below = below / "d"
    below.mkdir(parents=True)
    (below / ".f.p2pcopy-part").write_bytes(b"x")
    before = open_files()
    search = leftovers.find(str(tmp_path))
    first = next(search)
    assert isinstance(first, Leftover)
    assert first.path == "d/" * 100 + ".f.p2pcopy-part"
    search.close()
    assert open_files() == before


@pytest.mark.parametrize(("name", "words"), [("f", "is not a directory"), ("nothing", "No such file")])
def test_nothing_to_search(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(LocalFileError, match=words) as caught:
        next(leftovers.find(str(tmp_path / name)))
    assert caught.value.exit_code is ExitCode.LOCAL
    assert caught.value.hint


def test_the_probe_of_a_killed_run_is_found(tmp_path: Path) -> None:
    def die(self: Directory, name: str) -> None:
        self.close()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("p2pcopy.files.dirs.Directory.remove", die)
        with pytest.raises(KeyboardInterrupt):
            DirectoryStore(str(tmp_path)).open()
    (left,) = found(tmp_path).values()
    assert stat.S_ISREG(os.lstat(tmp_path / left.path).st_mode)
    assert leftovers.remove(str(tmp_path), left)
