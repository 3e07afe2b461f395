"""Long records in slices: whatever comes in whichever order, records come out whole or not at all."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.slices import (
    HEADER,
    MAX_DATAGRAMS,
    MAX_SIZE,
    MAX_SLICE,
    MAX_SLICES,
    MAX_WAITING,
    MIN_SLICE,
    SLICE,
    Joiner,
    Slicer,
)

ROOMY = 1 << 17  # bytes: as the buffers that datagrams are read into, longer than what is in them


def record(size: int, seed: int) -> bytes:
    """With the header of DTLS 1.2."""
    return struct.pack("!BHQH", 23, 0xFEFD, 1 << 48 | seed, size - 13) + Random(seed).randbytes(size - 13)


def cut(records: Sequence[bytes], count: int, first: int = 0, slicer: Slicer | None = None) -> list[bytes]:
    """The datagrams of records of one size."""
    if slicer is None:
        slicer = Slicer(bytearray(b"".join(records)), first)
    data, segment = slicer.cut(len(records[0]), count, len(records))
    return [data[at : at + segment] for at in range(0, len(data), segment)]


def batches(datagrams: Sequence[bytes], stops: Sequence[int] = ()) -> list[list[bytes]]:
    """As they are read: those of one size together, a shorter one at the end; with further stops."""
    found: list[list[bytes]] = []
    for at, datagram in enumerate(datagrams):
        last = found[-1] if found else []
        if last and at not in stops and len(last[-1]) == len(last[0]) >= len(datagram):
            last.append(datagram)
        else:
            found.append([datagram])
    return found


def join(joiner: Joiner, batch: Sequence[bytes], buffer: bytearray | None = None) -> list[bytes]:
    """What comes of one batch. buffer: where it is read into; by default there is no more room than it needs."""
    data = b"".join(batch)
    if buffer is None:
        buffer = bytearray(data)
    buffer[: len(data)] = data
    return [record[:length] for record, length in joiner.take(buffer, len(data), len(batch[0]))]


def join_all(joiner: Joiner, datagrams: Sequence[bytes], stops: Sequence[int] = (), room: int = 0) -> list[bytes]:
    buffer = bytearray(room) if room else None
    return [each for batch in batches(datagrams, stops) for each in join(joiner, batch, buffer)]


@st.composite
def bursts(draw: st.DrawFn) -> tuple[list[bytes], int]:
    """Records, and in how many slices each is to be cut."""
    count = draw(st.integers(1, MAX_SLICES))
    # The last slice may be shorter than the others, and comes alone at times.
    size = draw(st.integers(count * (MIN_SLICE - HEADER + count), min(MAX_SIZE, count * (MAX_SLICE - HEADER))))
    most = min(MAX_DATAGRAMS // count, 70_000 // size)
    return [record(size, seed) for seed in range(draw(st.integers(1, most)))], count


@given(bursts(), st.integers(0, 70_000), st.sampled_from([0, ROOMY]))
def test_records_come_out_as_they_went_in(burst: tuple[list[bytes], int], first: int, room: int) -> None:
    records, count = burst
    datagrams = cut(records, count, first)
    assert len(datagrams) == len(records) * count
    assert all(len(datagram) == len(datagrams[0]) for datagram in datagrams[:-1])
    assert len(datagrams[-1]) + count - 1 >= MIN_SLICE
    assert {datagram[0] for datagram in datagrams} == {SLICE}
    assert join_all(Joiner(), datagrams, room=room) == records


@given(bursts(), st.data())
def test_in_any_order_twice_or_never(burst: tuple[list[bytes], int], data: st.DataObject) -> None:
    records, count = burst
    records = records[:MAX_WAITING]
    random = data.draw(st.randoms(use_true_random=False))
    numbered = list(enumerate(cut(records, count, data.draw(st.integers(0, 70_000)))))
    lost = {at for at, _ in numbered if random.random() < 0.1}
    arriving = [each for each in numbered if each[0] not in lost for _ in range(random.choice([1, 1, 1, 2]))]
    how = data.draw(st.sampled_from(["in order", "a little late", "anyhow"]))
    if how == "anyhow":
        random.shuffle(arriving)
    elif how == "a little late":
        arriving = [each for _, each in sorted((at + 3 * random.random(), each) for at, each in enumerate(arriving))]
    stops = [at for at in range(len(arriving)) if random.random() < 0.1]
    got = join_all(Joiner(), [datagram for _, datagram in arriving], stops, data.draw(st.sampled_from([0, ROOMY])))
    spoilt = {at // count for at in lost}
    assert set(got) == {each for at, each in enumerate(records) if at not in spoilt}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_bursts_of_several_kinds_between_each_other(shapes: list[int], random: Random) -> None:
    """From one sender, with one row of numbers."""
    sealed = bytearray(70_000)
    slicer, expected, datagrams = Slicer(sealed, 0xFFFE), [], []
    for seed, shape in enumerate(shapes):
        records = [record(1000 * shape + 7, 10 * seed + at) for at in range(3)]
        sealed[: sum(map(len, records))] = b"".join(records)
        expected += records
        datagrams += cut(records, 3 * shape, slicer=slicer)
    random.shuffle(datagrams)
    assert sorted(join_all(Joiner(), datagrams, room=ROOMY)) == sorted(expected)


@pytest.mark.parametrize("stop", range(1, 11))
def test_a_record_in_two_batches(stop: int) -> None:
    records = [record(12_000, seed) for seed in range(4)]
    joiner, datagrams = Joiner(), cut(records, 11)
    assert join_all(joiner, datagrams, [11 + stop], ROOMY) == records
    assert not joiner._waiting


def test_the_numbers_of_a_row_that_wraps() -> None:
    records = [record(2600, seed) for seed in range(20)]
    datagrams = cut(records, 2, 0xFFFFFFF8)
    numbers = [int.from_bytes(datagram[2:HEADER], "big") for datagram in datagrams[::2]]
    assert [(after - before) & 0xFFFF for before, after in pairwise(numbers)] == [1] * 19
    assert join_all(Joiner(), datagrams[::-1]) == records[::-1]


def test_a_burst_leaves_nothing_of_the_one_before() -> None:
    """A longer one went through the same buffers on both sides."""
    sealed, joiner, buffer = bytearray(70_000), Joiner(), bytearray(ROOMY)
    slicer = Slicer(sealed)
    for size, count, number in ((15_000, 11, 4), (3_000, 3, 1), (12_000, 11, 4), (2_600, 2, 7), (15_000, 11, 4)):
        records = [record(size, seed) for seed in range(number)]
        sealed[: size * number] = b"".join(records)
        datagrams = cut(records, count, slicer=slicer)
        assert join(joiner, datagrams, buffer) == records


def test_many_shapes_of_bursts_and_many_buffers() -> None:
    """What is remembered of them is bounded, and right when it is worked out anew."""
    sealed, joiner = bytearray(70_000), Joiner()
    slicer = Slicer(sealed)
    for size in (*range(1000, 1060), *range(1000, 1060)):
        records = [record(size, size + seed) for seed in range(2)]
        sealed[: 2 * size] = b"".join(records)
        assert join(joiner, cut(records, 2, slicer=slicer)) == records
    assert max(len(slicer._plans), len(joiner._pieces)) <= 16


def test_a_buffer_that_is_used_with_more_and_more_datagrams() -> None:
    records, joiner, buffer = [record(3000, seed) for seed in range(12)], Joiner(), bytearray(ROOMY)
    for number in (1, 2, 12, 5):
        assert join(joiner, cut(records, 3)[: 3 * number], buffer) == records[:number]


def slice_of(number: int, index: int, last: int, content: bytes) -> bytes:
    return bytes([SLICE, last << 4 | index]) + number.to_bytes(2, "big") + content


@pytest.mark.parametrize("size", [*range(4), HEADER, HEADER + 5, MIN_SLICE - 1, MAX_SLICE + 1, 9000])
def test_slices_of_a_size_that_no_path_wants(size: int) -> None:
    joiner = Joiner()
    datagram = slice_of(7, 0, 0, record(20_000, 1))[:size]
    assert join(joiner, [datagram]) == join(joiner, [datagram] * 3) == []
    assert not joiner._waiting


@pytest.mark.parametrize("size", range(1, 20))
@pytest.mark.parametrize("room", [0, ROOMY])
def test_a_last_datagram_that_is_far_too_short(size: int, room: int) -> None:
    whole, joiner = cut([record(900, 1)], 3), Joiner()
    buffer = bytearray(room) if room else None
    assert join(joiner, [*whole, slice_of(1, 0, 0, record(300, 2))[:size]], buffer) == [record(900, 1)]
    assert len(joiner._waiting) <= 1


@pytest.mark.parametrize("room", [0, ROOMY])
@pytest.mark.parametrize("said", [0, 286, 288, 600, 16_371, 65_535])
def test_a_record_that_is_longer_than_what_came(said: int, room: int) -> None:
    """or shorter: DTLS is only given what the record's header speaks of."""
    content = record(300, 1)
    content = content[:11] + said.to_bytes(2, "big") + content[13:]
    joiner, buffer = Joiner(), bytearray(room) if room else None
    got = join(joiner, [slice_of(1, 0, 0, content)], buffer)
    assert got == ([content[: said + 13]] if said + 13 <= 300 else [])
    first, second = (slice_of(2, index, 1, content[150 * index :].ljust(300)) for index in (0, 1))
    assert join(joiner, [second], buffer) == []
    assert all(len(each) == said + 13 <= 600 for each in join(joiner, [first], buffer))


