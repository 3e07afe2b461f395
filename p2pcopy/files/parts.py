"""Part files: where a file is put together, beside its final place, until it is whole and synced."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final, Self

from p2pcopy.config import KIB, MIB
from p2pcopy.files import journalfile, native, plain
from p2pcopy.files.dirs import Directory, split
from p2pcopy.files.journal import Header, Identity
from p2pcopy.files.journalfile import JournalFile, Journaling
from p2pcopy.files.plain import PartFault, PartLocked, journal_name, part_name
from p2pcopy.transfer.wire import Entry

_SMALL: Final = 256 * KIB
_LONGEST_HOLE: Final = 64 * MIB
_AT_ONCE: Final = hasattr(os, "pwritev")
_MOST_PARTS: Final = 16  # that every system takes (POSIX, IOV_MAX)


class PartFile:
    """A part file of ours: locked while it is open, and known by device, inode and time of birth while it is not.

    path: of the final file, below the root; parent and name are its two halves, part is the name meanwhile. owner: of files that
    this process makes. Methods raise OSError, and PartFault or PartLocked where the file at its name is not this one any more.
    """

    __slots__ = (
        "_device",
        "_fd",
        "_hole",
        "_identity",
        "_inode",
        "_journal",
        "_mtime_ns",
        "_named",
        "_owner",
        "_reserved",
        "_resumed",
        "_size",
        "name",
        "parent",
        "part",
        "path",
    )

    def __init__(self, path: str, owner: int, fd: int) -> None:
        """fd: locked; it is its own from now on."""
        self.path = path
        self.parent, self.name = split(path)
        self.part = part_name(self.name)
        self._owner = owner
        self._fd: int | None = fd
        status = os.fstat(fd)
        self._device, self._inode = status.st_dev, status.st_ino
        self._identity: Identity | None = None
        self._journal: JournalFile | None = None
        self._named = False
        self._reserved = False
        self._resumed = False
        self._hole = 0, 0
        self._mtime_ns = 0
        self._size = 0

    @classmethod
    def create(cls, directory: Directory, path: str, owner: int, reserve: int) -> Self:
        """A new one; an old one that nobody is writing is replaced. reserve: bytes to reserve on the disk, 0 for none."""
        name = split(path)[1]
        try:
            fd, replaced = plain.create(directory, part_name(name), owner)
        except PartFault:
            if not directory.finish_rename(part_name(name), name):
                raise
            fd, replaced = plain.create(directory, part_name(name), owner)[0], True
        part = cls(path, owner, fd)
        try:
            if replaced:
                journalfile.remove(directory, journal_name(name), owner)
            part.check(directory)
            if reserve:
                part._reserved = native.reserve(part.open_fd, reserve)
        except BaseException:
            part.discard(directory)
            raise
        return part

    @classmethod
    def resumed(cls, path: str, owner: int, fd: int, size: int, journal: JournalFile) -> Self:
        """Go on with an old one. size: of the whole file; both descriptors are its own from now on."""
        part = cls(path, owner, fd)
        part._journal = journal
        part._resumed = True
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        return part

    @property
    def device(self) -> int:
        """Of its file system."""
        return self._device

    @property
    def is_open(self) -> bool:
        return self._fd is not None

    @property
    def open_fd(self) -> int:
        """The descriptor. Raises ValueError while it is closed."""
        if self._fd is None:
            raise ValueError("the part file is closed")
        return self._fd

    @property
    def has_journal(self) -> bool:
        return self._journal is not None

    @property
    def is_resumable(self) -> bool:
        """Whether the next run can go on with it."""
        return self._journal is not None and self._journal.has_blocks

    def keep_journal(self, directory: Directory, entry: Entry, block_size: int, settings: Journaling) -> None:
        """Of a new one: every block is recorded from now on. What cannot have a journal is removed."""
        try:
            identity = plain.identity(self.open_fd)
            header = Header(entry.size or 0, entry.mtime_ns, block_size, identity, secrets.token_bytes(16))
            self._journal = JournalFile.create(directory, journal_name(self.name), self._owner, header, settings)
        except BaseException:
            self.discard(directory)
            raise

    def reopen(self, directory: Directory) -> None:
        if self._fd is not None:
            return
        self.check(directory)
        fd = plain.reopen(directory, self.part, self._identity)
        self._fd = fd
        if self._journal is not None:
            self._journal.reopen(directory)

    def suspend(self) -> None:
        """Close the descriptors, which gives up the lock (that of the destination stays); reopen() goes on."""
        if self._fd is not None:
            # The inode number may now be given to another file, should this one be removed.
            self._identity = plain.identity(self._fd)
        if self._journal is not None:
            self._journal.suspend()
        self.close()

    def close(self) -> None:
        """For good."""
        if self._journal is not None:
            self._journal.close()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._hole = 0, 0

    def write(self, offset: int, size: int, parts: Sequence[bytes | memoryview]) -> None:
        """size: of all parts together."""
        if (self._reserved or self._resumed) and all(map(is_zero, parts)) and self._leave_hole(offset, size):
            return
        _write_at(self.open_fd, offset, size, parts)

    def record(self, number: int, size: int, digest: bytes) -> None:
        """A block was written: the journal, if there is one, tells of it."""
        if self._journal is not None and digest:
            self._journal.wrote(number, digest, size)

    @property
    def is_sync_due(self) -> bool:
        """Enough has been recorded since the last sync."""
        return self._journal is not None and self._journal.is_due

    def sync(self, directory: Directory) -> None:
        """All that was recorded is on the disk, and the journal says so."""
        try:
            native.sync_data(self.open_fd)
        except OSError:
            self.distrust()
            raise
        if not self._named:
            # Where a file system cannot do this, a power failure may take both names, and the next run starts over.
            with suppress(OSError):
                directory.sync()
            self._named = True
        if self._journal is not None:
            self._journal.synced()

    def distrust(self) -> None:
        """The system could not write something out: what it still shows of it is no proof, so only what was synced counts."""
        if self._journal is not None:
            with suppress(OSError):  # the disk is broken, and the one who found out says so
                self._journal.forget_unsynced()

    def seal(self, size: int, mode: int, mtime_ns: int) -> None:
        """All is written: cut it to size bytes, set mode and modification time."""
        fd = self.open_fd
        self._punch()
        if os.fstat(fd).st_size != size:
            os.ftruncate(fd, size)
        if sys.platform != "win32":
            os.fchmod(fd, mode)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        self._mtime_ns = mtime_ns
        self._size = size

    def release(self, directory: Directory) -> None:
        """Synced, and ready to be renamed. Windows renames closed files only, and sets the times of a file by its name."""
        if self._size >= _SMALL:
            native.leave_cache(self.open_fd, 0, 0)
        if sys.platform == "win32":
            self.suspend()
            directory.set_time(self.part, self._mtime_ns)

    def check(self, directory: Directory) -> None:
        """Raises PartFault unless the file at its name is this one."""
        try:
            status = directory.lstat(self.part)
        except FileNotFoundError:
            raise PartFault("its part file was removed by another program") from None
        if (status.st_dev, status.st_ino) != (self._device, self._inode) or not stat.S_ISREG(status.st_mode):
            raise PartFault("its part file was replaced by another program")

    def discard(self, directory: Directory) -> None:
        """Remove it and its journal. What is at its name and is not ours stays."""
        try:
            self.reopen(directory)
            self.check(directory)
            if sys.platform == "win32":
                self.suspend()
            directory.remove(self.part)
        except (PartFault, PartLocked):
            return
        finally:
            self.close()
        self.discard_journal(directory)

    def discard_journal(self, directory: Directory) -> None:
        """The part file is gone, or has its final name: its journal tells of nothing any more."""
        if self._journal is not None:
            self._journal.close()
            journalfile.remove(directory, self._journal.name, self._owner)
            self._journal = None

    def _leave_hole(self, offset: int, size: int) -> bool:
        """Whether a block of zeros need not be written."""
        if self._resumed:
            # Something that does not count may be there.
            return native.punch_hole(self.open_fd, offset, size)
        # What is reserved reads as zeros already; many blocks together also give their space back.
        start, end = self._hole
        if offset != end or end - start >= _LONGEST_HOLE:
            self._punch()
            start = offset
        self._hole = start, offset + size
        return True

    def _punch(self) -> None:
        (start, end), self._hole = self._hole, (0, 0)
        if end > start:
            native.punch_hole(self.open_fd, start, end - start)


def is_zero(data: bytes | memoryview) -> bool:
    """Nothing but zero bytes; quick for data that is not."""
    return len(data) > 0 and data[0] == 0 and data[-1] == 0 and bytes(data) == _zeros(len(data))


@lru_cache(maxsize=1)
def _zeros(size: int) -> bytes:
    """Kept: allocating a block's worth each time takes longer than the comparison."""
    return bytes(size)


def _write_at(fd: int, offset: int, size: int, parts: Sequence[bytes | memoryview]) -> None:
    if _AT_ONCE and len(parts) <= _MOST_PARTS and os.pwritev(fd, parts, offset) == size:
        return
    # Also after a write that took some: it takes the same bytes once more, and says what was wrong.
    for part in parts:
        view = memoryview(part)
        while view:
            if sys.platform == "win32":
                os.lseek(fd, offset, os.SEEK_SET)
                written = os.write(fd, view)
            else:
                written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written
