"""Records of the data channel: binary, back to back in a message (docs/protocol.md). Pure.

Parsing takes anything and gives records or a ProtocolError.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from msgspec import Struct

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.wire import DIGEST_SIZE, UPDATE_HINT, FaultReason

PIECE_HEADER: Final = struct.Struct("!BBIIIIII")
END_RECORD: Final = struct.Struct("!BBIIQ32s")
FAULT_RECORD: Final = struct.Struct("!BBI")
FLAG_ZSTD: Final = 1
FLAG_OVER: Final = 2
MAX_RECORDS: Final = 1024


class _Type(IntEnum):
    """First byte of a record."""

    PIECE = 1
    END = 2
    FAULT = 3


class Piece(Struct, frozen=True, gc=False):
    """A part of a block's body. digest: BLAKE3 of the raw block, in the piece at offset 0 only, b"" in the others.

    raw_size: bytes of the block as it is in the file. total: bytes of its body on the wire. size: bytes of this record.
    over: the file is sent from its beginning, whatever the receiver had of it.
    """

    entry: int
    block: int
    raw_size: int
    total: int
    offset: int
    compressed: bool
    digest: bytes
    body: bytes | memoryview
    size: int
    over: bool = False


class FileEnd(Struct, frozen=True, gc=False):
    """All blocks of a file have been sent, but for those that the receiver had.

    digest: BLAKE3 over the digests of all blocks in order. file_size: bytes. over: as in Piece.
    """

    entry: int
    blocks: int
    file_size: int
    digest: bytes
    over: bool = False

    size = END_RECORD.size


class FileFault(Struct, frozen=True, gc=False):
    """The sender cannot send this file, or the rest of it."""

    entry: int
    reason: FaultReason

    size = FAULT_RECORD.size


Record = Piece | FileEnd | FileFault


def piece_head(
    entry: int,
    block: int,
    raw_size: int,
    total: int,
    offset: int,
    length: int,
    compressed: bool,
    digest: bytes,
    over: bool = False,
) -> bytes:
    """What stands before length bytes of a block's body from offset, total bytes long in all."""
    flags = (FLAG_ZSTD if compressed else 0) | (FLAG_OVER if over else 0)
    header = PIECE_HEADER.pack(_Type.PIECE, flags, entry, block, raw_size, total, offset, length)
    return header + digest if offset == 0 else header


def encode_end(entry: int, blocks: int, size: int, digest: bytes, over: bool = False) -> bytes:
    """A FileEnd record."""
    return END_RECORD.pack(_Type.END, FLAG_OVER if over else 0, entry, blocks, size, digest)


def encode_fault(entry: int, reason: FaultReason) -> bytes:
    """A FileFault record."""
    return FAULT_RECORD.pack(_Type.FAULT, reason, entry)


def decode_records(message: bytes, *, limit: int) -> list[Record]:
    """The records of a data message. Raises ProtocolError unless the message is whole records from first to last byte."""
    if not 0 < len(message) <= limit:
        raise ProtocolError(f"the other side sent a data message of {len(message)} bytes", UPDATE_HINT)
    records: list[Record] = []
    position = 0
    while position < len(message):
        if len(records) == MAX_RECORDS:
            raise ProtocolError(f"the other side sent more than {MAX_RECORDS} records in a message", UPDATE_HINT)
        record = _decode_record(message, position)
        records.append(record)
        position += record.size
    return records


def _decode_record(message: bytes, position: int) -> Record:
    try:
        match message[position]:
            case _Type.PIECE:
                return _decode_piece(message, position)
            case _Type.END:
                _, flags, entry, blocks, size, digest = END_RECORD.unpack_from(message, position)
                if not flags & ~FLAG_OVER:
                    return FileEnd(entry, blocks, size, digest, flags == FLAG_OVER)
            case _Type.FAULT:
                _, reason, entry = FAULT_RECORD.unpack_from(message, position)
                return FileFault(entry, FaultReason(reason))
    except (struct.error, ValueError) as error:
        raise _bad_record() from error
    raise _bad_record()


def _decode_piece(message: bytes, position: int) -> Piece:
    _, flags, entry, block, raw_size, total, offset, length = PIECE_HEADER.unpack_from(message, position)
    start = position + PIECE_HEADER.size + (DIGEST_SIZE if offset == 0 else 0)
    end = start + length
    if flags & ~(FLAG_ZSTD | FLAG_OVER) or length == 0 or offset + length > total or end > len(message):
        raise _bad_record()
    digest = message[start - DIGEST_SIZE : start] if offset == 0 else b""
    # A view keeps the whole message in memory, which is worth it for a large part of the message only.
    body = memoryview(message)[start:end] if 2 * length >= len(message) else message[start:end]
    compressed, over = flags & FLAG_ZSTD != 0, flags & FLAG_OVER != 0
    return Piece(entry, block, raw_size, total, offset, compressed, digest, body, end - position, over)


def _bad_record() -> ProtocolError:
    return ProtocolError("the other side sent a data message that makes no sense", UPDATE_HINT)
