"""Batches of datagrams into the record layer of a session that is up, with records or slices of them: forged and damaged ones
neither end it nor get through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from fuzz.feed import Feed
from p2pcopy.net.opening import Opener
from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.net.slices import MAX_WAITING, SLICE, Slicer
from p2pcopy.signaling import derive

MODULES = ("p2pcopy.net.opening", "p2pcopy.net.records", "p2pcopy.net.slices")

_SIZES: Final = (1, 100, 1200)
_MOST: Final = 8  # datagrams in a batch
_ROUNDS: Final = 10
_LONG: Final = (300, 3000, 9000, 16_000)
_ROOM: Final = 1 << 17  # bytes: of the buffer that is read into


class Pair:
    """Two ends of one session. It outlives an input, as honest packets get through it whatever came before."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = RTCCertificate(key, derive.self_signed(key))
        ends = [SSL.Connection(certificate._create_ssl_context(srtp_profiles=SRTP_PROFILES)) for _ in range(2)]
        ends[0].set_accept_state()
        ends[1].set_connect_state()
        for _ in range(_ROUNDS):
            for end, other in (ends[::-1], ends):
                step(end)
                pass_on(end, other)
        self.here, self.there = Records(ends[0]), Records(ends[1])
        self.forget()
        self._slicer = Slicer(self.there.sealed)
        self._buffer = bytearray(_ROOM)
        self._number = 0
        self.under_way: list[bytes] = []  # packets that have not been opened, of those that may be
        packet, datagram = self.sealed(100)
        assert self.opened(bytearray(datagram)) == [packet]
        self.earlier = [datagram]

    def sealed(self, size: int) -> tuple[bytes, bytes]:
        """A packet like no other, and its record."""
        self._number += 1
        packet = self._number.to_bytes(8, "big") + bytes(size)
        self.there.plain[: len(packet)] = packet
        assert self.there.seal(len(packet)) == len(packet)
        return packet, bytes(self.there.take())

    def sliced(self, size: int, count: int, records: int) -> tuple[list[bytes], list[bytes]]:
        """Packets of one size, and their slices."""
        sealed = [self.sealed(size) for _ in range(records)]
        length = len(sealed[0][1])
        self.there.sealed[: records * length] = b"".join(record for _, record in sealed)
        data, segment = self._slicer.cut(length, count, records)
        return [packet for packet, _ in sealed], [data[at : at + segment] for at in range(0, len(data), segment)]

    def forget(self) -> None:
        """Slices that wait: later on their numbers are those of other records."""
        self._opener = Opener(self.here)

    def opened(self, batch: bytearray) -> list[bytes]:
        """What is given to OpenSSL straight."""
        self.here.feed(batch, 0, len(batch))
        return self._read(self.here.open)

    def arrived(self, batch: bytes, segment: int, *, is_roomy: bool) -> list[bytes]:
        """As fastsctp.datagrams() does."""
        buffer = self._buffer if is_roomy else bytearray(batch)
        buffer[: len(batch)] = batch
        self._opener.take(buffer, len(batch), segment)
        packets = self._read(self._opener.open)
        waiting = self._opener._joiner._waiting
        assert len(waiting) <= MAX_WAITING
        return packets

    def _read(self, open_next: Callable[[], int]) -> list[bytes]:
        packets = []
        while (size := open_next()) > 0:
            assert size <= MAX_RECORD
            packets.append(bytes(self.here.opened[:size]))
        assert not self.here.is_over(size)
        self.here.take()
        return packets


def step(end: SSL.Connection) -> None:
    try:
        end.do_handshake()
    except SSL.WantReadError:
        return


def pass_on(end: SSL.Connection, other: SSL.Connection) -> None:
    try:
        other.bio_write(end.bio_read(65536))
    except SSL.WantReadError:
        return


@cache
def pair() -> Pair:
    return Pair()


def one(data: bytes) -> None:
    feed, session = Feed(data), pair()
    if feed.flag():
        slices(feed, session)
    else:
        records(feed, session)


