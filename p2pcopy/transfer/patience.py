"""How long a sender waits for a receiver that answers pings and takes nothing. Pure."""

from __future__ import annotations

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, ProtocolError
from p2pcopy.quantities import duration
from p2pcopy.transfer.wire import UPDATE_HINT


class Patience:
    """While it is the receiver's turn it has to say so (waiting_s), and to get on some day (idle_s)."""

    def __init__(self, limits: TransferLimits, now: float) -> None:
        self._limits = limits
        self._said = self._moved = now

    def said(self, now: float, *, moved: bool) -> None:
        """The receiver told something of what it was sent. moved: a message found room, or more is stored or reported."""
        self._said = now
        if moved:
            self._moved = now

    def tick(self, now: float, *, waits: bool) -> None:
        """waits: it is the receiver's turn. Raises ProtocolError, ConnectionLost."""
        limits = self._limits
        if not waits:
            self._said = self._moved = now
        elif now - self._said > limits.waiting_s:
            raise ProtocolError("the other side takes nothing and does not say that it is still at it", UPDATE_HINT)
        elif now - self._moved > limits.idle_s:
            raise ConnectionLost(
                f"the other side has taken nothing for {duration(limits.idle_s)}",
                "Look what keeps it, then run the same two commands again.",
            )
