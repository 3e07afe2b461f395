"""What a system can do for a file and Python does not offer, or not for every system.

Most of it is Linux only: elsewhere such a call says that it did nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

if sys.platform != "win32":
    import fcntl

# fallocate(2), sync_file_range(2), renameat2(2)
_FALLOC_FL_KEEP_SIZE: Final = 1
_FALLOC_FL_PUNCH_HOLE: Final = 2
_SYNC_FILE_RANGE_WRITE: Final = 2
_SYNC_FILE_RANGE_WRITE_AND_WAIT: Final = 7
_RENAME_NOREPLACE: Final = 1
# statx(2): struct statx has its mask of valid fields at byte 0, the time of birth (seconds, nanoseconds) at 80
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_STATX: Final = struct.Struct("=I76xqI164x")
# openat2(2): its number is the same on all machines that Python runs on; struct open_how has flags, mode and resolve
_OPENAT2: Final = 437
_AT_FDCWD: Final = -100
_OPEN_HOW: Final = struct.Struct("=QQQ")
_RESOLVE_NO_SYMLINKS: Final = 4

# statfs(2). On these, syncfs() is as good as an fsync() of every file; on FUSE and on network file systems it is not always.
_LOCAL_FILE_SYSTEMS: Final = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994, 0x794C7630})

_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM})

_umask = threading.Lock()

_Call = Callable[..., int]


def _load(name: str, *arguments: type) -> _Call | None:
    # On a 32-bit system off_t may be 32 or 64 bits wide; nothing is lost there but speed.
    on_linux = sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if on_linux else None
    if function is None:
        return None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return cast(_Call, function)


_FD, _FLAGS, _OFFSET, _NAME = ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
_fallocate = _load("fallocate", _FD, _FLAGS, _OFFSET, _OFFSET)
_sync_file_range = _load("sync_file_range", _FD, _OFFSET, _OFFSET, ctypes.c_uint)
_syncfs = _load("syncfs", _FD)
_fstatfs = _load("fstatfs", _FD, ctypes.c_char_p)
_statx = _load("statx", _FD, _NAME, _FLAGS, ctypes.c_uint, _NAME)
_renameat2 = _load("renameat2", _FD, _NAME, _FD, _NAME, ctypes.c_uint)
_syscall = _load("syscall", ctypes.c_long, _FD, _NAME, _NAME, ctypes.c_size_t)


def reserve(fd: int, size: int) -> bool:
    """Give a file its size and the space for it. False where that cannot be done at once. Raises OSError (ENOSPC, EFBIG, …).

    Not posix_fallocate(): glibc's writes to every block where the file system has no such operation.
    """
    return _done(_fallocate, fd, 0, 0, size)


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Make a range read as zeros and take no space. False where that cannot be done. Raises OSError."""
    return _done(_fallocate, fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length)


def start_writeback(fd: int, offset: int, length: int) -> bool:
    """Have the kernel begin to write a range to the disk. False where that cannot be done. Raises OSError (EIO, ENOSPC)."""
    return _done(_sync_file_range, fd, offset, length, _SYNC_FILE_RANGE_WRITE)


def finish_writeback(fd: int, offset: int, length: int) -> bool:
    """Wait until a range is written, then let the page cache drop it. False where that cannot be done. Raises OSError.

    This is no sync: metadata and the disk's own cache are left out.
    """
    if not _done(_sync_file_range, fd, offset, length, _SYNC_FILE_RANGE_WRITE_AND_WAIT):
        return False
    leave_cache(fd, offset, length)
    return True


def leave_cache(fd: int, offset: int, length: int) -> None:
    """What is on the disk of a range need not stay in the page cache. length: 0 for all behind offset."""
    if sys.platform == "linux":
        with suppress(OSError):  # advice, which a file system need not take
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def can_sync_at_once(fd: int) -> bool:
    """Whether sync_file_system() may stand for an fsync() of every file: syncfs reports write errors since Linux 5.8."""
    if _syncfs is None or _fstatfs is None:
        return False
    major, minor = platform.release().split(".")[:2]
    if (int(major), int("".join(filter(str.isdigit, minor)) or 0)) < (5, 8):
        return False
    answer = ctypes.create_string_buffer(256)
    return _fstatfs(fd, answer) == 0 and ctypes.c_long.from_buffer(answer).value in _LOCAL_FILE_SYSTEMS


def sync_file_system(fd: int) -> bool:
    """Everything on the file system of fd is on the disk. False where that cannot be done. Raises OSError (EIO, ENOSPC)."""
    return _done(_syncfs, fd)


def sync_data(fd: int) -> None:
    """The content of a file is on the disk, and what is needed to read it. Raises OSError."""
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)
        flush_drive(fd)


def flush_drive(fd: int) -> None:
    """fsync() on macOS leaves the data in the drive's own cache; a full sync empties it for all files before. Raises OSError."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            # Network file systems and some drivers have no such thing: the fsync() before it is all that can be had there.
            if error.errno not in (*_UNSUPPORTED, errno.ENOTTY):
                raise


def umask() -> int:
    """Of this process. To ask for it is to set it; two threads that did so at once could leave what one of them has set."""
    with _umask:
        mask = os.umask(0o077)
        os.umask(mask)
    return mask


def birth(fd: int) -> tuple[int, int] | None:
    """When the file was made, in seconds and nanoseconds; None where that is not known. Raises OSError.

    Tells it from a later one that was given the same inode number.
    """
    if sys.platform != "linux":
        born = getattr(os.fstat(fd), "st_birthtime", None)
        return None if born is None else (int(born), int(born % 1 * 1e9))
    answer = ctypes.create_string_buffer(_STATX.size)
    if not _done(_statx, fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer):
        return None
    mask, seconds, nanoseconds = _STATX.unpack(answer.raw)
    return (seconds, nanoseconds) if mask & _STATX_BTIME else None


def rename_without_replacing(dir_fd: int, old: str, new: str) -> bool:
    """Rename within a directory, atomically. False where that cannot be done. Raises FileExistsError and other OSError."""
    return _done(_renameat2, dir_fd, os.fsencode(old), dir_fd, os.fsencode(new), _RENAME_NOREPLACE)


def open_straight(path: str, flags: int) -> int:
    """As os.open(), and no part of the path may be a symbolic link (ELOOP); where that cannot be had, flags alone count."""
    how = _OPEN_HOW.pack(flags | getattr(os, "O_CLOEXEC", 0), 0, _RESOLVE_NO_SYMLINKS)
    while _syscall is not None:
        descriptor = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, len(how))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            break
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)
    return os.open(path, flags)


def _done(call: _Call | None, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> bool:
    if call is None:
        return False
    while call(*arguments) != 0:
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True
