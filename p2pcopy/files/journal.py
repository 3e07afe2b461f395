"""The journal of a part file: which blocks of the file are in it. The format, pure.

A header of 76 bytes, then records of 44 bytes, only ever appended: a block (number, BLAKE3 digest), or that all before was synced.
All integers are little-endian. Header and records end with a CRC-32 of everything before it but the other CRCs: whatever a crash, a
bad disk or another program made of the end of the file ends what is read of it. A damaged header makes all of it worthless.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self
from zlib import crc32

from p2pcopy.transfer.held import bytes_of

MAX_BLOCKS: Final = 2**20
"""So many blocks are recorded at most, 1 TiB in blocks of 1 MiB: it bounds what a journal takes to read."""

_MAGIC: Final = b"p2pcopyJ\x01\0\0\0"
_HEADER: Final = struct.Struct("<12sQqQQqi16sI")
_RECORD: Final = struct.Struct("<Q32sI")
_CLAIM: Final = struct.Struct("<Q32s")
_CHECK: Final = struct.Struct("<I")
_SYNCED: Final = _CLAIM.pack(2**64 - 1, bytes(32))
_NO_BIRTH: Final = -1

HEADER_SIZE: Final = _HEADER.size
RECORD_SIZE: Final = _RECORD.size
# Every block, and twice as many records again of syncs and of blocks that came once more.
MAX_SIZE: Final = HEADER_SIZE + 3 * MAX_BLOCKS * RECORD_SIZE


class JournalFault(Exception):
    """This is no journal, or not one that can be trusted. The text says why, as half a sentence."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Tells a file from all others on its file system, also from a later one with the same inode number.

    birth: when it was made, in seconds and nanoseconds; None where the system does not tell.
    """

    inode: int
    birth: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal is about. size, mtime_ns: of the file as it is offered; block_size: in bytes; part: the part file.

    nonce: 16 random bytes, so that nothing of an older journal fits.
    """

    size: int
    mtime_ns: int
    block_size: int
    part: Identity
    nonce: bytes

    @property
    def blocks(self) -> int:
        """How many blocks the file has."""
        return -(-self.size // self.block_size)

    def encode(self) -> bytes:
        seconds, nanoseconds = self.part.birth or (0, _NO_BIRTH)
        checked = _HEADER.pack(
            _MAGIC, self.size, self.mtime_ns, self.block_size, self.part.inode, seconds, nanoseconds, self.nonce, 0
        )[: -_CHECK.size]
        return checked + _CHECK.pack(crc32(checked))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Of the first bytes of a journal. Raises JournalFault."""
        if len(data) < HEADER_SIZE or data[: len(_MAGIC)] != _MAGIC:
            raise JournalFault("its journal is damaged")
        _, size, mtime_ns, block_size, inode, seconds, nanoseconds, nonce, check = _HEADER.unpack(data[:HEADER_SIZE])
        if crc32(data[: HEADER_SIZE - _CHECK.size]) != check or not size or not block_size:
            raise JournalFault("its journal is damaged")
        birth = None if nanoseconds == _NO_BIRTH else (seconds, nanoseconds)
        return cls(size, mtime_ns, block_size, Identity(inode, birth), nonce)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record of a journal begins. offset: in bytes; check: CRC-32 of everything before but the CRCs.

    They must be left out: the CRC-32 of anything followed by its own CRC-32 is always the same.
    """

    offset: int
    check: int

    def block(self, number: int, digest: bytes) -> tuple[bytes, Place]:
        """The record "a block was written" here, and the place behind it. number: below 2**63; digest: 32 bytes."""
        return self._put(_CLAIM.pack(number, digest))

    def synced(self) -> tuple[bytes, Place]:
        """The record "every block before this is on the disk"."""
        return self._put(_SYNCED)

    def _put(self, record: bytes) -> tuple[bytes, Place]:
        check = crc32(record, self.check)
        return record + _CHECK.pack(check), Place(self.offset + RECORD_SIZE, check)


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal says. synced: digests by block number of what was on the disk; written: of what was given to the system since.

    end: where the next record belongs; synced_end: the same, when what was written since the last sync is not to count.
    """

    header: Header
    synced: dict[int, bytes]
    written: dict[int, bytes]
    end: Place
    synced_end: Place

    @property
    def claimed_bytes(self) -> int:
        """How much of the file it stands for."""
        return bytes_of(self.synced.keys() | self.written.keys(), self.header.size, self.header.block_size)


def decode(data: bytes) -> Journal:
    """Everything up to the first record that is torn, damaged or does not belong there. Raises JournalFault."""
    header = Header.decode(data)
    synced: dict[int, bytes] = {}
    written: dict[int, bytes] = {}
    (running,) = _CHECK.unpack_from(data, HEADER_SIZE - _CHECK.size)
    end = synced_end = Place(HEADER_SIZE, running)
    for offset in range(HEADER_SIZE, len(data) - RECORD_SIZE + 1, RECORD_SIZE):
        claim = data[offset : offset + _CLAIM.size]
        running = crc32(claim, running)
        number, digest, stated = _RECORD.unpack_from(data, offset)
        if stated != running:
            break
        if claim == _SYNCED:
            synced |= written
            written = {}
            synced_end = Place(offset + RECORD_SIZE, running)
        elif number >= header.blocks:
            raise JournalFault("its journal tells of blocks that the file does not have")
        else:
            # It was written once more, so the older content may be gone.
            synced.pop(number, None)
            written[number] = digest
        end = Place(offset + RECORD_SIZE, running)
    return Journal(header, synced, written, end, synced_end)


def beginning(header: Header) -> tuple[bytes, Place]:
    """The first bytes of a new journal, and the place behind them."""
    data = header.encode()
    return data, Place(HEADER_SIZE, *_CHECK.unpack(data[-_CHECK.size :]))
