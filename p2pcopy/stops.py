"""Ctrl-C, SIGTERM and a closed terminal: once ends the run cleanly and tells the other side, twice ends it now."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from p2pcopy.errors import DryRun, Interrupted, P2PCopyError, Terminated

T = TypeVar("T")
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_ONCE_S = 0.5
_RERUN = "Run the same two commands again, with fresh codes."


class Stoppable(Protocol):
    """A session."""

    async def run(self) -> None: ...

    def stop(self, error: P2PCopyError) -> None: ...


class Stops:
    """Where the signals of this run go.

    finished: the outcome is told, so that a signal cannot change it any more; late: the signal that came then.
    at_last: called before the process ends at once.
    """

    def __init__(self) -> None:
        self.error: P2PCopyError | None = None
        self.task: asyncio.Future[Any] | None = None
        self.finished = False
        self.late: P2PCopyError | None = None
        self.at_last: Callable[[], None] = lambda: None
        self._session: Stoppable | None = None
        self._stopped = 0.0

    async def carry(self, session: Stoppable) -> None:
        """Run the session. Meanwhile a signal ends it through its own protocol."""
        self._session = session
        try:
            await session.run()
            self.finished = True
        except DryRun:
            self.finished = True
            raise
        finally:
            self._session = None

    def stop(self, error: P2PCopyError) -> None:
        """A signal came. The second ends the process at once, so part files may be left; twice within half a second is once."""
        now = time.monotonic()
        if self.error is not None:
            if now - self._stopped >= _ONCE_S:
                self.at_last()
                os._exit(error.exit_code)
            return
        self._stopped = now
        if self.finished:
            self.late = error
            return
        self.error = error
        if self._session is not None:
            self._session.stop(error)
        elif self.task is not None:
            self.task.cancel()


async def guarded(story: Callable[[Stops], Awaitable[T]]) -> T:
    """Run story. Raises Interrupted or Terminated when a signal ended it, whatever the signal made fail in it."""
    stops = Stops()
    with _handlers(stops):
        stops.task = task = asyncio.ensure_future(story(stops))
        try:
            return await task
        except (asyncio.CancelledError, P2PCopyError):
            if stops.error is not None:
                raise stops.error from None
            raise


@contextmanager
def _handlers(stops: Stops) -> Iterator[None]:
    """Signal handlers for the time of the run; where the loop has none (Windows), Python's own."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if number == signal.SIGINT:
            stops.stop(Interrupted("stopped by Ctrl-C", _RERUN))
        else:
            stops.stop(Terminated(f"stopped by a signal ({signal.Signals(number).name})", _RERUN))

    def stop_from_outside(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(stop, number)

    # What whoever started us wants ignored, such as nohup the end of the terminal, stays ignored.
    before = {number: signal.getsignal(number) for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:
            signal.signal(number, stop_from_outside)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
