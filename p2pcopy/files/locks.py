"""Locks by which transfers and `p2pcopy parts` know of each other. The system gives them back whatever ends a process.

A transfer has the part files that it has open, each alone, and its destination directory, together with all others that run there:
that one stands for the part files that it has closed for a while. Nothing lies on the disk for it.

Windows has neither. Where a file system has no locks, everything is done without them.
"""

from __future__ import annotations

import errno
import sys
import time
from contextlib import suppress
from typing import Final

if sys.platform != "win32":
    import fcntl

# Whoever looks whether something is in use has its lock for an instant, which on a busy machine may last some turns of others.
_INSTANT_S: Final = 0.02
_INSTANTS: Final = 15
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


def take(fd: int) -> bool:
    """A file, until the descriptor is closed. False when another process has it. Raises OSError."""
    if sys.platform == "win32":
        return True
    return _taken(fd, fcntl.LOCK_EX)


def look(fd: int) -> bool:
    """Whether nobody has this file; nobody can take() it until the descriptor is closed. Raises OSError.

    It may be open for reading only, which network file systems mind when it is to be taken alone.
    """
    if sys.platform == "win32":
        return True
    return _try(fd, fcntl.LOCK_SH)


def occupy(fd: int) -> None:
    """A directory, as the destination of a transfer, until the descriptor is closed.

    One that another program has, or that cannot be locked, is used all the same.
    """
    if sys.platform != "win32":
        with suppress(OSError):
            _taken(fd, fcntl.LOCK_SH)


def is_occupied(fd: int) -> bool:
    """Whether this open directory is the destination of a transfer that is running."""
    if sys.platform == "win32":
        return False
    try:
        # Transfers let others in, so whoever has it alone is none: one that looks, say, and was suspended meanwhile.
        occupied = not _taken(fd, fcntl.LOCK_EX) and _try(fd, fcntl.LOCK_SH)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        return False
    return occupied


if sys.platform != "win32":

    def _taken(fd: int, how: int) -> bool:
        """Whether nobody had it in the way for longer than a look takes."""
        for _ in range(_INSTANTS):
            if _try(fd, how):
                return True
            time.sleep(_INSTANT_S)
        return False

    def _try(fd: int, how: int) -> bool:
        """True also where the file system has no locks: on a network that is no reason to store nothing."""
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return True
