"""Giving a file or link its final name: what may be in the way, and what the user wants done about it."""

from __future__ import annotations

import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Final

from p2pcopy.config import Existing
from p2pcopy.events import FileStatus
from p2pcopy.files.dirs import Directory, is_real_directory, split
from p2pcopy.files.names import fold
from p2pcopy.files.plain import MAX_NAME_BYTES
from p2pcopy.transfer.items import Clash, Obstacle, Outcome
from p2pcopy.transfer.wire import Entry, Kind

_NUMBERED: Final = re.compile(r" \([0-9]+\)(\.[^./]*)?\Z")
_MAX_NUMBER: Final = 10_000
# A file system may keep times in steps, in nanoseconds: NTFS, macOS, some network file systems, exFAT, ext3, FAT.
_STEPS: Final = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)
_THERE: Final = "it is there already"
_REASONS: Final = {
    Obstacle.FILE: "it exists already",
    Obstacle.LINK: "a link is in its place",
    Obstacle.DIRECTORY: "a directory is in its place",
    Obstacle.SPECIAL: "a special file is in its place",
    Obstacle.PARENT: "something on its path is not a directory here",
}


class Placing:
    """The policy for names that are taken. existing: ASK and REFUSE leave what is there and fail the entry.

    began_ns: by the clock of the destination, in nanoseconds since 1970: where names that were let in may be one in some directory,
    what changed after it may be this run's own.
    """

    def __init__(self, existing: Existing) -> None:
        self.existing = existing
        self.began_ns = sys.maxsize
        self._numbered: set[int] = set()

    def expect(self, path: str) -> None:
        """This name will be needed by an entry, so nothing else is renamed to it."""
        if _NUMBERED.search(path):
            self._numbered.add(hash(fold(path)))

    def refuses(self, index: int, clash: Clash) -> Outcome | None:
        """The outcome of an entry that is not stored because of a clash; None when it is, or when its content decides."""
        if clash.hopeless:
            return Outcome(index, FileStatus.FAILED, clash.reason)
        if clash.compare:
            return None
        return self._verdict(index, clash.obstacle)

    @property
    def gives_way(self) -> bool:
        """Whether an entry is stored although there is another file of its name."""
        return self.existing in (Existing.RENAME, Existing.REPLACE)

    def keeps_out(self, obstacle: Obstacle) -> bool:
        """Whether what is there stays although others would give way."""
        return self.existing is Existing.REPLACE and obstacle not in (Obstacle.FILE, Obstacle.LINK)

    def candidates(self, path: str, directory: Directory) -> Iterator[tuple[str, os.stat_result]]:
        """What an earlier run may have stored for an entry: at its own name, or with RENAME at one with a number."""
        parent, name = split(path)
        names: Iterator[str] = iter((name,))
        if self.existing is Existing.RENAME:
            names = chain(names, (other for other in numbered(name) if not self._is_expected(_joined(parent, other))))
        for other in names:
            try:
                yield other, directory.lstat(other)
            except FileNotFoundError:
                return

    def there_already(self, index: int, entry: Entry, directory: Directory, *, checksum: bool) -> Outcome | None:
        """The outcome when an earlier run has stored it, under a name with a number say. checksum: as in clash().

        Raises OSError.
        """
        parent, name = split(entry.path)
        for other, found in self.candidates(entry.path, directory):
            if _is_there(entry, other, found, directory, checksum=checksum):
                saved_as = "" if other == name else _joined(parent, other)
                return Outcome(index, FileStatus.SKIPPED, _THERE, saved_as, there=True)
        return None

    def same_content(self, index: int, path: str, name: str) -> Outcome:
        """The outcome of an entry whose content is in the file of this name already."""
        parent, own = split(path)
        saved_as = "" if name == own else _joined(parent, name)
        return Outcome(index, FileStatus.SKIPPED, "the same content is there", saved_as, there=True)

    def settle(
        self, index: int, path: str, directory: Directory, place: Callable[[str], None], replace: Callable[[], None]
    ) -> Outcome:
        """Give an entry its name in directory. place: gives it this name there; raises FileExistsError when it is taken."""
        parent, name = split(path)
        try:
            place(name)
            return Outcome(index, FileStatus.DONE)
        except FileExistsError:
            found = directory.lstat(name)
        if (verdict := self._verdict(index, obstacle_of(found))) is not None:
            return verdict
        if self.existing is Existing.REPLACE:
            if found.st_ctime_ns >= self.began_ns and _has_twin(directory, name, found):
                return Outcome(index, FileStatus.FAILED, "it has the name of another one here, where case is ignored")
            replace()
            return Outcome(index, FileStatus.DONE)
        for other in numbered(name):
            saved_as = _joined(parent, other)
            if self._is_expected(saved_as):
                continue
            try:
                place(other)
                return Outcome(index, FileStatus.DONE, saved_as=saved_as)
            except FileExistsError:
                continue
        return Outcome(index, FileStatus.FAILED, "it exists already, and so do its names with a number")

    def _is_expected(self, path: str) -> bool:
        return hash(fold(path)) in self._numbered

    def _verdict(self, index: int, obstacle: Obstacle) -> Outcome | None:
        match self.existing:
            case Existing.SKIP:
                return Outcome(index, FileStatus.SKIPPED, _REASONS[obstacle])
            case Existing.RENAME:
                return None
            case Existing.REPLACE if not self.keeps_out(obstacle):
                return None
            case _:
                return Outcome(index, FileStatus.FAILED, _REASONS[obstacle])


