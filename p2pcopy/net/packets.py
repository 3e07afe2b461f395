"""SCTP packets: the common header, the checksum, chunks in a row (RFC 9260 sections 3, 3.1, 3.2, 6.8)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google_crc32c import extend, value

DATA: Final = 0
INIT: Final = 1
SACK: Final = 3
HEARTBEAT: Final = 4
HEARTBEAT_ACK: Final = 5
PADDING: Final = 0x84  # RFC 4820
FORWARD_TSN: Final = 192  # RFC 3758
# Flags of DATA.
UNORDERED: Final = 4
BEGINS: Final = 2
ENDS: Final = 1
COMMON_HEADER: Final = 12
DATA_HEADER: Final = 28  # with the common one
_SACK_HEADER: Final = 12
_MIN_DATA: Final = 13
# Of the chunks that have parameters (RFC 9260 section 3.3, RFC 6525 section 3.1): bytes of the body that go before them.
_BEFORE_PARAMETERS: Final = {INIT: 16, 2: 16, HEARTBEAT: 0, HEARTBEAT_ACK: 0, 6: 0, 9: 0, 130: 0}

_chunk_header: Final = struct.Struct("!BBH").unpack_from
_data_header: Final = struct.Struct("!LHHL").unpack_from
_sack_header: Final = struct.Struct("!LLHH").unpack_from


class Way:
    """One direction of an association. header: ports and verification tag, the first 8 bytes of each packet."""

    def __init__(self, source: int, destination: int, tag: int) -> None:
        self.ports_and_tag = (source, destination, tag)
        self.header = struct.pack("!HHL", source, destination, tag)
        self._start = extend(extend(0, self.header), bytes(4))

    def checksum(self, chunks: bytes) -> int:
        """CRC32c goes over the packet with zeros in its own place; to be written with the lowest byte first."""
        return int(extend(self._start, chunks))

    def packet(self, chunks: bytes, *, zero_checksum: bool) -> bytes:
        """zero_checksum: RFC 9653."""
        checksum = 0 if zero_checksum else self.checksum(chunks)
        return self.header + checksum.to_bytes(4, "little") + chunks


def with_checksum(packet: bytes) -> bytes:
    """The same packet; where it has none, with its checksum."""
    if packet[8:COMMON_HEADER] != bytes(4):
        return packet
    return packet[:8] + int(value(packet)).to_bytes(4, "little") + packet[COMMON_HEADER:]


@dataclass(frozen=True, slots=True)
class Chunk:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Data:
    """A DATA chunk (RFC 9260 section 3.3.1)."""

    flags: int
    tsn: int
    stream: int
    protocol: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Sack:
    """A SACK chunk (RFC 9260 section 3.3.4). gaps: start, end, start, end... as offsets from the cumulative TSN."""

    cumulative_tsn: int
    window: int
    gaps: tuple[int, ...]
    duplicates: tuple[int, ...]


def chunks(packet: bytes, start: int = COMMON_HEADER) -> Iterator[Chunk]:
    """Those that are whole, in order; nothing after one that is not."""
    while start + 4 <= len(packet):
        kind, flags, length = _chunk_header(packet, start)
        if length < 4 or start + length > len(packet):
            return
        yield Chunk(kind, flags, packet[start + 4 : start + length])
        start += (length + 3) & ~3


def has_sound_parameters(chunk: Chunk) -> bool:
    """Is every parameter at least as long as its own header? (RFC 9260 section 3.2.1) aiortc never ends with one that says 0."""
    at = _BEFORE_PARAMETERS.get(chunk.kind, len(chunk.body))
    while at + 4 <= len(chunk.body):
        length = int.from_bytes(chunk.body[at + 2 : at + 4], "big")
        if length < 4:
            return False
        at += (length + 3) & ~3
    return True


def parse_data(chunk: Chunk) -> Data | None:
    """None when there is no payload."""
    if len(chunk.body) < _MIN_DATA:
        return None
    tsn, stream, _, protocol = _data_header(chunk.body)
    return Data(chunk.flags, tsn, stream, protocol, chunk.body[12:])


def parse_sack(chunk: Chunk) -> Sack | None:
    """None for one that does not hold what it says."""
    if len(chunk.body) < _SACK_HEADER:
        return None
    tsn, window, blocks, duplicates = _sack_header(chunk.body)
    if _SACK_HEADER + 4 * (blocks + duplicates) > len(chunk.body):
        return None
    numbers = struct.unpack_from(f"!{2 * blocks}H{duplicates}L", chunk.body, _SACK_HEADER)
    return Sack(tsn, window, numbers[: 2 * blocks], numbers[2 * blocks :])


def heartbeat(token: bytes, room: int) -> bytes:
    """A HEARTBEAT that is answered with the token, and padding behind it. room: bytes of both, multiple of 4, 16 or more beyond
    the token."""
    info = struct.pack("!HH", 1, 4 + len(token)) + token
    padding = room - 4 - len(info)
    return (
        struct.pack("!BBH", HEARTBEAT, 0, 4 + len(info))
        + info
        + struct.pack("!BBH", PADDING, 0, padding)
        + bytes(padding - 4)
    )


def heartbeat_token(chunk: Chunk) -> bytes:
    """Of a HEARTBEAT-ACK."""
    return chunk.body[4:]
