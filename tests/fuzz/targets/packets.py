"""SCTP packets: chunks in a row, halves of chunks, and what comes in DATA chunks put in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, cast

from fuzz.feed import Feed
from p2pcopy.net import halves, packets
from p2pcopy.net.arrivals import MAX_DUPLICATES, MAX_RANGES
from p2pcopy.net.inbound import MAX_FRAGMENTS, Inbound, Violation
from p2pcopy.net.packets import BEGINS, COMMON_HEADER, ENDS, Chunk, Way
from p2pcopy.net.runs import MAX_TSNS, RUN, split

MODULES = (
    "p2pcopy.net.arrivals",
    "p2pcopy.net.halves",
    "p2pcopy.net.inbound",
    "p2pcopy.net.packets",
    "p2pcopy.net.runs",
)

WAY: Final = Way(5000, 5000, 7)
FIRST: Final = 0xFFFFFFF8  # TSN of the first chunk
WINDOW: Final = 8192
MAX_MESSAGE: Final = 4096
MAX_CHUNKS: Final = 16
_NEAR: Final = 64  # TSNs that are likely
_M32: Final = 0xFFFFFFFF


class Buffer(bytearray):
    """As the record layer's: slices are bytes."""

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        found = super().__getitem__(index)
        return bytes(found) if isinstance(index, slice) else found


class End:
    """One that takes packets. delivered: bytes of messages."""

    def __init__(self) -> None:
        self.delivered = 0
        self.halves = halves.Halves()
        self.inbound = Inbound(
            FIRST - 1,
            way=WAY,
            window=WINDOW,
            sack_every=4,
            max_message=MAX_MESSAGE,
            deliver=self._deliver,
            other=self._other,
        )

    def _deliver(self, stream: int, protocol: int, message: bytes) -> None:
        self.delivered += len(message)

    def _other(self, packet: bytes) -> None:
        if len(packet) < COMMON_HEADER + 4 or not self.inbound.is_sound(packet):
            return
        for chunk in list(packets.chunks(packet))[:MAX_CHUNKS]:
            self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        match chunk.kind:
            case packets.DATA if (data := packets.parse_data(chunk)) is not None:
                self.inbound.data(data)
            case packets.SACK:
                packets.parse_sack(chunk)
            case halves.HALF:
                whole = self.halves.take(chunk)
                if whole is not None:
                    self._take(whole)
            case kind if kind == RUN:
                self.inbound.run(chunk)
            case packets.FORWARD_TSN if len(chunk.body) >= 4:
                self.inbound.forward(int.from_bytes(chunk.body[:4], "big"))

    def read(self, waiting: list[bytes]) -> None:
        """As from the record layer. Raises Violation."""
        queue = iter(waiting)
        opened = Buffer(20000)

        def open_next() -> int:
            packet = next(queue, b"")
            opened[: len(packet)] = packet
            return len(packet)

        self.inbound.read(open_next, cast(bytes, opened))


def one(data: bytes) -> None:
    feed = Feed(data)
    end = End()
    sent = 0
    while feed:
        waiting = [packet for _ in range(1 + feed.number(4)) if (packet := drawn(feed))]
        sent += sum(map(len, waiting))
        try:
            end.read(waiting)
        except Violation:
            return
        finally:
            bounded(end, sent)
        acknowledged(end.inbound, feed.choice((1024, 16, 24)))


def drawn(feed: Feed) -> bytes:
    """A packet: nearly right, or anything."""
    match feed.number(8):
        case 0:
            return feed.chunk()
        case 1:
            return WAY.packet(feed.chunk(), zero_checksum=feed.flag())
        case _:
            chunks = b"".join(chunk(feed) for _ in range(feed.choice((1, 1, 1, 2, 3, 20))))
            return WAY.packet(chunks, zero_checksum=True)


def chunk(feed: Feed) -> bytes:
    match feed.number(8):
        case 0:
            return padded(packets.FORWARD_TSN, 0, struct.pack("!L", tsn(feed)) + feed.chunk(8))
        case 1:
            whole = padded(packets.DATA, feed.number(8), data_of(feed))
            first, second = halves.halves(whole)
            rejoined(whole, first, second)
            return feed.choice((first, second, first + second, second + first))
        case 2:
            return padded(feed.number(256), feed.number(256), feed.chunk(40))
        case 3:
            return padded(packets.DATA, BEGINS | ENDS, data_of(feed))
        case 4:
            flags, body = feed.number(8), run_of(feed)
            parted(flags, body)
            return padded(RUN, flags, body)
        case _:
            return padded(packets.DATA, feed.number(8), data_of(feed))


def data_of(feed: Feed) -> bytes:
    body = struct.pack("!LHHL", tsn(feed), feed.number(3), 0, 53)
    return body + bytes([feed.number(256)]) * feed.choice((1, 4, 30, 1200, 0))


