"""One file to a descriptor."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pcopy.config import Existing
from p2pcopy.errors import Declined, ExitCode, InternalError, Interrupted, LocalFileError, ProtocolError
from p2pcopy.events import FileStatus
from p2pcopy.files.stream import StreamStore
from p2pcopy.transfer.items import Outcome
from p2pcopy.transfer.wire import Entry, Kind

ENTRY = Entry(Kind.FILE, "f", None)


@contextmanager
def output(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(writer)


# A sync takes as long as the disk wants.
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=60), step=st.integers(1, 20), data=st.data())
def test_blocks_in_any_order_come_out_in_order(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, step: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("stream") / "f"
    with output(path) as fd, closing(StreamStore(fd)) as store:
        assert store.admit(3, ENTRY) is None
        store.resolve(Existing.REPLACE)
        assert store.refuses(3, ENTRY) is None
        assert store.free_bytes() is None
        for offset in data.draw(st.permutations(range(0, len(content), step))):
            assert store.write(3, ENTRY, offset, memoryview(bytearray(content[offset : offset + step]))) is None
        assert store.whole(3, ENTRY, len(content)) == [Outcome(3, FileStatus.DONE)]
        assert store.flush() + store.finish() == []
    assert path.read_bytes() == content


def test_a_pipe_with_a_slow_reader() -> None:
    content = os.urandom(1 << 20)
    received = bytearray()

    def read(fd: int) -> None:
        with open(fd, "rb", buffering=0) as stream:
            while chunk := stream.read(7000):
                received.extend(chunk)

    with pipe() as (reader, writer):
        thread = threading.Thread(target=read, args=(reader,))
        thread.start()
        os.set_blocking(writer, False)
        with closing(StreamStore(writer)) as store:
            store.admit(0, ENTRY)
            store.write(0, ENTRY, 1 << 19, content[1 << 19 :])
            store.write(0, ENTRY, 0, content[: 1 << 19])
            assert store.whole(0, ENTRY, len(content))[0].ok
    thread.join()
    assert bytes(received) == content


def test_a_write_that_waits_can_be_ended() -> None:
    with pipe() as (reader, writer), closing(StreamStore(writer)) as store:
        store.admit(0, ENTRY)
        full = threading.Event()
        caught: list[BaseException] = []

        def write() -> None:
            try:
                store.write(0, ENTRY, 0, bytes(1 << 16))
                full.set()
                store.write(0, ENTRY, 1 << 16, bytes(1 << 20))
            except Interrupted as error:
                caught.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        full.wait(20)
        store.interrupt()
        thread.join(20)
        assert len(caught) == 1
        os.close(reader)
    store.interrupt()
    store.close()


def test_standard_output_is_closed() -> None:
    with pipe() as (reader, writer), closing(StreamStore(writer)) as store:
        store.admit(0, ENTRY)
        os.close(reader)
        with pytest.raises(LocalFileError, match="closed") as caught:
            store.write(0, ENTRY, 0, b"abc")
        assert caught.value.hint
        assert caught.value.exit_code is ExitCode.LOCAL


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_output_is_full() -> None:
    with output(Path("/dev/full")) as fd, closing(StreamStore(fd)) as store:
        store.admit(0, ENTRY)
        with pytest.raises(LocalFileError, match="standard output is full"):
            store.write(0, ENTRY, 0, b"abc")


def test_standard_output_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        with closing(StreamStore(fd)) as store:
            store.admit(0, ENTRY)
            with pytest.raises(LocalFileError, match="cannot be written"):
                store.write(0, ENTRY, 0, b"abc")
    finally:
        os.close(fd)


@pytest.mark.parametrize("second", [ENTRY, Entry(Kind.DIRECTORY, "d"), Entry(Kind.LINK, "l", target="f")])
def test_only_a_single_file(tmp_path: Path, second: Entry) -> None:
    with output(tmp_path / "f") as fd, closing(StreamStore(fd)) as store:
        store.admit(0, ENTRY)
        with pytest.raises(Declined, match="single file"):
            store.admit(1, second)
        with pytest.raises(InternalError):
            store.other(1, second)


def test_a_directory_is_declined_as_the_first_as_well(tmp_path: Path) -> None:
    with output(tmp_path / "f") as fd, closing(StreamStore(fd)) as store, pytest.raises(Declined):
        store.admit(0, Entry(Kind.DIRECTORY, "d"))


def test_what_comes_before_its_turn_is_bounded(tmp_path: Path) -> None:
    with output(tmp_path / "f") as fd, closing(StreamStore(fd, max_waiting=10)) as store:
        store.admit(0, ENTRY)
        store.write(0, ENTRY, 5, bytes(10))
        store.write(0, ENTRY, 0, bytes(5))
        store.write(0, ENTRY, 20, bytes(10))
        with pytest.raises(ProtocolError):
            store.write(0, ENTRY, 30, b"a")


def test_defects_of_the_caller(tmp_path: Path) -> None:
    with output(tmp_path / "f") as fd, closing(StreamStore(fd)) as store:
        store.admit(0, ENTRY)
        store.write(0, ENTRY, 0, b"abc")
        store.write(0, ENTRY, 6, b"ghi")
        for index, offset in ((1, 3), (0, 0), (0, 6)):
            with pytest.raises(InternalError):
                store.write(index, ENTRY, offset, b"abc")
        with pytest.raises(InternalError, match="not whole"):
            store.whole(0, ENTRY, 9)
        store.abandon(0)


def test_nothing_of_a_stream_is_there_before_it_comes(tmp_path: Path) -> None:
    with output(tmp_path / "f") as fd, closing(StreamStore(fd)) as store:
        store.admit(0, ENTRY)
        store.begin(3)
        assert store.held(0, ENTRY) is None
        assert store.reusable_bytes(ENTRY) == 0
        store.write(0, ENTRY, 0, b"abc", digest=bytes(32))
        store.abandon(0, keep=True)
        with pytest.raises(InternalError):
            store.start_over(0, ENTRY)
