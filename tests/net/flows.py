"""Data that flows from one side of a pair to the other, of which every byte is looked at."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from concurrent.futures import Future
from itertools import pairwise
from typing import cast

from meeting import Inbox
from rooms import Side

from p2pcopy.net.endpoint import Address, Endpoint
from p2pcopy.net.fastsctp import FastSctpTransport
from p2pcopy.net.outbound import Outbound
from p2pcopy.net.peer import PeerChannel

MIB = 1024 * 1024
ENOUGH_S = 60.0
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

    def broken(self, timeout: float = ENOUGH_S) -> BaseException | None:
        """Wait until it can send no more; what has ended it."""
        return self._sending.exception(timeout)

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
        return max((each - before for before, each in pairwise(self.arrivals.times) if each > since), default=0.0)


def outbound(side: Side) -> Outbound:
    """What sends the data of a side with the fast path."""
    sctp = side.peer._sctp
    assert isinstance(sctp, FastSctpTransport)
    return sctp._outbound


class Batches:
    """How many datagrams go from one side to the other at a time, on average."""

    def __init__(self, source: Side, sink: Side) -> None:
        pair = source.peer._ice.pair
        assert pair is not None
        self._out, self._in = Counter[str](), Counter[str]()
        endpoint, ice = cast(Endpoint, pair.local), sink.peer._ice
        send, receive = endpoint.send_burst, ice.batch_received

        def count_out(data: memoryview, segment: int, address: Address) -> None:
            self._out.update(calls=1, datagrams=-(-len(data) // segment))
            send(data, segment, address)

        def count_in(data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
            self._in.update(calls=1, datagrams=-(-size // segment))
            receive(data, size, segment, address, endpoint)

        endpoint.send_burst = count_out  # type: ignore[method-assign]
        ice.batch_received = count_in  # type: ignore[method-assign]

    @property
    def sent(self) -> float:
        return self._out["datagrams"] / self._out["calls"]

    @property
    def received(self) -> float:
        return self._in["datagrams"] / self._in["calls"]
