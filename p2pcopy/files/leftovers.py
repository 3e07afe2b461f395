"""Part files and journals that earlier runs have left below a directory: finding them, and removing one."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final

from p2pcopy.errors import LocalFileError
from p2pcopy.files import faults, journal, journalfile, locks, plain
from p2pcopy.files.dirs import Directory
from p2pcopy.files.journal import Journal, JournalFault
from p2pcopy.files.names import JOURNAL_SUFFIX, PART_SUFFIX, display

_HINT: Final = "Name another directory."


@dataclass(frozen=True, slots=True)
class Leftover:
    """A part file with its journal, or one of them alone.

    path: of the part file, or else of the journal, relative to where the search began, with "/"; file: the same of the file that it
    is for, "" where its name is too long to be told. held: bytes of the file that the journal tells of; size: of the whole file,
    None where no journal tells it. taken: bytes on the disk. changed_s: when it changed last, in seconds since the epoch.
    in_use: another process is writing it, or receives into a directory that it is below of, and may go on with it.
    """

    path: str
    file: str
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
    """All leftovers below a directory, sorted by their names, without following links. Raises LocalFileError for root itself.

    A descriptor is open for each level of depth, and the names of leftovers and directories of each level are kept.
    """
    top = _open(root)
    try:
        yield from _search(top)
    finally:
        top.close()


def remove(root: str, found: Leftover) -> bool:
    """Remove what find(root) has found; False when it is in use or gone by now. Raises OSError."""
    *above, name = found.path.split("/")
    with ExitStack() as opened:
        directory = _open(root)
        opened.callback(directory.close)
        way = [directory]
        for step in above:
            directory = directory.child(step)
            opened.callback(directory.close)
            way.append(directory)

        def is_free() -> bool:
            return not (any(map(_is_destination, way)) or _is_below_destination(way[0]))

        if not _remove_file(directory, name, is_free):
            return False
        if name.endswith(PART_SUFFIX):
            _remove_file(directory, _twin(name), is_free)
        return True


def _open(root: str) -> Directory:
    try:
        return Directory.at(root or os.curdir)
    except OSError as error:
        shown = display(root or os.curdir)
        if isinstance(error, NotADirectoryError):
            raise LocalFileError(f"{shown} is not a directory", _HINT) from error
        raise LocalFileError(f"{shown} cannot be read: {faults.reason(error)}", _HINT) from error


def _is_destination(directory: Directory) -> bool:
    return directory.fd is not None and locks.is_occupied(directory.fd)


def _is_below_destination(directory: Directory) -> bool:
    """Whether a transfer is running in a directory that this one is below of; none of ours is above what we may not read."""
    if directory.fd is None:
        return False
    with ExitStack() as opened, suppress(OSError):
        while True:
            above = directory.child(os.pardir)
            opened.callback(above.close)
            if os.path.samestat(above.stat(), directory.stat()):
                return False
            if _is_destination(above):
                return True
            directory = above
    return False


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory that is being searched. names: those to come, the next one last; occupied: a transfer is running there."""

    directory: Directory
    path: str
    names: list[str]
    occupied: bool


def _search(top: Directory) -> Iterator[Leftover | Unread]:
    """Depth is bounded by the descriptors that the system gives, not by Python's stack."""
    levels: list[_Level] = []
    try:
        levels.append(_listed(top, "", _is_below_destination(top)))
    except OSError as error:
        yield Unread("", faults.reason(error))
    try:
        while levels:
            if not levels[-1].names:
                levels.pop().directory.close()
                continue
            yield from _next(levels)
    finally:
        for level in levels:
            level.directory.close()


def _next(levels: list[_Level]) -> Iterator[Leftover | Unread]:
    """One name more of the deepest level."""
    level = levels[-1]
    name = level.names.pop()
    path = f"{level.path}/{name}" if level.path else name
    if _has_name(name):
        if (found := _look(level.directory, name, path, level.occupied)) is not None:
            yield found
        return
    try:
        levels.append(_below(level, name, path))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Unread(path, faults.reason(error))


def _below(level: _Level, name: str, path: str) -> _Level:
    directory = level.directory.child(name)
    try:
        return _listed(directory, path, level.occupied)
    except BaseException:
        directory.close()
        raise


def _listed(directory: Directory, path: str, occupied: bool) -> _Level:
    """occupied: a transfer is running further up. Raises OSError."""
    with directory.scan() as entries:
        names = [entry.name for entry in entries if _has_name(entry.name) or entry.is_dir(follow_symlinks=False)]
    return _Level(directory, path, sorted(names, reverse=True), occupied or _is_destination(directory))


def _has_name(name: str) -> bool:
    return name.startswith(".") and name.endswith((PART_SUFFIX, JOURNAL_SUFFIX))


def _look(directory: Directory, name: str, path: str, occupied: bool) -> Leftover | None:
    """What the part file or lone journal of this name is; None for what is no such file, or is told of with its part file."""
    status = _status(directory, name)
    if status is None:
        return None
    alone = Leftover(
        path=path,
        file=path.removesuffix(name) + final if (final := plain.final_name(name)) else "",
        held=0,
        size=None,
        taken=_taken(status),
        changed_s=_changed(status),
        in_use=occupied or (stat.S_ISREG(status.st_mode) and _is_open(directory, name)),
    )
    beside = _status(directory, _twin(name))
    if name.endswith(JOURNAL_SUFFIX):
        return alone if beside is None else None
    if stat.S_ISLNK(status.st_mode) or beside is None:
        return alone
    told = _journal(directory, _twin(name), status.st_ino)
    return replace(
        alone,
        held=told.claimed_bytes if told else 0,
        size=told.header.size if told else None,
        taken=_taken(status) + _taken(beside),
        changed_s=max(_changed(status), _changed(beside)),
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


def _is_open(directory: Directory, name: str) -> bool:
    """Whether a transfer has it. What may not even be read is another user's, or has its final mode: no run is writing it."""
    try:
        fd = directory.open(name, read_only=True)
    except OSError:
        return False
    try:
        return not locks.look(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def _remove_file(directory: Directory, name: str, is_free: Callable[[], bool]) -> bool:
    """Whether it was there, was ours to remove, and nobody has it. is_free: no transfer is running there; asked under its lock."""
    status = _status(directory, name)
    if status is None:
        return False
    with ExitStack() as opened:
        # Nobody can begin with it between the look and the removal.
        if stat.S_ISREG(status.st_mode) and not _hold(directory, name, opened):
            return False
        if not is_free():
            return False
        try:
            directory.remove(name)
        except FileNotFoundError:
            return False
    return True


def _hold(directory: Directory, name: str, opened: ExitStack) -> bool:
    """Whether nobody has it; nobody can take it until opened is left. Windows removes only what is closed."""
    if sys.platform == "win32":
        return True
    try:
        fd = directory.open(name, read_only=True)
    except PermissionError:
        return True  # as in _is_open()
    except OSError:
        return False
    opened.callback(os.close, fd)
    return locks.look(fd)
