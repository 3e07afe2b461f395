"""A journal on the disk: appended to as blocks are written, and never ahead of what the disk has."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from p2pcopy.config import MIB
from p2pcopy.files import journal, native, plain
from p2pcopy.files.dirs import Directory
from p2pcopy.files.journal import Header, Identity, Journal, JournalFault, Place


@dataclass(frozen=True)
class Journaling:
    """Which files have a journal, and how often one is synced.

    from_size: in bytes; smaller files are rather sent again. sync_bytes, sync_s (seconds): what is written in between, the next run
    has to read back.
    """

    from_size: int = 4 * MIB
    sync_bytes: int = 256 * MIB
    sync_s: float = 5.0


class JournalFile:
    """An open journal of a part file; the lock of the part file guards it as well. Methods raise OSError.

    A block is appended at once, as that takes no longer than to keep it: a process that is killed loses nothing.
    """

    __slots__ = (
        "_blocks",
        "_end",
        "_fd",
        "_identity",
        "_pending",
        "_settings",
        "_since",
        "_synced_blocks",
        "_synced_end",
        "name",
    )

    def __init__(self, name: str, fd: int, settings: Journaling, end: Place, blocks: int) -> None:
        """end: what the file has, all of it synced; blocks: how many it tells of."""
        self.name = name
        self._fd: int | None = fd
        self._identity: Identity | None = None
        self._settings = settings
        self._end = self._synced_end = end
        self._blocks = self._synced_blocks = blocks
        self._pending = 0
        self._since = 0.0

    @classmethod
    def create(cls, directory: Directory, name: str, owner: int, header: Header, settings: Journaling) -> Self:
        """An old one is replaced. Raises PartFault and PartLocked as plain.create() does."""
        fd, _ = plain.create(directory, name, owner)
        try:
            data, end = journal.beginning(header)
            _write(fd, data, 0)
        except BaseException:
            os.close(fd)
            raise
        return cls(name, fd, settings, end, 0)

    @classmethod
    def resumed(cls, name: str, fd: int, found: Journal, good: Mapping[int, bytes], settings: Journaling) -> Self:
        """Go on behind an old one, of which good is what counts of the blocks written after its last sync.

        The descriptor is its own from now on.
        """
        resumed = cls(name, fd, settings, found.synced_end, len(found.synced))
        if len(good) == len(found.written):
            resumed._end = found.end
            resumed._blocks += len(good)
            os.ftruncate(fd, found.end.offset)
        else:
            os.ftruncate(fd, found.synced_end.offset)
            for number, digest in good.items():
                resumed._append_block(number, digest)
        resumed._pending = len(good) * found.header.block_size
        return resumed

    @property
    def has_blocks(self) -> bool:
        """Whether it is worth keeping."""
        return self._blocks > 0

    @property
    def is_due(self) -> bool:
        """Enough has been written since the last sync, or time has passed."""
        return self._pending >= self._settings.sync_bytes or (
            self._pending > 0 and time.monotonic() - self._since >= self._settings.sync_s
        )

    def wrote(self, number: int, digest: bytes, size: int) -> None:
        """A block of this size is in the part file."""
        if self._fd is None or self._blocks >= journal.MAX_BLOCKS:
            return
        if not self._pending:
            self._since = time.monotonic()
        self._append_block(number, digest)
        self._pending += size

    def synced(self) -> None:
        """The part file is on the disk, up to the last block."""
        self._pending = 0
        if self._fd is None:
            return
        record, end = self._end.synced()
        _write(self._fd, record, self._end.offset)
        native.sync_data(self._fd)
        self._end = self._synced_end = end
        self._synced_blocks = self._blocks

    def forget_unsynced(self) -> None:
        """What was written since the last sync does not count."""
        self._pending = 0
        self._end, self._blocks = self._synced_end, self._synced_blocks
        if self._fd is not None:
            os.ftruncate(self._fd, self._end.offset)

    def suspend(self) -> None:
        """Close the descriptor; reopen() goes on."""
        if self._fd is not None:
            self._identity = plain.identity(self._fd)
        self.close()

    def close(self) -> None:
        """For good."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def reopen(self, directory: Directory) -> None:
        """Raises OSError, PartLocked. When it is not there any more, or another one, the part file goes on without."""
        with suppress(plain.PartFault):
            self._fd = plain.reopen(directory, self.name, self._identity)

    def _append_block(self, number: int, digest: bytes) -> None:
        record, end = self._end.block(number, digest)
        if self._fd is not None:
            _write(self._fd, record, self._end.offset)
            self._end = end
            self._blocks += 1


def read(directory: Directory, name: str, owner: int) -> tuple[int, Journal]:
    """An old journal, open and locked. Raises JournalFault, and what plain.open_old() raises."""
    fd = plain.open_old(directory, name, owner)
    try:
        return fd, journal.decode(read_bytes(fd))
    except BaseException:
        os.close(fd)
        raise


def peek(directory: Directory, name: str) -> Header | None:
    """What a journal is about; None when it tells of no block, or may not be read. Raises JournalFault, OSError."""
    try:
        fd = directory.open(name, read_only=True)
    except PermissionError:
        return None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size < journal.HEADER_SIZE + journal.RECORD_SIZE:
            return None
        return Header.decode(file.read(journal.HEADER_SIZE))


def read_bytes(fd: int) -> bytes:
    """What is in a journal. Raises JournalFault for one that is too large to be true, or cannot be read."""
    if os.fstat(fd).st_size > journal.MAX_SIZE:
        raise JournalFault("its journal is damaged")
    with os.fdopen(os.dup(fd), "rb") as file:
        try:
            return file.read(journal.MAX_SIZE)
        except OSError as error:
            raise JournalFault("its journal cannot be read") from error


def remove(directory: Directory, name: str, owner: int) -> None:
    """A journal that is of no more use. One that cannot be removed does no harm: it fits no other part file."""
    try:
        plain.remove(directory, name, owner)
    except (OSError, plain.PartFault, plain.PartLocked):
        return


def _write(fd: int, data: bytes, offset: int) -> None:
    if hasattr(os, "pwrite"):
        written = os.pwrite(fd, data, offset)
    else:
        os.lseek(fd, offset, os.SEEK_SET)
        written = os.write(fd, data)
    # A part of a record is no record: the next one overwrites it.
    if written != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
