"""DATA chunks in two packets."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.halves import HALF, MAX_SIZE, MAX_WAITING, Halves, halves
from p2pcopy.net.packets import COMMON_HEADER, DATA, Chunk, chunks


def data_chunk(tsn: int, payload: bytes, flags: int = 7) -> bytes:
    return struct.pack("!BBHLHHL", DATA, flags, 16 + len(payload), tsn, 1, 2, 53) + payload


def parsed(half: bytes) -> Chunk:
    """As it comes in a packet."""
    (chunk,) = chunks(bytes(COMMON_HEADER) + half)
    return chunk


@given(st.binary(min_size=1, max_size=1500), st.integers(0, 7), st.integers(0, 2**32 - 1), st.booleans())
def test_two_halves_make_the_chunk_again(payload: bytes, flags: int, tsn: int, swapped: bool) -> None:
    chunk = data_chunk(tsn, payload, flags)
    first, second = halves(chunk)
    assert len(second) <= len(first) <= len(chunk) // 2 + 12
    assert len(first) % 4 == len(second) % 4 == 0
    assert first[0] == second[0] == HALF
    waiting = Halves()
    if swapped:
        first, second = second, first
    assert waiting.take(parsed(first)) is None
    assert waiting.take(parsed(second)) == parsed(chunk + bytes(-len(chunk) % 4))
    assert waiting.take(parsed(second)) is None


def test_halves_of_several_chunks_are_told_apart() -> None:
    waiting = Halves()
    pairs = [halves(data_chunk(tsn, bytes([tsn]) * 1400)) for tsn in range(20)]
    assert [waiting.take(parsed(first)) for first, _ in pairs] == [None] * 20
    found = [waiting.take(parsed(second)) for _, second in reversed(pairs)]
    assert [chunk.body[12:] for chunk in found if chunk is not None] == [
        bytes([tsn]) * 1400 for tsn in range(19, -1, -1)
    ]


def test_the_same_half_twice_is_no_chunk() -> None:
    waiting = Halves()
    for half in halves(data_chunk(1, bytes(1400))):
        waiting = Halves()
        assert waiting.take(parsed(half)) is None
        assert waiting.take(parsed(half)) is None


def test_what_makes_no_sense_is_dropped() -> None:
    waiting = Halves()
    first, second = (parsed(half) for half in halves(data_chunk(1, bytes(1400))))
    assert waiting.take(Chunk(HALF, 0, b"abc")) is None
    assert waiting.take(Chunk(HALF, 0, bytes(MAX_SIZE + 1))) is None
    assert waiting.take(Chunk(HALF, 3, first.body)) is None
    assert waiting.take(second) is None  # of another chunk than the one before
    assert waiting.take(first) is not None
    assert not waiting._waiting


def test_the_oldest_are_forgotten() -> None:
    waiting = Halves()
    pairs = [[parsed(half) for half in halves(data_chunk(tsn, bytes(1400)))] for tsn in range(MAX_WAITING + 1)]
    for first, _ in pairs:
        waiting.take(first)
    assert len(waiting._waiting) == MAX_WAITING
    assert waiting.take(pairs[-1][1]) is not None
    assert waiting.take(pairs[0][1]) is None
    assert MAX_WAITING * MAX_SIZE <= 4 << 20
