"""How much reordering is taken for nothing but reordering: RFC 8985 section 4 in packets and in time. Pure.

A packet counts as lost when `threshold` later ones have arrived, or when the first later one arrived `patience` round trips ago.
The second rule finds losses at the end of a burst, and keeps a large threshold from holding losses back. Both begin where TCP has
them, at 3 packets and a quarter of a round trip; whichever was wrong grows when a packet turns out to have been late only, and
shrinks again when that much reordering has not been seen for a while.
"""

from __future__ import annotations

from typing import Final

MIN_THRESHOLD: Final = 3
MAX_THRESHOLD: Final = 64  # or half of what is on the way, if that is more
MIN_PATIENCE: Final = 0.25
MAX_PATIENCE: Final = 1.0
CALM_S: Final = 2.0  # without much reordering, then the threshold comes down by an eighth
CALM_ROUND_TRIPS: Final = 16


class Reordering:
    """threshold: packets; patience: round trips. Distances: by how many packets a late one was overtaken."""

    def __init__(self) -> None:
        self.threshold = MIN_THRESHOLD
        self.patience = MIN_PATIENCE
        self._quiet_since = 0.0

    def was_late(self, distance: int, window: int, now: float) -> None:
        """A packet that counted as lost had only been overtaken. window: packets on the way."""
        self._quiet_since = now
        if distance < self.threshold:
            self.patience = min(self.patience + MIN_PATIENCE, MAX_PATIENCE)
        else:
            self.threshold = max(self.threshold, min(distance + 1, max(MAX_THRESHOLD, window // 2)))

    def seen(self, distance: int, now: float) -> None:
        """A packet came late and did not count as lost: what was learned is still needed."""
        if 2 * distance >= self.threshold:
            self._quiet_since = now

    def calm_down(self, now: float, round_trip: float) -> None:
        """Forget what has not been needed for a while."""
        if now - self._quiet_since > max(CALM_S, CALM_ROUND_TRIPS * round_trip):
            self._quiet_since = now
            self.threshold -= (self.threshold - MIN_THRESHOLD + 7) // 8
            self.patience = max(self.patience - MIN_PATIENCE, MIN_PATIENCE)
