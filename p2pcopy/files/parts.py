"""Part files: where a file is put together, beside its final place, until it is whole and synced."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from p2pcopy.config import KIB, MIB
from p2pcopy.files import native
from p2pcopy.files.dirs import Directory, split
from p2pcopy.files.names import PART_SUFFIX

if sys.platform != "win32":
    import fcntl

MAX_NAME_BYTES: Final = 255
_SMALL: Final = 256 * KIB
_LONGEST_HOLE: Final = 64 * MIB
_AT_ONCE: Final = hasattr(os, "pwritev")
_MOST_PARTS: Final = 16  # that every system takes (POSIX, IOV_MAX)
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EMLINK})
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


class PartFault(Exception):
    """This one file cannot be stored. The text says why, as half a sentence."""


class PartLocked(Exception):
    """Another process is writing the part file of this name."""


def part_name(name: str) -> str:
    """The name beside NAME: .NAME.p2pcopy-part, or with a hash for NAME where that would be too long for a directory."""
    plain = f".{name}{PART_SUFFIX}"
    if len(os.fsencode(plain)) <= MAX_NAME_BYTES:
        return plain
    return f".{hashlib.blake2b(os.fsencode(name), digest_size=20).hexdigest()}{PART_SUFFIX}"


class PartFile:
    """A part file of ours: locked while it is open, and known by device, inode and time of birth while it is not.

    path: of the final file, below the root; parent and name are its two halves, part is the name meanwhile.
    Methods raise OSError, and PartFault or PartLocked where the file at its name is not this one any more.
    """

    __slots__ = (
        "_birth",
        "_device",
        "_fd",
        "_hole",
        "_inode",
        "_mtime_ns",
        "_reserved",
        "_size",
        "name",
        "parent",
        "part",
        "path",
    )

    def __init__(self, directory: Directory, path: str, reserve: int) -> None:
        """Create it; an old one that nobody is writing is replaced. reserve: bytes to reserve on the disk, 0 for none."""
        self.path = path
        self.parent, self.name = split(path)
        self.part = part_name(self.name)
        self._reserved = False
        self._mtime_ns = 0
        self._size = 0
        self._hole = 0, 0
        self._birth: tuple[int, int] | None = None
        self._fd: int | None = _create(directory, self.part)
        status = os.fstat(self._fd)
        self._device, self._inode = status.st_dev, status.st_ino
        try:
            _lock(self._fd, self.part)
            self.check(directory)
            if reserve:
                self._reserved = native.reserve(self._fd, reserve)
        except BaseException:
            self.discard(directory)
            raise

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

    def reopen(self, directory: Directory) -> None:
        if self._fd is not None:
            return
        try:
            fd = directory.open(self.part)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise PartFault("its part file was replaced by another program") from error
        try:
            if not self._is(os.fstat(fd)) or native.birth(fd) != self._birth:
                raise PartFault("its part file was replaced by another program")
            _lock(fd, self.part)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def suspend(self) -> None:
        """Close the descriptor, which gives up the lock; reopen() goes on."""
        if self._fd is not None:
            # The inode number may now be given to another file, should this one be removed.
            self._birth = native.birth(self._fd)
            os.close(self._fd)
            self._fd = None
            self._hole = 0, 0

    def write(self, offset: int, size: int, parts: Sequence[bytes | memoryview]) -> None:
        """size: of all parts together."""
        fd = self.open_fd
        if self._reserved and all(map(is_zero, parts)):
            self._leave_hole(offset, size)
        else:
            _write_at(fd, offset, size, parts)

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
        if not self._is(status):
            raise PartFault("its part file was replaced by another program")

    def discard(self, directory: Directory) -> None:
        """Remove it. What is at its name and is not ours stays."""
        try:
            self.reopen(directory)
            self.check(directory)
            if sys.platform == "win32":
                self.suspend()
            directory.remove(self.part)
        except (PartFault, PartLocked):
            return
        finally:
            self.suspend()

    def _leave_hole(self, offset: int, size: int) -> None:
        """What is reserved reads as zeros already; many blocks together also give their space back."""
        start, end = self._hole
        if offset != end or end - start >= _LONGEST_HOLE:
            self._punch()
            start = offset
        self._hole = start, offset + size

    def _punch(self) -> None:
        (start, end), self._hole = self._hole, (0, 0)
        if end > start:
            native.punch_hole(self.open_fd, start, end - start)

    def _is(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) == (self._device, self._inode) and stat.S_ISREG(status.st_mode)


class Writeback:
    """Keeps the disk busy while data arrives: at most window bytes wait in the page cache, so that the last sync is short.

    What has been written out also leaves the cache, so that a big file does not push everything else out of memory.
    """

    def __init__(self, window: int = 32 * MIB) -> None:
        self._window = window
        self._waiting: deque[tuple[PartFile, int, int]] = deque()
        self._bytes = 0

    def wrote(self, part: PartFile, offset: int, length: int) -> None:
        if length < _SMALL or not native.start_writeback(part.open_fd, offset, length):
            return
        self._waiting.append((part, offset, length))
        self._bytes += length
        while self._bytes > self._window:
            oldest, offset, length = self._waiting.popleft()
            self._bytes -= length
            if oldest.is_open:
                native.finish_writeback(oldest.open_fd, offset, length)


def is_zero(data: bytes | memoryview) -> bool:
    """Nothing but zero bytes; quick for data that is not."""
    return len(data) > 0 and data[0] == 0 and data[-1] == 0 and bytes(data) == _zeros(len(data))


@lru_cache(maxsize=1)
def _zeros(size: int) -> bytes:
    """Kept: allocating a block's worth each time takes longer than the comparison."""
    return bytes(size)


def _create(directory: Directory, name: str) -> int:
    try:
        return directory.create(name)
    except FileExistsError:
        _remove_stale(directory, name)
    try:
        return directory.create(name)
    except FileExistsError:
        raise PartLocked(name) from None


def _remove_stale(directory: Directory, name: str) -> None:
    """Raises PartLocked when somebody is writing it, PartFault when it is nothing that we may have left."""
    try:
        fd = directory.open(name)
    except FileNotFoundError:
        return
    except PermissionError:
        # It had its final mode already.
        fd = directory.open(name, read_only=True)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise PartFault(f"something that is no part file is at {name}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise PartFault(f"something that is no part file is at {name}")
        _lock(fd, name)
        if os.path.samestat(status, directory.lstat(name)):
            if sys.platform == "win32":
                os.close(fd)
                fd = -1
            directory.remove(name)
    except FileNotFoundError:
        return
    finally:
        if fd >= 0:
            os.close(fd)


def _lock(fd: int, name: str) -> None:
    try:
        if sys.platform != "win32":
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PartLocked(name) from None
    except OSError as error:
        # A network file system without locks is no reason to store nothing.
        if error.errno not in _NO_LOCKS:
            raise


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
