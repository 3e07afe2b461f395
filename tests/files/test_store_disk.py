"""Destinations that cannot be used, and disks that fail while they are written to."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from blake3 import blake3

from p2pcopy.config import Existing
from p2pcopy.errors import ExitCode, LocalFileError
from p2pcopy.events import FileStatus
from p2pcopy.files import faults, locks, native, plain, root
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Obstacle
from p2pcopy.transfer.wire import Entry, Kind

MIB = 1 << 20


def file(path: str, size: int | None = 3) -> Entry:
    return Entry(Kind.FILE, path, size)


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[Path]:
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(where)], check=True, timeout=20)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True, timeout=20)


@contextmanager
def tmpfs(where: Path, options: str) -> Iterator[Path]:
    with mounted(where, "-t", "tmpfs", "-o", options, "p2pcopy-test"):
        yield where


@contextmanager
def opened(root: Path, existing: Existing = Existing.REFUSE) -> Iterator[DirectoryStore]:
    store = DirectoryStore(str(root), existing=existing, group_s=3600)
    store.open()
    try:
        yield store
    finally:
        store.close()


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _only_others(unlink: Callable[..., None]) -> Callable[..., None]:
    """os.unlink() in a directory where one's own files may be removed only, and the probe is somebody else's."""

    def remove(path: str, *, dir_fd: int | None = None) -> None:
        if path == root._PROBE:
            raise OSError(errno.EPERM, "no")
        unlink(path, dir_fd=dir_fd)

    return remove


def fails_to_open(path: Path | str, words: str) -> None:
    store = DirectoryStore(str(path))
    with pytest.raises(LocalFileError, match=words) as caught:
        store.open()
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.LOCAL
    assert not caught.value.message.endswith(".")
    store.close()


class TestUnusable:
    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"old")
        fails_to_open(tmp_path / "f", "/f is a file, not a directory")
        fails_to_open(tmp_path / "f" / "sub" / "sub", "/f is a file, not a directory")
        assert (tmp_path / "f").read_bytes() == b"old"

    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nothing")
        fails_to_open(tmp_path / "link", "is a link to nothing")
        fails_to_open(tmp_path / "link" / "sub", "is a link to nothing")
        assert os.listdir(tmp_path) == ["link"]

    def test_a_link_to_a_directory_is_what_the_user_said(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        with opened(tmp_path / "link") as store:
            store.write(0, file("f"), 0, b"abc")
            store.whole(0, file("f"), 3)
            assert all(outcome.ok for outcome in store.finish())
        assert os.listdir(tmp_path / "real") == ["f"]

    def test_two_dots_behind_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "far" / "away").mkdir(parents=True)
        (tmp_path / "link").symlink_to("far/away")
        with opened(tmp_path / "link" / ".." / "out") as store:
            store.write(0, file("f"), 0, b"abc")
            store.whole(0, file("f"), 3)
            store.finish()
        assert os.listdir(tmp_path / "far" / "out") == ["f"]

    def test_the_current_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("", "."):
            with opened(Path(name)) as store:
                assert 0 < store.free_bytes() <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize

    def test_a_current_directory_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        fails_to_open("", "not there any more")
        fails_to_open("sub", "not there any more")

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.EACCES, "nothing may be written in"),
            (errno.EPERM, "nothing may be written in"),
            (errno.EROFS, "read-only"),
            (errno.ENOSPC, "full"),
            (errno.EINVAL, "cannot be used: Invalid argument"),
        ],
    )
    def test_one_that_takes_no_file(
        self, tmp_path: Path, number: int, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.open

        def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if flags & os.O_CREAT:
                raise OSError(number, os.strerror(number))
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", refuse)
        fails_to_open(tmp_path / "new" / "out", words)
        assert os.listdir(tmp_path) == []

    @pytest.mark.lab
    def test_a_read_only_file_system(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "disk", "size=1m,ro") as disk:
            fails_to_open(disk, "is on a read-only file system")
            fails_to_open(disk / "sub" / "sub", "is on a read-only file system")

    def test_what_was_killed_while_it_tried_one_out_is_cleaned_up_by_the_next(self, tmp_path: Path) -> None:
        (tmp_path / root._PROBE).touch(0o600)
        (tmp_path / plain.part_name("probe-e\u0301")).touch(0o600)
        with opened(tmp_path):
            assert os.listdir(tmp_path) == [plain.part_name("probe-e\u0301")]

    @pytest.mark.parametrize("kind", ["in use", "a directory", "a link", "another user's"])
    def test_what_is_in_the_way_of_trying_one_out_stays(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place, real = tmp_path / root._PROBE, os.open
        if kind == "a directory":
            place.mkdir()
        elif kind == "a link":
            place.symlink_to("far")
        else:
            place.touch()

        def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if path == root._PROBE:
                raise OSError(errno.EACCES if flags & os.O_EXCL == 0 else errno.EEXIST, "no")
            return real(path, flags, mode, dir_fd=dir_fd)

        with place.open("rb") if kind == "in use" else nullcontext() as held:
            if held is not None:
                plain.lock(held.fileno(), "")
            if kind == "another user's":
                monkeypatch.setattr(os, "open", refuse)
                monkeypatch.setattr(os, "unlink", _only_others(os.unlink))
            with opened(tmp_path) as store:
                assert not store.folds_names
        assert os.listdir(tmp_path) == [place.name]

    def test_one_that_another_run_tries_out_at_the_same_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It takes the file of this run away, or makes its own in its place."""
        real = os.fstat
        taken: list[Path] = []

        def fstat(fd: int) -> os.stat_result:
            found = real(fd)
            if not taken and (tmp_path / root._PROBE).exists():
                taken.append((tmp_path / root._PROBE).rename(tmp_path / "away"))
            return found

        monkeypatch.setattr(os, "fstat", fstat)
        with opened(tmp_path):
            assert taken
            assert os.listdir(tmp_path) == ["away"]

    def test_one_that_another_run_makes_at_the_same_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.mkdir

        def mkdir(path: str, mode: int = 0o777) -> None:
            if not os.path.lexists(path):
                real(path, mode)
            real(path, mode)

        monkeypatch.setattr(os, "mkdir", mkdir)
        with opened(tmp_path / "new" / "out"):
            pass
        assert (tmp_path / "new" / "out").is_dir()

    def test_one_that_another_run_takes_away_before_it_is_occupied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        occupy, taken = locks.occupy, list[int]()

        def late(fd: int) -> None:
            if not taken:
                taken.append(fd)
                (tmp_path / "out").rmdir()
            occupy(fd)

        monkeypatch.setattr(locks, "occupy", late)
        (tmp_path / "out").mkdir()
        with opened(tmp_path / "out"):
            assert taken
            assert os.listdir(tmp_path) == ["out"]

    def test_one_into_which_another_run_receives_is_not_taken_away(self, tmp_path: Path) -> None:
        with opened(tmp_path / "new" / "out") as first, opened(tmp_path / "new" / "out") as second:
            first.close()
            second.write(0, file("f"), 0, b"abc")
            second.whole(0, file("f"), 3)
            assert all(outcome.ok for outcome in second.finish())
        assert os.listdir(tmp_path / "new" / "out") == ["f"]

    def test_names_in_messages_are_escaped(self, tmp_path: Path) -> None:
        (tmp_path / "a\nb").write_bytes(b"")
        fails_to_open(tmp_path / "a\nb", r"/a\\nb is a file")


