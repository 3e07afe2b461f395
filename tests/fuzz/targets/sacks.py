"""What a hostile peer can do to the sending side with SACKs: whatever it says, the books agree and stay small."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import inf
from typing import Final

from fuzz.feed import Feed
from p2pcopy.net import packets
from p2pcopy.net.flight import AGAIN, ARRIVED, LOST, MAX_REMEMBERED, OUT
from p2pcopy.net.messages import Message
from p2pcopy.net.outbound import BASE_PAYLOAD, Outbound
from p2pcopy.net.packets import COMMON_HEADER, Sack, Way

MODULES = (
    "p2pcopy.net.congestion",
    "p2pcopy.net.deliveryrate",
    "p2pcopy.net.flight",
    "p2pcopy.net.outbound",
    "p2pcopy.net.reordering",
    "p2pcopy.net.roundtrip",
)

FIRST: Final = 0xFFFFFFF0
WAY: Final = Way(5000, 5000, 7)
WINDOW: Final = 1 << 17
STEPS: Final = 400
_PAUSES: Final = (0.0, 0.0005, 0.01, 0.05, 0.3, 1.0, 5.0, 60.0)
_SIZES: Final = (1, 100, BASE_PAYLOAD, 3 * BASE_PAYLOAD, 40 * BASE_PAYLOAD + 7)
_M32: Final = 0xFFFFFFFF


class Wire:
    """outbound.Wire that looks at what leaves."""

    burst = 44

    def __init__(self) -> None:
        self.plain = bytearray(16384)
        self.is_full = False
        self.packets = 0

    def seal(self, size: int) -> int:
        self.put(bytes(self.plain[:size]))
        return size

    def put(self, packet: bytes) -> None:
        self.packets += 1
        assert packet[:8] == WAY.header
        assert len(packet) % 4 == 0
        assert packet[8:COMMON_HEADER] == WAY.checksum(packet[COMMON_HEADER:]).to_bytes(4, "little")
        (chunk,) = packets.chunks(packet)
        assert chunk.body

    def flush(self, size: int) -> None:
        """Gone."""

    def flush_slices(self, size: int, count: int, records: int) -> None:
        """Gone."""


def one(data: bytes) -> None:
    feed = Feed(data)
    now = 100.0
    waiting: deque[Message] = deque()
    wire = Wire()
    outbound = Outbound(
        FIRST,
        now,
        way=WAY,
        wire=wire,
        next_message=lambda: waiting[0] if waiting else None,
        window=WINDOW,
        zero_checksum=False,
        takes_halves=feed.flag(),
        takes_runs=feed.flag(),
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
            case _:
                outbound.acknowledged(nearly(feed, outbound), now)
        pumped(outbound, wire, now)
        agreed(outbound)


def done(waiting: deque[Message]) -> None:
    waiting.popleft()


def pumped(outbound: Outbound, wire: Wire, now: float) -> None:
    before = wire.packets
    again = outbound.pump(now)
    assert again is None or again >= now
    assert wire.packets - before <= 2 * 6 * wire.burst
    assert outbound.due is None or outbound.due < inf


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

    yield b"\x01" + message(4) + sack(3, 4) + sack(3, 8) + sack(3, 15) + message(4) + sack(3, 15) * 4
    yield b"\x00" + message(4) + sack(3, 0, 1, 2) + sack(1, 0, 1, 3) + sack(1, 0, 2, 3, 0, 2) + sack(3, 12) * 3
    yield b"\x01" + message(4) + bytes([5, 2]) + bytes([6, 2]) + bytes([7, 2]) + sack(3, 1) + sack(3, 15)
    yield b"\x00" + message(3) * 2 + sack(3, 2, window=3) + bytes([4, 2]) + sack(3, 2, window=0) + message(4)
    yield (
        b"\x01" + message(4) + bytes([0, 3, 1]) + sack(3, 3) + bytes([0, 3, 2]) + bytes([5, 2, 6, 2]) + sack(3, 0, 1, 1)
    )
    yield (
        b"\x01" + message(4) + bytes([1, 4]) + sack(3, 5) + bytes([1, 5]) + sack(3, 5, 0, 0) + message(2) + sack(4, 15)
    )
    yield (
        b"\x00" + message(4) + bytes([0, 7, 5, 20]) + bytes(8) + b"\x00\x02\x00\x01" + bytes([0, 2, 0, 9, 0, 12, 0, 30])
    )
