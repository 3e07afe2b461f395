"""Bytes taken as decisions: what a machine is given next, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Feed:
    """Each method takes a few bytes from the front; when there are none left, they count as zeros. False when it is empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """From 0 to below - 1, of as many bytes as that needs."""
        size = ((below - 1).bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "big") % below

    def flag(self) -> bool:
        return bool(self.number(2))

    def choice(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def take(self, size: int) -> bytes:
        """The next size bytes, fewer at the end."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def chunk(self, most: int = 255) -> bytes:
        """Some bytes; their number comes first."""
        return self.take(self.number(most + 1))

    def rest(self) -> bytes:
        return self.take(len(self._data))
