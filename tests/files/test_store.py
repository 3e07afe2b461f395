"""Files received into a directory: real files on a real disk."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from descriptors import open_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pcopy.config import Existing
from p2pcopy.errors import InternalError, LocalFileError
from p2pcopy.events import FileStatus
from p2pcopy.files import native, parts
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.dirs import Directory
from p2pcopy.files.names import PART_SUFFIX, BadName, check_path
from p2pcopy.files.plain import MAX_NAME_BYTES, final_name, journal_name, part_name
from p2pcopy.transfer.items import Obstacle, Outcome
from p2pcopy.transfer.ports import Store
from p2pcopy.transfer.wire import Entry, Kind

MTIME = 1_234_567_890_123_456_789


def file(path: str, size: int | None = 3, mode: int = 0o644) -> Entry:
    return Entry(Kind.FILE, path, size, mode, MTIME)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(Kind.DIRECTORY, path, 0, mode, MTIME)


def link(path: str, target: str) -> Entry:
    return Entry(Kind.LINK, path, 0, 0o777, MTIME, target)


@contextmanager
def opened(root: Path, **settings: Any) -> Iterator[DirectoryStore]:
    """A store that keeps a group together however slow the machine is, unless a test wants it otherwise."""
    store = DirectoryStore(str(root), **{"group_s": 3600, **settings})
    store.open()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def put(store: Store, index: int, entry: Entry, data: bytes) -> list[Outcome]:
    if data:
        assert store.write(index, entry, 0, data) is None
    return store.whole(index, entry, len(data))


def all_names(root: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(where, name), root)
        for where, *names in os.walk(root)
        for some in names
        for name in some
    )


def later(place: Path, than_ns: int) -> None:
    """Until the clock of the file system, which goes in steps, has gone on."""
    probe = place / "clock"
    while not probe.exists() or os.stat(probe).st_ctime_ns <= than_ns:
        probe.touch()


def done(index: int, saved_as: str = "") -> Outcome:
    return Outcome(index, FileStatus.DONE, saved_as=saved_as)


class TestContents:
    def test_a_tree_arrives_with_modes_and_times(self, tmp_path: Path) -> None:
        entries = [
            directory("tree", 0o750),
            directory("tree/closed", 0o500),
            file("tree/closed/deep.txt", 5, 0o640),
            file("tree/empty", 0, 0o600),
            file("tree/script", 3, 0o755),
            directory("tree/void", 0o711),
            link("tree/link", "closed/deep.txt"),
        ]
        contents = {2: b"deep!", 3: b"", 4: b"#!x"}
        with umask(0o022), opened(tmp_path / "new" / "out") as store:
            for index, entry in enumerate(entries):
                assert store.admit(index, entry) is None
                assert store.refuses(index, entry) is None
            early: list[Outcome] = []
            for index, entry in enumerate(entries):
                early += put(store, index, entry, contents[index]) if index in contents else store.other(index, entry)
            outcomes = early + store.finish()
        assert sorted(outcomes, key=lambda outcome: outcome.index) == [done(index) for index in range(len(entries))]
        for index, entry in enumerate(entries):
            status = os.lstat(tmp_path / "new" / "out" / entry.path)
            assert status.st_mtime_ns == MTIME, entry.path
            if entry.kind is not Kind.LINK:
                assert stat.S_IMODE(status.st_mode) == entry.mode, entry.path
            if index in contents:
                assert (tmp_path / "new" / "out" / entry.path).read_bytes() == contents[index]
        assert os.readlink(tmp_path / "new" / "out" / "tree" / "link") == "closed/deep.txt"
        assert len(all_names(tmp_path / "new" / "out")) == len(entries)

    # A sync takes as long as the disk wants.
    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_any_order_of_blocks_and_commits_gives_the_same_files(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        contents = data.draw(st.lists(st.binary(max_size=40) | st.integers(0, 40).map(bytes), max_size=6))
        known = data.draw(st.lists(st.booleans(), min_size=len(contents), max_size=len(contents)))
        step = data.draw(st.integers(1, 17))
        root = tmp_path_factory.mktemp("any")
        blocks = [(index, offset) for index, content in enumerate(contents) for offset in range(0, len(content), step)]
        order = data.draw(st.permutations(blocks + [(index, -1) for index in range(len(contents))]))
        left = [sum(1 for index, _ in blocks if index == which) for which in range(len(contents))]
        outcomes: list[Outcome] = []
        with opened(
            root, open_parts=data.draw(st.integers(1, 3)), group_files=data.draw(st.integers(1, 4)), group_s=3600
        ) as store:
            entries = [
                file(f"f{index}", len(content) if known[index] else None) for index, content in enumerate(contents)
            ]
            for index, offset in order:
                if offset >= 0:
                    view = memoryview(contents[index])[offset : offset + step]
                    assert store.write(index, entries[index], offset, view) is None
                    left[index] -= 1
                elif data.draw(st.booleans()):
                    outcomes += store.flush()
                if left[index] == 0:
                    left[index] = -1
                    outcomes += store.whole(index, entries[index], len(contents[index]))
            outcomes += store.finish()
        assert sorted(outcomes, key=lambda outcome: outcome.index) == [done(index) for index in range(len(contents))]
        assert [(root / f"f{index}").read_bytes() for index in range(len(contents))] == contents
        assert len(all_names(root)) == len(contents)

    def test_a_source_that_shrank_gives_a_file_of_its_real_size(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.write(0, file("f", 5_000_000), 0, b"abc")
            store.whole(0, file("f", 5_000_000), 3)
            assert store.finish() == [done(0)]
        assert (tmp_path / "f").read_bytes() == b"abc"

    def test_blocks_of_zeros_take_no_space(self, tmp_path: Path) -> None:
        size = 1 << 20
        entry = file("sparse", 8 * size)
        with opened(tmp_path) as store:
            for block in range(7):
                store.write(0, entry, block * size, bytes(size))
            store.write(0, entry, 7 * size, b"\1" * size)
            store.whole(0, entry, 8 * size)
            store.finish()
        assert (tmp_path / "sparse").read_bytes() == bytes(7 * size) + b"\1" * size
        probe = os.open(tmp_path / "probe", os.O_CREAT | os.O_RDWR)
        try:
            if native.reserve(probe, size) and native.punch_hole(probe, 0, size):
                assert os.stat(tmp_path / "sparse").st_blocks * 512 < 2 * size
        finally:
            os.close(probe)

    def test_a_file_larger_than_the_write_back_window(self, tmp_path: Path) -> None:
        size, blocks = 1 << 20, 40
        entry = file("big", size * blocks)
        with opened(tmp_path) as store:
            for block in range(blocks):
                store.write(0, entry, block * size, bytes([block + 1]) * size)
            assert store.whole(0, entry, size * blocks) == [done(0)]
        content = (tmp_path / "big").read_bytes()
        assert content == b"".join(bytes([block + 1]) * size for block in range(blocks))

    def test_the_umask_is_honoured_and_special_bits_are_not(self, tmp_path: Path) -> None:
        with umask(0o027), opened(tmp_path) as store:
            put(store, 0, file("f", 3, 0o6777), b"abc")
            store.other(1, directory("d", 0o7777))
            store.finish()
        assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o750
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o750

    def test_names_that_are_not_utf_8_and_names_of_any_length(self, tmp_path: Path) -> None:
        names = ["caf\udce9", "a b'\"\n", "é" * 127, "x" * 255, "y" * 242, "-rf"]
        with opened(tmp_path) as store:
            for index, name in enumerate(names):
                store.write(index, file(name), 0, b"abc")
            assert all(len(os.fsencode(name)) <= 255 for name in os.listdir(tmp_path))
            for index, name in enumerate(names):
                store.whole(index, file(name), 3)
            assert store.finish() == [done(index) for index in range(len(names))]
        assert sorted(os.listdir(tmp_path)) == sorted(names)
        assert b"caf\xe9" in os.listdir(os.fsencode(tmp_path))

    def test_directories_that_no_entry_stands_for(self, tmp_path: Path) -> None:
        with umask(0o022), opened(tmp_path) as store:
            put(store, 0, file("a/b/f"), b"abc")
            put(store, 1, file("a/g"), b"abc")
            assert store.other(2, directory("a", 0o700)) == []
            assert store.finish() == [done(0), done(1), done(2)]
        assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o700
        assert stat.S_IMODE(os.stat(tmp_path / "a" / "b").st_mode) == 0o755

    def test_a_directory_that_another_run_makes_at_the_same_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = Directory.make_directory

        def make(self: Directory, name: str) -> None:
            real(self, name)
            real(self, name)

        monkeypatch.setattr(Directory, "make_directory", make)
        with opened(tmp_path) as store:
            assert store.other(0, directory("d", 0o750)) == []
            put(store, 1, file("d/e/f"), b"abc")
            assert sorted(store.finish(), key=lambda outcome: outcome.index) == [done(0), done(1)]
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o750

    def test_a_deep_and_wide_tree_with_few_open_directories(self, tmp_path: Path) -> None:
        deep = "/".join("d" * 60)
        with opened(tmp_path) as store:
            for index in range(100):
                put(store, index, file(f"wide{index}/{deep if index == 50 else 'x'}/f"), b"abc")
            assert all(outcome.ok for outcome in store.finish())
        assert (tmp_path / "wide50" / deep / "f").read_bytes() == b"abc"
        assert sum(name.endswith("/f") for name in all_names(tmp_path)) == 100


class TestGroups:
    def test_nothing_has_a_final_name_before_the_group_is_synced(self, tmp_path: Path) -> None:
        with opened(tmp_path, group_files=3) as store:
            assert put(store, 0, file("a"), b"abc") == []
            assert put(store, 1, file("b"), b"abc") == []
            assert all_names(tmp_path) == [".a.p2pcopy-part", ".b.p2pcopy-part"]
            assert put(store, 2, file("c"), b"abc") == [done(0), done(1), done(2)]
            assert all_names(tmp_path) == ["a", "b", "c"]

    def test_a_group_is_full_by_size_or_by_time(self, tmp_path: Path) -> None:
        with opened(tmp_path, group_bytes=4) as store:
            assert put(store, 0, file("a"), b"abc") == []
            assert put(store, 1, file("b"), b"abc") == [done(0), done(1)]
        with opened(tmp_path, group_s=0) as store:
            assert put(store, 0, file("c"), b"abc") == [done(0)]

    @pytest.mark.parametrize("at_once", [True, False])
    def test_many_files_by_either_way_of_syncing(
        self, tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not at_once:
            monkeypatch.setattr(native, "can_sync_at_once", lambda fd: False)
        with opened(tmp_path) as store:
            for index in range(50):
                put(store, index, file(f"d{index % 20}/f{index}"), b"%03d" % index)
            assert store.finish() == [done(index) for index in range(50)]
        assert all((tmp_path / f"d{index % 20}/f{index}").read_bytes() == b"%03d" % index for index in range(50))

    def test_the_sync_of_one_file_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(fd: int) -> None:
            if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == ".b.p2pcopy-part":
                raise OSError(errno.EACCES, "Permission denied")

        with opened(tmp_path) as store:
            for index, name in enumerate("abc"):
                put(store, index, file(name), b"abc")
            monkeypatch.setattr(os, "fsync", refuse)
            outcomes = store.flush()
        assert outcomes == [done(0), Outcome(1, FileStatus.FAILED, "Permission denied"), done(2)]
        assert all_names(tmp_path) == ["a", "c"]

    def test_a_failure_of_the_common_sync_is_looked_into(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(fd: int) -> bool:
            raise OSError(errno.EIO, "Input/output error")

        with opened(tmp_path) as store:
            for index in range(20):
                put(store, index, file(f"f{index}"), b"abc")
            monkeypatch.setattr(native, "sync_file_system", fail)
            assert store.flush() == [done(index) for index in range(20)]

    def test_an_input_output_error_ends_everything(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(fd: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        store = DirectoryStore(str(tmp_path), group_s=3600)
        store.open()
        put(store, 0, file("f"), b"abc")
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LocalFileError, match="input/output error") as caught:
            store.flush()
        assert caught.value.hint
        store.close()
        assert all_names(tmp_path) == []

    def test_data_that_the_disk_did_not_take_is_never_given_a_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system tells of it once, to whoever waits for it: here while another file is being written."""
        size = 24 * 2**20
        store = DirectoryStore(str(tmp_path), group_s=3600)
        store.open()
        store.begin(size)
        assert store.write(0, file("a", size), 0, b"a" * size) is None
        told: list[int] = []

        def tell_once(fd: int, offset: int, length: int) -> None:
            if not told:
                told.append(fd)
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

        monkeypatch.setattr(native, "finish_writeback", tell_once)
        monkeypatch.setattr(native, "start_writeback", lambda fd, offset, length: True)
        with pytest.raises(LocalFileError, match="did not take what was written: Connection timed out"):
            store.write(1, file("b", size), 0, b"b" * size)
        store.close()
        assert not {"a", "b"} & set(all_names(tmp_path))