def slices(feed: Feed, session: Pair) -> None:
    """Several batches of slices of records, and of anything else of their size."""
    session.forget()
    count = 1 + feed.number(16)
    size = min(max(feed.choice(_LONG), 270 * count), 1950 * count, 16_000)
    packets, datagrams = session.sliced(size, count, 1 + feed.number(min(4, 60_000 // size)))
    segment = len(datagrams[0])
    is_clean = True
    for _ in range(feed.number(12)):
        at = feed.number(len(datagrams))
        kind = feed.number(6)
        is_clean = is_clean and kind < 3
        match kind:
            case 0:
                datagrams.insert(feed.number(len(datagrams)), datagrams[at])
            case 1:
                datagrams.append(datagrams.pop(at))
            case 2:
                datagrams.insert(at, (bytes([SLICE, 1]) + feed.chunk(30)).ljust(segment, b"\0"))
                is_clean = False  # a slice of the same record, perhaps
            case 3:
                damaged = bytearray(datagrams[at])
                damaged[feed.number(40) % len(damaged)] ^= 1 + feed.number(255)
                datagrams[at] = bytes(damaged)
            case 4:
                datagrams[at] = feed.chunk(60).ljust(segment, b"\x17")
            case _:
                record = bytes([feed.choice((20, 21, 22, 23, 25))]) + feed.chunk(40)
                datagrams[at] = (bytes([SLICE, 0, 0, 0]) + record).ljust(segment, b"\0")
    got = []
    is_roomy = feed.flag()
    for batch in batches(datagrams, 1 + feed.number(len(datagrams))):
        got += session.arrived(b"".join(batch), len(batch[0]), is_roomy=is_roomy)
    assert len(set(got)) == len(got)
    assert set(got) <= set(packets)
    assert set(got) == set(packets) or not is_clean
    (packet,), datagrams = session.sliced(size, count, 1)
    assert session.arrived(b"".join(datagrams), len(datagrams[0]), is_roomy=is_roomy) == [packet]


def batches(datagrams: list[bytes], most: int) -> Iterator[list[bytes]]:
    """As they are read: of one size, the last may be shorter."""
    batch: list[bytes] = []
    for datagram in datagrams:
        is_next = batch and len(batch) < most and len(batch[-1]) == len(batch[0]) >= len(datagram)
        if batch and not is_next:
            yield batch
            batch = []
        batch.append(datagram)
    yield batch


def records(feed: Feed, session: Pair) -> None:
    honest, batch, is_clean = [], bytearray(), True
    for _ in range(1 + feed.number(_MOST)):
        kind = feed.number(6)
        if kind < 3:
            packet, datagram = session.sealed(feed.choice(_SIZES))
            honest.append(packet)
            session.under_way = [*session.under_way[-100:], packet]
            session.earlier = [*session.earlier[-7:], datagram]
        else:
            is_clean = False
            datagram = forged(feed, session, kind)
        batch += datagram
    batch = batch[:MAX_RECORD]
    if not batch:
        return
    got = session.opened(batch)
    for packet in got:
        session.under_way.remove(packet)  # each once
    assert got == honest or not is_clean
    packet, datagram = session.sealed(9)
    assert session.opened(bytearray(datagram)) == [packet]


def forged(feed: Feed, session: Pair, kind: int) -> bytes:
    if kind == 3:
        return feed.chunk()
    datagram = bytearray(session.earlier[feed.number(len(session.earlier))])  # again
    if kind == 4:
        _, sealed = session.sealed(20)
        datagram = bytearray(sealed)
        datagram[feed.number(len(datagram))] ^= 1 + feed.number(255)
    return bytes(datagram)


def seeds() -> Iterator[bytes]:
    yield b"\x00\x00\x00\x00"
    yield b"\x00\x07" + bytes([0, 1, 0, 2] * 4)
    yield b"\x00\x05" + bytes([0, 0, 5, 0, 4, 11, 8, 0, 1, 5, 3, 1, 0])
    yield b"\x00\x02" + bytes([3, 15]) + bytes.fromhex("15fefd00000000000000000002020a")[:15] + bytes([0, 0, 0, 1])
    yield b"\x00\x02" + bytes([3, 20]) + bytes.fromhex("16fefd0001000000000009000700000000000000") + bytes([0, 0])
    yield b"\x00\x03" + bytes([4, 3, 1, 4, 0, 2, 4, 12, 255, 0, 1])

    def cut(count: int, size: int, number: int, *changes: bytes, roomy: int = 0, most: int = 255) -> bytes:
        return bytes([1, count - 1, size, number - 1, len(changes), *b"".join(changes), roomy, most])

    for roomy in (0, 1):
        yield cut(11, 3, 3, roomy=roomy)
        yield cut(3, 1, 4, roomy=roomy, most=1)
        yield cut(11, 2, 3, b"\5\0\1", b"\3\1", b"\0\1", roomy=roomy, most=6)
        yield cut(8, 2, 2, b"\0\3\5\7", b"\4\2\5" + bytes(5), roomy=roomy)
        yield cut(8, 2, 2, b"\4\5\3" + b"\14" + bytes.fromhex("fefd0001000000000009002a"), roomy=roomy, most=3)
        yield cut(12, 3, 2, b"\1\4\4\x17\xfe\xfd\0", roomy=roomy)
        yield cut(1, 0, 4, b"\1\1", roomy=roomy)
