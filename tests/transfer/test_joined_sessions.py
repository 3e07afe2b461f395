"""Both sessions with real files and a disk that does as the test likes, joined by channels that hand messages over."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joining import receiving, sending

from p2pcopy.channel import Sink
from p2pcopy.config import MIB, Compress, TransferLimits
from p2pcopy.errors import ConnectionLost
from p2pcopy.transfer import claims, storing
from p2pcopy.transfer.held import Digests, told_cost
from p2pcopy.transfer.storing import StoreWork

WINDOW = 6 * MIB


class Joined:
    """One end of two. Like a connection whose receive window is tied to consumed(): beyond it messages wait at the sender."""

    message_size = 200_000
    window = WINDOW
    stalled = False
    failure = None

    def __init__(self) -> None:
        self.peer: Joined
        self.backlog = 0
        self.held = self.most_held = self.carried = 0
        self._sink: Sink | None = None
        self._coming: deque[tuple[bool, bytes]] = deque()
        self._drained = asyncio.Event()

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        self._deliver()

    def send_control(self, message: bytes) -> None:
        self.peer._put(False, message)

    def send_data(self, message: bytes) -> None:
        self.backlog += len(message)
        self.peer._put(True, message)

    async def drain(self, below: int) -> None:
        while self.backlog > below:
            self._drained.clear()
            await self._drained.wait()

    def consumed(self, size: int) -> None:
        assert 0 < size <= self.held
        self.held -= size
        asyncio.get_running_loop().call_soon(self._deliver)

    def _put(self, is_data: bool, message: bytes) -> None:
        self._coming.append((is_data, message))
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._sink is not None and self._coming:
            is_data, message = self._coming.popleft()
            if not is_data:
                self._sink.control_received(message)
                continue
            self.held += len(message)
            self.carried += len(message)
            self.most_held = max(self.most_held, self.held)
            assert self.held <= self.window, "more credit than the connection has room"
            self.peer.backlog -= len(message)
            self.peer._drained.set()
            self._sink.data_received(message)


class Copy:
    """A copy of source to target. write: is called in the storing thread before each block is written."""

    def __init__(
        self,
        source: Path,
        target: Path,
        write: Callable[[], object],
        limits: TransferLimits,
        *,
        checksum: bool = False,
        read: Callable[[], object] = lambda: None,
    ) -> None:
        self.source, self.target = source, target
        self.checksum = checksum
        self.read = read
        self.write = write
        self.limits = limits
        self.sending, self.receiving = Joined(), Joined()
        self.sending.peer, self.receiving.peer = self.receiving, self.sending
        self.blocks_read = 0

    async def run(self) -> None:
        with (
            sending(self.sending, self.limits, self.source, Compress.NEVER) as (self.sender, reader),
            receiving(self.receiving, self.limits, self.target, checksum=self.checksum) as (self.receiver, store),
        ):
            self._meddle(reader, store)
            receiver = self.receiver
            async with asyncio.timeout(100):
                await asyncio.gather(self.sender.run(), receiver.run())
        assert self.receiving.held == 0

    def _meddle(self, reader: Any, store: Any) -> None:
        write, read = store.write, reader.next

        def slow_write(*block: Any, **digest: bytes) -> Any:
            self.write()
            return write(*block, **digest)

        def counted() -> Any:
            self.blocks_read += 1
            self.read()
            return read()

        store.write, reader.next = slow_write, counted


def sparse(path: Path, size: int) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


def test_a_disk_that_takes_nothing_stops_the_sender_and_bounds_both_sides(tmp_path: Path) -> None:
    gate = threading.Event()
    source = sparse(tmp_path / "file", 64 * MIB)

    async def watch() -> None:
        copy = Copy(source, tmp_path / "out", lambda: gate.wait(100), TransferLimits())
        run = asyncio.create_task(copy.run())
        async with asyncio.timeout(60):
            while copy.sending.carried + copy.receiving.carried < 5 * MIB or copy.sender.machine.room > 0:
                await asyncio.sleep(0.01)
        read = copy.blocks_read
        await asyncio.sleep(0.3)
        # The window, what is read and waits for credit, and what is read ahead: a few MiB each.
        assert copy.blocks_read - read <= 4
        assert copy.blocks_read <= WINDOW // MIB + 8
        gate.set()
        await run
        assert WINDOW // 2 < copy.receiving.most_held <= WINDOW

    asyncio.run(watch())
    assert (tmp_path / "out" / "file").stat().st_size == 64 * MIB


def test_a_write_that_takes_longer_than_a_peer_may_be_silent_is_waited_for(tmp_path: Path) -> None:
    limits = TransferLimits(ping_s=0.1, silence_s=0.5, hello_s=0.5)
    waits = deque([1.2, 0.8])
    source = sparse(tmp_path / "file", 12 * MIB)

    def write() -> None:
        if waits:
            time.sleep(waits.popleft())

    async def body() -> None:
        await Copy(source, tmp_path / "out", write, limits).run()

    asyncio.run(body())
    assert (tmp_path / "out" / "file").stat().st_size == 12 * MIB
    assert not waits


def test_many_small_files_share_messages_and_everything_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(2000):
        (tmp_path / "tree" / f"{number}").write_bytes(b"%d" % number * 50)

    async def watch() -> int:
        copy = Copy(tmp_path / "tree", tmp_path / "out", lambda: None, TransferLimits())
        await copy.run()
        return copy.receiving.carried

    assert asyncio.run(watch()) > 2000 * 50
    assert len(os.listdir(tmp_path / "out" / "tree")) == 2000


@pytest.mark.parametrize("same", [True, False])
def test_what_is_remembered_of_files_that_are_there_does_not_grow_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Both sides are in this process: counts are those of both together."""
    monkeypatch.setattr(storing, "_SLICE_COST", 50 * told_cost(1))
    monkeypatch.setattr(claims, "AHEAD", 100 * told_cost(1))
    for top in ("tree", "out/tree"):
        (tmp_path / top).mkdir(parents=True)
        for number in range(1500):
            (tmp_path / top / f"{number}").write_bytes(b"%5d" % (number + (top != "tree" and not same)))
    counts: list[int] = []
    made: list[int] = []
    # Not gc.get_objects(), which spoils the tuples that other threads are about to make.
    born, gone = list[None](), list[None]()
    init = Digests.__init__

    def bear(digests: Digests) -> None:
        init(digests)
        born.append(None)

    def count() -> None:
        if copy.blocks_read % 100 == 0:
            counts.append(len(born) - len(gone))

    copy = Copy(tmp_path / "tree", tmp_path / "out", lambda: None, TransferLimits(), checksum=True, read=count)
    begin = StoreWork._begin

    def counted(work: StoreWork, job: Any) -> Any:
        made.append(job.start)
        return begin(work, job)

    monkeypatch.setattr(StoreWork, "_begin", counted)
    monkeypatch.setattr(Digests, "__init__", bear)
    monkeypatch.setattr(Digests, "__del__", lambda _: gone.append(None), raising=False)
    asyncio.run(copy.run())
    sender, receiver = copy.sender.machine, copy.receiver.machine
    assert len(counts) > 10
    assert len(born) > 1500
    assert len(made) >= 1500 // 100
    assert max(counts) <= 2 * (100 + 50) + 10
    assert (sender.files_same, receiver.files_same) == ((1500, 1500) if same else (0, 0))
    assert (sender.bytes_resumed, receiver.bytes_resumed) == ((7500, 7500) if same else (0, 0))
    assert sender._told.cost == receiver._claims._told.cost == 0
    assert [*copy.receiver._compared, *receiver._files._held] == []