class TestExisting:
    @pytest.mark.parametrize("policy", [Existing.ASK, Existing.REFUSE])
    def test_what_is_there_stays(self, tmp_path: Path, policy: Existing) -> None:
        (tmp_path / "f").write_bytes(b"old")
        os.utime(tmp_path / "f", ns=(5, 5))
        with opened(tmp_path, existing=policy) as store:
            clash = store.admit(0, file("f"))
            assert clash is not None
            assert (clash.obstacle, clash.hopeless, clash.size, clash.mtime_ns) == (Obstacle.FILE, False, 3, 5)
            failed = Outcome(0, FileStatus.FAILED, "it exists already")
            assert store.refuses(0, file("f")) == failed
            put(store, 0, file("f"), b"new")
            assert store.finish() == [failed]
        assert (tmp_path / "f").read_bytes() == b"old"
        assert all_names(tmp_path) == ["f"]

    def test_skip(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"old")
        with opened(tmp_path) as store:
            store.admit(0, file("f"))
            store.resolve(Existing.SKIP)
            skipped = Outcome(0, FileStatus.SKIPPED, "it exists already")
            assert store.refuses(0, file("f")) == skipped
            assert store.refuses(1, file("g")) is None
            put(store, 0, file("f"), b"new")
            assert store.finish() == [skipped]
        assert (tmp_path / "f").read_bytes() == b"old"
        assert all_names(tmp_path) == ["f"]

    def test_replace_keeps_the_old_file_until_the_new_one_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"old")
        with opened(tmp_path) as store:
            store.resolve(Existing.REPLACE)
            assert store.refuses(0, file("f")) is None
            put(store, 0, file("f"), b"new")
            assert (tmp_path / "f").read_bytes() == b"old"
            assert store.finish() == [done(0)]
        assert (tmp_path / "f").read_bytes() == b"new"
        assert all_names(tmp_path) == ["f"]

    def test_replace_takes_the_place_of_a_link_and_not_of_what_it_points_to(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"old")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "f").symlink_to(tmp_path / "target")
        with opened(tmp_path / "out", existing=Existing.REPLACE) as store:
            clash = store.admit(0, file("f"))
            assert clash is not None
            assert clash.obstacle is Obstacle.LINK
            put(store, 0, file("f"), b"new")
            assert store.finish() == [done(0)]
        assert (tmp_path / "target").read_bytes() == b"old"
        assert not (tmp_path / "out" / "f").is_symlink()
        assert (tmp_path / "out" / "f").read_bytes() == b"new"

    def test_rename_takes_a_name_that_nobody_has_or_will_have(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        for name in ("f.txt", "f (1).txt"):
            (tmp_path / "d" / name).write_bytes(b"old")
        with opened(tmp_path, existing=Existing.RENAME) as store:
            store.admit(0, file("d/f.txt"))
            store.admit(1, file("d/F (2).txt"))
            assert store.refuses(0, file("d/f.txt")) is None
            put(store, 0, file("d/f.txt"), b"new")
            put(store, 1, file("d/F (2).txt"), b"two")
            assert store.finish() == [done(0, "d/f (3).txt"), done(1)]
        assert (tmp_path / "d" / "f (3).txt").read_bytes() == b"new"
        assert (tmp_path / "d" / "F (2).txt").read_bytes() == b"two"
        assert (tmp_path / "d" / "f.txt").read_bytes() == b"old"

    def test_rename_of_long_names(self, tmp_path: Path) -> None:
        name, no_room = "é" * 125 + ".text", "." + "x" * 254
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / no_room).write_bytes(b"old")
        with opened(tmp_path, existing=Existing.RENAME) as store:
            put(store, 0, file(name), b"new")
            put(store, 1, file(no_room), b"new")
            saved, cut = sorted(store.finish(), key=lambda outcome: outcome.index)
        assert saved.saved_as == "é" * 123 + " (1).text"
        assert cut.saved_as == "." + "x" * 250 + " (1)"

    def test_no_number_is_free(self, tmp_path: Path) -> None:
        name = "a." + "x" * 253
        (tmp_path / name).write_bytes(b"old")
        with opened(tmp_path, existing=Existing.RENAME) as store:
            put(store, 0, file(name), b"new")
            assert [outcome.status for outcome in store.finish()] == [FileStatus.FAILED]
        assert all_names(tmp_path) == [name]

    @pytest.mark.parametrize(
        ("policy", "status"),
        [
            (Existing.REFUSE, FileStatus.FAILED),
            (Existing.SKIP, FileStatus.SKIPPED),
            (Existing.REPLACE, FileStatus.FAILED),
            (Existing.RENAME, FileStatus.DONE),
        ],
    )
    @pytest.mark.parametrize("what", [Obstacle.DIRECTORY, Obstacle.SPECIAL])
    def test_a_directory_or_device_is_never_replaced(
        self, tmp_path: Path, policy: Existing, status: FileStatus, what: Obstacle
    ) -> None:
        place = tmp_path / "f"
        place.mkdir() if what is Obstacle.DIRECTORY else os.mkfifo(place)
        before = os.lstat(place)
        with opened(tmp_path, existing=policy) as store:
            clash = store.admit(0, file("f"))
            assert clash is not None
            assert clash.obstacle is what
            foretold = store.refuses(0, file("f"))
            assert (foretold.status if foretold else FileStatus.DONE) is status
            put(store, 0, file("f"), b"new")
            (outcome,) = store.finish()
        assert outcome.status is status
        assert os.lstat(place).st_ino == before.st_ino
        assert all_names(tmp_path) == (["f", "f (1)"] if status is FileStatus.DONE else ["f"])

    @pytest.mark.parametrize("policy", list(Existing))
    def test_a_file_or_link_in_the_place_of_a_directory(self, tmp_path: Path, policy: Existing) -> None:
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "b").symlink_to("elsewhere")
        with opened(tmp_path, existing=policy) as store:
            for index, name in enumerate("ab"):
                above = store.admit(index, directory(name))
                below = store.admit(index + 2, file(f"{name}/f"))
                assert above is not None
                assert above.hopeless
                assert below is not None
                assert below.hopeless
                assert below.obstacle is Obstacle.PARENT
                foretold = store.refuses(index + 2, file(f"{name}/f"))
                assert foretold is not None
                assert foretold.status is FileStatus.FAILED
                (failed,) = store.other(index, directory(name))
                assert failed.status is FileStatus.FAILED
                told = store.write(index + 2, file(f"{name}/f"), 0, b"abc")
                assert told is not None
                assert store.write(index + 2, file(f"{name}/f"), 0, b"abc") is None
                assert store.whole(index + 2, file(f"{name}/f"), 3) == [told]
            assert store.finish() == []
        assert (tmp_path / "a").read_bytes() == b"old"
        assert all_names(tmp_path / "elsewhere") == []

    def test_an_existing_directory_is_merged_into_and_keeps_its_mode(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir(mode=0o700)
        (tmp_path / "d" / "old").write_bytes(b"old")
        with opened(tmp_path) as store:
            assert store.admit(0, directory("d", 0o755)) is None
            assert store.other(0, directory("d", 0o755)) == [done(0)]
            put(store, 1, file("d/new"), b"new")
            assert store.finish() == [done(1)]
        assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o700
        assert all_names(tmp_path) == ["d", "d/new", "d/old"]

    def test_links_follow_the_policy_as_well(self, tmp_path: Path) -> None:
        expected = {
            Existing.REFUSE: (FileStatus.FAILED, {"l": "old"}),
            Existing.SKIP: (FileStatus.SKIPPED, {"l": "old"}),
            Existing.RENAME: (FileStatus.DONE, {"l": "old", "l (1)": "new"}),
            Existing.REPLACE: (FileStatus.DONE, {"l": "new"}),
        }
        for policy, (status, links) in expected.items():
            root = tmp_path / policy
            root.mkdir()
            (root / "l").symlink_to("old")
            with opened(root, existing=policy) as store:
                assert store.other(0, link("l", "new")) == []
                (outcome,) = store.finish()
            assert outcome.status is status
            assert {name: os.readlink(root / name) for name in os.listdir(root)} == links

    def test_a_link_that_a_killed_run_has_left_is_in_nobodys_way(self, tmp_path: Path) -> None:
        (tmp_path / "l").symlink_to("old")
        (tmp_path / ".l.p2pcopy-part").symlink_to("left")
        with opened(tmp_path, existing=Existing.REPLACE) as store:
            store.other(0, link("l", "new"))
            assert store.finish() == [done(0)]
        assert {name: os.readlink(tmp_path / name) for name in os.listdir(tmp_path)} == {"l": "new"}

    def test_links_wait_on_the_disk_for_the_end(self, tmp_path: Path) -> None:
        """A peer may send a million of them, with 4 KiB each."""
        count, target = 2000, "d/" * 1900
        with opened(tmp_path) as store:
            store.other(0, directory("d"))
            tracemalloc.start()
            try:
                for index in range(1, count):
                    store.other(index, link(f"d/{index}", f"{target}{index}"))
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held < count * 1000
            assert all(outcome.ok for outcome in store.finish())
        assert os.readlink(tmp_path / "d" / "1999") == f"{target}1999"

    def test_a_link_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"old")
        with opened(tmp_path) as store:
            store.other(0, link("f/l", "x"))
            (outcome,) = store.finish()
        assert outcome.status is FileStatus.FAILED

    @pytest.mark.parametrize("old", [None, b"old"])
    def test_names_that_are_one_in_some_directory_only_do_not_replace_each_other(
        self, tmp_path: Path, old: bytes | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A memory stick below the destination, say: the destination itself tells them apart, so the name gate lets both in."""
        real = Directory._at
        monkeypatch.setattr(
            Directory, "_at", lambda self, name: real(self, name.lower() if "/d" in self._path else name)
        )
        monkeypatch.setattr(native, "rename_without_replacing", lambda *_: False)
        root = tmp_path / "root"
        (root / "d").mkdir(parents=True)
        if old is not None:
            (root / "d" / "f").write_bytes(old)
            later(tmp_path, os.stat(root / "d" / "f").st_ctime_ns)
        with opened(root, existing=Existing.REPLACE, group_s=0) as store:
            for index, name in enumerate(("d/F", "d/f")):
                store.admit(index, file(name))
            outcomes = [*put(store, 0, file("d/F"), b"d/F"), *put(store, 1, file("d/f"), b"d/f")]
        assert [outcome.status for outcome in outcomes] == [FileStatus.DONE, FileStatus.FAILED]
        assert "case is ignored" in outcomes[1].reason
        assert all_names(root) == ["d", "d/f"]
        assert (root / "d" / "f").read_bytes() == b"d/F"

    @pytest.mark.parametrize("policy", [Existing.REFUSE, Existing.SKIP, Existing.RENAME])
    @pytest.mark.parametrize("by", ["renameat2", "link", "look"])
    def test_a_name_that_is_taken_in_the_meantime(
        self, tmp_path: Path, policy: Existing, by: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        if by != "renameat2":
            monkeypatch.setattr(native, "rename_without_replacing", lambda *_: False)
        if by == "look":
            monkeypatch.setattr(os, "link", no_links)
        with opened(tmp_path, existing=policy) as store:
            assert store.admit(0, file("f")) is None
            put(store, 0, file("f"), b"new")
            put(store, 1, file("g"), b"new")
            (tmp_path / "f").write_bytes(b"theirs")
            outcomes = store.finish()
        assert outcomes[1] == done(1)
        assert outcomes[0].saved_as == ("f (1)" if policy is Existing.RENAME else "")
        assert (tmp_path / "f").read_bytes() == b"theirs"
        assert all_names(tmp_path) == (["f", "f (1)", "g"] if policy is Existing.RENAME else ["f", "g"])


class TestPartFiles:
    def test_a_part_file_is_private(self, tmp_path: Path) -> None:
        with umask(0), opened(tmp_path) as store:
            store.write(0, file("f", 6), 0, b"abc")
            assert stat.S_IMODE(os.stat(tmp_path / ".f.p2pcopy-part").st_mode) == 0o600
            store.other(1, directory("d"))
            assert stat.S_IMODE(os.stat(tmp_path / "d").st_mode) == 0o1700

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_a_stale_one_is_replaced(self, tmp_path: Path, mode: int) -> None:
        (tmp_path / ".f.p2pcopy-part").write_bytes(b"left over from last time")
        (tmp_path / ".f.p2pcopy-part").chmod(mode)
        with opened(tmp_path) as store:
            put(store, 0, file("f"), b"new")
            assert store.finish() == [done(0)]
        assert (tmp_path / "f").read_bytes() == b"new"
        assert all_names(tmp_path) == ["f"]

    def test_one_that_another_process_is_writing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as first, opened(tmp_path) as second:
            first.write(0, file("f"), 0, b"abc")
            with pytest.raises(LocalFileError, match=r"another p2pcopy is writing \.f\.p2pcopy-part"):
                second.write(0, file("f"), 0, b"xyz")
            second.close()
            assert first.whole(0, file("f"), 3) + first.finish() == [done(0)]
        assert (tmp_path / "f").read_bytes() == b"abc"

    @pytest.mark.parametrize("what", ["link", "dangling", "directory", "fifo", "socket", "hard link"])
    def test_anything_else_at_its_name_is_refused(
        self, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, place, precious = tmp_path / "out", tmp_path / "out" / ".f.p2pcopy-part", tmp_path / "precious"
        root.mkdir()
        precious.write_bytes(b"precious")
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as bound:
            make: dict[str, Callable[[], object]] = {
                "link": lambda: place.symlink_to(precious),
                "dangling": lambda: place.symlink_to(tmp_path / "nothing"),
                "directory": place.mkdir,
                "fifo": lambda: os.mkfifo(place),
                "socket": lambda: bound.bind(place.name),
                "hard link": lambda: place.hardlink_to(precious),
            }
            make[what]()
            with opened(root) as store:
                failed = store.write(0, file("f"), 0, b"abc")
                assert failed is not None
                assert failed.status is FileStatus.FAILED
                assert "no part file" in failed.reason
                assert put(store, 1, file("g"), b"abc") + store.finish() == [done(1)]
        assert os.path.lexists(place)
        assert precious.read_bytes() == b"precious"
        assert not (tmp_path / "nothing").exists()
        assert not (root / "f").exists()

    def test_one_that_vanishes_or_is_exchanged(self, tmp_path: Path) -> None:
        with opened(tmp_path, open_parts=1) as store:
            for index, name in enumerate("abcd"):
                store.write(index, file(name, 6), 0, b"abc")
            put(store, 4, file("e"), b"abc")
            (tmp_path / "theirs").write_bytes(b"theirs")  # beside the old one, as its inode number could be used again
            (tmp_path / "theirs").replace(tmp_path / ".b.p2pcopy-part")
            (tmp_path / ".a.p2pcopy-part").unlink()
            (tmp_path / ".c.p2pcopy-part").unlink()
            (tmp_path / ".c.p2pcopy-part").symlink_to("b")
            (tmp_path / ".e.p2pcopy-part").unlink()
            for index, name in enumerate("abc"):
                failed = store.write(index, file(name, 6), 3, b"def")
                assert failed is not None
                assert failed.status is FileStatus.FAILED
                assert "by another program" in failed.reason
            assert store.write(3, file("d", 6), 3, b"def") is None
            assert store.whole(3, file("d", 6), 6) == []
            removed, kept = store.finish()
            assert removed.status is FileStatus.FAILED
            assert kept == done(3)
        assert (tmp_path / "d").read_bytes() == b"abcdef"
        assert all_names(tmp_path) == [".b.p2pcopy-part", ".c.p2pcopy-part", "d"]

    def test_one_that_was_taken_for_stale_while_it_was_suspended(self, tmp_path: Path) -> None:
        with opened(tmp_path, open_parts=1) as first, opened(tmp_path) as second:
            first.write(0, file("f", 6), 0, b"abc")
            first.write(1, file("g", 6), 0, b"abc")
            later(tmp_path, os.stat(tmp_path / ".f.p2pcopy-part").st_ctime_ns)  # the next one may have its inode number
            second.write(0, file("f", 6), 0, b"xyz")
            failed = first.write(0, file("f", 6), 3, b"def")
            assert failed is not None
            assert failed.status is FileStatus.FAILED
            first.close()
            second.write(0, file("f", 6), 3, b"xyz")
            assert second.whole(0, file("f", 6), 6) + second.finish() == [done(0)]
        assert (tmp_path / "f").read_bytes() == b"xyzxyz"

    def test_suspended_but_still_locked_by_somebody(self, tmp_path: Path) -> None:
        with opened(tmp_path, open_parts=1) as store:
            store.write(0, file("f", 6), 0, b"abc")
            store.write(1, file("g", 6), 0, b"abc")
            with open(tmp_path / ".f.p2pcopy-part", "rb") as theirs:
                fcntl.flock(theirs, fcntl.LOCK_EX)
                with pytest.raises(LocalFileError, match="another p2pcopy"):
                    store.write(0, file("f", 6), 3, b"def")

    def test_a_file_system_without_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(fd: int, how: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        with opened(tmp_path) as store:
            assert put(store, 0, file("f"), b"abc") + store.finish() == [done(0)]

    def test_a_name_that_is_the_hash_of_another_one(self, tmp_path: Path) -> None:
        long = "x" * 250
        hashed = part_name(long).removeprefix(".").removesuffix(PART_SUFFIX)
        with pytest.raises(BadName, match="reserved"):
            check_path(hashed)
        short = hashed.removesuffix(PART_SUFFIX)
        with opened(tmp_path) as store:
            for index, name in enumerate((long, short)):
                assert store.write(index, file(name, 2), 0, name[:1].encode()) is None
            for index, name in enumerate((long, short)):
                assert store.write(index, file(name, 2), 1, name[-1:].encode()) is None
                store.whole(index, file(name, 2), 2)
            assert store.finish() == [done(0), done(1)]
        for name in (long, short):
            assert (tmp_path / name).read_text() == name[0] + name[-1]

    @given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300))
    def test_names_that_get_through_have_part_files_of_their_own(self, name: str) -> None:
        try:
            check_path(name)
        except BadName:
            return
        is_hashed = part_name(name) != f".{name}{PART_SUFFIX}"
        assert is_hashed == part_name(name).endswith(PART_SUFFIX * 2)
        assert len(os.fsencode(journal_name(name))) <= MAX_NAME_BYTES
        assert final_name(part_name(name)) == final_name(journal_name(name)) == ("" if is_hashed else name)

    def test_the_hash_form_is_short_and_belongs_to_one_name(self) -> None:
        assert part_name("x" * 238) == f".{'x' * 238}.p2pcopy-part"
        assert journal_name("x" * 238) == f".{'x' * 238}.p2pcopy-journal"
        assert part_name("x" * 239).removesuffix("part") == journal_name("x" * 239).removesuffix("journal")
        assert len(part_name("x" * 242)) < 100
        assert part_name("x" * 242) != part_name("x" * 243)

    def test_bounded_descriptors(self, tmp_path: Path) -> None:
        with opened(tmp_path, open_parts=5) as store:
            before = open_files()
            for index in range(300):
                store.write(index, file(f"f{index}", 2), 0, b"a")
            assert len(open_files()) <= len(before) + 5
            for index in range(300):
                store.write(index, file(f"f{index}", 2), 1, b"b")
                store.whole(index, file(f"f{index}", 2), 2)
            store.finish()
            assert len(open_files()) <= len(before)
        assert all((tmp_path / f"f{index}").read_bytes() == b"ab" for index in range(300))

    def test_is_zero(self) -> None:
        assert parts.is_zero(bytes(5))
        assert parts.is_zero(memoryview(bytes(5)))
        assert not any(map(parts.is_zero, (b"", b"\1\0", b"\0\1", b"\0\1\0")))


class TestEscape:
    def test_a_directory_exchanged_for_a_link_in_the_middle(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "out", tmp_path / "outside"
        outside.mkdir()
        with opened(root) as store:
            for name in ("d", "e"):
                store.other(0, directory(name))
            store.write(1, file("d/f", 6), 0, b"abc")
            put(store, 2, file("e/queued"), b"abc")
            for name in ("d", "e"):
                (root / name).rename(tmp_path / f"moved-{name}")
                (root / name).symlink_to(outside)
            # Push the descriptors of d and e out of the store's memory.
            for index in range(100, 150):
                store.other(index, directory(f"x{index}"))
            failed = store.write(3, file("d/g"), 0, b"abc")
            assert failed is not None
            assert failed.status is FileStatus.FAILED
            statuses = [outcome.status for outcome in store.flush()]
            assert statuses == [FileStatus.FAILED]
        assert all_names(outside) == []

    def test_with_the_descriptor_still_open_it_lands_in_the_real_directory(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "out", tmp_path / "outside"
        outside.mkdir()
        with opened(root) as store:
            store.write(0, file("d/f", 6), 0, b"abc")
            (root / "d").rename(tmp_path / "moved")
            (root / "d").symlink_to(outside)
            store.write(0, file("d/f", 6), 3, b"def")
            store.whole(0, file("d/f", 6), 6)
            store.finish()
        assert all_names(outside) == []
        assert (tmp_path / "moved" / "f").read_bytes() == b"abcdef"

    def test_a_link_that_arrived_is_not_followed(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "out", tmp_path / "outside"
        outside.mkdir()
        with opened(root) as store:
            store.other(0, link("d", "../outside"))
            store.finish()
            failed = store.write(1, file("d/f"), 0, b"abc")
            assert failed is not None
            assert failed.status is FileStatus.FAILED
        assert all_names(outside) == []

    def test_without_directory_descriptors_a_link_is_refused_as_well(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        (tmp_path / "f").write_bytes(b"abc")
        (tmp_path / "g").symlink_to("f")
        by_path = Directory(str(tmp_path), None)
        by_path.child("real").make_directory("below")
        by_path.child("real").stamp(0o755, MTIME)
        by_path.sync()
        os.close(by_path.open("f"))
        with pytest.raises(NotADirectoryError):
            by_path.child("link")
        with pytest.raises(NotADirectoryError):
            by_path.child("f")
        with pytest.raises(OSError, match="symbolic"):
            by_path.open("g")
        by_path.rename("f", "h")
        by_path.set_time("h", MTIME)
        with pytest.raises(FileExistsError):
            by_path.rename("h", "real")
        by_path.close()
        assert os.stat(tmp_path / "real").st_mtime_ns == MTIME
        assert all_names(tmp_path) == ["g", "h", "link", "real", "real/below"]


class TestEnd:
    def test_nothing_is_left_behind_without_a_commit(self, tmp_path: Path) -> None:
        root = tmp_path / "new" / "out"
        before = open_files()
        with opened(root, open_parts=2) as store:
            store.other(0, directory("d"))
            store.other(1, directory("d/e"))
            store.other(2, link("d/l", "e"))
            for index in range(3, 9):
                store.write(index, file(f"d/e/f{index}", 6), 0, b"abc")
            put(store, 9, file("queued"), b"abc")
            put(store, 10, file("y" * 250), b"abc")
        store.close()
        assert os.listdir(tmp_path) == []
        assert open_files() == before

    def test_what_was_committed_stays_and_is_accessible(self, tmp_path: Path) -> None:
        root = tmp_path / "new" / "out"
        with umask(0o022), opened(root) as store:
            store.other(0, directory("d", 0o755))
            store.other(1, directory("d/e", 0o755))
            store.other(2, directory("d/void", 0o755))
            put(store, 3, file("d/e/f"), b"abc")
            store.flush()
            store.write(4, file("d/e/g", 6), 0, b"abc")
        assert all_names(root) == ["d", "d/e", "d/e/f"]
        assert stat.S_IMODE(os.stat(root / "d" / "e").st_mode) == 0o1755
        assert os.stat(root / "d" / "e").st_mtime_ns == MTIME

    def test_abandoned_files_leave_no_trace(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.write(0, file("a", 6), 0, b"abc")
            put(store, 1, file("b"), b"abc")
            store.abandon(0)
            store.abandon(1)
            store.abandon(2)
            assert all_names(tmp_path) == []
            assert store.finish() == []

    def test_a_part_file_that_cannot_be_removed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        with opened(tmp_path) as store, monkeypatch.context() as patch:
            store.write(0, file("a", 6), 0, b"abc")
            store.other(1, directory("d"))
            patch.setattr(os, "unlink", refuse)
            patch.setattr(os, "rmdir", refuse)
            store.close()
        assert all_names(tmp_path) == [".a.p2pcopy-part", "d"]

    def test_a_destination_that_was_there_stays_even_when_empty(self, tmp_path: Path) -> None:
        with opened(tmp_path):
            pass
        assert tmp_path.is_dir()

    def test_the_destination_is_removed_in_the_middle(self, tmp_path: Path) -> None:
        root = tmp_path / "out"
        with opened(root) as store:
            root.rmdir()
            with pytest.raises(LocalFileError, match="not there any more"):
                store.write(0, file("f"), 0, b"abc")

    def test_a_directory_removed_in_the_middle_concerns_what_is_in_it(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            store.other(0, directory("d"))
            (tmp_path / "d").rmdir()
            failed = store.write(1, file("d/f"), 0, b"abc")
            assert failed is not None
            assert failed.status is FileStatus.FAILED
            put(store, 2, file("g"), b"abc")
            outcomes = store.finish()
        assert done(2) in outcomes
        assert all_names(tmp_path) == ["g"]

    def test_blocks_outside_of_the_file_are_a_defect_of_the_caller(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            for offset in (-1, 1):
                with pytest.raises(InternalError):
                    store.write(0, file("f"), offset, b"abc")
            with pytest.raises(InternalError):
                store.whole(0, file("f"), 3)
            put(store, 1, file("g"), b"abc")
            with pytest.raises(InternalError):
                store.write(1, file("g"), 0, b"abc")
            with pytest.raises(InternalError):
                store.whole(1, file("g"), 3)
        assert all_names(tmp_path) == []

    def test_interrupt_from_another_thread_changes_nothing(self, tmp_path: Path) -> None:
        with opened(tmp_path) as store:
            thread = threading.Thread(target=store.interrupt)
            thread.start()
            thread.join()
            assert put(store, 0, file("f"), b"abc") + store.finish() == [done(0)]
