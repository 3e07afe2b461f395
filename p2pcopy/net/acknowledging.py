"""When a SACK is due to another p2pcopy: at once, or a little later for many packets together. asyncio's timers.

Packets that come one by one (through a TURN server, say) would get a SACK each turn of the event loop, and each costs both sides as
much as 50 packets do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HOLD_S: Final = 0.0005  # between SACKs for few packets; selectors make about 1 ms of it
FEW: Final = 64  # packets


class SackTimer:
    """due: called when the time has come for a SACK that was held."""

    def __init__(self, due: Callable[[], None]) -> None:
        self._due = due
        self._loop = asyncio.get_running_loop()
        self._told_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def may_wait(self, news: int) -> bool:
        """Whether so many packets are too few, so soon after the last SACK. Then due() will be called; otherwise call told()."""
        at = self._told_at + HOLD_S
        if news >= FEW or self._loop.time() >= at:
            return False
        if self._timer is None:
            self._timer = self._loop.call_at(at, self._due)
        return True

    def told(self) -> None:
        """A SACK leaves now."""
        self.stop()
        self._told_at = self._loop.time()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
