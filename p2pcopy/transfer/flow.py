"""Credit: how many bytes the sender may have under way, as a running total that only the receiver raises. Pure.

Every message with content costs credit (cost()), and every byte of it is consumed once: when its block is written or found
damaged, its entry checked, its file final or failed.

Connections deliver messages without back-pressure, so this is what bounds the memory of both sides: what is held here
and what the sender may still send are never more than the window together.
"""

from __future__ import annotations

from typing import Final

from p2pcopy.errors import ProtocolError

# What is kept of an entry or a record beside its bytes: without it a peer could fill the memory with tiny ones.
ITEM_COST: Final = 256

_HINT: Final = "Use the same version of p2pcopy on both sides."


def cost(size: int, items: int) -> int:
    """Bytes of credit of a message: its size, and ITEM_COST for each record or manifest entry in it."""
    return size + ITEM_COST * items


class SendCredit:
    """The sender's side. All numbers in bytes since the start."""

    def __init__(self) -> None:
        self.limit = 0
        self.spent = 0

    @property
    def available(self) -> int:
        return self.limit - self.spent

    def grant(self, limit: int) -> None:
        """A new limit from the peer. Raises ProtocolError when it takes credit back."""
        if limit < self.limit:
            raise ProtocolError(f"the other side took credit back, from {self.limit} to {limit} bytes", _HINT)
        self.limit = limit

    def spend(self, size: int) -> None:
        """Account for a message that goes out now; the caller has looked at available."""
        if size > self.available:
            raise ValueError(f"{size} bytes sent with a credit of {self.available}")
        self.spent += size


class ReceiveWindow:
    """The receiver's side: counts what came and what was consumed, and says when to announce a new limit. window: bytes."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.limit = window
        self.received = 0
        self.consumed = 0

    @property
    def held(self) -> int:
        """Bytes that came and are not consumed yet."""
        return self.received - self.consumed

    def take(self, size: int) -> None:
        """A credited message came. Raises ProtocolError when the peer had no credit for it."""
        self.received += size
        if self.received > self.limit:
            raise ProtocolError(
                f"the other side sent {self.received - self.limit} bytes more than it had credit for", _HINT
            )

    def consume(self, size: int) -> None:
        """size bytes are on the disk or otherwise done with."""
        if size > self.held:
            raise ValueError(f"{size} bytes consumed, {self.held} held")
        self.consumed += size

    def announce(self, *, always: bool = False) -> int | None:
        """The limit to tell the peer now, or None while the last one is still good for seven eighths of the window."""
        limit = self.consumed + self.window
        due = limit - self.limit >= self.window // 8
        if limit > self.limit and (due or always):
            self.limit = limit
            return limit
        return None
