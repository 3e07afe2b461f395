"""Calls an Outbound when it is time: asyncio's timers around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2pcopy.net.outbound import Outbound


class Pump:
    """may_send: is there an association, and a path? failed: nothing can be sent any more."""

    def __init__(self, outbound: Outbound, may_send: Callable[[], bool], failed: Callable[[], None]) -> None:
        self._outbound = outbound
        self._may_send = may_send
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """There is something to send; more may come in this turn of the loop."""
        if self._next is None or self._due:
            self._call_at(0.0)

    def now(self) -> None:
        """Send what may be sent."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self._may_send():
            return
        now = self._loop.time()
        try:
            again = self._outbound.pump(now)
        except ConnectionError:
            self._failed()
            return
        if again is not None:
            self._call_at(again if again > now else 0.0)
        self._watch()

    def stop(self) -> None:
        for handle in (self._next, self._timer):
            if handle is not None:
                handle.cancel()
        self._next = self._timer = None

    def _call_at(self, due: float) -> None:
        """0: as soon as all others had their turn."""
        if self._next is not None:
            self._next.cancel()
        self._due = due
        self._next = self._loop.call_at(due, self.now) if due else self._loop.call_soon(self.now)

    def _watch(self) -> None:
        """The timer is moved only when it is too late, or when it rings: the time changes with every SACK."""
        due = self._outbound.due
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now, due = self._loop.time(), self._outbound.due
        if due is not None and due <= now:
            self._outbound.ring(now)
            self.now()
        self._watch()