def test_a_record_that_openssl_would_not_take_in_one_piece() -> None:
    joiner = Joiner()
    datagrams = cut([record(MAX_SIZE + 1, 1)], 9)
    assert join(joiner, datagrams) == join_all(joiner, datagrams[::-1]) == []
    longest = record(MAX_SIZE, 1)
    assert join_all(joiner, cut([longest], 9)[::-1]) == [longest]


def test_an_index_beyond_the_last() -> None:
    joiner = Joiner()
    content = record(600, 1)
    assert join(joiner, [slice_of(1, 5, 1, content[:300])] * 2) == []
    assert join(joiner, [slice_of(1, 0, 1, content[:300]), slice_of(1, 1, 1, content[300:])]) == [content]


def test_a_number_that_has_another_record_now() -> None:
    """The old one has lost a slice, and is given up."""
    joiner = Joiner()
    old, new = record(900, 1), record(800, 2)
    assert join_all(joiner, cut([old], 3)[:2]) == []
    assert join_all(joiner, cut([new], 2)[::-1]) == [new]
    assert join_all(joiner, cut([old], 3)[2:]) == []


def test_the_same_slice_for_all() -> None:
    joiner = Joiner()
    first, second = cut([record(600, 1)], 2)
    assert join(joiner, [first] * 9) == join(joiner, [second[:2] + b"\1\1" + second[4:]]) == []
    assert join(joiner, [second]) == [record(600, 1)]


