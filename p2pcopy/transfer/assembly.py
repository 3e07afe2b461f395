"""Blocks put together from pieces, and the order of a file's blocks checked against its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from p2pcopy.errors import IntegrityError, ProtocolError
from p2pcopy.transfer.wire import FileEnd, Piece

_HINT: Final = "Use the same version of p2pcopy on both sides."
# Blocks of a file that may be verified ahead of one that is missing; more would be a peer that never sends it.
_MAX_AHEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class WholeBlock:
    """A block whose body is complete. cost: bytes of credit of all its pieces."""

    entry: int
    number: int
    raw_size: int
    body: bytes | bytearray
    digest: bytes
    compressed: bool
    cost: int


@dataclass(slots=True)
class _Partial:
    raw_size: int
    compressed: bool
    body: bytearray
    digest: bytes = b""
    filled: int = 0
    cost: int = 0


class BlockAssembler:
    """Collects pieces in any order. Memory is bounded by max_held bytes of announced block bodies."""

    def __init__(self, max_held: int) -> None:
        self.held = 0
        self._max_held = max_held
        self._partial: dict[tuple[int, int], _Partial] = {}

    def add(self, piece: Piece) -> WholeBlock | None:
        """The block that this piece completes. Raises ProtocolError for pieces that do not fit together."""
        key = (piece.entry, piece.block)
        partial = self._partial.get(key)
        if partial is None:
            if len(piece.body) == piece.total:
                return WholeBlock(
                    piece.entry,
                    piece.block,
                    piece.raw_size,
                    bytes(piece.body),
                    piece.digest,
                    piece.compressed,
                    piece.cost,
                )
            self.held += piece.total
            if self.held > self._max_held:
                raise ProtocolError("the other side began more blocks than it has credit for", _HINT)
            partial = self._partial[key] = _Partial(piece.raw_size, piece.compressed, bytearray(piece.total))
        if (partial.raw_size, partial.compressed, len(partial.body)) != (piece.raw_size, piece.compressed, piece.total):
            raise ProtocolError("the other side sent pieces of different blocks under one number", _HINT)
        partial.body[piece.offset : piece.offset + len(piece.body)] = piece.body
        partial.filled += len(piece.body)
        partial.cost += piece.cost
        partial.digest = piece.digest or partial.digest
        if partial.filled < piece.total:
            return None
        if partial.filled > piece.total or not partial.digest:
            raise ProtocolError("the other side sent a piece of a block twice", _HINT)
        del self._partial[key]
        self.held -= piece.total
        return WholeBlock(
            piece.entry, piece.block, partial.raw_size, partial.body, partial.digest, partial.compressed, partial.cost
        )

    def begun(self, entry: int, block: int) -> bool:
        return (entry, block) in self._partial

    def forget(self, entry: int) -> int:
        """Drop what is held of a file; its cost in credit."""
        cost = 0
        for key in [key for key in self._partial if key[0] == entry]:
            partial = self._partial.pop(key)
            self.held -= len(partial.body)
            cost += partial.cost
        return cost


@dataclass(slots=True)
class FileProgress:
    """The blocks of one file that is under way. size: as announced, None for a stream."""

    size: int | None
    block_size: int
    end: FileEnd | None = None
    stored: int = 0
    in_work: set[int] = field(default_factory=set)
    bad: dict[int, int] = field(default_factory=dict)
    _next: int = 0
    _ahead: dict[int, bytes] = field(default_factory=dict)
    _short: int | None = None
    _digest: blake3 = field(default_factory=blake3)

    def expect(self, piece: Piece) -> None:
        """Check a piece against what the file can have. Raises ProtocolError."""
        number = piece.block
        limit = self.block_size
        if self.size is not None:
            limit = min(limit, self.size - number * self.block_size)
        short = piece.raw_size != limit if self.size is not None else not 0 < piece.raw_size <= limit
        wrong_total = piece.total >= piece.raw_size if piece.compressed else piece.total != piece.raw_size
        if limit <= 0 or short or wrong_total:
            raise ProtocolError("the other side sent a block that the file does not have", _HINT)
        if number in self.in_work or self.known(number):
            raise ProtocolError("the other side sent a block twice", _HINT)

    def known(self, number: int) -> bool:
        """Whether this block is verified and stored."""
        return number < self._next or number in self._ahead

    def verified(self, number: int, raw_size: int, digest: bytes) -> None:
        """A block is stored. Raises ProtocolError when it cannot be part of one file with the others."""
        self.in_work.discard(number)
        self.stored += raw_size
        if raw_size < self.block_size:
            if self._short is not None:
                raise ProtocolError("the other side sent a short block in the middle of a file", _HINT)
            self._short = number
        self._ahead[number] = digest
        if len(self._ahead) > _MAX_AHEAD:
            raise ProtocolError("the other side leaves a block out", _HINT)
        while self._next in self._ahead:
            self._digest.update(self._ahead.pop(self._next))
            self._next += 1

    def whole(self) -> bool:
        """Whether every block up to the end is stored and the digests agree.

        Raises IntegrityError when they do not, ProtocolError when the end does not fit the blocks or the announced size.
        """
        end = self.end
        if end is None:
            return False
        blocks = -(-end.size // self.block_size)
        last_short = self._short is None or self._short == end.blocks - 1
        if end.blocks != blocks or (self.size is not None and end.size != self.size) or not last_short:
            raise ProtocolError("the other side's end of a file does not fit its blocks", _HINT)
        if self._next + len(self._ahead) < end.blocks:
            return False
        if self._next != end.blocks or self.stored != end.size:
            raise ProtocolError("the other side's end of a file does not fit its blocks", _HINT)
        if self._digest.digest() != end.digest:
            raise IntegrityError(
                "a file's hash differs from the hash of its blocks", "Run the same two commands again."
            )
        return True