def clash(entry: Entry, name: str, directory: Directory, *, checksum: bool) -> Clash | None:
    """What an entry meets at its name in directory, if anything: a directory that meets a directory is none. Raises OSError.

    checksum: the content tells whether a file is the same, not its time.
    """
    try:
        found = directory.lstat(name)
    except FileNotFoundError:
        return None
    obstacle = obstacle_of(found)
    if entry.kind is Kind.DIRECTORY:
        return None if obstacle is Obstacle.DIRECTORY else Clash(obstacle, _REASONS[obstacle], hopeless=True)
    same = _is_there(entry, name, found, directory, checksum=checksum)
    if obstacle is not Obstacle.FILE:
        return Clash(obstacle, _REASONS[obstacle], same=same)
    compare = checksum and not same and is_as_long(entry, found)
    return Clash(
        obstacle, _REASONS[obstacle], size=found.st_size, mtime_ns=found.st_mtime_ns, same=same, compare=compare
    )


def _is_there(entry: Entry, name: str, found: os.stat_result, directory: Directory, *, checksum: bool) -> bool:
    """Whether this is what an entry makes; with checksum, only where there is no content to compare. Raises OSError."""
    if entry.kind is Kind.LINK:
        return stat.S_ISLNK(found.st_mode) and directory.read_link(name) == entry.target
    if checksum:
        return not entry.size and is_as_long(entry, found)
    return is_same(entry, found)


def is_same(entry: Entry, found: os.stat_result) -> bool:
    """Whether this is the file of an entry, by its size and its time, which the file system may have cut."""
    return is_as_long(entry, found) and any(entry.mtime_ns // step * step == found.st_mtime_ns for step in _STEPS)


def is_as_long(entry: Entry, found: os.stat_result) -> bool:
    return entry.kind is Kind.FILE and stat.S_ISREG(found.st_mode) and found.st_size == entry.size


def no_way() -> Clash:
    """For an entry below something that is not a directory."""
    return Clash(Obstacle.PARENT, _REASONS[Obstacle.PARENT], hopeless=True)


def obstacle_of(found: os.stat_result) -> Obstacle:
    if stat.S_ISLNK(found.st_mode):
        return Obstacle.LINK
    if stat.S_ISREG(found.st_mode):
        return Obstacle.FILE
    return Obstacle.DIRECTORY if is_real_directory(found) else Obstacle.SPECIAL


def _has_twin(directory: Directory, name: str, found: os.stat_result) -> bool:
    """Whether this directory takes other names for this one, as it may be on a file system of its own. Raises OSError."""
    for twin in {name.swapcase(), unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)} - {name}:
        with suppress(FileNotFoundError):
            if os.path.samestat(directory.lstat(twin), found):
                return True
    return False


def _joined(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def numbered(name: str) -> Iterator[str]:
    """ "name (1).ext", "name (2).ext" and so on; the part before the number is cut where the name would be too long."""
    stem, extension = os.path.splitext(name)
    for number in range(1, _MAX_NUMBER + 1):
        tail = f" ({number}){extension}"
        while stem and len(os.fsencode(stem + tail)) > MAX_NAME_BYTES:
            stem = stem[:-1]
        if not stem:
            return
        yield stem + tail
