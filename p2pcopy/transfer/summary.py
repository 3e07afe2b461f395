"""A manifest in numbers, and its first lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pcopy import events
from p2pcopy.transfer.wire import Entry, Kind

SHOWN: Final = 1000
# With these no name is taken by anything else.
_FREE: Final = (events.Mark.NEW, events.Mark.BEGUN, events.Mark.STALE, events.Mark.SAME)


class Summary:
    """Counts the manifest as it comes, and keeps its first 1,000 lines to be shown. destination, policy: empty for the sender."""

    def __init__(self, destination: str = "", policy: str = "") -> None:
        self.entries = self.files = self.directories = self.links = 0
        self.bytes = self.streams = self.existing = self.same = 0
        self._destination = destination
        self._policy = policy
        self._lines: list[events.ManifestLine] = []

    def add(self, entries: Sequence[Entry], marks: Sequence[events.Mark] = ()) -> None:
        """The next entries. marks: what they meet at the destination; none at the sender."""
        self.same += marks.count(events.Mark.SAME)
        self.existing += sum(mark not in _FREE for mark in marks)
        for entry, mark in zip(entries, marks or [events.Mark.NEW] * len(entries), strict=True):
            self.files += entry.kind is Kind.FILE
            self.directories += entry.kind is Kind.DIRECTORY
            self.links += entry.kind is Kind.LINK
            self.bytes += entry.size or 0
            self.streams += entry.size is None
            if len(self._lines) < SHOWN:
                self._lines.append(shown(entry, mark))
        self.entries += len(entries)

    def manifest(self) -> events.Manifest:
        """All of it."""
        return events.Manifest(
            files=self.files,
            directories=self.directories,
            links=self.links,
            bytes=self.bytes,
            streams=self.streams,
            existing=self.existing,
            same=self.same,
            policy=self._policy,
            destination=self._destination,
            entries=tuple(self._lines),
        )


def shown(entry: Entry, mark: events.Mark) -> events.ManifestLine:
    """An entry as one line."""
    return events.ManifestLine(entry.path, entry.kind.name.lower(), entry.size, mark)
