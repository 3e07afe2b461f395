"""What attacks have found, each on its own."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from p2pcopy.config import Compress
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.source import BlockReader
from p2pcopy.transfer.wire import Entry, Kind


def test_a_reader_that_is_given_up_while_it_reads_closes_its_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends the session does so in the loop, while a thread reads: the number of the file may be another's by then."""
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    status = file.stat()
    reading, go_on = threading.Event(), threading.Event()
    closed: list[int] = []
    read, close = os.read, os.close

    def slow_read(descriptor: int, size: int) -> bytes:
        reading.set()
        assert go_on.wait(60)
        return read(descriptor, size)

    def counted_close(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    monkeypatch.setattr(os, "read", slow_read)
    monkeypatch.setattr(os, "close", counted_close)
    with closing(EntryLog()) as log:
        log.append(Entry(Kind.FILE, "file", 4096, mtime_ns=status.st_mtime_ns), str(file))
        reader = BlockReader(log, block_size=65536, compress=Compress.NEVER)
        reader.allow(1)
        thread = threading.Thread(target=reader.next)
        thread.start()
        assert reading.wait(60)
        reader.close()
        assert closed == []
        go_on.set()
        thread.join(60)
        assert len(closed) == 1
        assert reader.next() is None
        reader.close()
        assert len(closed) == 1
