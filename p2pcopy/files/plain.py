"""The files that a run leaves beside the target: their names, and how an old one is opened without being taken in."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from typing import Final

from p2pcopy.files import locks, native
from p2pcopy.files.dirs import Directory
from p2pcopy.files.journal import Identity
from p2pcopy.files.names import JOURNAL_SUFFIX, PART_SUFFIX

MAX_NAME_BYTES: Final = 255
_NO_FILE: Final = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EMLINK})


class PartFault(Exception):
    """This one file cannot be stored. The text says why, as half a sentence."""


class PartLocked(Exception):
    """Another process is writing the part file of this name."""


def part_name(name: str) -> str:
    """The name beside NAME: .NAME.p2pcopy-part, or .HASH.p2pcopy-part.p2pcopy-part where that would be too long."""
    return f".{_stem(name)}{PART_SUFFIX}"


def journal_name(name: str) -> str:
    """The same for the journal: .NAME.p2pcopy-journal."""
    return f".{_stem(name)}{JOURNAL_SUFFIX}"


def final_name(name: str) -> str:
    """Of the file that this part file or journal is for; "" where only its hash is known."""
    stem = name.removeprefix(".").removesuffix(PART_SUFFIX).removesuffix(JOURNAL_SUFFIX)
    return "" if stem.endswith(PART_SUFFIX) else stem


def _stem(name: str) -> str:
    """One for both names, so that one can be told from the other.

    A hash ends in the suffix itself: the name gate lets no such name through, so that no other file has the hash for a name.
    """
    if len(encoded := os.fsencode(name)) + len(JOURNAL_SUFFIX) + 1 <= MAX_NAME_BYTES:
        return name
    return hashlib.blake2b(encoded, digest_size=20).hexdigest() + PART_SUFFIX


def identity(fd: int) -> Identity:
    """Raises OSError."""
    return Identity(os.fstat(fd).st_ino & (2**64 - 1), native.birth(fd))


def create(directory: Directory, name: str, owner: int) -> tuple[int, bool]:
    """A new file, locked, open for reading and writing, and whether it replaces an old one, which nobody was writing.

    owner: of files that this process makes. Raises PartFault when something is there that it cannot have left, PartLocked.
    """
    replaced = False
    try:
        fd = directory.create(name)
    except FileExistsError:
        remove(directory, name, owner)
        replaced = True
        try:
            fd = directory.create(name)
        except FileExistsError:
            raise PartLocked(name) from None
    try:
        lock(fd, name)
    except BaseException:
        os.close(fd)
        raise
    return fd, replaced


def open_old(directory: Directory, name: str, owner: int) -> int:
    """A file that an earlier run left, locked, open for reading and writing.

    Raises FileNotFoundError, PartFault when it is anything but a plain file of ours with no other name, PartLocked.
    """
    try:
        return _taken(directory, name, owner, _open(directory, name))
    except PermissionError:
        pass
    # It was whole, and had its final mode already.
    fd = _taken(directory, name, owner, _open(directory, name, read_only=True))
    try:
        if sys.platform != "win32":
            os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
    return _taken(directory, name, owner, _open(directory, name))


def reopen(directory: Directory, name: str, known: Identity | None) -> int:
    """A file that this run has closed meanwhile, locked again. Raises PartFault when it is gone or another one now, PartLocked."""
    try:
        fd = directory.open(name)
    except OSError as error:
        if error.errno not in (*_NO_FILE, errno.ENOENT):
            raise
        raise PartFault("its part file was replaced by another program") from error
    try:
        if identity(fd) != known:
            raise PartFault("its part file was replaced by another program")
        lock(fd, name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def remove(directory: Directory, name: str, owner: int) -> None:
    """Remove an old file that nobody is writing, if there is one. Raises PartFault and PartLocked as open_old() does."""
    try:
        fd = open_old(directory, name, owner)
    except FileNotFoundError:
        return
    except PermissionError:
        # Its final mode keeps even its owner out, so that no lock can be taken: only a run that is about to rename it may have one.
        if not is_ours(directory.lstat(name), owner):
            raise
        directory.remove(name)
        return
    try:
        if sys.platform == "win32":
            os.close(fd)
            fd = -1
        directory.remove(name)
    finally:
        if fd >= 0:
            os.close(fd)


def is_ours(status: os.stat_result, owner: int) -> bool:
    """Whether this process may have left it: a regular file of this owner, and with no second name elsewhere."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == owner


def lock(fd: int, name: str) -> None:
    """Until the descriptor is closed. Raises PartLocked with the name, OSError."""
    if not locks.take(fd):
        raise PartLocked(name)


def _open(directory: Directory, name: str, *, read_only: bool = False) -> int:
    try:
        return directory.open(name, read_only=read_only)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _not_ours(name) from error


def _taken(directory: Directory, name: str, owner: int, fd: int) -> int:
    """The descriptor when what it opened is ours, still there, and locked now; else it is closed."""
    try:
        status = os.fstat(fd)
        if not is_ours(status, owner):
            raise _not_ours(name)
        lock(fd, name)
        if not os.path.samestat(status, directory.lstat(name)):
            raise PartLocked(name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _not_ours(name: str) -> PartFault:
    what = "journal" if name.endswith(JOURNAL_SUFFIX) else "part file"
    return PartFault(f"something that is no {what} of this user is at {name}")
