"""Datagrams with records, and with slices of them, into the record layer of a real session of DTLS."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.opening import Opener
from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.net.rehearsal import _session
from p2pcopy.net.slices import HEADER, MAX_SLICE, MAX_WAITING, SLICE, Slicer

ROOMY = 1 << 17  # bytes: of the buffer that is read into


class Ends:
    """Sender and receiver of one session. It outlives a test: whatever came before, what is honest gets through."""

    def __init__(self) -> None:
        client, server = _session()
        self.sender, self.receiver = Records(client), Records(server)
        self.opener = Opener(self.receiver)
        self._slicer = Slicer(self.sender.sealed)
        self._buffer = bytearray(ROOMY)
        self._number = 0

    def packet(self, size: int) -> bytes:
        """Like no other."""
        self._number += 1
        return self._number.to_bytes(8, "big") + Random(self._number).randbytes(size - 8)

    def seal(self, packets: Sequence[bytes]) -> memoryview:
        for packet in packets:
            self.sender.plain[: len(packet)] = packet
            assert self.sender.seal(len(packet)) == len(packet)
        return self.sender.take()

    def records(self, packets: Sequence[bytes]) -> list[bytes]:
        return [bytes(self.seal([packet])) for packet in packets]

    def slices(self, packets: Sequence[bytes], count: int) -> list[bytes]:
        """packets: of one size."""
        sealed = self.seal(packets)
        data, segment = self._slicer.cut(len(sealed) // len(packets), count, len(packets))
        return [data[at : at + segment] for at in range(0, len(data), segment)]

    def read(self, datagrams: Sequence[bytes]) -> list[bytes]:
        """One batch. The session has not ended."""
        data = b"".join(datagrams)
        self._buffer[: len(data)] = data
        self.opener.take(self._buffer, len(data), len(datagrams[0]))
        packets = []
        while (size := self.opener.open()) > 0:
            packets.append(bytes(self.receiver.opened[:size]))
        assert not self.receiver.is_over(size)
        assert self.opener.open() <= 0
        return packets

    def is_up(self) -> bool:
        packets = [self.packet(9_000), self.packet(9_000)]
        plain = [self.packet(100)]
        return self.read(self.slices(packets, 8)) == packets and self.read(self.records(plain)) == plain


@cache
def ends() -> Ends:
    return Ends()


@given(st.integers(8, 1400), st.integers(1, 45))
def test_a_batch_of_records(size: int, count: int) -> None:
    """Of which OpenSSL takes no more than 16 KiB at a time."""
    packets = [ends().packet(size) for _ in range(count)]
    assert ends().read(ends().records(packets)) == packets


@given(st.integers(2, 14), st.integers(1, 4), st.integers(250, 1160))
def test_a_batch_of_slices(count: int, records: int, size: int) -> None:
    packets = [ends().packet(count * size) for _ in range(records)]
    assert ends().read(ends().slices(packets, count)) == packets


def test_a_batch_whose_last_datagram_is_shorter() -> None:
    packets = [ends().packet(700), ends().packet(700), ends().packet(90)]
    assert ends().read(ends().records(packets)) == packets
    shorter = 0
    for size in (1600, 1601, 1602):
        packets = [ends().packet(size) for _ in range(2)]
        datagrams = ends().slices(packets, 3)
        shorter += len(datagrams[-1]) < len(datagrams[0])
        assert ends().read(datagrams) == packets
    assert shorter == 2


@given(st.randoms(use_true_random=False), st.booleans())
def test_a_batch_of_both(random: Random, is_shuffled: bool) -> None:
    """As two senders behind one address could make it: all datagrams have one size."""
    long = [ends().packet(6_000) for _ in range(2)]
    slices = ends().slices(long, 6)
    overhead = len(ends().records([ends().packet(50)])[0]) - 50
    short = [ends().packet(len(slices[0]) - overhead) for _ in range(3)]
    records = ends().records(short)
    assert {len(datagram) for datagram in (*slices[:-1], *records)} == {len(slices[0])}
    batch = [*records, *slices[:-1]]
    if is_shuffled:
        random.shuffle(batch)
    assert sorted(ends().read([*batch, slices[-1]])) == sorted([*long, *short])


def test_a_record_of_which_each_batch_has_a_slice() -> None:
    packets = [ends().packet(12_000) for _ in range(3)]
    got = [ends().read([datagram]) for datagram in reversed(ends().slices(packets, 11))]
    assert [packet for each in got for packet in each] == packets[::-1]


@given(st.integers(0, 35), st.integers(0, 1100), st.integers(1, 255), st.integers(0, 2))
def test_a_damaged_slice_spoils_its_own_record_at_most(which: int, at: int, change: int, place: int) -> None:
    """place: in the slice's header, in what is most likely the record's, or anywhere."""
    packets = [ends().packet(12_000) for _ in range(3)]
    datagrams = [bytearray(datagram) for datagram in ends().slices(packets, 12)]
    first = which - which % 12 if place == 1 else which
    at = (at % HEADER, HEADER + at % 13, at % len(datagrams[first]))[place]
    datagrams[first][at] ^= change
    got = ends().read(list(map(bytes, datagrams)))
    spoilt = first // 12
    assert [packet for packet in got if packet != packets[spoilt]] == packets[:spoilt] + packets[spoilt + 1 :]
    assert ends().is_up()


def forged(kind: int, content: bytes, number: int, *, count: int = 1, epoch: int = 1, version: int = 0xFEFD) -> bytes:
    record = struct.pack("!BHHHLH", kind, version, epoch, 0, 0x7FFFFFFF, len(content)) + content
    return bytes([SLICE, (count - 1) << 4]) + number.to_bytes(2, "big") + record


@pytest.mark.parametrize("epoch", [0, 1, 2, 0xFFFF])
@pytest.mark.parametrize("kind", [0, 20, 21, 22, 23, 24, 25, 26, 31, 63, 255])
@pytest.mark.parametrize("version", [0xFEFD, 0xFEFF, 0, 0x0303])
def test_forged_records_in_slices(epoch: int, kind: int, version: int) -> None:
    for content in (b"\2\50" + bytes(300), bytes(range(256)) * 5, b"\1\0" * 600):
        assert ends().read([forged(kind, content, 7, epoch=epoch, version=version)]) == []
    alert = forged(kind, b"\2\0", 7, epoch=epoch, version=version).ljust(300, b"\0")
    assert ends().read([alert] * 3) == []
    assert ends().is_up()


@given(st.binary(max_size=400), st.integers(1, 20), st.integers(0, MAX_SLICE + 100))
def test_anything_in_slices(start: bytes, count: int, size: int) -> None:
    datagram = (bytes([SLICE]) + start).ljust(1 + size, b"\xfe")
    assert ends().read([datagram] * count) == []
    assert ends().read([*[datagram] * count, datagram[: 1 + size // 2]]) == []
    assert ends().is_up()


def test_slices_that_come_again() -> None:
    """OpenSSL knows which records it has had (RFC 6347 section 4.1.2.6)."""
    packets = [ends().packet(6000) for _ in range(2)]
    datagrams = ends().slices(packets, 6)
    assert ends().read(datagrams * 2) == packets
    assert ends().read(datagrams[::-1]) == []
    assert ends().is_up()


def test_slices_of_two_records_under_one_number() -> None:
    """The number is there again after 65,536 records: what is mixed of two is no record of the session's."""
    old, new = ends().packet(6000), ends().packet(6000)
    before, after = ends().slices([old], 6), ends().slices([new], 6)
    after = [datagram[:2] + before[0][2:HEADER] + datagram[HEADER:] for datagram in after]
    assert ends().read(before[:3]) == []
    assert ends().read(after[::-1]) == []
    assert ends().is_up()


def test_a_flood_of_records_that_are_never_whole() -> None:
    both = Ends()
    for start in range(0, 3000, 30):
        numbers = range(start, start + 30)
        batch = [forged(23, bytes(MAX_SLICE - 17), number, count=16) for number in numbers]
        assert both.read(batch) == []
    joiner = both.opener._joiner
    assert len(joiner._waiting) <= MAX_WAITING
    assert sum(len(piece) for pieces in joiner._waiting.values() for piece in pieces) <= MAX_WAITING * MAX_SLICE
    assert both.is_up()


def test_a_record_of_the_largest_size() -> None:
    packet = ends().packet(MAX_RECORD - 64)
    assert ends().read(ends().slices([packet], 12)) == [packet]