def test_messages_have_the_size_that_the_channel_likes_at_the_moment(tmp_path: Path) -> None:
    sizes = deque([51_040, 247_104, 9_000, 61_776])
    seen: set[int] = set()

    class Changing(Joined):
        @property
        def message_size(self) -> int:  # type: ignore[override]
            sizes.rotate()
            return sizes[0]

        def send_data(self, message: bytes) -> None:
            seen.add(len(message))
            super().send_data(message)

    copy = Copy(sparse(tmp_path / "file", 24 * MIB), tmp_path / "out", lambda: None, TransferLimits())
    copy.sending = Changing()
    copy.sending.peer, copy.receiving.peer = copy.receiving, copy.sending
    asyncio.run(copy.run())
    assert {51_040, 247_104, 9_000, 61_776} <= seen
    assert (tmp_path / "out" / "file").stat().st_size == 24 * MIB


class Ended(Joined):
    """A connection that is over before the session listens to it."""

    def attach(self, sink: Sink) -> None:
        sink.channel_closed()

    def send_control(self, message: bytes) -> None:
        raise ConnectionLost("it is over", "Begin again.")


def test_a_connection_that_is_over_at_once_leaves_nothing_half_begun(tmp_path: Path) -> None:
    copy = Copy(sparse(tmp_path / "file", 1), tmp_path / "out", lambda: None, TransferLimits())
    copy.sending, copy.receiving = Ended(), Ended()
    with pytest.raises(ConnectionLost):
        asyncio.run(copy.run())
    gc.collect()  # work that was never started would warn here
    assert not (tmp_path / "out").exists()
