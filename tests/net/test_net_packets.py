"""SCTP packets: what is built can be read, what is broken is not."""

from __future__ import annotations

import contextlib
import struct

import pytest
from aiortc.rtcsctptransport import CHUNK_TYPES, HeartbeatChunk, SackChunk, parse_packet
from google_crc32c import value
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.packets import (
    COMMON_HEADER,
    DATA,
    FORWARD_TSN,
    HEARTBEAT,
    PADDING,
    SACK,
    Chunk,
    Way,
    chunks,
    has_sound_parameters,
    heartbeat,
    heartbeat_token,
    parse_data,
    parse_sack,
    with_checksum,
)

WAY = Way(5000, 5001, 0x01020304)


def test_a_packet_of_ours_is_read_by_aiortc() -> None:
    sack = SackChunk()
    sack.cumulative_tsn, sack.advertised_rwnd, sack.gaps, sack.duplicates = 7, 1 << 20, [(2, 3), (5, 9)], [1, 2]
    packet = WAY.packet(bytes(sack), zero_checksum=False)
    source, destination, tag, read = parse_packet(packet)
    assert (source, destination, tag, bytes(read[0])) == (5000, 5001, 0x01020304, bytes(sack))
    parsed = parse_sack(next(chunks(packet)))
    assert parsed is not None
    assert (parsed.cumulative_tsn, parsed.window) == (7, 1 << 20)
    assert (parsed.gaps, parsed.duplicates) == ((2, 3, 5, 9), (1, 2))


def test_a_probe_is_a_heartbeat_of_the_right_size() -> None:
    token = bytes(range(16))
    for room in (40, 400, 1420):
        packet = WAY.packet(heartbeat(token, room), zero_checksum=False)
        assert len(packet) == COMMON_HEADER + room
        first, second = chunks(packet)
        assert (first.kind, second.kind) == (HEARTBEAT, PADDING)
        assert heartbeat_token(first) == token
        assert isinstance(HeartbeatChunk(body=first.body), HeartbeatChunk)


def test_a_checksum_is_put_in_where_there_is_none() -> None:
    packet = WAY.packet(b"\x03\x00\x00\x04", zero_checksum=True)
    assert packet[8:12] == bytes(4)
    whole = with_checksum(packet)
    assert int.from_bytes(whole[8:12], "little") == value(packet) == WAY.checksum(packet[12:])
    assert with_checksum(whole) == whole


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=30))), st.binary(max_size=3))
def test_chunks_in_a_row(content: list[tuple[int, int, bytes]], rest: bytes) -> None:
    packet = WAY.header + bytes(4)
    for kind, flags, body in content:
        packet += struct.pack("!BBH", kind, flags, 4 + len(body)) + body + bytes(-len(body) % 4)
    assert list(chunks(packet + rest)) == [Chunk(*each) for each in content]


@given(st.binary(max_size=200))
def test_any_bytes_are_chunks_that_lie_within(packet: bytes) -> None:
    for chunk in chunks(packet):
        assert len(chunk.body) <= len(packet)
        parse_sack(Chunk(SACK, 0, chunk.body))
        parse_data(Chunk(DATA, 0, chunk.body))


def test_what_holds_less_than_it_says() -> None:
    assert list(chunks(bytes(12) + struct.pack("!BBH", FORWARD_TSN, 0, 9) + bytes(4))) == []
    assert list(chunks(bytes(12) + struct.pack("!BBH", FORWARD_TSN, 0, 3) + bytes(4))) == []
    assert parse_sack(Chunk(SACK, 0, bytes(11))) is None
    assert parse_sack(Chunk(SACK, 0, struct.pack("!LLHH", 1, 2, 1, 0))) is None
    assert parse_data(Chunk(DATA, 0, bytes(12))) is None
    data = parse_data(Chunk(DATA, 3, struct.pack("!LHHL", 9, 1, 0, 53) + b"x"))
    assert data is not None
    assert (data.flags, data.tsn, data.stream, data.protocol, data.payload) == (3, 9, 1, 53, b"x")


@given(st.sampled_from(sorted(CHUNK_TYPES)), st.binary(max_size=60))
def test_aiortc_comes_to_an_end_with_what_has_sound_parameters(kind: int, body: bytes) -> None:
    if has_sound_parameters(Chunk(kind, 0, body)):
        with contextlib.suppress(struct.error, ValueError):
            CHUNK_TYPES[kind](flags=0, body=body)


@pytest.mark.parametrize(("kind", "before"), [(1, 16), (2, 16), (4, 0), (5, 0), (6, 0), (9, 0), (130, 0)])
def test_a_parameter_is_at_least_as_long_as_its_header(kind: int, before: int) -> None:
    sound = struct.pack("!HHxxxx", 13, 7)
    for body in (b"", bytes(before), bytes(before) + sound, bytes(before) + sound + b"xyz"):
        assert has_sound_parameters(Chunk(kind, 0, body))
    for length in range(4):
        assert not has_sound_parameters(Chunk(kind, 0, bytes(before) + sound + struct.pack("!HH", 13, length)))
    assert has_sound_parameters(Chunk(SACK, 0, bytes(20)))
