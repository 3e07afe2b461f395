"""How much the sender reads, and leaves queued for the network, at a time. Pure."""

from __future__ import annotations

from typing import Final

from p2pcopy.config import KIB, MIB

# Long enough for whoever fills the queue to be back in time, short enough for a control message to wait behind it.
_AHEAD_S: Final = 0.05
_LEAST: Final = 256 * KIB
_MOST: Final = 4 * MIB


class Pace:
    """size: bytes that the path takes in 50 ms, at least 256 KiB and at most 4 MiB."""

    def __init__(self) -> None:
        self.size = MIB

    def took(self, size: int, seconds: float) -> None:
        """size bytes were taken within this time."""
        now = _MOST if seconds <= 0 else int(size / seconds * _AHEAD_S)
        self.size = (3 * self.size + min(max(now, _LEAST), _MOST)) // 4
