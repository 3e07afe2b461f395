"""Arguments of send, and the walk through what they name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from p2pcopy.errors import LocalFileError, P2PCopyError, UsageError
from p2pcopy.files.names import NameGate
from p2pcopy.files.tree import Source, prepare, walk
from p2pcopy.transfer.items import Found, Left
from p2pcopy.transfer.wire import Entry, Kind

NOW_NS = 1_700_000_000_000_000_000
posix = pytest.mark.skipif(os.name == "nt", reason="names or files that Windows does not have")


def found(*paths: Path | str, excludes: list[str] | None = None, follow: bool = False) -> list[Found | Left]:
    sources = prepare([str(path) for path in paths], excludes=excludes or [], follow_symlinks=follow)
    return list(walk(sources, now_ns=NOW_NS))


def sent(items: list[Found | Left]) -> dict[str, Entry]:
    return {item.entry.path: item.entry for item in items if isinstance(item, Found)}


def left(items: list[Found | Left]) -> dict[str, tuple[str, bool]]:
    return {item.path: (item.reason, item.fault) for item in items if isinstance(item, Left)}


def fill(root: Path, *paths: str) -> Path:
    """Empty directories (a / at the end) and files that hold their own path."""
    for path in paths:
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.write_bytes(os.fsencode(path))
    return root


class TestArguments:
    def refused(self, *paths: Path | str, error: type[P2PCopyError], name: str | None = None) -> str:
        with pytest.raises(error) as caught:
            prepare([str(path) for path in paths], stdin_name=name)
        assert caught.value.hint
        assert not caught.value.message.endswith(".")
        return caught.value.message

    def test_none(self) -> None:
        assert self.refused(error=UsageError) == "no path to send"

    def test_missing(self, tmp_path: Path) -> None:
        assert "does not exist" in self.refused(tmp_path / "nothing", error=LocalFileError)
        assert "does not exist" in self.refused("", error=LocalFileError)
        assert "does not exist" in self.refused("a\0b", error=LocalFileError)
        assert "does not exist" in self.refused(fill(tmp_path, "file") / "file/below", error=LocalFileError)

    def test_missing_names_are_shown_escaped(self, tmp_path: Path) -> None:
        assert "\\x1b[2J" in self.refused(tmp_path / "\x1b[2J", error=LocalFileError)

    @posix
    def test_link_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "l").symlink_to("nothing")
        assert "is a link to nothing" in self.refused(tmp_path / "l", error=LocalFileError)

    @posix
    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "l").symlink_to("l")
        assert "cannot be read: Too many" in self.refused(tmp_path / "l", error=LocalFileError)

    def test_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path, "a/f")
        monkeypatch.chdir(tmp_path)
        for again in ("a", "a/", "./a", "a/../a", str(tmp_path / "a")):
            assert self.refused("a", again, error=UsageError) == f'"{again}" is given twice'

    def test_two_of_the_same_name(self, tmp_path: Path) -> None:
        fill(tmp_path, "one/data", "two/data")
        message = self.refused(tmp_path / "one/data", tmp_path / "two/data", error=UsageError)
        assert "one/data" in message
        assert "two/data" in message
        assert 'arrive as "data"' in message
        fill(tmp_path, "stdin")
        assert "arrive as" in self.refused("-", tmp_path / "stdin", error=UsageError)

    @pytest.mark.parametrize(
        ("argument", "name"),
        [(".", "here"), ("..", "tree"), ("./", "here"), ("sub/..", "here"), ("sub/", "sub"), ("sub//", "sub")],
    )
    def test_real_names(self, argument: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path, "tree/here/sub/")
        monkeypatch.chdir(tmp_path / "tree/here")
        assert [source.name for source in prepare([argument]).items] == [name]

    def test_the_root_has_no_name(self) -> None:
        assert "has no name of its own" in self.refused(Path("/").resolve(), error=UsageError)

    @posix
    def test_a_link_stands_for_what_it_leads_to(self, tmp_path: Path) -> None:
        fill(tmp_path, "real/f", "real/d/g")
        (tmp_path / "file").symlink_to("real/f")
        (tmp_path / "dir").symlink_to("real")
        items = found(tmp_path / "file", tmp_path / "dir")
        assert list(sent(items)) == ["file", "dir", "dir/d", "dir/d/g", "dir/f"]
        assert sent(items)["file"].kind is Kind.FILE
        assert not any(os.path.islink(item.local) for item in items if isinstance(item, Found))

    @posix
    def test_special_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert "is a named pipe" in self.refused(tmp_path / "fifo", error=UsageError)
        assert "is a character device" in self.refused("/dev/null", error=UsageError)

    @posix
    def test_names_that_cannot_be_sent(self, tmp_path: Path) -> None:
        fill(tmp_path, ".a.p2pcopy-part")
        assert "reserved" in self.refused(tmp_path / ".a.p2pcopy-part", error=UsageError)

    def test_standard_input(self) -> None:
        assert prepare(["-"]).items == (Source("stdin", ""),)
        sources = prepare(["-"], stdin_name="dump.sql")
        assert sources.uses_stdin
        assert list(walk(sources, now_ns=NOW_NS)) == [Found(Entry(Kind.FILE, "dump.sql", None, 0o644, NOW_NS), "")]

    def test_standard_input_twice(self) -> None:
        assert self.refused("-", "-", error=UsageError) == '"-" is given twice'

    @pytest.mark.parametrize("name", ["", "a/b", "..", "/a", "x" * 256, "a\0b"])
    def test_bad_names_for_standard_input(self, name: str) -> None:
        self.refused("-", error=UsageError, name=name)

    def test_a_name_without_standard_input(self, tmp_path: Path) -> None:
        assert not prepare([str(tmp_path)]).uses_stdin
        self.refused(tmp_path, error=UsageError, name="x")

    def test_bad_pattern(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            prepare([str(tmp_path)], excludes=["!"])
        assert "makes no sense" in caught.value.message

    @posix
    def test_unreadable(self, open_path: Path) -> None:
        fill(open_path, "file", "dir/f")
        for name in ("file", "dir"):
            (open_path / name).chmod(0)
            output = as_nobody(f"prepare([{str(open_path / name)!r}])")
            assert output == f'LocalFileError "{open_path / name}" cannot be read: Permission denied'


def as_nobody(expression: str) -> str:
    """What an expression on tree's functions gives or raises in a process without root's rights."""
    program = (
        "import sys; sys.path[:0] = eval(sys.argv[1])\n"
        "import os\n"
        "from p2pcopy.files.tree import *\n"
        "from p2pcopy.errors import *\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setegid(65534); os.seteuid(65534)\n"
        "try: print(eval(sys.argv[2]))\n"
        "except P2PCopyError as error: print(type(error).__name__, error.message)\n"
    )
    command = [sys.executable, "-c", program, repr(sys.path), expression]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that any user can reach. Those of pytest are closed, by every run that starts."""
    with TemporaryDirectory(prefix="p2pcopy-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


class TestWalk:
    def test_everything_parents_first_in_the_order_of_bytes(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/b/2", "t/b/10", "t/b.txt", "t/empty/", "t/Z", "t/é", "t/b/deep/er/f")
        expected = [
            "t",
            "t/Z",
            "t/b",
            "t/b/10",
            "t/b/2",
            "t/b/deep",
            "t/b/deep/er",
            "t/b/deep/er/f",
            "t/b.txt",
            "t/empty",
            "t/é",
        ]
        items = found(tmp_path / "t")
        assert list(sent(items)) == expected
        assert left(items) == {}

    def test_what_it_finds_passes_the_gate(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/b/2", "t/b/10", "u/empty/", "file")
        gate = NameGate(bytes(32))
        for entry in sent(found(tmp_path / "t", tmp_path / "u", tmp_path / "file")).values():
            gate.admit(entry)
        assert len(gate) == 7

    def test_entries_tell_kind_size_mode_and_time(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/file", "t/dir/")
        (tmp_path / "t/file").chmod(0o640)
        os.utime(tmp_path / "t/file", ns=(0, 1_234_567_890_123_456_700))
        os.utime(tmp_path / "t/dir", ns=(0, 5_000_000_000))
        entries = sent(found(tmp_path / "t"))
        assert entries["t/file"] == Entry(Kind.FILE, "t/file", 6, 0o640, 1_234_567_890_123_456_700)
        assert entries["t/dir"].kind is Kind.DIRECTORY
        assert (entries["t/dir"].size, entries["t/dir"].mtime_ns) == (0, 5_000_000_000)

    @posix
    def test_modes_are_permission_bits_only(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/f")
        (tmp_path / "t/f").chmod(0o6711)
        (tmp_path / "t").chmod(0o1777)
        assert [entry.mode for entry in sent(found(tmp_path / "t")).values()] == [0o777, 0o711]

    @posix
    def test_names_of_all_kinds(self, tmp_path: Path) -> None:
        names = [
            b"caf\xe9",
            b"\xff\xfe",
            b"sp ace",
            b"line\nbreak",
            b"quote'\"",
            b"-rf",
            b"\x1b[31m",
            "日本".encode(),
            b"back\\slash",
        ]
        for name in names:
            (Path(os.fsencode(tmp_path).decode()) / os.fsdecode(name)).write_bytes(name)
        items = found(tmp_path)
        assert [os.fsencode(path.partition("/")[2]) for path in sent(items)][1:] == sorted(names)
        for item in items[1:]:
            assert isinstance(item, Found)
            assert Path(item.local).read_bytes() == os.fsencode(item.entry.path).partition(b"/")[2]

    @posix
    def test_links_stay_links_inside_and_are_left_out_outside(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/d/f", "outside")
        links = {
            "t/in": "d/f",
            "t/d/up": "../d",
            "t/dangling": "nothing",
            "t/out": "../outside",
            "t/abs": str(tmp_path / "t/d"),
        }
        for path, target in links.items():
            (tmp_path / path).symlink_to(target)
        items = found(tmp_path / "t")
        entries = sent(items)
        assert {path: entry.target for path, entry in entries.items() if entry.kind is Kind.LINK} == {
            "t/in": "d/f",
            "t/d/up": "../d",
            "t/dangling": "nothing",
        }
        assert left(items) == {
            "t/out": ("is a link that leads out of the sent directory", False),
            "t/abs": ("is a link with an absolute target", False),
        }
        assert "t/d/up/f" not in entries

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of a path only is looked at")
    def test_a_directory_exchanged_for_a_link_on_the_way_is_not_listed(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/d/e/f", "secret/e/f")
        items = walk(prepare([str(tmp_path / "t")]), now_ns=NOW_NS)
        assert all(isinstance(next(items), Found) for _ in range(2))
        (tmp_path / "t/d").rename(tmp_path / "kept")
        (tmp_path / "t/d").symlink_to(tmp_path / "secret")
        (lost,) = items
        assert isinstance(lost, Left)
        assert (lost.path, lost.fault) == ("t/d/e", True)

    @posix
    def test_links_are_followed_on_request(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/d/f", "outside/deep/g", "single")
        for path, target in {
            "t/o": "../outside",
            "t/s": "../single",
            "t/d/back": "..",
            "t/self": "self",
            "t/no": "none",
        }.items():
            (tmp_path / path).symlink_to(target)
        items = found(tmp_path / "t", follow=True)
        assert list(sent(items)) == ["t", "t/d", "t/d/f", "t/o", "t/o/deep", "t/o/deep/g", "t/s"]
        assert all(entry.kind is not Kind.LINK for entry in sent(items).values())
        reasons = left(items)
        assert reasons["t/d/back"] == ("leads back to a directory that it is in", False)
        assert reasons["t/no"] == ("is gone, or is a link to nothing", True)
        assert reasons["t/self"][1]
        assert not any(os.path.islink(item.local) for item in items if isinstance(item, Found))

    @posix
    def test_special_files_are_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path, "t/f")
        os.mkfifo(tmp_path / "t/fifo")
        monkeypatch.chdir(tmp_path / "t")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("sock")
        items = found(tmp_path / "t")
        assert list(sent(items)) == ["t", "t/f"]
        assert left(items) == {"t/fifo": ("is a named pipe", False), "t/sock": ("is a socket", False)}

    def test_unfinished_transfers_are_left_out(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/f", "t/.f.p2pcopy-part", "t/.f.p2pcopy-journal", "t/d.P2PCOPY-PART/x")
        items = found(tmp_path / "t")
        assert list(sent(items)) == ["t", "t/f"]
        assert set(left(items).values()) == {("belongs to an unfinished transfer", False)}
        assert len(left(items)) == 3

    def test_excludes(self, tmp_path: Path) -> None:
        fill(
            tmp_path,
            "t/a.o",
            "t/keep.o",
            "t/build/x",
            "t/src/build/y",
            "t/src/a.c",
            "t/src/a.o",
            "t/only/top",
            "t/src/only/z",
            "t.o",
        )
        fill(tmp_path, "t/node/deep/x", "t/ends/")
        items = found(
            tmp_path / "t", tmp_path / "t.o", excludes=["*.o", "!keep.o", "build/", "/only", "node/*", "# comment", ""]
        )
        assert list(sent(items)) == [
            "t",
            "t/ends",
            "t/keep.o",
            "t/node",
            "t/src",
            "t/src/a.c",
            "t/src/only",
            "t/src/only/z",
            "t.o",
        ]
        assert left(items) == {}

    @posix
    def test_excludes_and_names_that_are_not_utf8(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/" + os.fsdecode(b"\xe9.o"), "t/" + os.fsdecode(b"\xe9.c"))
        assert list(sent(found(tmp_path / "t", excludes=["*.o"]))) == ["t", "t/" + os.fsdecode(b"\xe9.c")]

    @posix
    def test_too_deep(self, tmp_path: Path) -> None:
        place = tmp_path / "t"
        for _ in range(200):
            place /= "d"
        place.mkdir(parents=True)
        items = found(tmp_path / "t")
        assert len(sent(items)) == 128
        assert left(items) == {"t" + "/d" * 128: ("is more than 128 directories deep", True)}

    @posix
    def test_too_long(self, tmp_path: Path) -> None:
        place = tmp_path / ("t" + "x" * 199)
        place.mkdir()
        handle = os.open(place, os.O_RDONLY)
        for _ in range(25):
            os.mkdir("d" * 200, dir_fd=handle)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = below
        os.close(handle)
        items = found(place)
        assert len(left(items)) == 1
        assert all(fault for _, fault in left(items).values())

    @posix
    def test_half_a_character_in_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / os.fsdecode(b"\xed\xa0\x80")).touch()
        assert left(found(tmp_path / "t")) == {}

    @posix
    def test_unreadable_directories_are_faults(self, open_path: Path) -> None:
        fill(open_path, "t/a", "t/closed/x", "t/z")
        (open_path / "t/closed").chmod(0)
        output = as_nobody(f"[getattr(i, 'reason', '') for i in walk(prepare([{str(open_path / 't')!r}]), now_ns=0)]")
        assert output == "['', '', 'cannot be read: Permission denied', '']"

    def test_what_vanishes_during_the_walk_is_a_fault(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/a", "t/b", "t/c/d")
        items = walk(prepare([str(tmp_path / "t")]), now_ns=0)
        assert isinstance(next(items), Found)
        (tmp_path / "t/b").unlink()
        (tmp_path / "t/c/d").unlink()
        (tmp_path / "t/c").rmdir()
        rest = list(items)
        assert list(sent(rest)) == ["t/a"]
        assert left(rest) == {"t/b": ("is gone", True), "t/c": ("is gone", True)}

    def test_an_argument_that_vanishes_is_a_fault(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b")
        sources = prepare([str(tmp_path / "a"), str(tmp_path / "b")])
        (tmp_path / "a").unlink()
        assert [type(item) for item in walk(sources, now_ns=0)] == [Left, Found]

    @posix
    def test_a_fifo_that_comes_during_the_walk_does_not_block(self, tmp_path: Path) -> None:
        fill(tmp_path, "t/a")
        items = walk(prepare([str(tmp_path / "t")]), now_ns=0)
        next(items)
        (tmp_path / "t/a").unlink()
        os.mkfifo(tmp_path / "t/a")
        result: list[Found | Left] = []
        thread = threading.Thread(target=lambda: result.extend(items), daemon=True)
        thread.start()
        thread.join(60)
        assert result == [Left("t/a", "is a named pipe")]

    def test_junctions_are_not_walked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A junction of Windows is a directory with a reparse tag."""
        fill(tmp_path, "t/j/x")

        class Junction:
            st_mode, st_mtime_ns, st_reparse_tag = 0o040755, 0, 0xA0000003

        real = os.lstat
        monkeypatch.setattr("stat.IO_REPARSE_TAG_MOUNT_POINT", 0xA0000003, raising=False)
        monkeypatch.setattr(os, "lstat", lambda path: Junction() if str(path).endswith("j") else real(path))
        assert left(found(tmp_path / "t")) == {"t/j": ("is a junction", False)}
