"""What a path is like without a queue: its smallest round-trip time, and what it loses. Pure."""

from __future__ import annotations

import math
from typing import Final

# In so many seconds the queue is short once: CUBIC's cycle (RFC 9438) is shorter on most paths.
FLOOR_S: Final = 15.0

FEW_LOSSES: Final = 6  # say nothing
KNOWN_SHARE: Final = 0.0003  # less is no reason to ignore losses: CUBIC can live with it
MEMORY: Final = 100_000.0  # packets
DEVIATIONS: Final = 3.0
BY_CHANCE: Final = 2  # losses, and more than that: three deviations of a small number are less than one


class RttFloor:
    """value: the smallest round-trip time of the last FLOOR_S to twice that; infinite before the first."""

    def __init__(self) -> None:
        self.value = math.inf
        self._current = math.inf
        self._since = -math.inf

    def add(self, now: float, rtt: float) -> None:
        if now - self._since >= FLOOR_S:
            self.value = self._current if now - self._since < 2 * FLOOR_S else rtt
            self._current = rtt
            self._since = now
        self._current = min(self._current, rtt)
        self.value = min(self.value, rtt)


class LossLevel:
    """What a path loses when there is no queue."""

    def __init__(self) -> None:
        self._packets = 0.0
        self._lost = 0.0

    @property
    def share(self) -> float:
        """Of all packets; 0 while it is not known, or too small to matter."""
        share = self._lost / self._packets if self._lost >= FEW_LOSSES else 0.0
        return share if share >= KNOWN_SHARE else 0.0

    def add(self, packets: int, lost: int) -> None:
        self._packets += packets
        self._lost += lost
        if self._packets > MEMORY:
            self._packets /= 2
            self._lost /= 2

    def explains(self, lost: int, packets: int) -> bool:
        """May so many of so many packets be lost without congestion?"""
        usual = packets * self.share
        return lost <= (usual + DEVIATIONS * math.sqrt(usual) + BY_CHANCE if usual else 0)
