"""Chunks with the data of several TSNs."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_association import BINARY, DATA_STREAM, Packets

from p2pcopy.net.messages import Part
from p2pcopy.net.packets import BEGINS, COMMON_HEADER, ENDS, UNORDERED, Chunk, Data, Way, chunks, parse_data
from p2pcopy.net.runs import MAX_TSNS, RUN, split, tsns
from p2pcopy.net.sealing import MAX_RUN, Sealer

WAY = Way(5000, 5001, 7)
_M32 = 0xFFFFFFFF


class Sealed(Packets):
    """Keeps packets, and how many slices each was to be cut into."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[int] = []

    def flush_slices(self, size: int, count: int, records: int) -> None:
        self.slices += [count] * records
        assert [len(packet) for packet in self.sealed] == [size] * records
        self.sent += self.sealed
        self.sealed.clear()


def part_of(data: bytes, size: int, flags: int = 0) -> Part:
    return Part(0, size, memoryview(data), DATA_STREAM, 3, BINARY, flags, lambda: None)


def data_in(packet: bytes) -> list[Data]:
    assert packet[:COMMON_HEADER] == WAY.header + bytes(4)
    (chunk,) = chunks(packet)
    if chunk.kind == RUN:
        return split(chunk)
    plain = parse_data(chunk)
    return [plain] if plain is not None else []


@given(
    step=st.integers(1, 1460),
    length=st.integers(2, MAX_TSNS),
    skipped=st.integers(0, 3),
    records=st.integers(1, 4),
    rest=st.integers(0, 3000),
    tsn=st.sampled_from([0, 17, 0xFFFFFFF0, _M32]),
    flags=st.sampled_from([0, UNORDERED]),
)
def test_a_run_is_what_the_packets_are(
    step: int, length: int, skipped: int, records: int, rest: int, tsn: int, flags: int
) -> None:
    """Numbers, flags and bytes, the first and the last packet of the message included."""
    length = min(length, (MAX_RUN - 32) // step)
    content = bytes(at * 7 & 0xFF for at in range((skipped + records * length) * step + rest))
    part, wire = part_of(content, step, flags), Sealed()
    sealer = Sealer(WAY, wire, zero_checksum=True)
    sealer.runs(part, skipped, records, length, tsn)
    assert wire.slices == [length] * records
    assert all(len(packet) <= MAX_RUN for packet in wire.sent)
    in_runs = [data for packet in wire.sent for data in data_in(packet)]
    sealer.packets(part, skipped, records * length, tsn)
    assert in_runs == [data for packet in wire.sealed for data in data_in(packet)]
    assert [data.tsn for data in in_runs] == [(tsn + at) & _M32 for at in range(records * length)]
    assert bool(in_runs[0].flags & BEGINS) == (skipped == 0)
    assert bool(in_runs[-1].flags & ENDS) == (rest == 0)


def test_the_middle_of_a_message_in_two_parts() -> None:
    first = part_of(bytes(range(100)), 4)
    second = first.cut(40, 6)
    for part, index, length, flags in ((first, 0, 10, BEGINS), (second, 0, 10, ENDS)):
        wire = Sealed()
        Sealer(WAY, wire, zero_checksum=True).runs(part, index, 1, length, 1)
        (found,) = [data_in(packet) for packet in wire.sent]
        assert flags in (found[0].flags | found[-1].flags,)
        assert {data.flags for data in found[1:-1]} == {0}


@given(st.integers(-5, 1 << 16), st.integers(0, 0xFFFF))
def test_a_count_that_makes_sense(size: int, step: int) -> None:
    count = tsns(size, step)
    assert 0 <= count <= MAX_TSNS
    if count:
        assert count * step == size
    else:
        assert size <= 0 or not step or size % step or size > MAX_TSNS * step


@given(st.integers(1, MAX_TSNS), st.integers(1, 0xFFFF))
def test_every_count_that_makes_sense(count: int, step: int) -> None:
    assert tsns(count * step, step) == count
    assert tsns(count * step + 1, step) in (0, count + 1)
    assert tsns((MAX_TSNS + count) * step, step) == 0


def body(first: int, step: int, payload: bytes) -> bytes:
    return struct.pack("!LHHLHH", first, 1, 0, BINARY, step, 0) + payload


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(15),
        body(1, 4, b""),
        body(1, 0, b"abcd"),
        body(1, 3, b"abcd"),
        body(1, 5, b"abcd"),
        body(1, 1, bytes(MAX_TSNS + 1)),
    ],
)
def test_nonsense(content: bytes) -> None:
    assert split(Chunk(RUN, BEGINS | ENDS, content)) == []


@given(st.integers(0, 255), st.binary(max_size=100), st.integers(0, 30))
def test_any_bytes(flags: int, content: bytes, step: int) -> None:
    """All of the data, in pieces of one size with numbers in a row, or nothing."""
    content = content[:12] + struct.pack("!HH", step, 0) + content[16:]
    found = split(Chunk(RUN, flags, content))
    assert b"".join(data.payload for data in found) == (content[16:] if found else b"")
    assert {len(data.payload) for data in found} <= {step}
    assert [data.tsn for data in found] == [
        (int.from_bytes(content[:4], "big") + at) & _M32 for at in range(len(found))
    ]
    assert all(not data.flags & BEGINS for data in found[1:])
    assert all(not data.flags & ENDS for data in found[:-1])
    if found:
        assert (found[0].flags | found[-1].flags) == flags


@given(st.integers(1, 20_000), st.integers(1, 64))
def test_a_burst_consists_of_such_records(size: int, burst: int) -> None:
    length = Sealer.run_length(size, burst)
    assert 0 <= length <= min(burst, MAX_TSNS)
    assert 32 + length * size <= MAX_RUN or length == 0
    if length > 1:
        assert burst - burst // length * length < burst // length + 1  # few that do not fit


def test_what_openssl_does_not_take() -> None:
    wire = Sealed()
    wire.seal = lambda size: 0  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        Sealer(WAY, wire, zero_checksum=True).runs(part_of(bytes(100), 10), 0, 2, 4, 1)
