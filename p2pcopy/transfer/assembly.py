"""The files that are under way at the receiver: blocks put together from pieces, and checked against their file. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3
from msgspec import Struct

from p2pcopy.config import TransferLimits
from p2pcopy.errors import IntegrityError, ProtocolError
from p2pcopy.transfer.held import Digests, bytes_of
from p2pcopy.transfer.records import FileEnd, Piece
from p2pcopy.transfer.wire import DIGEST_SIZE, UPDATE_HINT

# Verified blocks that wait for one before them. An honest peer gets there only if the path loses a message and delivers
# the next 64 GiB.
MAX_AHEAD: Final = 65536
# Damaged blocks that have not come again. Beyond this it is not one bad block any more.
MAX_BAD: Final = 64


class WholeBlock(Struct, frozen=True, gc=False):
    """A block whose body is complete.

    parts: of the body, in order; size: bytes of the records that brought them, one for each part.
    """

    entry: int
    number: int
    raw_size: int
    parts: tuple[bytes | memoryview, ...]
    digest: bytes
    compressed: bool
    size: int


class _Partial:
    """The pieces of a block in any order."""

    __slots__ = ("_digest", "_filled", "_first", "_parts", "size")

    def __init__(self, piece: Piece) -> None:
        self._first = piece
        self._parts: dict[int, bytes | memoryview] = {}
        self._digest = b""
        self._filled = 0
        self.size = 0

    def add(self, piece: Piece) -> WholeBlock | None:
        """The block when this piece completes it. Raises ProtocolError for pieces that do not fit together."""
        first = self._first
        if (first.raw_size, first.total, first.compressed) != (piece.raw_size, piece.total, piece.compressed):
            raise ProtocolError("the other side sent pieces of different blocks under one number", UPDATE_HINT)
        if piece.offset in self._parts:
            raise ProtocolError("the other side sent a piece of a block twice", UPDATE_HINT)
        self._parts[piece.offset] = piece.body
        self._filled += len(piece.body)
        self.size += piece.size
        self._digest = self._digest or piece.digest
        if self._filled < piece.total:
            return None
        return WholeBlock(
            piece.entry, piece.block, piece.raw_size, self._ordered(), self._digest, piece.compressed, self.size
        )

    def _ordered(self) -> tuple[bytes | memoryview, ...]:
        if len(self._parts) == 1:
            return (self._first.body,)
        offsets = sorted(self._parts)
        parts = tuple(self._parts[offset] for offset in offsets)
        position = 0
        for offset, part in zip(offsets, parts, strict=True):
            if offset != position:
                raise ProtocolError("the other side sent pieces of a block that overlap", UPDATE_HINT)
            position += len(part)
        return parts

    @property
    def records(self) -> int:
        """How many pieces there are."""
        return len(self._parts)


@dataclass(slots=True)
class FileProgress:
    """The blocks of one file. size: in bytes, None for a stream until its end is known. stored: bytes verified and written.

    held: what was there of it before; over: the sender sends all of it nevertheless.
    """

    size: int | None
    block_size: int
    held: Digests = field(default_factory=Digests)
    over: bool = False
    end: FileEnd | None = None
    stored: int = 0
    arrived: int = 0
    bad: dict[int, int] = field(default_factory=dict)
    ahead: dict[int, bytes] = field(default_factory=dict)
    # None: the block is complete and on its way to the store.
    _under_way: dict[int, _Partial | None] = field(default_factory=dict)
    _next: int = 0
    _short: int | None = None
    _hash: blake3 | None = None

    def __post_init__(self) -> None:
        if self.held and self.size is not None:
            self.arrived = len(self.held)
            self.stored = bytes_of(self.held, self.size, self.block_size)
            self._go_on()

    @property
    def waiting(self) -> bool:
        """Whether something of this file has not come yet."""
        return self.end is None or self.arrived < self.end.blocks

    @property
    def whole(self) -> bool:
        """Whether every block up to the end is stored."""
        return self.end is not None and self._next == self.end.blocks

    def take_piece(self, piece: Piece) -> WholeBlock | None:
        """The block that this piece completes. Raises ProtocolError for what the file cannot have."""
        number = piece.block
        if number not in self._under_way:
            self._check_new(piece)
            self._under_way[number] = _Partial(piece)
        partial = self._under_way[number]
        if partial is None:
            raise _twice()
        block = partial.add(piece)
        if block is not None:
            self._under_way[number] = None
            self.arrived += 1
        return block

    def take_end(self, end: FileEnd) -> None:
        """The end record. Raises ProtocolError when it does not fit the announced size or the blocks so far."""
        blocks = -(-end.file_size // self.block_size)
        known = max([self._next - 1, *self._under_way, *self.ahead])
        if (
            end.blocks != blocks
            or known >= blocks
            or self.size not in (None, end.file_size)
            or self._short not in (None, blocks - 1)
        ):
            raise _wrong_end()
        self.size, self.end = end.file_size, end

    def verified(self, number: int, raw_size: int, digest: bytes) -> None:
        """A block is stored. Raises ProtocolError when it cannot be part of one file with the others."""
        del self._under_way[number]
        self.bad.pop(number, None)
        self.stored += raw_size
        if raw_size < self.block_size:
            if self._short is not None:
                raise ProtocolError("the other side sent a short block in the middle of a file", UPDATE_HINT)
            self._short = number
        self.ahead[number] = digest
        self._go_on()

    def damaged(self, number: int) -> int:
        """A block did not fit its digest: how often by now."""
        del self._under_way[number]
        self.arrived -= 1
        self.bad[number] = self.bad.get(number, 0) + 1
        return self.bad[number]

    def intact(self) -> bool:
        """Of a whole file: whether the digests of its blocks give the one in its end record."""
        digest = (self._hash or blake3()).digest()
        return self.end is not None and digest == self.end.digest

    def incomplete(self) -> tuple[int, int]:
        """Bytes and number of the pieces whose block is not complete."""
        partials = [partial for partial in self._under_way.values() if partial is not None]
        return sum(partial.size for partial in partials), sum(partial.records for partial in partials)

    def _go_on(self) -> None:
        """Hash the digests up to the first block that is missing."""
        if self._hash is None:
            self._hash = blake3()
        while True:
            if (digest := self.ahead.pop(self._next, b"")) or (digest := self.held.run_at(self._next)):
                self._hash.update(digest)
                self._next += len(digest) // DIGEST_SIZE
            else:
                return

    def _check_new(self, piece: Piece) -> None:
        number, raw_size = piece.block, piece.raw_size
        if number < self._next or number in self.ahead or number in self.held:
            raise _twice()
        if self.size is None:
            fits = 0 < raw_size <= self.block_size
        else:
            fits = raw_size == min(self.block_size, self.size - number * self.block_size) > 0
        body_fits = piece.total < raw_size if piece.compressed else piece.total == raw_size
        if not (fits and body_fits):
            raise ProtocolError("the other side sent a block that the file does not have", UPDATE_HINT)
        if number >= self._next + MAX_AHEAD:
            raise ProtocolError("the other side leaves a block out", UPDATE_HINT)


class OpenFiles:
    """All files of which something has come and something is missing, by index.

    At most max_open_files of them wait for the peer; the others hold credit, and are bounded by it.
    """

    def __init__(self, limits: TransferLimits) -> None:
        self._max_waiting = limits.max_open_files
        self._files: dict[int, FileProgress] = {}
        self._held: dict[int, Digests] = {}
        self._waiting = 0
        self._ahead = 0
        self._bad = 0

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, entry: int) -> bool:
        return entry in self._files

    def hold(self, entry: int, digests: Digests) -> None:
        """Blocks of this file are there already. Before anything of it comes."""
        self._held[entry] = digests

    def is_held(self, entry: int) -> bool:
        """Whether hold() told of this file, and the sender has not begun it."""
        return entry in self._held

    def take_piece(self, piece: Piece, size: int | None, block_size: int) -> WholeBlock | None:
        """The block that this piece completes. size: of its file, in bytes. Raises ProtocolError."""
        file = self._open(piece, size, block_size)
        before = file.waiting
        block = file.take_piece(piece)
        self._waits(file.waiting - before)
        return block

    def take_end(self, end: FileEnd, size: int | None, block_size: int) -> None:
        """The end record of a file. Raises ProtocolError."""
        file = self._open(end, size, block_size)
        before = file.waiting
        file.take_end(end)
        self._waits(file.waiting - before)

    def verified(self, block: WholeBlock) -> None:
        """A block is stored. Raises ProtocolError."""
        file = self._files[block.entry]
        ahead, bad = len(file.ahead), len(file.bad)
        file.verified(block.number, block.raw_size, block.digest)
        self._ahead += len(file.ahead) - ahead
        self._bad += len(file.bad) - bad
        if self._ahead > MAX_AHEAD:
            raise ProtocolError("the other side leaves blocks out", UPDATE_HINT)

    def damaged(self, block: WholeBlock) -> int:
        """A block did not fit its digest: how often by now. Raises IntegrityError when too many blocks are damaged."""
        file = self._files[block.entry]
        before, bad = file.waiting, len(file.bad)
        times = file.damaged(block.number)
        self._waits(file.waiting - before)
        self._bad += len(file.bad) - bad
        if self._bad > MAX_BAD:
            raise IntegrityError(
                f"more than {MAX_BAD} blocks arrived damaged",
                "Check the memory of both machines, then run the same two commands again.",
            )
        return times

    def take_whole(self, entry: int) -> FileProgress | None:
        """The file when all its blocks are stored; it is forgotten here. Raises ProtocolError when they are not as long as it."""
        file = self._files[entry]
        if not file.whole:
            return None
        if file.stored != file.size or file.bad:
            raise _wrong_end()
        del self._files[entry]
        return file

    def drop(self, entry: int) -> tuple[int, int]:
        """Forget a file. Bytes and number of the pieces that its incomplete blocks held."""
        self._held.pop(entry, None)
        file = self._files.pop(entry, None)
        if file is None:
            return 0, 0
        self._waiting -= file.waiting
        self._ahead -= len(file.ahead)
        self._bad -= len(file.bad)
        return file.incomplete()

    def _open(self, record: Piece | FileEnd, size: int | None, block_size: int) -> FileProgress:
        file = self._files.get(record.entry)
        if file is None:
            held = self._held.pop(record.entry, None)
            if held is None or record.over:
                held = Digests()
            file = self._files[record.entry] = FileProgress(size, block_size, held, record.over)
            self._waits(1)
        elif file.over != record.over:
            raise ProtocolError("the other side goes on with a file and begins it again at once", UPDATE_HINT)
        return file

    def _waits(self, change: int) -> None:
        self._waiting += change
        if self._waiting > self._max_waiting:
            raise ProtocolError("the other side has begun too many files at once", UPDATE_HINT)


def _twice() -> ProtocolError:
    return ProtocolError("the other side sent a block twice", UPDATE_HINT)


def _wrong_end() -> ProtocolError:
    return ProtocolError("the other side's end of a file does not fit its blocks", UPDATE_HINT)
