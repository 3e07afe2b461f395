"""When a path loses so little that many packets may be lost with one datagram (slices.py). Pure."""

from __future__ import annotations

from typing import Final

LEAST: Final = 5_000  # packets without a loss, until then
MOST: Final = 640_000


class Calm:
    """Whoever loses what was sent in long records soon after it was calm has to wait twice as long the next time: the path does
    lose now and then, or somebody on it does not let slices through."""

    def __init__(self) -> None:
        self._wanted = LEAST
        self._arrived = 0  # packets since the last loss

    @property
    def is_calm(self) -> bool:
        return self._arrived >= self._wanted

    def acknowledged(self, arrived: int, lost: int) -> None:
        """In packets."""
        if not lost:
            self._arrived += arrived
            return
        if self._arrived >= 4 * self._wanted:
            self._wanted = LEAST
        elif self.is_calm:
            self._wanted = min(2 * self._wanted, MOST)
        self._arrived = 0

    def over(self) -> None:
        """Nothing comes back any more."""
        self._arrived = 0
