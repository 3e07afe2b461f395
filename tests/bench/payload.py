"""What travels over a raw channel: numbered messages of known content, so that every byte is checked when it arrives."""

from __future__ import annotations

import random

MAX_MESSAGE = 262144
_NUMBER_BYTES = 8
# The same on both sides; nothing that could be compressed.
PATTERN = random.Random("p2pcopy").randbytes(MAX_MESSAGE)


class Messages:
    """Makes them. size: in bytes, at most MAX_MESSAGE."""

    def __init__(self, size: int) -> None:
        self._body = PATTERN[: size - _NUMBER_BYTES]
        self._next = 0

    def make(self) -> bytes:
        """The next one."""
        number = self._next.to_bytes(_NUMBER_BYTES, "big")
        self._next += 1
        return b"".join((number, self._body))


class Arrivals:
    """Checks them, in whatever order they come. bytes: of all that were right."""

    def __init__(self) -> None:
        self.bytes = 0
        self._body = b""
        self._next = 0
        self._ahead: set[int] = set()

    def take(self, message: bytes) -> None:
        """Raises ValueError for one that is damaged, or here for the second time."""
        if len(message) != len(self._body) + _NUMBER_BYTES:
            self._body = PATTERN[: len(message) - _NUMBER_BYTES]
        number = int.from_bytes(message[:_NUMBER_BYTES], "big")
        if not message.endswith(self._body):
            raise ValueError(f"message {number} is damaged")
        if number < self._next or number in self._ahead:
            raise ValueError(f"message {number} came twice")
        self._ahead.add(number)
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1
        self.bytes += len(message)
