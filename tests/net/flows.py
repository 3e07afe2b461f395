"""Data that flows from one side of a pair to the other, of which every byte is looked at."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from concurrent.futures import Future

from meeting import Inbox
from rooms import Side

from p2pcopy.net.peer import PeerChannel

MIB = 1024 * 1024
ENOUGH_S = 30.0
_AHEAD = MIB
_NUMBER = struct.Struct("!Q")
_NOISE = random.Random(4).randbytes(512 * 1024)


def message(number: int, size: int) -> bytes:
    """No two of the first 257 thousand share a page of bytes at the same place."""
    at = number * 1021 % (len(_NOISE) // 2)
    return _NUMBER.pack(number) + _NOISE[at : at + size - _NUMBER.size]


class Arrivals(Inbox):
    """Takes messages in any order, each once. wrong: what is not as it was sent; times: when each one came."""

    def __init__(self, channel: PeerChannel) -> None:
        super().__init__()
        self.wrong = ""
        self.times: list[float] = []
        self._channel = channel
        self._seen = bytearray()

    @property
    def count(self) -> int:
        return len(self.times)

    def data_received(self, message: bytes) -> None:
        self._look_at(message)
        self.times.append(time.monotonic())
        self.data_bytes += len(message)
        self._channel.consumed(len(message))
        self._changed.set()

    def _look_at(self, received: bytes) -> None:
        (number,) = _NUMBER.unpack_from(received)
        if received != message(number, len(received)):
            self.wrong = self.wrong or f"message {number} of {len(received)} bytes has changed"
        if number >= len(self._seen):
            self._seen.extend(bytes(number + 1 - len(self._seen)))
        if self._seen[number]:
            self.wrong = self.wrong or f"message {number} has come twice"
        self._seen[number] = 1

    @property
    def is_whole(self) -> bool:
        """Every message up to the last one has come."""
        return all(self._seen)


class Flow:
    """From one side to the other until finish(). Both sides are connected."""

    def __init__(self, source: Side, sink: Side) -> None:
        self._source = source
        self._sink = sink
        self._sent = 0
        self._is_ending = False
        self.arrivals = sink.inbox = Arrivals(sink.channel)
        sink.place.run(self._attach())
        self._sending: Future[None] = source.place.start(self._send())

    async def _attach(self) -> None:
        self._sink.channel.attach(self.arrivals)

    async def _send(self) -> None:
        channel = self._source.channel
        while not self._is_ending:
            block = message(self._sent, channel.message_size)
            channel.send_data(block)
            self._sent += 1
            await channel.drain(_AHEAD)

    def more(self, mib: int, timeout: float = ENOUGH_S) -> None:
        """Wait until so much more has arrived."""
        self._sink.place.run(self.arrivals.until(data_bytes=self.arrivals.data_bytes + mib * MIB), timeout)

    def finish(self, timeout: float = ENOUGH_S) -> None:
        """End it, and see that everything has arrived once, and as it was sent."""
        end = time.monotonic() + timeout
        self._is_ending = True
        self._sending.result(timeout)
        self._sink.place.run(self._until_all(), end - time.monotonic())
        assert not self.arrivals.wrong
        assert self.arrivals.is_whole
        self._source.place.run(self._source.channel.acknowledged(), end - time.monotonic())

    async def _until_all(self) -> None:
        arrivals = self.arrivals
        while arrivals.count < self._sent:
            arrivals._changed.clear()
            await arrivals._changed.wait()

    def gap(self, since: float) -> float:
        """The longest time in s in which nothing came, among those that ended after this moment (time.monotonic())."""
        times = [0.0, *self.arrivals.times]
        return max((each - before for before, each in zip(times, times[1:], strict=False) if each > since), default=0.0)
