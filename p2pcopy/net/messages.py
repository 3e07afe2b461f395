"""What an association sends, and what it sends it with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from p2pcopy.net.packets import BEGINS, ENDS


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

    def put(self, packet: bytes) -> None:
        """Encrypt one packet that is there already. Raises ConnectionError."""

    def flush(self, size: int) -> None:
        """Send what is sealed: packets of size bytes each, the last may be shorter."""

    def flush_slices(self, size: int, count: int, records: int) -> None:
        """Send what is sealed: so many packets of size bytes each, in count slices each. Raises ConnectionError."""


@dataclass(slots=True)
class Part:
    """A message, or a piece of one, in packets from number first on, of size bytes each but the last."""

    first: int
    size: int
    data: memoryview
    stream: int
    sequence: int
    protocol: int
    flags: int
    done: Callable[[], None]
    begins: bool = True
    ends: bool = True

    @property
    def count(self) -> int:
        """Packets."""
        return -(-len(self.data) // self.size)

    def flags_of(self, index: int) -> int:
        """Of the packet with this index."""
        begins = self.begins and index == 0
        ends = self.ends and index == self.count - 1
        return self.flags | (BEGINS if begins else 0) | (ENDS if ends else 0)

    def cut(self, at: int, size: int) -> Part:
        """Keep the first at bytes, a multiple of our size; returns the rest, for packets of another size."""
        rest = replace(self, first=self.first + at // self.size, size=size, data=self.data[at:], begins=False)
        self.data, self.ends = self.data[:at], False
        return rest
