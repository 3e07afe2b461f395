"""The list of entries that lives on the disk."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.errors import LocalFileError
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.transfer.wire import Entry, Kind

any_text = st.text(st.characters(exclude_categories=[]), max_size=20)
entries = st.builds(
    Entry,
    st.sampled_from(Kind),
    any_text,
    st.none() | st.integers(0, 2**53),
    st.integers(0, 0o777),
    st.integers(-(2**63), 2**63 - 1),
    any_text,
)


def numbered(number: int) -> Entry:
    return Entry(Kind.FILE, f"dir/{number}", number, 0o600, number)


@given(st.lists(st.tuples(entries, any_text), max_size=300))
def test_gives_back_what_was_put_in(rows: list[tuple[Entry, str]]) -> None:
    with closing(EntryLog()) as log:
        for number, (entry, local) in enumerate(rows):
            assert log.append(entry, local) == number
        assert len(log) == len(rows)
        assert list(log) == rows
        assert [log[index] for index in reversed(range(len(rows)))] == rows[::-1]


def test_any_order_over_many_pages() -> None:
    log = EntryLog()
    for number in range(5000):
        log.append(numbered(number), f"/local/{number}")
    for step in (1, 127, 128, 1009):
        for number in range(0, 5000, step):
            assert log[number] == (numbered(number), f"/local/{number}")
            assert log[4999 - number] == (numbered(4999 - number), f"/local/{4999 - number}")
    log.close()
    log.close()


@pytest.mark.parametrize("index", [-1, 300, 301])
def test_an_index_outside_is_an_error(index: int) -> None:
    log = EntryLog()
    for number in range(300):
        log.append(numbered(number))
    with pytest.raises(IndexError):
        log[index]
    log.close()


def test_iteration_goes_on_to_what_is_appended_meanwhile() -> None:
    log = EntryLog()
    log.append(numbered(0))
    seen = []
    for entry, _ in log:
        seen.append(entry.size)
        if len(log) < 400:
            log.append(numbered(len(log)))
    assert seen == list(range(400))
    log.close()


def test_one_thread_appends_while_another_reads() -> None:
    log = EntryLog()
    count = 3000
    ready = threading.Semaphore(0)
    wrong: list[int] = []

    def read() -> None:
        for number in range(count):
            ready.acquire()
            if log[number] != (numbered(number), "") or log[number // 2][0] != numbered(number // 2):
                wrong.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(count):
        log.append(numbered(number))
        ready.release()
    reader.join()
    assert wrong == []
    log.close()


def test_memory_does_not_grow_with_the_entries() -> None:
    log = EntryLog()
    tracemalloc.start()
    try:
        for number in range(20_000):
            log.append(numbered(number), "/local/" + "x" * 100)
        assert sum(entry.mode == 0o600 for entry, _ in log) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    log.close()


def test_a_full_disk_is_a_local_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("r+b", buffering=0))
    log = EntryLog()
    for number in range(128):
        log.append(numbered(number))
    with pytest.raises(LocalFileError) as caught:
        log.append(numbered(128))
    assert len(log) == 128
    assert log[127][0] == numbered(127)
    assert "No space left" in caught.value.message
    assert caught.value.hint
    log.close()


def test_a_page_that_cannot_be_read_is_a_local_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Broken())
    log = EntryLog()
    for number in range(200):
        log.append(numbered(number))
    with pytest.raises(LocalFileError):
        log[0]
    assert log[199][0] == numbered(199)
    log.close()


def test_no_temporary_directory_is_a_local_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(LocalFileError):
        EntryLog()


def test_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log = EntryLog()
    for number in range(1000):
        log.append(numbered(number))
    log.close()
    assert list(tmp_path.iterdir()) == []
