"""What a hostile peer can do to the sending side with SACKs: whatever it says, the books agree and stay small."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Final
from unittest.mock import patch

from fuzz.feed import Feed
from p2pcopy.net import calm, packets
from p2pcopy.net.flight import AGAIN, ARRIVED, LOST, MAX_REMEMBERED, OUT
from p2pcopy.net.halves import HALF
from p2pcopy.net.messages import Message
from p2pcopy.net.outbound import BASE_PAYLOAD, Outbound
from p2pcopy.net.packets import COMMON_HEADER, DATA, Sack, Way
from p2pcopy.net.runs import RUN, split
from p2pcopy.net.slices import MAX_SIZE, MAX_SLICE, Joiner, Slicer

MODULES = (
    "p2pcopy.net.congestion",
    "p2pcopy.net.deliveryrate",
    "p2pcopy.net.flight",
    "p2pcopy.net.outbound",
    "p2pcopy.net.reordering",
    "p2pcopy.net.roundtrip",
    "p2pcopy.net.calm",
    "p2pcopy.net.sealing",
    "p2pcopy.net.slices",
)

FIRST: Final = 0xFFFFFFF0
WAY: Final = Way(5000, 5000, 7)
WINDOW: Final = 1 << 17
STEPS: Final = 400
_PAUSES: Final = (0.0, 0.0005, 0.01, 0.05, 0.3, 1.0, 5.0, 60.0)
_SIZES: Final = (1, 100, BASE_PAYLOAD, 3 * BASE_PAYLOAD, 40 * BASE_PAYLOAD + 7, 40 * BASE_PAYLOAD)
_CALM: Final = 20  # packets: with thousands no input would come to long records
_RECORD: Final = struct.Struct("!B10sH")  # the header of DTLS
_M32: Final = 0xFFFFFFFF


class Wire:
    """outbound.Wire that looks at what leaves."""

    def __init__(self, burst: int, *, zero_checksum: bool) -> None:
        self.plain = bytearray(16384)
        self.burst = burst
        self.is_full = False
        self.packets = 0
        self._zero_checksum = zero_checksum
        self.has_sliced = False
        self._sealed: list[bytes] = []
        self._records = bytearray(70_000)
        self._slicer = Slicer(self._records)
        self._joiner = Joiner()

    def seal(self, size: int) -> int:
        self._sealed.append(bytes(self.plain[:size]))
        return size

    def put(self, packet: bytes) -> None:
        self._sealed.append(packet)

    def flush(self, size: int) -> None:
        for packet in self._sealed:
            chunk = self._only_chunk(packet)
            assert chunk.kind != RUN
            assert len(packet) % 4 == 0
            self.packets += 1
        assert all(len(packet) == size for packet in self._sealed[:-1])
        assert not self._sealed or len(self._sealed[-1]) <= size
        self._sealed.clear()

    def flush_slices(self, size: int, count: int, records: int) -> None:
        self.has_sliced = True
        assert self._zero_checksum
        assert count > 1
        for packet in self._sealed:
            chunk = self._only_chunk(packet)
            assert chunk.kind == RUN
            assert len(split(chunk)) == count
        self.packets += records * count
        sealed = [_RECORD.pack(23, bytes(10), len(packet)) + packet for packet in self._sealed]
        self._sealed.clear()
        assert list(map(len, sealed)) == [_RECORD.size + size] * records
        self._records[: records * len(sealed[0])] = b"".join(sealed)
        data, segment = self._slicer.cut(len(sealed[0]), count, records)
        assert len(sealed[0]) <= MAX_SIZE
        assert segment <= MAX_SLICE
        taken = self._joiner.take(bytearray(data), len(data), segment)
        assert [record[:length] for record, length in taken] == sealed

    def _only_chunk(self, packet: bytes) -> packets.Chunk:
        checksum = 0 if self._zero_checksum else WAY.checksum(packet[COMMON_HEADER:])
        assert packet[:COMMON_HEADER] == WAY.header + checksum.to_bytes(4, "little")
        (chunk,) = packets.chunks(packet)
        assert chunk.body
        assert chunk.kind in (DATA, RUN, HALF)
        return chunk


def one(data: bytes) -> None:
    with patch.object(calm, "LEAST", _CALM):
        story(Feed(data))


def story(feed: Feed) -> None:
    now = 100.0
    waiting: deque[Message] = deque()
    takes_halves, takes_runs, zero_checksum = feed.flag(), feed.flag(), feed.flag()
    wire = Wire(feed.choice((44, 16, 2, 1)), zero_checksum=zero_checksum)
    outbound = Outbound(
        FIRST,
        now,
        way=WAY,
        wire=wire,
        next_message=lambda: waiting[0] if waiting else None,
        window=WINDOW,
        zero_checksum=zero_checksum,
        takes_halves=takes_halves,
        takes_runs=takes_runs,
        ack_delay=0.05,
    )
    for _ in range(STEPS):
        if not feed:
            break
        now += _PAUSES[feed.number(8)]
        match feed.number(16):
            case 0 | 1 if len(waiting) < 8:
                content = bytes(feed.choice(_SIZES))
                waiting.append(Message(feed.number(3), 53, content, feed.flag(), lambda: done(waiting)))
            case 2:
                outbound.ring(now)
            case 3:
                outbound.set_payload(feed.choice((BASE_PAYLOAD, 1400, 500)))
            case 4:
                outbound.path_is_back(now)
            case 5:
                outbound.new_path(now)
            case 6:
                wire.is_full = feed.flag()
            case 7:
                outbound.acknowledged(anything(feed), now)
            case 8:
                outbound.acknowledged(all_of_it(outbound), now)
            case _:
                outbound.acknowledged(nearly(feed, outbound), now)
        pumped(outbound, wire, now)
        agreed(outbound)
        assert not wire._sealed
        assert takes_runs or not wire.has_sliced


def done(waiting: deque[Message]) -> None:
    waiting.popleft()


def pumped(outbound: Outbound, wire: Wire, now: float) -> None:
    before = wire.packets
    again = outbound.pump(now)
    assert again is None or again >= now
    assert wire.packets - before <= 2 * 6 * wire.burst
    assert outbound.due is None or outbound.due < inf


def all_of_it(outbound: Outbound) -> Sack:
    """As from a peer that gets all."""
    return Sack(outbound.flight.tsn(outbound.flight.next - 1), WINDOW, (), ())


def nearly(feed: Feed, outbound: Outbound) -> Sack:
    """A SACK of what is out, with gaps of all kinds."""
    flight = outbound.flight
    cumulative = flight.tsn(flight.oldest - 1 + min(feed.number(16), flight.next - flight.oldest))
    gaps: list[int] = []
    at = 1
    for _ in range(feed.number(5)):
        at += 1 + feed.number(4)
        last = at + feed.number(4)
        gaps += (at, last)
        at = last
    duplicates = tuple(flight.tsn(flight.oldest + feed.number(32) - 16) for _ in range(feed.number(3)))
    return Sack(cumulative, feed.choice((WINDOW, WINDOW, 2000, 0)), tuple(gaps), duplicates)


def anything(feed: Feed) -> Sack:
    """A chunk of bytes, as long as it is a SACK."""
    body = (FIRST + feed.number(256)).to_bytes(5, "big")[1:] + feed.chunk()
    sack = packets.parse_sack(packets.Chunk(packets.SACK, 0, body))
    return sack if sack is not None else Sack(feed.number(1 << 32), 0, (), ())


def agreed(outbound: Outbound) -> None:
    flight = outbound.flight
    status = flight._status
    assert len(status) == flight.next - flight.oldest
    assert flight.lost == status.count(LOST)
    assert flight.in_flight == status.count(OUT) + status.count(AGAIN)
    assert flight._marked == len(status) - status.count(OUT)
    assert set(flight._again) == {flight.oldest + at for at, each in enumerate(status) if each == AGAIN}
    assert flight._highest < flight.next
    assert not status or status[0] != ARRIVED
    assert len(flight._suspects) <= len(status)
    assert len(flight._remembered) <= MAX_REMEMBERED
    assert len(flight._overtaken) <= len(status) + 1
    assert len(outbound._parts) <= len(status) + 2  # the one in work, and one that was cut anew behind what has arrived
    assert outbound.controller.window >= 1
    assert outbound.controller.rate >= 0
    assert 0 < outbound.round_trip.timeout(0) <= outbound.round_trip.timeout(3) < inf


def seeds() -> Iterator[bytes]:
    # A step: the pause before it, what it is, and its numbers.
    def message(size: int) -> bytes:
        return bytes([0, 0, size, 1, 0])

    def sack(pause: int, upto: int, *gaps: int, window: int = 0) -> bytes:
        return bytes([pause, 9, upto, len(gaps) // 2, *gaps, 0, window])

    yield b"\x01\x00\x00\x00" + message(4) + sack(3, 4) + sack(3, 8) + sack(3, 15) + message(4) + sack(3, 15) * 4
    yield (
        b"\x00\x00\x00\x00"
        + message(4)
        + sack(3, 0, 1, 2)
        + sack(1, 0, 1, 3)
        + sack(1, 0, 2, 3, 0, 2)
        + sack(3, 12) * 3
    )
    yield b"\x01\x00\x00\x00" + message(4) + bytes([5, 2]) + bytes([6, 2]) + bytes([7, 2]) + sack(3, 1) + sack(3, 15)
    yield (
        b"\x00\x00\x00\x00" + message(3) * 2 + sack(3, 2, window=3) + bytes([4, 2]) + sack(3, 2, window=0) + message(4)
    )
    yield (
        b"\x01\x00\x00\x00"
        + message(4)
        + bytes([0, 3, 1])
        + sack(3, 3)
        + bytes([0, 3, 2])
        + bytes([5, 2, 6, 2])
        + sack(3, 0, 1, 1)
    )
    yield (
        b"\x01\x00\x00\x00"
        + message(4)
        + bytes([1, 4])
        + sack(3, 5)
        + bytes([1, 5])
        + sack(3, 5, 0, 0)
        + message(2)
        + sack(4, 15)
    )
    yield (
        b"\x00\x00\x00\x00"
        + message(4)
        + bytes([0, 7, 5, 20])
        + bytes(8)
        + b"\x00\x02\x00\x01"
        + bytes([0, 2, 0, 9, 0, 12, 0, 30])
    )

    # Steps of a peer that takes long records, and on whose path nothing is lost to begin with.
    def calm_so_far(count: int) -> bytes:
        return (message(5) * 2 + bytes([1, 8])) * count

    for burst in range(4):
        head = bytes([1, 1, 1, burst])
        yield head + calm_so_far(12)
        yield head + calm_so_far(8) + message(4) * 3 + sack(3, 2, 4, 9) * 3 + calm_so_far(6)
        yield head + calm_so_far(8) + message(5) * 3 + bytes([5, 2, 6, 2, 0, 3, 2]) + sack(3, 5) * 3 + calm_so_far(4)
