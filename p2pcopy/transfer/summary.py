"""A manifest in numbers, and its first lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from p2pcopy import events
from p2pcopy.transfer.wire import Entry, Kind

SHOWN: Final = 1000


class Summary:
    """Counts the manifest as it comes, and keeps its first 1,000 lines to be shown. destination: empty for the sender."""

    def __init__(self, destination: str = "") -> None:
        self.entries = self.files = self.directories = self.links = 0
        self.bytes = self.streams = self.existing = 0
        self._destination = destination
        self._lines: list[events.ManifestLine] = []

    def add(self, entries: Sequence[Entry], taken: Set[int] = frozenset()) -> None:
        """The next entries. taken: the indices, in the whole manifest, of those whose name is taken at the destination."""
        self.existing += len(taken)
        for index, entry in enumerate(entries, self.entries):
            self.files += entry.kind is Kind.FILE
            self.directories += entry.kind is Kind.DIRECTORY
            self.links += entry.kind is Kind.LINK
            self.bytes += entry.size or 0
            self.streams += entry.size is None
            if len(self._lines) < SHOWN:
                self._lines.append(shown(entry, index in taken))
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
            destination=self._destination,
            entries=tuple(self._lines),
        )


def shown(entry: Entry, taken: bool) -> events.ManifestLine:
    """An entry as one line. taken: its name is taken at the destination."""
    return events.ManifestLine(entry.path, entry.kind.name.lower(), entry.size, "exists" if taken else "new")