@pytest.mark.lab
class TestFull:
    def test_in_the_middle_of_a_file_of_unknown_size(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "disk", "size=2m") as disk, opened(disk) as store:
            entry = file("f", None)
            store.write(0, entry, 0, b"a" * MIB)
            with pytest.raises(LocalFileError, match="full") as caught:
                store.write(0, entry, MIB, b"a" * 2 * MIB)
            assert "Free some space" in caught.value.hint
            store.close()
            assert os.listdir(disk) == []

    def test_known_before_the_data_comes(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "disk", "size=2m") as disk, opened(disk) as store:
            assert store.free_bytes() == 2 * MIB
            with pytest.raises(LocalFileError, match="full"):
                store.write(0, file("f", 8 * MIB), 0, b"a" * MIB)
            store.close()
            assert os.listdir(disk) == []
            assert os.statvfs(disk).f_bavail == os.statvfs(disk).f_blocks

    def test_what_the_next_run_can_go_on_with_stays(self, tmp_path: Path) -> None:
        first, second = file("first", 6 * MIB), file("second", 6 * MIB)
        data = b"a" * MIB
        with tmpfs(tmp_path / "disk", "size=8m") as disk:
            with opened(disk) as store:
                store.begin(MIB)
                store.write(0, first, 0, data, digest=blake3(data).digest())
                with pytest.raises(LocalFileError, match="full"):
                    store.write(1, second, 0, data, digest=blake3(data).digest())
            assert sorted(os.listdir(disk)) == [".first.p2pcopy-journal", ".first.p2pcopy-part"]
            with opened(disk) as store:
                store.begin(MIB)
                store.admit(0, first)
                assert store.reusable_bytes(first) + store.free_bytes() >= 7 * MIB
                held = store.held(0, first)
                assert isinstance(held, Held)
                assert list(held.digests) == [0]

    def test_no_inode_is_left_and_what_was_committed_stays(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "disk", "size=1m,nr_inodes=5") as disk, opened(disk) as store:
            for index in range(4):
                store.write(index, file(f"f{index}"), 0, b"abc")
            store.whole(0, file("f0"), 3)
            assert [outcome.ok for outcome in store.flush()] == [True]
            with pytest.raises(LocalFileError, match="full"):
                store.write(4, file("f4"), 0, b"abc")
            store.close()
            assert os.listdir(disk) == ["f0"]

    def test_it_becomes_read_only_in_the_middle(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "disk", "size=1m") as disk, opened(disk) as store:
            store.admit(0, file("f"))
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, timeout=20)
            with pytest.raises(LocalFileError, match="read-only"):
                store.write(0, file("f"), 0, b"abc")


