"""What an association sends, and what it sends it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """data: not empty. done: called when the last byte has left for the first time."""

    stream: int
    protocol: int
    data: bytes
    unordered: bool
    done: Callable[[], None]


class Wire(Protocol):
    """Where packets go. burst: packets that are best sent at once; is_full: no more now."""

    plain: bytearray

    @property
    def burst(self) -> int: ...

    @property
    def is_full(self) -> bool: ...

    def seal(self, size: int) -> int:
        """Encrypt the first size bytes of plain; returns size."""

    def flush(self, size: int) -> None:
        """Send what is sealed: packets of size bytes each, the last may be shorter."""


@dataclass(slots=True)
class Part:
    """A message, or a piece of one, in count packets from number first on, of size bytes each but the last."""

    first: int
    count: int
    size: int
    data: memoryview
    stream: int
    sequence: int
    protocol: int
    flags: int
    begins: bool
    ends: bool
