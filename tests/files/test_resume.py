"""What an earlier run left of a file: what counts of it, what is refused, and how it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from descriptors import open_files

from p2pcopy.config import Existing
from p2pcopy.errors import InternalError, Interrupted, LocalFileError
from p2pcopy.events import FileStatus, Mark
from p2pcopy.files import journal, native, plain
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.journal import HEADER_SIZE, RECORD_SIZE
from p2pcopy.files.journalfile import Journaling
from p2pcopy.files.parts import PartFile
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Outcome, Useless
from p2pcopy.transfer.wire import Check, Entry, Kind

BLOCK = 1000
CONTENT = random.Random(1).randbytes(9 * BLOCK + 300)
BLOCKS = 10
ENTRY = Entry(Kind.FILE, "f", len(CONTENT), 0o644, 1_234_567_890_123_456_789)
PART, JOURNAL = ".f.p2pcopy-part", ".f.p2pcopy-journal"
EAGER = Journaling(from_size=2 * BLOCK, sync_bytes=4 * BLOCK, sync_s=3600)


def block(number: int, content: bytes = CONTENT) -> bytes:
    return content[number * BLOCK : (number + 1) * BLOCK]


def digest(number: int, content: bytes = CONTENT) -> bytes:
    return blake3(block(number, content)).digest()


@contextmanager
def opened(root: Path, **settings: Any) -> Iterator[DirectoryStore]:
    store = DirectoryStore(str(root), **{"journaling": EAGER, "group_s": 3600, **settings})
    store.open()
    store.begin(BLOCK)
    try:
        yield store
    finally:
        store.close()


def write(store: DirectoryStore, *numbers: int, index: int = 0, entry: Entry = ENTRY) -> None:
    for number in numbers:
        assert store.write(index, entry, number * BLOCK, block(number), digest=digest(number)) is None


def leave(root: Path, *numbers: int, entry: Entry = ENTRY) -> None:
    """What a run that ended early leaves."""
    with opened(root) as store:
        write(store, *numbers, entry=entry)


def left(root: Path, entry: Entry = ENTRY, **settings: Any) -> Held | Useless | Outcome | None:
    with opened(root, **settings) as store:
        return store.held(0, entry)


def numbers_left(root: Path, entry: Entry = ENTRY) -> list[int]:
    held = left(root, entry)
    if held is None:
        return []
    assert isinstance(held, Held)
    assert held.check is Check.SAMPLE
    assert all(found == digest(number) for number, found in held.digests.items())
    return list(held.digests)


def finish(store: DirectoryStore, entry: Entry = ENTRY) -> list[Outcome]:
    return store.whole(0, entry, len(CONTENT)) + store.finish()


def as_its_owner(real: Callable[..., int]) -> Callable[..., int]:
    """os.open() as it is for somebody who is not root."""

    def call(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None and not flags & (os.O_CREAT | os.O_DIRECTORY):
            wanted = 0o600 if flags & os.O_RDWR else 0o400
            with suppress(FileNotFoundError):
                if os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode & wanted != wanted:
                    raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    return call


class TestGoingOn:
    @pytest.mark.parametrize("numbers", [(0,), (9,), (3, 1, 2), (0, 1, 2, 3, 4, 5), tuple(range(BLOCKS))])
    def test_what_was_written_is_there(self, tmp_path: Path, numbers: tuple[int, ...]) -> None:
        leave(tmp_path, *numbers)
        assert sorted(os.listdir(tmp_path)) == [JOURNAL, PART]
        with opened(tmp_path) as store:
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            assert dict(held.digests) == {number: digest(number) for number in sorted(numbers)}
            write(store, *(number for number in range(BLOCKS) if number not in numbers))
            assert finish(store) == [Outcome(0, FileStatus.DONE)]
        assert (tmp_path / "f").read_bytes() == CONTENT
        assert os.listdir(tmp_path) == ["f"]
        assert os.stat(tmp_path / "f").st_mtime_ns == ENTRY.mtime_ns

    def test_run_after_run(self, tmp_path: Path) -> None:
        order = random.Random(5).sample(range(BLOCKS), BLOCKS)
        for done in range(BLOCKS):
            with opened(tmp_path) as store:
                held = store.held(0, ENTRY)
                assert sorted(held.digests if isinstance(held, Held) else ()) == sorted(order[:done])
                write(store, order[done])
        with opened(tmp_path) as store:
            store.held(0, ENTRY)
            assert finish(store) == [Outcome(0, FileStatus.DONE)]
        assert (tmp_path / "f").read_bytes() == CONTENT

    def test_closed_and_opened_again_on_the_way(self, tmp_path: Path) -> None:
        other = replace(ENTRY, path="g")
        with opened(tmp_path, open_parts=1) as store:
            for number in range(5):
                write(store, number)
                write(store, number, index=1, entry=other)
        assert numbers_left(tmp_path) == numbers_left(tmp_path, other) == [0, 1, 2, 3, 4]

    def test_a_journal_that_is_taken_away_on_the_way_costs_no_file(self, tmp_path: Path) -> None:
        with opened(tmp_path, open_parts=1) as store:
            write(store, 0)
            write(store, 0, index=1, entry=replace(ENTRY, path="g"))
            (tmp_path / JOURNAL).unlink()
            write(store, *range(1, BLOCKS))
            assert finish(store) == [Outcome(0, FileStatus.DONE)]
        assert (tmp_path / "f").read_bytes() == CONTENT

    @pytest.mark.parametrize("mode", [0o644, 0o444, 0o200])
    def test_whole_but_not_yet_named(self, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = replace(ENTRY, mode=mode)
        with opened(tmp_path) as store:
            write(store, *range(BLOCKS), entry=entry)
            assert store.whole(0, entry, len(CONTENT)) == []
        monkeypatch.setattr(os, "open", as_its_owner(os.open))
        assert numbers_left(tmp_path, entry) == ([] if mode == 0o200 else list(range(BLOCKS)))
        with opened(tmp_path) as store:
            if store.held(0, entry) is None:
                write(store, *range(BLOCKS), entry=entry)
            assert finish(store, entry) == [Outcome(0, FileStatus.DONE)]
        assert os.listdir(tmp_path) == ["f"]
        assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == mode

    def test_synced_in_time(self, tmp_path: Path) -> None:
        with opened(tmp_path, journaling=Journaling(from_size=BLOCK, sync_s=0)) as store:
            write(store, 0, 1, 2)
        found = journal.decode((tmp_path / JOURNAL).read_bytes())
        assert (list(found.synced), found.written) == ([0, 1, 2], {})

    def test_blocks_of_zeros_where_something_else_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = bytes(3 * BLOCK)
        entry = replace(ENTRY, size=len(content))
        for punches in (True, False):
            with opened(tmp_path, existing=Existing.REPLACE) as store:
                store.write(0, entry, 0, block(0, content), digest=digest(0, content))
            with open(tmp_path / PART, "r+b") as part:
                part.seek(BLOCK)
                part.write(b"x" * BLOCK)
            if not punches:
                monkeypatch.setattr(native, "punch_hole", lambda *_: False)
            with opened(tmp_path, existing=Existing.REPLACE) as store:
                assert isinstance(store.held(0, entry), Held)
                for number in (1, 2):
                    store.write(0, entry, number * BLOCK, block(number, content), digest=digest(number, content))
                store.whole(0, entry, len(content))
                assert store.finish() == [Outcome(0, FileStatus.DONE)]
            assert (tmp_path / "f").read_bytes() == content

    def test_start_over(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2, 3, 4)
        with opened(tmp_path) as store:
            assert isinstance(store.held(0, ENTRY), Held)
            store.start_over(0, ENTRY)
            assert os.listdir(tmp_path) == []
            write(store, 7)
        assert numbers_left(tmp_path) == [7]

    def test_abandoned(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            write(store, 0, 1)
            store.abandon(0, keep=True)
            assert numbers_left(tmp_path) == [0, 1]
            store.held(0, ENTRY)
            store.abandon(0)
            assert os.listdir(tmp_path) == []

    def test_nothing_is_kept_of_small_files_streams_and_strangers(self, tmp_path: Path) -> None:
        small = replace(ENTRY, size=2 * BLOCK - 1)
        with opened(tmp_path) as store:
            write(store, 0, entry=small)
            write(store, 0, index=1, entry=replace(ENTRY, path="stream", size=None))
            store.write(2, replace(ENTRY, path="no digest"), 0, block(0))
            assert store.held(3, replace(ENTRY, path="empty", size=0)) is None
        assert os.listdir(tmp_path) == []
        with opened(tmp_path) as store:
            assert store.held(0, ENTRY) is None
            assert store.held(1, replace(ENTRY, path="nowhere/f")) is None

    def test_a_new_part_file_takes_the_old_journal_away(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1)
        with opened(tmp_path) as store:
            write(store, 5, entry=replace(ENTRY, size=BLOCKS * BLOCK))
            assert sorted(os.listdir(tmp_path)) == [JOURNAL, PART]
        leave(tmp_path, 0, 1)
        with opened(tmp_path) as store:
            store.write(0, replace(ENTRY, size=3), 0, b"abc")
            assert os.listdir(tmp_path) == [PART]

    @pytest.mark.parametrize("version", [ENTRY, replace(ENTRY, mtime_ns=ENTRY.mtime_ns + 1), replace(ENTRY, size=5)])
    def test_killed_between_the_two_steps_of_a_rename(
        self, tmp_path: Path, version: Entry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the system has no call that does not replace (macOS, NFS): a hard link is made, then the part file is removed."""
        with opened(tmp_path) as store:
            write(store, *range(BLOCKS))
            assert finish(store)[0].ok
        os.link(tmp_path / ENTRY.path, tmp_path / PART)
        (tmp_path / JOURNAL).write_bytes(b"of that part file")
        monkeypatch.setattr(native, "rename_without_replacing", lambda *_: False)
        content = CONTENT[: version.size]
        with opened(tmp_path, existing=Existing.REPLACE) as store:
            if version == ENTRY:
                assert isinstance(outcome := store.refuses(0, version), Outcome)
                assert outcome.there
            else:
                assert store.refuses(0, version) is None
                assert store.held(0, version) is None
                assert store.write(0, version, 0, content, digest=blake3(content).digest()) is None
                assert (store.whole(0, version, len(content)) + store.finish())[0].ok
        assert os.listdir(tmp_path) == [ENTRY.path]
        assert os.stat(tmp_path / ENTRY.path).st_mtime_ns == version.mtime_ns
        assert (tmp_path / ENTRY.path).read_bytes() == content

    def test_another_name_of_another_file_stays(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_bytes(b"abc")
        os.link(tmp_path / "mine", tmp_path / PART)
        (tmp_path / "f").write_bytes(b"abc")
        with opened(tmp_path, existing=Existing.REPLACE) as store:
            outcome = store.write(0, ENTRY, 0, block(0), digest=digest(0))
        assert outcome is not None
        assert sorted(os.listdir(tmp_path)) == [PART, "f", "mine"]


class TestRefused:
    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (replace(ENTRY, size=len(CONTENT) - 1), "another version"),
            (replace(ENTRY, mtime_ns=ENTRY.mtime_ns + 1), "another version"),
        ],
    )
    def test_another_version_of_the_file(self, tmp_path: Path, entry: Entry, words: str) -> None:
        leave(tmp_path, 0, 1, 2)
        useless = left(tmp_path, entry)
        assert isinstance(useless, Useless)
        assert words in useless.reason
        with opened(tmp_path) as store:
            store.held(0, entry)
            write(store, 4, entry=entry)
        assert list(dict(held.digests) if isinstance(held := left(tmp_path, entry), Held) else {}) == [4]

    def test_blocks_of_another_size(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2)
        with opened(tmp_path) as store:
            store.begin(BLOCK + 1)
            useless = store.held(0, ENTRY)
        assert isinstance(useless, Useless)
        assert "another size" in useless.reason

    def test_a_part_file_that_was_exchanged(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2, 3, 4)
        content = (tmp_path / PART).read_bytes()
        (tmp_path / PART).rename(tmp_path / "kept")
        (tmp_path / PART).write_bytes(content)
        useless = left(tmp_path)
        assert isinstance(useless, Useless)
        assert "another part file" in useless.reason

    def test_the_same_inode_number_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave(tmp_path, 0, 1, 2, 3, 4)
        monkeypatch.setattr(native, "birth", lambda fd: (1, 2))
        assert isinstance(left(tmp_path), Useless)

    def test_a_file_system_that_knows_no_birth_has_everything_read_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(native, "birth", lambda fd: None)
        leave(tmp_path, *range(8))
        damage(tmp_path / PART, 2 * BLOCK)
        for _ in range(2):
            assert numbers_left(tmp_path) == [0, 1, 3, 4, 5, 6, 7]

    @pytest.mark.parametrize("place", [0, 20, 70])
    def test_a_damaged_header(self, tmp_path: Path, place: int) -> None:
        leave(tmp_path, 0, 1, 2)
        damage(tmp_path / JOURNAL, place)
        useless = left(tmp_path)
        assert isinstance(useless, Useless)
        assert "damaged" in useless.reason

    def test_a_damaged_or_torn_record_ends_what_counts(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2)
        damage(tmp_path / JOURNAL, HEADER_SIZE + 2 * RECORD_SIZE + 5)
        assert numbers_left(tmp_path) == [0, 1]
        with opened(tmp_path) as store:
            store.held(0, ENTRY)
            write(store, 2, 3)
        assert numbers_left(tmp_path) == [0, 1, 2, 3]
        os.truncate(tmp_path / JOURNAL, os.stat(tmp_path / JOURNAL).st_size - 1)
        assert numbers_left(tmp_path) == [0, 1, 2]

    def test_a_journal_of_absurd_size(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave(tmp_path, 0, 1, 2)
        monkeypatch.setattr(journal, "MAX_SIZE", 100)
        assert isinstance(left(tmp_path), Useless)

    def test_no_more_blocks_are_recorded_than_are_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "MAX_BLOCKS", 2)
        leave(tmp_path, 0, 1, 2)
        assert numbers_left(tmp_path) == [0, 1]

    def test_written_blocks_that_do_not_fit_come_again(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2)  # none of it was synced
        damage(tmp_path / PART, 1 * BLOCK)
        assert numbers_left(tmp_path) == [0, 2]
        assert numbers_left(tmp_path) == [0, 2]

    def test_a_synced_block_that_does_not_fit_makes_all_worthless(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2, 3, 5)
        damage(tmp_path / PART, 3 * BLOCK + 999)
        useless = left(tmp_path)
        assert isinstance(useless, Useless)
        assert "does not hold" in useless.reason

    def test_a_sample_is_read_back_and_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = Journaling(from_size=BLOCK, sync_bytes=BLOCK, sync_s=3600)
        with opened(tmp_path, journaling=settings) as store:
            write(store, *range(BLOCKS))
        read = []
        real = os.preadv

        def preadv(fd: int, views: list[memoryview], offset: int) -> int:
            read.append(offset // BLOCK)
            return real(fd, views, offset)

        monkeypatch.setattr(os, "preadv", preadv)
        assert numbers_left(tmp_path) == list(range(BLOCKS))
        # The last block was written after the last sync.
        assert {0, BLOCKS - 2, BLOCKS - 1} <= set(read)
        assert len(read) <= 7

    @pytest.mark.parametrize("size", [0, 4 * BLOCK - 1])
    def test_a_part_file_that_is_shorter_than_its_journal_says(self, tmp_path: Path, size: int) -> None:
        leave(tmp_path, 0, 1, 2, 3)
        os.truncate(tmp_path / PART, size)
        assert isinstance(left(tmp_path), Useless)

    def test_a_part_file_whose_unsynced_end_is_missing(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2, 3, 4, 5)
        os.truncate(tmp_path / PART, 5 * BLOCK)
        with opened(tmp_path) as store:
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            assert list(held.digests) == [0, 1, 2, 3, 4]
            write(store, *range(5, BLOCKS))
            assert finish(store) == [Outcome(0, FileStatus.DONE)]
        assert (tmp_path / "f").read_bytes() == CONTENT

    @pytest.mark.parametrize("name", [PART, JOURNAL])
    @pytest.mark.parametrize("what", ["link", "hard link", "directory", "fifo", "owner"])
    def test_anything_but_a_plain_file_of_ours(
        self, tmp_path: Path, name: str, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = tmp_path / "out"
        root.mkdir()
        leave(root, 0, 1, 2, 3, 4)
        place, kept = root / name, tmp_path / "kept"
        before = place.read_bytes()
        if what == "owner":
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            os.chown(place, 12345, -1)
        elif what == "hard link":
            kept.hardlink_to(place)
        else:
            place.rename(kept)
            make: dict[str, Callable[[], object]] = {
                "link": lambda: place.symlink_to(kept),
                "directory": place.mkdir,
                "fifo": lambda: os.mkfifo(place),
            }
            make[what]()
        status = os.lstat(place)
        with opened(root) as store:
            assert store.held(0, ENTRY) is None
            failed = store.write(0, ENTRY, 0, block(0), digest=digest(0))
            assert failed is not None
            assert failed.status is FileStatus.FAILED
            assert "something that is no" in failed.reason
            assert name in failed.reason
        assert os.lstat(place).st_ino == status.st_ino
        assert (place if what == "owner" else kept).read_bytes() == before
        assert not (root / "f").exists()

    def test_a_journal_without_its_part_file(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1)
        (tmp_path / PART).unlink()
        with opened(tmp_path) as store:
            assert store.held(0, ENTRY) is None
            write(store, 3)
        assert numbers_left(tmp_path) == [3]

    def test_a_part_file_without_its_journal(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1)
        (tmp_path / JOURNAL).unlink()
        assert left(tmp_path) is None

    def test_another_process_is_writing_it(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1)
        with open(tmp_path / PART, "rb") as theirs, opened(tmp_path) as store:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            with pytest.raises(LocalFileError, match="another p2pcopy is writing"):
                store.held(0, ENTRY)
        assert numbers_left(tmp_path) == [0, 1]

    def test_stopped_while_it_reads(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1, 2)
        with opened(tmp_path) as store:
            store.interrupt()
            with pytest.raises(Interrupted):
                store.held(0, ENTRY)
        assert numbers_left(tmp_path) == [0, 1, 2]


def damage(path: Path, place: int) -> None:
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes((byte[0] ^ 0x10,)))


class TestFaults:
    """What ends the transfer keeps what can be gone on with."""

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
    def test_a_write_that_fails(self, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        with opened(tmp_path) as store:
            write(store, 0, 1, 2)
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwritev", fail)
                with pytest.raises(LocalFileError) as caught:
                    store.write(0, ENTRY, 3 * BLOCK, block(3), digest=digest(3))
            assert caught.value.resumable
        assert numbers_left(tmp_path) == [0, 1, 2]

    def test_a_full_disk_for_the_journal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.pwrite
        with opened(tmp_path) as store:
            write(store, 0, 1)
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:7], offset))
                with pytest.raises(LocalFileError, match="full"):
                    store.write(0, ENTRY, 2 * BLOCK, block(2), digest=digest(2))
        assert numbers_left(tmp_path) == [0, 1]

    @pytest.mark.parametrize("call", ["fdatasync", "fsync", "start_writeback", "finish_writeback"])
    def test_what_the_disk_did_not_take_does_not_count(
        self, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system may show it all the same, and say nothing the next time."""

        def fail(*_: object) -> bool:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        block_size = 1 << 20
        big = Entry(Kind.FILE, "f", 60 * block_size, 0o644, 5)
        data = random.Random(2).randbytes(block_size)
        settings = Journaling(sync_bytes=20 * block_size if call == "fdatasync" else 3 * block_size, sync_s=3600)

        def put(*numbers: int) -> None:
            for number in numbers:
                store.write(0, big, number * block_size, data, digest=blake3(data).digest())

        def go_on() -> None:
            put(*range(19, 20 if call == "fsync" else 60))
            store.whole(0, big, 60 * block_size)
            store.flush()

        with opened(tmp_path, journaling=settings) as store:
            store.begin(block_size)
            put(*range(19 if call == "fdatasync" else 4))
            with monkeypatch.context() as patch:
                patch.setattr(os if call in ("fsync", "fdatasync") else native, call, fail)
                with pytest.raises(LocalFileError, match="input/output"):
                    go_on()
        with opened(tmp_path, journaling=settings) as store:
            store.begin(block_size)
            held = store.held(0, big)
        there = list(held.digests) if isinstance(held, Held) else []
        if call == "finish_writeback":
            assert there[:5] == [0, 1, 2, 3, 19]
            assert len(there) % 3 == 0
        else:
            assert there == ([] if call == "fdatasync" else [0, 1, 2])

    def test_a_part_file_that_cannot_be_read_back_starts_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leave(tmp_path, 0, 1, 2, 3, 4)

        def fail(*_: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "preadv", fail)
        with opened(tmp_path) as store:
            assert isinstance(store.held(0, ENTRY), Useless)
            write(store, *range(BLOCKS))
            assert finish(store) == [Outcome(0, FileStatus.DONE)]

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
    def test_a_file_that_cannot_be_set_aside_for_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        second = replace(ENTRY, path="g")
        leave(tmp_path, 0, 1)
        leave(tmp_path, 0, 1, entry=second)
        there = sorted(os.listdir(tmp_path))
        before = open_files()

        def fail(part: object) -> None:
            raise OSError(code, os.strerror(code))

        with opened(tmp_path, open_parts=1) as store:
            assert isinstance(store.held(0, ENTRY), Held)
            with monkeypatch.context() as patch:
                patch.setattr(PartFile, "suspend", fail)
                if code == errno.EIO:
                    with pytest.raises(LocalFileError, match="input/output"):
                        store.held(1, second)
                else:
                    failed = Outcome(1, FileStatus.FAILED, os.strerror(code))
                    assert store.held(1, second) == failed
                    assert store.write(1, second, 0, b"ignored", digest=bytes(32)) is None
                    assert store.whole(1, second, len(b"ignored")) == [failed]
        assert sorted(os.listdir(tmp_path)) == there
        assert open_files() == before
        with opened(tmp_path) as store:
            assert isinstance(store.held(1, second), Held)

    def test_a_rename_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> bool:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with opened(tmp_path) as store:
            write(store, *range(BLOCKS))
            with monkeypatch.context() as patch:
                patch.setattr(native, "rename_without_replacing", fail)
                with pytest.raises(LocalFileError):
                    finish(store)
        assert numbers_left(tmp_path) == list(range(BLOCKS))

    def test_no_descriptor_is_left_and_nothing_is_lost_for_want_of_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leave(tmp_path, 0, 1)
        before = open_files()
        with opened(tmp_path) as store:

            def fail(*_: object) -> int:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            with monkeypatch.context() as patch:
                patch.setattr(plain, "_open", fail)
                with pytest.raises(LocalFileError):
                    store.held(0, ENTRY)
        for entry in (ENTRY, replace(ENTRY, size=5000), replace(ENTRY, path="g")):
            left(tmp_path, entry)
        assert open_files() == before
        assert numbers_left(tmp_path) == [0, 1]

    def test_an_error_of_one_file_removes_what_there_is_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> int:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

        with opened(tmp_path) as store:
            write(store, 0, 1)
            monkeypatch.setattr(os, "pwritev", fail)
            assert store.write(0, ENTRY, 2 * BLOCK, block(2), digest=digest(2)) is not None
        assert os.listdir(tmp_path) == []


def marked(root: Path, entry: Entry = ENTRY, **settings: Any) -> Mark:
    with opened(root, **settings) as store:
        return store.mark(entry, store.admit(0, entry))


class TestWhatIsForetold:
    def test_goes_on(self, tmp_path: Path) -> None:
        assert marked(tmp_path) is Mark.NEW
        leave(tmp_path, 0, 1)
        assert marked(tmp_path) is Mark.BEGUN
        assert marked(tmp_path, replace(ENTRY, path="g")) is Mark.NEW
        assert marked(tmp_path, replace(ENTRY, path="f", size=BLOCK)) is Mark.NEW  # such a small one has no journal
        assert numbers_left(tmp_path) == [0, 1]

    @pytest.mark.parametrize("change", [{"size": len(CONTENT) + 1}, {"mtime_ns": ENTRY.mtime_ns + 1}])
    def test_a_source_that_was_changed_starts_over(self, tmp_path: Path, change: dict[str, Any]) -> None:
        leave(tmp_path, 0, 1)
        assert marked(tmp_path, replace(ENTRY, **change)) is Mark.STALE
        assert isinstance(left(tmp_path, replace(ENTRY, **change)), Useless)

    @pytest.mark.parametrize("name", [PART, JOURNAL])
    def test_one_of_the_two_alone_is_of_no_use(self, tmp_path: Path, name: str) -> None:
        leave(tmp_path, 0, 1)
        (tmp_path / name).unlink()
        assert marked(tmp_path) is Mark.NEW
        assert left(tmp_path) is None

    def test_a_damaged_journal_and_another_part_file(self, tmp_path: Path) -> None:
        leave(tmp_path, 0, 1)
        content = (tmp_path / JOURNAL).read_bytes()
        (tmp_path / JOURNAL).write_bytes(b"x" + content[1:])
        assert marked(tmp_path) is Mark.STALE
        assert isinstance(left(tmp_path), Useless)
        (tmp_path / JOURNAL).write_bytes(content)
        (tmp_path / PART).rename(tmp_path / "moved")
        (tmp_path / PART).write_bytes(bytes(len(CONTENT)))
        assert marked(tmp_path) is Mark.STALE
        assert isinstance(left(tmp_path), Useless)

    @pytest.mark.parametrize("what", ["no block", "pipe", "directory", "link"])
    def test_a_journal_that_tells_of_nothing(self, tmp_path: Path, what: str) -> None:
        leave(tmp_path, 0, 1)
        content = (tmp_path / JOURNAL).read_bytes()
        (tmp_path / JOURNAL).unlink()
        match what:
            case "no block":
                (tmp_path / JOURNAL).write_bytes(content[:HEADER_SIZE])
            case "pipe":
                os.mkfifo(tmp_path / JOURNAL)
            case "directory":
                (tmp_path / JOURNAL).mkdir()
            case _:
                (tmp_path / JOURNAL).symlink_to("elsewhere")
        assert marked(tmp_path) is Mark.NEW

    def test_a_journal_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave(tmp_path, 0, 1)
        (tmp_path / JOURNAL).chmod(0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", as_its_owner(os.open))
            assert marked(tmp_path) is Mark.NEW

    @pytest.mark.parametrize("checksum", [False, True])
    @pytest.mark.parametrize("policy", list(Existing))
    def test_its_name_is_taken_meanwhile(self, tmp_path: Path, policy: Existing, checksum: bool) -> None:
        leave(tmp_path, 0, 1)
        (tmp_path / "f").write_bytes(bytes(len(CONTENT)))
        gives_way = policy in (Existing.RENAME, Existing.REPLACE)
        otherwise = Mark.COMPARED if checksum else Mark.EXISTS
        mark = marked(tmp_path, existing=policy, checksum=checksum)
        assert mark is (Mark.BEGUN_EXISTS if gives_way else otherwise)
        if gives_way:
            held = left(tmp_path, existing=policy, checksum=checksum)
            assert isinstance(held, Held)
            assert (held.check, list(held.digests)) == (Check.SAMPLE, [0, 1])
        assert marked(tmp_path, replace(ENTRY, mtime_ns=5), existing=policy, checksum=checksum) is otherwise

    def test_what_replace_does_not_replace(self, tmp_path: Path) -> None:
        (tmp_path / "f").mkdir()
        assert marked(tmp_path, existing=Existing.REPLACE) is Mark.FAILS
        assert marked(tmp_path, existing=Existing.RENAME) is Mark.EXISTS


class TestTheEnd:
    def test_a_journal_that_a_killed_run_left_behind_its_file(self, tmp_path: Path) -> None:
        leave(tmp_path, *range(BLOCKS))
        os.utime(tmp_path / PART, ns=(ENTRY.mtime_ns, ENTRY.mtime_ns))
        (tmp_path / PART).rename(tmp_path / "f")
        with opened(tmp_path) as store:
            clash = store.admit(0, ENTRY)
            assert clash is not None
            assert clash.same
            assert store.refuses(0, ENTRY) == Outcome(0, FileStatus.SKIPPED, "it is there already", there=True)
        assert os.listdir(tmp_path) == ["f"]

    def test_space_that_is_taken_already(self, tmp_path: Path) -> None:
        leave(tmp_path, *range(BLOCKS))
        taken = os.stat(tmp_path / PART).st_blocks * 512
        with opened(tmp_path) as store:
            assert store.reusable_bytes(ENTRY) == taken > 0
            for none in (replace(ENTRY, path="g"), replace(ENTRY, path="nowhere/f"), replace(ENTRY, size=1)):
                assert store.reusable_bytes(none) == 0

    def test_a_directory_with_something_to_go_on_with_stays_and_is_finished_later(self, tmp_path: Path) -> None:
        entry = replace(ENTRY, path="d/f")
        directory = Entry(Kind.DIRECTORY, "d", 0, 0o555, 5_000_000_000)
        with opened(tmp_path) as store:
            assert store.other(1, directory) == []
            write(store, 0, 1, entry=entry)
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) & 0o1700 == 0o1700
        with opened(tmp_path) as store:
            assert store.other(1, directory) == []
            assert isinstance(store.held(0, entry), Held)
            write(store, *range(2, BLOCKS), entry=entry)
            store.whole(0, entry, len(CONTENT))
            assert Outcome(1, FileStatus.DONE) in store.finish()
        status = os.stat(tmp_path / "d")
        assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o555, directory.mtime_ns)

    @pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777, 0o1711, 0o4755])
    def test_a_directory_of_any_other_mode_is_not_ours_to_finish(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d").chmod(mode)
        with opened(tmp_path) as store:
            assert store.other(0, Entry(Kind.DIRECTORY, "d", 0, 0o750, 5)) == [Outcome(0, FileStatus.DONE)]
            store.finish()
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == mode

    def test_one_that_a_killed_run_made_is(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d").chmod(0o3700)
        with opened(tmp_path) as store:
            assert store.other(0, Entry(Kind.DIRECTORY, "d", 0, 0o750, 5)) == []
            assert store.finish() == [Outcome(0, FileStatus.DONE)]
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o750

    def test_one_that_was_there_is_never_removed(self, tmp_path: Path) -> None:
        """Its mode may be somebody's wish."""
        for name in ("d", "d/empty"):
            (tmp_path / name).mkdir()
            (tmp_path / name).chmod(0o1700)
        with opened(tmp_path) as store:
            for index, name in enumerate(("d", "d/empty", "d/new")):
                assert store.other(index, Entry(Kind.DIRECTORY, name, 0, 0o750, 5)) == []
        assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("d", "d/empty")] == [0o1700, 0o1700]
        assert not (tmp_path / "d" / "new").exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_one_of_another_user_is_not(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d").chmod(0o1700)
        os.chown(tmp_path / "d", 12345, -1)
        with opened(tmp_path) as store:
            assert store.other(0, Entry(Kind.DIRECTORY, "d", 0, 0o750, 5)) == [Outcome(0, FileStatus.DONE)]

    def test_blocks_for_what_is_only_compared_are_a_defect(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(CONTENT)
        with opened(tmp_path, checksum=True) as store:
            assert isinstance(store.held(0, ENTRY), Held)
            with pytest.raises(InternalError):
                write(store, 0)
