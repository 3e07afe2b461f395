"""Entries that are there already: by size and time, or by content, under every policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from p2pcopy.config import Existing
from p2pcopy.errors import Interrupted
from p2pcopy.events import FileStatus, Mark
from p2pcopy.files import faults
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.journalfile import Journaling
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Obstacle, Outcome
from p2pcopy.transfer.wire import Check, Entry, Kind

BLOCK = 100
CONTENT = bytes(range(250))
MTIME = 1_234_567_891_234_567_891
ENTRY = Entry(Kind.FILE, "f.txt", len(CONTENT), 0o644, MTIME)
THERE = Outcome(0, FileStatus.SKIPPED, "it is there already", there=True)


@contextmanager
def opened(root: Path, **settings: Any) -> Iterator[DirectoryStore]:
    store = DirectoryStore(str(root), journaling=Journaling(from_size=BLOCK), **settings)
    store.open()
    store.begin(BLOCK)
    try:
        yield store
    finally:
        store.close()


def put(path: Path, content: bytes = CONTENT, mtime_ns: int = MTIME) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def digests(content: bytes) -> dict[int, bytes]:
    return {start // BLOCK: blake3(content[start : start + BLOCK]).digest() for start in range(0, len(content), BLOCK)}


class TestByTime:
    @pytest.mark.parametrize("policy", list(Existing))
    def test_under_every_policy(self, tmp_path: Path, policy: Existing) -> None:
        put(tmp_path / "f.txt")
        with opened(tmp_path, existing=policy) as store:
            clash = store.admit(0, ENTRY)
            assert clash is not None
            assert (clash.same, clash.compare, clash.hopeless) == (True, False, False)
            assert store.refuses(0, ENTRY) == THERE

    @pytest.mark.parametrize("step", [100, 1_000, 1_000_000, 10_000_000, 10**9, 2 * 10**9])
    @pytest.mark.parametrize("mtime_ns", [MTIME, -MTIME])
    def test_a_time_that_the_file_system_has_cut(self, tmp_path: Path, step: int, mtime_ns: int) -> None:
        entry = replace(ENTRY, mtime_ns=mtime_ns)
        put(tmp_path / "f.txt", mtime_ns=mtime_ns // step * step)
        with opened(tmp_path) as store:
            assert store.refuses(0, entry) == THERE

    @pytest.mark.parametrize("off", [1, -1, 10**9, 2 * 10**9, 3600 * 10**9])
    def test_another_time_is_another_file(self, tmp_path: Path, off: int) -> None:
        put(tmp_path / "f.txt", mtime_ns=MTIME // 1000 * 1000 + off)
        with opened(tmp_path) as store:
            clash = store.admit(0, ENTRY)
            assert clash is not None
            assert not clash.same
            assert store.refuses(0, ENTRY) == Outcome(0, FileStatus.FAILED, "it exists already")

    def test_another_size_or_kind_is_another_file(self, tmp_path: Path) -> None:
        put(tmp_path / "real")
        (tmp_path / "f.txt").symlink_to("real")
        with opened(tmp_path) as store:
            for entry in (
                ENTRY,
                replace(ENTRY, path="real", size=len(CONTENT) - 1),
                replace(ENTRY, path="real", size=None),
            ):
                clash = store.admit(0, entry)
                assert clash is not None
                assert not clash.same

    def test_links(self, tmp_path: Path) -> None:
        (tmp_path / "l").symlink_to("there")
        with opened(tmp_path) as store:
            for target, same in (("there", True), ("elsewhere", False)):
                clash = store.admit(0, Entry(Kind.LINK, "l", 0, 0o777, 5, target))
                assert clash is not None
                assert (clash.obstacle, clash.same) == (Obstacle.LINK, same)
            assert store.refuses(0, Entry(Kind.LINK, "l", 0, 0o777, 5, "there")) == THERE

    def test_renamed_by_an_earlier_run(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        put(tmp_path / "d" / "f.txt", b"other")
        put(tmp_path / "d" / "f (1).txt", mtime_ns=5)
        put(tmp_path / "d" / "f (2).txt")
        entry = replace(ENTRY, path="d/f.txt")
        with opened(tmp_path) as store:
            store.admit(0, entry)
            store.resolve(Existing.RENAME)
            assert store.refuses(0, entry) == replace(THERE, saved_as="d/f (2).txt")
            (tmp_path / "d" / "f (2).txt").unlink()
            assert store.refuses(0, entry) is None

    @pytest.mark.parametrize("checksum", [False, True])
    def test_renamed_by_an_earlier_run_is_foretold(self, tmp_path: Path, checksum: bool) -> None:
        put(tmp_path / "f.txt", b"other")
        with opened(tmp_path, existing=Existing.RENAME, checksum=checksum) as store:
            assert store.mark(ENTRY, store.admit(0, ENTRY)) is Mark.EXISTS
            put(tmp_path / "f (1).txt")
            assert store.mark(ENTRY, store.admit(0, ENTRY)) is (Mark.COMPARED if checksum else Mark.SAME)
            store.resolve(Existing.REPLACE)
            assert store.mark(ENTRY, store.admit(0, ENTRY)) is Mark.EXISTS

    def test_links_and_empty_files_are_not_renamed_again_and_again(self, tmp_path: Path) -> None:
        link, empty = Entry(Kind.LINK, "l", 0, 0o777, 5, "there"), replace(ENTRY, path="e", size=0)
        (tmp_path / "l").symlink_to("elsewhere")
        (tmp_path / "l (1)").symlink_to("there")
        put(tmp_path / "e", b"other")
        put(tmp_path / "e (1)", b"")
        for checksum in (False, True):
            with opened(tmp_path, existing=Existing.RENAME, checksum=checksum) as store:
                for entry in (link, empty):
                    assert store.mark(entry, store.admit(0, entry)) is Mark.SAME
                    assert store.refuses(0, entry) == replace(THERE, saved_as=f"{entry.path} (1)")

    def test_the_file_of_another_entry_is_not_a_renamed_one(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"other")
        put(tmp_path / "f (1).txt")
        with opened(tmp_path, existing=Existing.RENAME) as store:
            store.admit(0, ENTRY)
            store.admit(1, replace(ENTRY, path="f (1).txt"))
            assert store.refuses(0, ENTRY) is None

    def test_a_directory_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "f.txt", b"other")
        real = os.stat

        def stat(path: Any, **settings: Any) -> os.stat_result:
            if path == "f (1).txt":
                raise PermissionError(13, "Permission denied")
            return real(path, **settings)

        with opened(tmp_path, existing=Existing.RENAME) as store:
            monkeypatch.setattr(os, "stat", stat)
            assert store.refuses(0, ENTRY) == Outcome(0, FileStatus.FAILED, "Permission denied")


class TestByContent:
    @pytest.mark.parametrize("policy", list(Existing))
    def test_a_file_of_the_same_size_is_offered(self, tmp_path: Path, policy: Existing) -> None:
        put(tmp_path / "f.txt", mtime_ns=5)
        with opened(tmp_path, existing=policy, checksum=True) as store:
            clash = store.admit(0, ENTRY)
            assert clash is not None
            assert (clash.same, clash.compare) == (False, True)
            assert store.refuses(0, ENTRY) is None
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            gives_way = policy in (Existing.REPLACE, Existing.RENAME)
            assert (held.entry, held.check) == (0, Check.ALL if gives_way else Check.ONLY)
            assert dict(held.digests) == digests(CONTENT)
            same = [Outcome(0, FileStatus.SKIPPED, "the same content is there", there=True)]
            assert store.whole(0, ENTRY, len(CONTENT)) == same
            assert store.finish() == []
        assert os.listdir(tmp_path) == ["f.txt"]
        assert os.stat(tmp_path / "f.txt").st_mtime_ns == 5

    @pytest.mark.parametrize(("policy", "name"), [(Existing.REPLACE, "f.txt"), (Existing.RENAME, "f (1).txt")])
    def test_one_that_differs_is_sent(self, tmp_path: Path, policy: Existing, name: str) -> None:
        put(tmp_path / "f.txt", b"x" * len(CONTENT))
        with opened(tmp_path, existing=policy, checksum=True) as store:
            assert isinstance(store.held(0, ENTRY), Held)
            store.start_over(0, ENTRY)
            store.write(0, ENTRY, 0, CONTENT)
            (outcome,) = store.whole(0, ENTRY, len(CONTENT)) + store.finish()
        assert outcome.ok
        assert (tmp_path / name).read_bytes() == CONTENT

    def test_one_that_differs_and_stays(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"x" * len(CONTENT))
        with opened(tmp_path, existing=Existing.SKIP, checksum=True) as store:
            assert isinstance(store.held(0, ENTRY), Held)
            store.abandon(0)
            assert store.finish() == []
        assert (tmp_path / "f.txt").read_bytes() == b"x" * len(CONTENT)

    def test_another_size_follows_the_policy(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"other")
        with opened(tmp_path, checksum=True) as store:
            assert store.refuses(0, ENTRY) == Outcome(0, FileStatus.FAILED, "it exists already")
            assert store.held(0, ENTRY) is None

    def test_empty_files_are_all_the_same(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"", 5)
        with opened(tmp_path, checksum=True) as store:
            assert store.refuses(0, replace(ENTRY, size=0)) == THERE

    def test_of_several_names_the_one_with_the_same_time(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"x" * len(CONTENT), 5)
        put(tmp_path / "f (1).txt", b"y" * len(CONTENT), 6)
        put(tmp_path / "f (2).txt", CONTENT, MTIME)
        with opened(tmp_path, existing=Existing.RENAME, checksum=True) as store:
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            assert dict(held.digests) == digests(CONTENT)
            (outcome,) = store.whole(0, ENTRY, len(CONTENT))
            assert outcome.saved_as == "f (2).txt"

    def test_what_was_being_sent_already_need_not_be_compared_again(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt", b"x" * len(CONTENT))
        with opened(tmp_path, existing=Existing.REPLACE, checksum=True) as store:
            store.held(0, ENTRY)
            store.start_over(0, ENTRY)
            store.write(0, ENTRY, 0, CONTENT[:BLOCK], digest=blake3(CONTENT[:BLOCK]).digest())
        with opened(tmp_path, existing=Existing.SKIP, checksum=True) as store:
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            assert held.check is Check.ONLY
        with opened(tmp_path, existing=Existing.REPLACE, checksum=True) as store:
            held = store.held(0, ENTRY)
            assert isinstance(held, Held)
            assert (held.check, list(held.digests)) == (Check.SAMPLE, [0])
            store.write(0, ENTRY, BLOCK, CONTENT[BLOCK:])
            assert store.whole(0, ENTRY, len(CONTENT)) + store.finish() == [Outcome(0, FileStatus.DONE)]
        assert (tmp_path / "f.txt").read_bytes() == CONTENT

    @pytest.mark.parametrize("what", ["open", "read", "cut"])
    def test_one_that_cannot_be_read_is_not_offered(
        self, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path / "f.txt")
        real_open, real_read = os.open, os.preadv

        def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if what == "open" and path == "f.txt":
                raise PermissionError(13, "Permission denied")
            return real_open(path, flags, mode, dir_fd=dir_fd)

        def read(fd: int, views: list[memoryview], offset: int) -> int:
            if what == "read":
                raise OSError(5, "Input/output error")
            return real_read(fd, views, offset) if offset < BLOCK else 0

        with opened(tmp_path, checksum=True) as store:
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", refuse)
                if what != "open":
                    patch.setattr(os, "preadv", read)
                assert store.held(0, ENTRY) is None
            # It is no longer than a reader takes in one go.
            assert isinstance(store.held(0, ENTRY), Held)

    def test_one_that_is_no_file_any_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "f.txt")
        found = os.stat(tmp_path / "f.txt")
        (tmp_path / "f.txt").unlink()
        os.mkfifo(tmp_path / "f.txt")
        with opened(tmp_path, checksum=True) as store, monkeypatch.context() as patch:
            patch.setattr("p2pcopy.files.dirs.Directory.lstat", lambda *_: found)
            assert store.held(0, ENTRY) is None

    def test_stopped_on_the_way(self, tmp_path: Path) -> None:
        put(tmp_path / "f.txt")
        with opened(tmp_path, checksum=True) as store:
            store.interrupt()
            with pytest.raises(Interrupted):
                store.held(0, ENTRY)

    def test_an_error_that_is_not_about_one_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "f.txt")

        def fail(*_: object, **__: object) -> int:
            raise OSError(24, "Too many open files")

        with opened(tmp_path, checksum=True) as store, monkeypatch.context() as patch:
            patch.setattr(os, "open", fail)
            with pytest.raises(type(faults.gone("x")), match="Too many"):
                store.held(0, ENTRY)