def run_of(feed: Feed) -> bytes:
    """That fits, or does not."""
    step = feed.choice((4, 20, 0, 1, 600))
    body = struct.pack("!LHHLHH", tsn(feed), feed.number(3), 0, 53, step, 0)
    return body + bytes([feed.number(256)]) * (step * feed.number(MAX_TSNS + 2) + feed.choice((0, 0, 0, 1)))


def parted(flags: int, body: bytes) -> None:
    """A run is taken apart whole or not at all."""
    found = split(Chunk(RUN, flags, body))
    assert len(found) <= MAX_TSNS
    assert not found or b"".join(data.payload for data in found) == body[16:]
    assert all(not data.flags & BEGINS for data in found[1:])
    assert all(not data.flags & ENDS for data in found[:-1])


def tsn(feed: Feed) -> int:
    near = feed.number(256)
    return (FIRST + near) & _M32 if near < _NEAR else (FIRST + (near - 128) * feed.number(1 << 32)) & _M32


def padded(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, flags, 4 + len(body)) + body + bytes(-len(body) % 4)


def rejoined(whole: bytes, first: bytes, second: bytes) -> None:
    """Halves make the same chunk in either order."""
    (one_half,) = packets.chunks(first, 0)
    (other_half,) = packets.chunks(second, 0)
    assert len(second) <= len(first)
    expected = next(packets.chunks(whole, 0)).body
    for order in ((one_half, other_half), (other_half, one_half)):
        waiting = halves.Halves()
        assert waiting.take(order[0]) is None
        made = waiting.take(order[1])
        assert made is not None
        assert made.body[: len(expected)] == expected
        assert not any(made.body[len(expected) :])


def bounded(end: End, sent: int) -> None:
    arrivals = end.inbound.arrivals
    assert 0 <= arrivals.held_bytes <= WINDOW
    assert arrivals.held_bytes == sum(size for _, size in arrivals._held.values())
    assert len(arrivals._firsts) == len(arrivals._lasts) <= MAX_RANGES
    assert arrivals.has_gaps == bool(arrivals._firsts)
    assert len(arrivals._duplicates) <= MAX_DUPLICATES
    assert len(end.inbound._parts) <= MAX_FRAGMENTS + MAX_CHUNKS
    assert len(end.halves._waiting) <= halves.MAX_WAITING
    assert end.delivered <= sent
    assert len(end.inbound.sacks) <= sent


def acknowledged(inbound: Inbound, room: int) -> None:
    """What we say of it makes sense."""
    inbound.acknowledge(room)
    sacks, inbound.sacks[:] = inbound.sacks[:], []
    for said in sacks:
        (chunk,) = packets.chunks(said, 0)
        sack = packets.parse_sack(chunk)
        assert sack is not None
        assert 0 <= sack.window <= WINDOW
        assert list(sack.gaps) == sorted(sack.gaps)
        assert len(sack.gaps) % 2 == 0
        assert all(gap >= 2 for gap in sack.gaps)


def seeds() -> Iterator[bytes]:
    # A step: how many packets; of each, its kind, how many chunks, and of each chunk its kind, flags and numbers.
    def data(number: int, flags: int, size: int) -> bytes:
        return bytes([0, 2, 0, 5, flags, number, 0, 65, size])

    yield data(0, 3, 1) + data(1, 2, 3) + data(2, 0, 3) + data(3, 1, 0)
    yield data(3, 3, 2) + data(1, 3, 2) + data(0, 3, 2) + data(5, 3, 2) + data(2, 3, 2) + data(4, 3, 2)
    yield data(1, 0, 1) + data(0, 2, 1) + data(2, 1, 1) + data(2, 1, 1)
    yield data(2, 1, 1) + bytes([0, 2, 0, 0, 1, 0]) + data(4, 3, 0)
    yield bytes([0, 2, 0, 1, 3, 0, 0, 66, 2, 2]) + bytes([0, 2, 0, 1, 3, 1, 0, 66, 2, 3])
    yield (
        bytes([3])
        + bytes([2, 4, 3, 0, 0, 65, 1, 3, 1, 0, 65, 1, 3, 2, 0, 65, 1])
        + b"\x00\x03abc"
        + b"\x01\x08"
        + bytes(9)
    )
    yield data(200, 3, 1) + data(0, 4, 3) + data(1, 7, 4)

    def run(number: int, flags: int, count: int, *, step: int = 0, more: int = 0) -> bytes:
        return bytes([0, 2, 0, 4, flags, step, number, 0, 65, count, more])

    yield run(0, 2, 4) + run(4, 1, 3) + run(7, 3, 2, step=1)
    yield run(0, 2, 4) + run(6, 1, 3) + run(2, 0, 5) + run(0, 3, 9) + run(9, 3, 2)
    yield run(0, 3, 17)
    yield run(0, 3, 2, step=2)
    yield run(3, 3, 2, more=3) + run(0, 3, 0)
