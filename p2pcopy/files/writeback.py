"""Keeping the disk busy while data arrives."""

from __future__ import annotations

from collections import deque
from typing import Final

from p2pcopy.config import KIB, MIB
from p2pcopy.files import native
from p2pcopy.files.parts import PartFile

_SMALL: Final = 256 * KIB


class Writeback:
    """At most window bytes wait in the page cache, so that every sync is short.

    What has been written out also leaves the cache, so that a big file does not push everything else out of memory.
    """

    def __init__(self, window: int = 32 * MIB) -> None:
        self._window = window
        self._waiting: deque[tuple[PartFile, int, int]] = deque()
        self._bytes = 0

    def wrote(self, part: PartFile, offset: int, length: int) -> None:
        """Raises OSError, also about another part file, which then counts only up to its last sync."""
        if length < _SMALL or not _start(part, offset, length):
            return
        self._waiting.append((part, offset, length))
        self._bytes += length
        while self._bytes > self._window:
            oldest, offset, length = self._waiting.popleft()
            self._bytes -= length
            if oldest.is_open:
                _finish(oldest, offset, length)


def _start(part: PartFile, offset: int, length: int) -> bool:
    try:
        return native.start_writeback(part.open_fd, offset, length)
    except OSError:
        part.distrust()
        raise


def _finish(part: PartFile, offset: int, length: int) -> None:
    try:
        native.finish_writeback(part.open_fd, offset, length)
    except OSError:
        part.distrust()
        raise
