"""What became of the entries that did not simply arrive. Pure."""

from __future__ import annotations

from p2pcopy import events
from p2pcopy.events import FileStatus
from p2pcopy.quantities import count
from p2pcopy.ui.wording import file_line, status_word

SHOWN = 10


class Tally:
    """Counts files by what became of them, and keeps the first ten of each kind but the plain ones."""

    def __init__(self) -> None:
        self._kept: dict[str, list[events.File]] = {"failed": [], "skipped": [], "renamed": []}
        self._counts = dict.fromkeys(self._kept, 0)

    def add(self, file: events.File) -> bool:
        """True when the file is one of the first of its kind and worth a line."""
        kind = _kind(file)
        if not kind:
            return False
        self._counts[kind] += 1
        kept = self._kept[kind]
        if len(kept) < SHOWN:
            kept.append(file)
            return True
        return False

    def is_first_beyond(self, file: events.File) -> bool:
        """Is this file, added just now, the first of its kind that is only counted?"""
        kind = _kind(file)
        return bool(kind) and self._counts[kind] == SHOWN + 1

    def short(self) -> str:
        """ "1 failed, 12 skipped"; empty when there is nothing to say."""
        return ", ".join(f"{self._counts[kind]:,} {kind}" for kind in ("failed", "skipped") if self._counts[kind])

    def lines(self, arrow: str) -> list[tuple[str, str]]:
        """The kept files as (kind, sentence), and how many more there are of each kind."""
        lines = []
        for kind, kept in self._kept.items():
            lines += [(kind, file_line(file, arrow)) for file in kept]
            if more := self._counts[kind] - len(kept):
                lines.append((kind, f"... and {count(more, 'more', 'more')}"))
        return lines


def _kind(file: events.File) -> str:
    word = status_word(file)
    return "" if word == FileStatus.DONE else word
