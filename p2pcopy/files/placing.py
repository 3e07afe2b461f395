"""Giving a file or link its final name: what may be in the way, and what the user wants done about it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Final

from p2pcopy.config import Existing
from p2pcopy.events import FileStatus
from p2pcopy.files.dirs import Directory, is_real_directory, split
from p2pcopy.files.names import fold
from p2pcopy.files.parts import MAX_NAME_BYTES
from p2pcopy.transfer.items import Clash, Obstacle, Outcome
from p2pcopy.transfer.wire import Entry, Kind

_NUMBERED: Final = re.compile(r" \([0-9]+\)(\.[^./]*)?\Z")
_MAX_NUMBER: Final = 10_000
_REASONS: Final = {
    Obstacle.FILE: "it exists already",
    Obstacle.LINK: "a link is in its place",
    Obstacle.DIRECTORY: "a directory is in its place",
    Obstacle.SPECIAL: "a special file is in its place",
    Obstacle.PARENT: "something on its path is not a directory here",
}


class Placing:
    """The policy for names that are taken. existing: ASK and REFUSE leave what is there and fail the entry."""

    def __init__(self, existing: Existing) -> None:
        self.existing = existing
        self._numbered: set[int] = set()

    def expect(self, path: str) -> None:
        """This name will be needed by an entry, so nothing else is renamed to it."""
        if _NUMBERED.search(path):
            self._numbered.add(hash(fold(path)))

    def refuses(self, index: int, clash: Clash) -> Outcome | None:
        """The outcome of an entry that is not stored because of a clash; None when it is."""
        if clash.hopeless:
            return Outcome(index, FileStatus.FAILED, clash.reason)
        return self._verdict(index, clash.obstacle)

    def settle(
        self, index: int, path: str, directory: Directory, place: Callable[[str], None], replace: Callable[[], None]
    ) -> Outcome:
        """Give an entry its name in directory. place: gives it this name there; raises FileExistsError when it is taken."""
        parent, name = split(path)
        try:
            place(name)
            return Outcome(index, FileStatus.DONE)
        except FileExistsError:
            obstacle = obstacle_of(directory.lstat(name))
        if (verdict := self._verdict(index, obstacle)) is not None:
            return verdict
        if self.existing is Existing.REPLACE:
            replace()
            return Outcome(index, FileStatus.DONE)
        for other in numbered(name):
            saved_as = f"{parent}/{other}" if parent else other
            if hash(fold(saved_as)) in self._numbered:
                continue
            try:
                place(other)
                return Outcome(index, FileStatus.DONE, saved_as=saved_as)
            except FileExistsError:
                continue
        return Outcome(index, FileStatus.FAILED, "it exists already, and so do its names with a number")

    def _verdict(self, index: int, obstacle: Obstacle) -> Outcome | None:
        match self.existing:
            case Existing.SKIP:
                return Outcome(index, FileStatus.SKIPPED, _REASONS[obstacle])
            case Existing.RENAME:
                return None
            case Existing.REPLACE if obstacle in (Obstacle.FILE, Obstacle.LINK):
                return None
            case _:
                return Outcome(index, FileStatus.FAILED, _REASONS[obstacle])


def clash(entry: Entry, found: os.stat_result) -> Clash | None:
    """What it means for an entry that this is at its place; None when a directory meets a directory."""
    obstacle = obstacle_of(found)
    if entry.kind is Kind.DIRECTORY:
        return None if obstacle is Obstacle.DIRECTORY else Clash(obstacle, _REASONS[obstacle], hopeless=True)
    if obstacle is Obstacle.FILE:
        return Clash(obstacle, _REASONS[obstacle], size=found.st_size, mtime_ns=found.st_mtime_ns)
    return Clash(obstacle, _REASONS[obstacle])


def no_way() -> Clash:
    """For an entry below something that is not a directory."""
    return Clash(Obstacle.PARENT, _REASONS[Obstacle.PARENT], hopeless=True)


def obstacle_of(found: os.stat_result) -> Obstacle:
    if stat.S_ISLNK(found.st_mode):
        return Obstacle.LINK
    if stat.S_ISREG(found.st_mode):
        return Obstacle.FILE
    return Obstacle.DIRECTORY if is_real_directory(found) else Obstacle.SPECIAL


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
