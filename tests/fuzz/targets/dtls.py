"""Batches of datagrams into the record layer of a session that is up: forged and damaged ones neither end it nor get through."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from fuzz.feed import Feed
from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.signaling import derive

MODULES = ("p2pcopy.net.records",)

_SIZES: Final = (1, 100, 1200)
_MOST: Final = 8  # datagrams in a batch
_ROUNDS: Final = 10


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

    def opened(self, batch: bytearray) -> list[bytes]:
        """As fastsctp.datagrams() does."""
        self.here.feed(batch, 0, len(batch))
        packets = []
        while (size := self.here.open()) > 0:
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
    yield b"\x00\x00\x00"
    yield b"\x07" + bytes([0, 1, 0, 2] * 4)
    yield b"\x05" + bytes([0, 0, 5, 0, 4, 11, 8, 0, 1, 5, 3, 1, 0])
    yield b"\x02" + bytes([3, 15]) + bytes.fromhex("15fefd00000000000000000002020a")[:15] + bytes([0, 0, 0, 1])
    yield b"\x02" + bytes([3, 20]) + bytes.fromhex("16fefd0001000000000009000700000000000000") + bytes([0, 0])
    yield b"\x03" + bytes([4, 3, 1, 4, 0, 2, 4, 12, 255, 0, 1])
