"""Records packed into data messages, one copy of what they carry. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from p2pcopy.transfer.flow import cost
from p2pcopy.transfer.records import MAX_RECORDS, PIECE_HEADER, piece_head
from p2pcopy.transfer.wire import DIGEST_SIZE

# A block is not cut for less room than this: the rest of the message stays empty.
_LEAST_PIECE: Final = 4096


class Packed(Struct, frozen=True, gc=False):
    """A data message. cost: bytes of credit; raw_size: of the blocks that begin in it, as they are in their files."""

    message: bytes
    cost: int
    raw_size: int = 0


class Packer:
    """Fills messages one after another. message_size: in bytes, at least 8192 whatever is given."""

    def __init__(self, message_size: int) -> None:
        self._message_size = 0
        self._full: list[Packed] = []
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._records = 0
        self._raw_size = 0
        self.resize(message_size)

    def resize(self, message_size: int) -> None:
        """From now on. What is gathered already and leaves no room becomes a message."""
        self._message_size = max(2 * _LEAST_PIECE, message_size)
        if self._size >= self._message_size:
            self.close()

    def record(self, record: bytes) -> None:
        """A whole record without a body."""
        self._make_room(len(record))
        self._parts.append(record)
        self._size += len(record)
        self._records += 1

    def block(
        self, entry: int, number: int, raw_size: int, body: bytes, digest: bytes, compressed: bool, over: bool = False
    ) -> None:
        """The records of a block. body: as it goes on the wire; it is copied when its message is full, not before."""
        total = len(body)
        offset = 0
        while offset < total:
            head_size = PIECE_HEADER.size + (DIGEST_SIZE if offset == 0 else 0)
            self._make_room(head_size + min(total - offset, _LEAST_PIECE))
            length = min(total - offset, self._message_size - self._size - head_size)
            part = body if length == total else memoryview(body)[offset : offset + length]
            head = piece_head(entry, number, raw_size, total, offset, length, compressed, digest, over)
            self._parts += (head, part)
            self._size += head_size + length
            self._records += 1
            self._raw_size += raw_size if offset == 0 else 0
            offset += length
        if self._size == self._message_size:
            self.close()

    def close(self) -> None:
        """What is gathered becomes a message that is not full."""
        if self._records:
            self._full.append(Packed(b"".join(self._parts), cost(self._size, self._records), self._raw_size))
            self._parts, self._size, self._records, self._raw_size = [], 0, 0, 0

    def take(self) -> list[Packed]:
        """The messages that are full or closed; each is given out once."""
        full, self._full = self._full, []
        return full

    def _make_room(self, size: int) -> None:
        if self._size + size > self._message_size or self._records == MAX_RECORDS:
            self.close()