def test_records_that_are_never_whole_are_forgotten() -> None:
    joiner = Joiner()
    first = [slice_of(number, 0, 15, bytes(MAX_SLICE - HEADER)) for number in range(1 << 16)]
    assert join_all(joiner, first[:5000], room=ROOMY * 100) == []
    assert len(joiner._waiting) == MAX_WAITING
    waits = [sum(map(len, pieces)) for pieces in joiner._waiting.values()]
    assert sum(waits) <= MAX_WAITING * MAX_SLICE
    whole = record(600, 1)
    assert join(joiner, cut([whole], 2, 4999)) == [whole]
    assert join_all(joiner, cut([whole], 2, 6000)[::-1]) == [whole]


@given(
    st.lists(st.tuples(st.binary(min_size=3, max_size=3), st.integers(0, 2100), st.integers(0, 17_000)), max_size=40),
    st.sampled_from([0, ROOMY]),
)
def test_any_slices_make_records_as_long_as_they_say(drawn: list[tuple[bytes, int, int]], room: int) -> None:
    joiner, buffer = Joiner(), bytearray(room) if room else None
    datagrams = [(bytes([SLICE]) + head + record(13, said) + bytes(2100))[: 4 + size] for head, size, said in drawn]
    for batch in batches(datagrams):
        for length in map(len, join(joiner, batch, buffer)):
            assert 13 <= length <= MAX_SIZE
    for size, alike in groupby(sorted(datagrams, key=len), len):
        if size:
            join(joiner, list(alike), buffer)
    assert len(joiner._waiting) <= MAX_WAITING
    assert all(len(pieces) <= MAX_SLICES for pieces in joiner._waiting.values())
