"""When a path loses so little that many packets may be lost with one datagram (slices.py). Pure."""

from __future__ import annotations

from typing import Final

LEAST: Final = 5_000  # packets without a loss, until then
MOST: Final = 640_000


class Calm:
    """The first long records are a trial: no more follow until they have arrived. Whoever loses before long records were used for
    as long as they were waited for has to wait twice as long the next time: the path does lose now and then, or somebody on it does
    not let slices through."""

    def __init__(self) -> None:
        self._wanted = LEAST
        self._arrived = 0  # packets since the last loss
        self._used_at: int | None = None  # how many of them before the first long record
        self._trial_end = 0  # number of the first packet behind the trial

    def allows(self, oldest: int) -> bool:
        """Long records now? oldest: number of the first packet that is not acknowledged with all before it."""
        return self._arrived >= self._wanted and (self._used_at is None or oldest >= self._trial_end)

    def used(self, end: int) -> None:
        """Long records leave, with packets before number end."""
        if self._used_at is None:
            self._used_at, self._trial_end = self._arrived, end

    def acknowledged(self, arrived: int, lost: int) -> None:
        """In packets."""
        if not lost:
            self._arrived += arrived
            return
        if self._used_at is not None:
            has_lasted = self._arrived - self._used_at >= self._wanted
            self._wanted = LEAST if has_lasted else min(2 * self._wanted, MOST)
        self.over()

    def over(self) -> None:
        """Nothing comes back any more."""
        self._arrived = 0
        self._used_at = None