@pytest.mark.lab
def test_another_file_system_below_the_destination(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "sub", "size=1m"), opened(tmp_path) as store:
        entries = [file(f"{place}f{index}") for index in range(20) for place in ("", "sub/")]
        for index, entry in enumerate(entries):
            store.write(index, entry, 0, b"abc")
            store.whole(index, entry, 3)
        assert all(outcome.ok for outcome in store.finish())
        assert len(os.listdir(tmp_path / "sub")) == 20


class TestErrors:
    @pytest.mark.parametrize(
        "number", [errno.EIO, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE]
    )
    def test_that_end_the_transfer(self, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(tmp_path) as store:
            monkeypatch.setattr(os, "pwritev", failing(number))
            with pytest.raises(LocalFileError) as caught:
                store.write(0, file("f"), 0, b"abc")
        assert caught.value.hint
        assert caught.value.resumable
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("call", ["pwritev", "fchmod", "utime"])
    def test_that_concern_one_file(self, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(tmp_path) as store:
            with monkeypatch.context() as patch:
                patch.setattr(os, call, failing(errno.EFBIG))
                told = store.write(0, file("f"), 0, b"abc")
                outcomes = store.whole(0, file("f"), 3)
            assert told in (None, *outcomes)
            assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(FileStatus.FAILED, "File too large")]
            store.write(1, file("g"), 0, b"abc")
            store.whole(1, file("g"), 3)
            assert [outcome.ok for outcome in store.finish()] == [True]
        assert os.listdir(tmp_path) == ["g"]

    def test_a_directory_that_cannot_be_read_or_finished(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "d").mkdir()
        with opened(tmp_path) as store:
            with monkeypatch.context() as patch:
                patch.setattr(os, "stat", failing(errno.EACCES))
                clash = store.admit(0, file("d/f"))
                assert clash is not None
                assert (clash.obstacle, clash.reason, clash.hopeless) == (Obstacle.NAME, "Permission denied", True)
                patch.setattr(os, "stat", failing(errno.EIO))
                with pytest.raises(LocalFileError):
                    store.admit(0, file("d/f"))
            assert store.other(1, Entry(Kind.DIRECTORY, "e")) == []
            store.write(2, file("implied/f"), 0, b"abc")
            store.whole(2, file("implied/f"), 3)
            store.flush()
            monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
            (outcome,) = store.finish()
        assert (outcome.index, outcome.status) == (1, FileStatus.FAILED)

    def test_a_name_that_is_too_long_for_the_disk(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            clash = store.admit(0, file("x" * 256))
            assert clash is not None
            assert clash.hopeless
            failed = store.refuses(0, file("x" * 256))
            assert failed is not None
            assert failed.reason == "File name too long"

    @pytest.mark.parametrize("covered", [True, False])
    def test_a_file_system_that_cannot_sync_directories(
        self, tmp_path: Path, covered: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not covered:
            monkeypatch.setattr(native, "can_sync_at_once", lambda fd: False)
        with opened(tmp_path) as store:
            for index in range(20):
                store.write(index, file(f"d{index}/f"), 0, b"abc")
                store.whole(index, file(f"d{index}/f"), 3)
            real = os.fsync

            def fsync(fd: int) -> None:
                if os.path.isdir(f"/proc/self/fd/{fd}"):
                    raise OSError(errno.EINVAL, "Invalid argument")
                real(fd)

            monkeypatch.setattr(os, "fsync", fsync)
            assert all(outcome.ok for outcome in store.flush())

    @pytest.mark.parametrize("away", ["removed", "replaced", "renamed"])
    def test_a_destination_that_goes_away_after_the_last_file(
        self, tmp_path: Path, away: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        with opened(out) as store:
            store.write(0, file("f"), 0, b"abc")
            store.whole(0, file("f"), 3)
            assert [outcome.ok for outcome in store.flush()] == [True]
            if away == "renamed":
                out.rename(tmp_path / "elsewhere")
            else:
                shutil.rmtree(out)
            if away == "replaced":
                out.mkdir()
            with pytest.raises(LocalFileError, match="out is not there any more"):
                store.finish()

    def test_a_disk_that_breaks_at_the_very_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(native, "can_sync_at_once", lambda fd: True)
        with opened(tmp_path) as store:
            store.other(0, Entry(Kind.DIRECTORY, "d"))
            monkeypatch.setattr(native, "sync_file_system", failing(errno.EIO))
            with pytest.raises(LocalFileError, match="input/output"):
                store.finish()

    def test_every_fatal_error_has_a_hint(self) -> None:
        for number in errno.errorcode:
            error = OSError(number, os.strerror(number))
            failure = faults.fatal(error, "/there")
            if failure is not None:
                assert failure.hint.endswith(".")
                assert "{" not in failure.message
            else:
                assert faults.reason(error)
        assert faults.reason(FileNotFoundError()) == "FileNotFoundError"


class TestNative:
    def test_what_the_kernel_does_not_have(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("_fallocate", "_sync_file_range", "_syncfs", "_fstatfs", "_renameat2", "_statx"):
            monkeypatch.setattr(native, name, None)
        with opened(tmp_path) as store:
            entry = file("f", 3 * MIB)
            for block in range(3):
                store.write(0, entry, block * MIB, bytes(MIB))
            store.whole(0, entry, 3 * MIB)
            for index in range(1, 20):
                store.write(index, file(f"f{index}"), 0, b"abc")
                store.whole(index, file(f"f{index}"), 3)
            assert all(outcome.ok for outcome in store.finish())
        assert (tmp_path / "f").read_bytes() == bytes(3 * MIB)
        assert len(os.listdir(tmp_path)) == 20

    def test_an_old_kernel(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            monkeypatch.setattr(platform, "release", lambda: "5.7.19-generic")
            assert not native.can_sync_at_once(fd)
            monkeypatch.setattr(platform, "release", lambda: "7.0-rc1+")
            assert native.can_sync_at_once(fd) in (True, False)
        finally:
            os.close(fd)

    @pytest.mark.parametrize(("number", "ok"), [(errno.ENOTSUP, True), (errno.ENOTTY, True), (errno.ENXIO, False)])
    def test_a_drive_that_cannot_be_flushed(
        self, number: int, ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on macOS; network file systems there have no such thing."""
        monkeypatch.setattr(native, "sys", SimpleNamespace(platform="darwin"))
        monkeypatch.setattr(native, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=failing(number)))
        monkeypatch.setattr(native, "can_sync_at_once", lambda fd: False)
        with nullcontext() if ok else pytest.raises(LocalFileError), opened(tmp_path) as store:
            assert store.write(0, file("f"), 0, b"abc") is None
            assert [outcome.ok for outcome in store.whole(0, file("f"), 3) + store.finish()] == [True]
        assert os.listdir(tmp_path) == (["f"] if ok else [])

    def test_several_threads_ask_for_the_umask(self) -> None:
        before, interval = native.umask(), sys.getswitchinterval()
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.extend(native.umask() for _ in range(1000))) for _ in range(4)]
        sys.setswitchinterval(1e-6)
        try:
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert native.umask() == before
        finally:
            sys.setswitchinterval(interval)
            os.umask(before)
        assert seen == [before] * 4000

    def test_errors_are_errors(self) -> None:
        for call in (
            lambda: native.reserve(-1, 5),
            lambda: native.punch_hole(-1, 0, 5),
            lambda: native.start_writeback(-1, 0, 5),
            lambda: native.sync_file_system(-1),
            lambda: native.rename_without_replacing(-1, "a", "b"),
            lambda: native.birth(-1),
        ):
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()

    @pytest.mark.skipif(sys.platform != "linux", reason="openat2")
    def test_a_path_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "f").write_bytes(b"abc")
        (tmp_path / "l").symlink_to("d")
        straight, round_about = str(tmp_path / "d" / "f"), str(tmp_path / "l" / "f")
        os.close(native.open_straight(straight, os.O_RDONLY))
        with pytest.raises(FileNotFoundError):
            native.open_straight(f"{straight}0", os.O_RDONLY)
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            native.open_straight(round_about, os.O_RDONLY)
        monkeypatch.setattr(native, "_syscall", None)
        os.close(native.open_straight(round_about, os.O_RDONLY))

    @pytest.mark.skipif(sys.platform != "linux", reason="openat2")
    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EINTR])
    def test_a_kernel_that_opens_in_the_old_way_only(
        self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "f").write_bytes(b"abc")
        real, answers = native._syscall, [number]

        def refuse(*arguments: object) -> int:
            if answers:
                ctypes.set_errno(answers.pop())
                return -1
            assert real is not None
            return real(*arguments)

        monkeypatch.setattr(native, "_syscall", refuse)
        os.close(native.open_straight(str(tmp_path / "f"), os.O_RDONLY))
        assert not answers
