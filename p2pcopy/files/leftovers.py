"""Part files and journals that earlier runs have left below a directory: finding them, and removing one."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from p2pcopy.errors import LocalFileError
from p2pcopy.files import faults, journal, journalfile, plain
from p2pcopy.files.dirs import Directory
from p2pcopy.files.journal import Journal, JournalFault
from p2pcopy.files.names import JOURNAL_SUFFIX, PART_SUFFIX, display

_HINT: Final = "Name another directory."


@dataclass(frozen=True, slots=True)
class Leftover:
    """A part file with its journal, or one of them alone.

    path: of the part file, or else of the journal, relative to where the search began, with "/". held: bytes of the file that the
    journal tells of; size: of the whole file, None where no journal tells it. taken: bytes on the disk. changed_s: when it changed
    last, in seconds since the epoch. in_use: another process is writing it.
    """

    path: str
    held: int
    size: int | None
    taken: int
    changed_s: float
    in_use: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """A directory that could not be searched, or the rest of one. path: as in Leftover, "" at the top."""

    path: str
    reason: str


def find(root: str) -> Generator[Leftover | Unread, None, None]:
    """All leftovers below a directory, in the order of the disk, without following links. Raises LocalFileError for root itself.

    Two descriptors are open for each level of depth, and nothing else is kept: what is found may be removed on the way.
    """
    top = _open(root)
    try:
        yield from _search(top, "")
    finally:
        top.close()


def remove(root: str, found: Leftover) -> bool:
    """Remove what find(root) has found; False when it is in use or gone by now. Raises OSError."""
    *above, name = found.path.split("/")
    with ExitStack() as opened:
        directory = _open(root)
        opened.callback(directory.close)
        for step in above:
            directory = directory.child(step)
            opened.callback(directory.close)
        if not _remove_file(directory, name):
            return False
        if name.endswith(PART_SUFFIX):
            _remove_file(directory, _twin(name))
    return True


def _open(root: str) -> Directory:
    try:
        return Directory.at(root or os.curdir)
    except OSError as error:
        shown = display(root or os.curdir)
        if isinstance(error, NotADirectoryError):
            raise LocalFileError(f"{shown} is not a directory", _HINT) from error
        raise LocalFileError(f"{shown} cannot be read: {faults.reason(error)}", _HINT) from error


def _search(directory: Directory, path: str) -> Iterator[Leftover | Unread]:
    prefix = f"{path}/" if path else ""
    try:
        with directory.scan() as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") and name.endswith((PART_SUFFIX, JOURNAL_SUFFIX)):
                    if (found := _look(directory, name, prefix)) is not None:
                        yield found
                elif entry.is_dir(follow_symlinks=False):
                    yield from _search_below(directory, name, prefix + name)
    except OSError as error:
        yield Unread(path, faults.reason(error))


def _search_below(directory: Directory, name: str, path: str) -> Iterator[Leftover | Unread]:
    try:
        below = directory.child(name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Unread(path, faults.reason(error))
        return
    try:
        yield from _search(below, path)
    finally:
        below.close()


def _look(directory: Directory, name: str, prefix: str) -> Leftover | None:
    """What the part file or lone journal of this name is; None for what is no such file, or is told of with its part file."""
    status = _status(directory, name)
    if status is None:
        return None
    if name.endswith(JOURNAL_SUFFIX):
        if _status(directory, _twin(name)) is not None:
            return None
        return Leftover(prefix + name, 0, None, _taken(status), _changed(status), _in_use(directory, name))
    if stat.S_ISLNK(status.st_mode):
        return Leftover(prefix + name, 0, None, 0, _changed(status), False)
    told = _journal(directory, _twin(name), status.st_ino)
    beside = _status(directory, _twin(name))
    return Leftover(
        prefix + name,
        held=told.claimed_bytes if told else 0,
        size=told.header.size if told else None,
        taken=_taken(status) + (_taken(beside) if beside else 0),
        changed_s=max(_changed(status), _changed(beside) if beside else 0),
        in_use=_in_use(directory, name),
    )


def _twin(name: str) -> str:
    """The name of the journal of a part file, and the other way round."""
    if name.endswith(PART_SUFFIX):
        return name.removesuffix(PART_SUFFIX) + JOURNAL_SUFFIX
    return name.removesuffix(JOURNAL_SUFFIX) + PART_SUFFIX


def _status(directory: Directory, name: str) -> os.stat_result | None:
    """Of a regular file, or of a link, which a run makes under the name of a part file before it replaces another one."""
    try:
        status = directory.lstat(name)
    except OSError:
        return None
    is_link = stat.S_ISLNK(status.st_mode) and name.endswith(PART_SUFFIX)
    return status if is_link or stat.S_ISREG(status.st_mode) else None


def _taken(status: os.stat_result) -> int:
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512


def _changed(status: os.stat_result) -> float:
    """A part file that is whole has the time of the sender's file as its modification time."""
    return status.st_mtime if sys.platform == "win32" else status.st_ctime


def _journal(directory: Directory, name: str, inode: int) -> Journal | None:
    """What the journal of the part file with this inode number says, if anything."""
    try:
        fd = directory.open(name, read_only=True)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        found = journal.decode(journalfile.read_bytes(fd))
    except (OSError, JournalFault):
        return None
    finally:
        os.close(fd)
    return found if found.header.part.inode == inode & (2**64 - 1) else None


def _in_use(directory: Directory, name: str) -> bool:
    """What may not even be read is another user's, or has its final mode: no run is writing it."""
    try:
        fd = directory.open(name, read_only=True)
    except OSError:
        return False
    try:
        return plain.is_locked(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def _remove_file(directory: Directory, name: str) -> bool:
    """Whether it was there, was ours to remove, and nobody has it."""
    status = _status(directory, name)
    if status is None:
        return False
    if stat.S_ISREG(status.st_mode) and _in_use(directory, name):
        return False
    try:
        directory.remove(name)
    except FileNotFoundError:
        return False
    return True
