"""Reading what was accepted: blocks, their hashes, and files that are not what they were."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import BinaryIO, Final

from blake3 import blake3

from p2pcopy.config import MIB, Compress, VerifyResume
from p2pcopy.errors import InternalError, ProtocolError
from p2pcopy.files import native
from p2pcopy.files.compression import Compression
from p2pcopy.files.compression import Kind as Compressible
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Block, Compared, End, Fault, Item
from p2pcopy.transfer.wire import DIGEST_SIZE, Check, Entry, FaultReason, Kind

KEPT_OF_STREAM: Final = 16 * MIB

# Of the blocks that a receiver has: the first, the last, and some between.
_SAMPLE: Final = 10
_SKIPPED: Final = 1
_OVER: Final = 2
_HINT: Final = "Use the same version of p2pcopy on both sides."
_random: Final = SystemRandom()

# Not every system has all of them; a file that was swapped for a link, a terminal or a pipe must neither be followed nor block.
_OPEN_FLAGS: Final = os.O_RDONLY | sum(
    getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)


class _Gone(Exception):
    """Reading this file stops here."""

    def __init__(self, reason: FaultReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Reading:
    """The file in work. read: gives at most that many bytes, none at the end; left: bytes to come, None for a stream.

    held: blocks that the receiver has; to_compare: the places among them of those that are looked at before, of which the first
    compared are done; over: one of them differed.
    """

    entry: Entry
    read: Callable[[int], bytes]
    descriptor: int | None
    left: int | None
    kind: Compressible | None
    held: Held | None = None
    to_compare: Sequence[int] = ()
    compared: int = 0
    over: bool = False
    number: int = 0
    size: int = 0

    @property
    def is_same(self) -> bool:
        """At the end: whether all of it was compared, and none of it sent."""
        held = self.held
        return held is not None and held.check is not Check.SAMPLE and len(held.digests) == self.number


class BlockReader:
    """The blocks of all accepted files in the order of the log, each file read to the size in its entry and no further.

    next() belongs to one thread; everything else may be called from any other meanwhile.
    block_size: bytes. stdin: what entries without a size are read from; it is left open. verify_resume: which blocks are compared
    before they are left out because the receiver has them.
    next() and reread() raise LocalFileError when the log cannot be read.
    """

    def __init__(
        self,
        log: EntryLog,
        *,
        block_size: int,
        compress: Compress,
        stdin: BinaryIO | None = None,
        verify_resume: VerifyResume = VerifyResume.SAMPLE,
    ) -> None:
        self._log = log
        self._block_size = block_size
        self._compression = Compression(compress)
        self._stdin = stdin
        self._verify_resume = verify_resume
        self._lock = threading.Lock()
        self._marks = bytearray()  # of every entry that may be read: 0, _SKIPPED or _OVER
        self._held: dict[int, Held] = {}
        self._dropped: set[int] = set()
        self._position = 0
        self._reading: _Reading | None = None
        self._is_busy = False
        self._is_closed = False
        self._digest = blake3()
        self._kept: deque[tuple[int, int, bytes]] = deque(maxlen=max(1, KEPT_OF_STREAM // block_size))

    def allow(self, upto: int, skips: Sequence[tuple[int, int]] = (), held: Sequence[Held] = ()) -> None:
        """Entries below upto may be read now, except the half-open ranges skips. held: what the receiver has, never of streams."""
        with self._lock:
            self._held.update((file.entry, file) for file in held)
            self._marks.extend(bytes(max(0, upto - len(self._marks))))
            for start, stop in skips:
                if not 0 <= start <= stop <= len(self._marks):
                    raise ValueError(f"entries {start} to {stop} are not below {len(self._marks)}")
                self._marks[start:stop] = bytes((_SKIPPED,)) * (stop - start)

    def never_compress(self) -> None:
        """The receiver cannot unpack. Before the first block is read."""
        self._compression.never()

    def drop(self, entry: int) -> None:
        """The receiver cannot store this file: unless its End is out, a Fault takes the place of what is not read yet."""
        with self._lock:
            if entry >= self._position:
                self._dropped.add(entry)

    def next(self) -> Item | None:
        """The next item, read from the disk now; None while there is nothing more that may be read. Blocks on a slow stream."""
        with self._lock:
            if self._is_closed:
                return None
            self._is_busy = True
        try:
            return self._next()
        finally:
            self._rest()

    def _rest(self) -> None:
        """next() is over. What close() has left to it is given up."""
        with self._lock:
            self._is_busy = False
            is_closed = self._is_closed
        if is_closed and self._reading is not None:
            self._stop()

    def _next(self) -> Item | None:
        item: End | Fault
        try:
            reading = self._reading or self._start()
            if reading is None:
                return None
            if self._is_dropped():
                raise _Gone(FaultReason.DROPPED)
            if reading.compared < len(reading.to_compare):
                return self._compare(reading)
            self._leave_out(reading)
            if raw := self._read_block(reading):
                return self._block(reading, raw)
            if reading.descriptor is not None:
                _check_unchanged(reading.entry, reading.descriptor)
        except _Gone as gone:
            item = Fault(self._position, gone.reason)
        else:
            digest = self._digest.digest()
            item = End(self._position, reading.size, reading.number, digest, reading.over, reading.is_same)
        self._stop()
        return item

    def reread(self, entry: int, number: int) -> Block | Fault:
        """A block that next() has given out, once more, for a peer that got it damaged. Never compressed.

        Of a stream only the last 16 MiB can be had again. Raises ProtocolError for a block that there is not.
        """
        item, local = self._log[entry] if 0 <= entry < len(self._log) else (None, "")
        if item is None or item.kind is not Kind.FILE or number < 0:
            raise _no_such_block()
        try:
            raw = self._kept_block(entry, number) if item.size is None else self._block_again(item, local, number)
        except _Gone as gone:
            return Fault(entry, gone.reason)
        with self._lock:
            over = entry < len(self._marks) and self._marks[entry] == _OVER
        return Block(entry, number, len(raw), raw, blake3(raw).digest(), compressed=False, over=over)

    def close(self) -> None:
        """Give up the file in work, at the end of a next() that is under way. May be called twice."""
        with self._lock:
            self._is_closed = True
            if self._is_busy:
                return
        if self._reading is not None:
            self._stop()

    def _start(self) -> _Reading | None:
        """Open the next file that may be read; _position is its index from here to _stop()."""
        while self._find_allowed():
            entry, local = self._log[self._position]
            if entry.kind is Kind.FILE:
                self._reading = self._open(entry, local)
                self._digest = blake3()
                return self._reading
            self._stop()
        return None

    def _find_allowed(self) -> bool:
        with self._lock:
            index = self._marks.find(0, self._position)
            self._position = len(self._marks) if index < 0 else index
            return index >= 0

    def _is_dropped(self) -> bool:
        with self._lock:
            return self._position in self._dropped

    def _stop(self) -> None:
        """Done with the entry at _position."""
        if self._reading is not None and self._reading.descriptor is not None:
            os.close(self._reading.descriptor)
        self._reading = None
        with self._lock:
            self._dropped.discard(self._position)
            self._position += 1

    def _open(self, entry: Entry, local: str) -> _Reading:
        kind = self._compression.kind(entry.path)
        if entry.size is None:
            if self._stdin is None:
                raise _Gone(FaultReason.UNREADABLE)
            return _Reading(entry, _patient(self._stdin), None, None, kind)
        with self._lock:
            held = self._held.pop(self._position, None)
        if held is not None and held.check is Check.ONLY and len(held.digests) < -(-entry.size // self._block_size):
            raise _Gone(FaultReason.DIFFERS)
        descriptor = _open_unchanged(entry, local)
        if entry.size > self._block_size and sys.platform == "linux":
            with suppress(OSError):  # advice, which a file system need not take
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        reading = _Reading(entry, partial(os.read, descriptor), descriptor, entry.size, kind, held)
        if held is not None:
            reading.to_compare = self._choose(held)
        return reading

    def _choose(self, held: Held) -> Sequence[int]:
        """The blocks that are compared before any is left out, by their places among those of the receiver."""
        count = len(held.digests)
        if held.check is not Check.SAMPLE or self._verify_resume is VerifyResume.ALL or count <= _SAMPLE:
            return range(count)
        return [0, *sorted(_random.sample(range(1, count - 1), _SAMPLE - 2)), count - 1]

    def _compare(self, reading: _Reading) -> Compared:
        """Look at one block more. Raises _Gone when the file differs and is not wanted then."""
        held, descriptor = reading.held, reading.descriptor
        if held is None or descriptor is None:
            raise InternalError("there is nothing to compare")
        number = held.digests.number(reading.to_compare[reading.compared])
        reading.compared += 1
        raw = self._read_at(descriptor, reading.entry, number)
        same = blake3(raw).digest() == held.digests[number]
        if not same:
            if held.check is Check.ONLY:
                raise _Gone(FaultReason.DIFFERS)
            reading.held, reading.over = None, True
            with self._lock:
                self._marks[self._position] = _OVER
            reading.to_compare = ()
        if reading.compared >= len(reading.to_compare):
            os.lseek(descriptor, 0, os.SEEK_SET)
        return Compared(self._position, same)

    def _leave_out(self, reading: _Reading) -> None:
        """Go on behind the blocks that follow here and that the receiver has."""
        if reading.held is None or reading.left is None or reading.descriptor is None:
            return
        digests = reading.held.digests.run_at(reading.number)
        if digests:
            blocks = len(digests) // DIGEST_SIZE
            size = min(blocks * self._block_size, reading.left)
            os.lseek(reading.descriptor, size, os.SEEK_CUR)
            self._digest.update(digests)
            reading.number += blocks
            reading.size += size
            reading.left -= size

    def _read_block(self, reading: _Reading) -> bytes:
        """The next block, b"" at the end."""
        wanted = self._block_size if reading.left is None else min(self._block_size, reading.left)
        raw = _read(reading.read, wanted)
        if reading.left is not None:
            if len(raw) < wanted:
                raise _Gone(FaultReason.CHANGED)
            reading.left -= wanted
            return raw
        if len(raw) < wanted:
            reading.left = 0
        with self._lock:
            self._kept.append((self._position, reading.number, raw))
        return raw

    def _block(self, reading: _Reading, raw: bytes) -> Block:
        digest = blake3(raw).digest()
        self._digest.update(digest)
        body = self._compression.body(reading.kind, raw)
        block = Block(self._position, reading.number, len(raw), body or raw, digest, body is not None, reading.over)
        reading.number += 1
        reading.size += len(raw)
        return block

    def _kept_block(self, entry: int, number: int) -> bytes:
        with self._lock:
            for kept_entry, kept_number, raw in self._kept:
                if (kept_entry, kept_number) == (entry, number):
                    return raw
        raise _Gone(FaultReason.UNREADABLE)

    def _block_again(self, entry: Entry, local: str, number: int) -> bytes:
        if number * self._block_size >= (entry.size or 0):
            raise _no_such_block()
        descriptor = _open_unchanged(entry, local)
        try:
            raw = self._read_at(descriptor, entry, number)
            _check_unchanged(entry, descriptor)
        finally:
            os.close(descriptor)
        if len(raw) < self._size_of(entry, number):
            raise _Gone(FaultReason.CHANGED)
        return raw

    def _read_at(self, descriptor: int, entry: Entry, number: int) -> bytes:
        """A block, or less of it where the file is shorter now."""
        os.lseek(descriptor, number * self._block_size, os.SEEK_SET)
        return _read(partial(os.read, descriptor), self._size_of(entry, number))

    def _size_of(self, entry: Entry, number: int) -> int:
        return min(self._block_size, (entry.size or 0) - number * self._block_size)


def _open_unchanged(entry: Entry, local: str) -> int:
    """A descriptor of the file that the entry was made from, and of no other."""
    try:
        descriptor = native.open_straight(local, _OPEN_FLAGS)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _Gone(FaultReason.VANISHED) from error
    except OSError as error:
        # A link on the way has another error on every system: look what is there.
        raise _Gone(FaultReason.UNREADABLE if local == os.path.realpath(local) else FaultReason.CHANGED) from error
    try:
        _check_unchanged(entry, descriptor)
    except _Gone:
        os.close(descriptor)
        raise
    return descriptor


def _check_unchanged(entry: Entry, descriptor: int) -> None:
    """Raises _Gone unless this is a file of the entry's size and modification time."""
    try:
        status = os.fstat(descriptor)
    except OSError as error:
        raise _Gone(FaultReason.UNREADABLE) from error
    same = (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
    if not (same and stat.S_ISREG(status.st_mode)):
        raise _Gone(FaultReason.CHANGED)


def _read(read: Callable[[int], bytes], wanted: int) -> bytes:
    """Exactly wanted bytes, fewer only at the end. Without a copy where the system gives all at once."""
    parts: list[bytes] = []
    while wanted:
        try:
            part = read(wanted)
        except (OSError, ValueError) as error:  # ValueError: a stream that was closed
            raise _Gone(FaultReason.UNREADABLE) from error
        if not part:
            break
        parts.append(part)
        wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _patient(stream: BinaryIO) -> Callable[[int], bytes]:
    """stream.read() that waits also when somebody has made the descriptor non-blocking."""
    give: Callable[[int], bytes | None] = stream.read

    def read(size: int) -> bytes:
        while (part := give(size)) is None:
            select.select([stream], [], [])
        return part

    return read


def _no_such_block() -> ProtocolError:
    return ProtocolError("the other side asks again for a block that there is not", _HINT)
