"""Both sides say that they go on, after one or both of their users have compared the verification number."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from p2pcopy.errors import NUMBERS_DIFFER, ConnectionLost, Declined, P2PCopyError
from p2pcopy.net import link
from p2pcopy.quantities import duration

READY_S: Final = 14.0  # a peer that says nothing
CONFIRMED_S: Final = 600.0  # a person who compares numbers


class Agreement:
    """tell: sends a message to the other side. is_stalled: there is no path at present, so that silence means nothing."""

    def __init__(self, tell: Callable[[link.Message], None], is_stalled: Callable[[], bool]) -> None:
        self._tell = tell
        self._is_stalled = is_stalled
        self._changed = asyncio.Event()
        self._is_confirming = False
        self._is_ready = False
        self._error: P2PCopyError | None = None

    def take(self, message: link.Message) -> None:
        """A message of the other side."""
        match message:
            case link.Confirming():
                self._is_confirming = True
            case link.Ready():
                self._is_ready = True
            case link.Declined():
                self.lost(
                    Declined(
                        "the other side declined: the verification numbers differ, or its user said no", NUMBERS_DIFFER
                    )
                )
                return
        self._changed.set()

    def lost(self, error: P2PCopyError) -> None:
        """There will be no agreement."""
        self._error = self._error or error
        self._changed.set()

    async def reach(self, ask: Callable[[], Awaitable[None]] | None, on_confirming: Callable[[], None]) -> None:
        """Until both go on. ask: raises Declined when our user does not. Raises that, or why the other side does not."""
        waiting = asyncio.create_task(self._wait(on_confirming))
        try:
            if ask is not None:
                self._tell(link.Confirming())
                await self._ask(ask, waiting)
            self._tell(link.Ready())
            await waiting
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
            with contextlib.suppress(asyncio.CancelledError):
                waiting.exception()

    async def _ask(self, ask: Callable[[], Awaitable[None]], waiting: asyncio.Task[None]) -> None:
        """While our user decides the other side may leave."""
        asking = asyncio.ensure_future(ask())
        try:
            await asyncio.wait([asking, waiting], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and waiting.exception() is None:
                await asyncio.wait([asking])
            if asking.done():
                await asking
            else:
                await waiting
        except Declined:
            self._tell(link.Declined())
            raise
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def _wait(self, on_confirming: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        limit, told, began = READY_S, False, loop.time()
        while not self._is_ready:
            if self._error is not None:
                raise self._error
            if self._is_confirming and not told:
                told, limit = True, CONFIRMED_S
                on_confirming()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began + limit):
                    await self._changed.wait()
            if loop.time() >= began + limit:
                if not self._is_stalled():
                    raise ConnectionLost(
                        f"the other side is connected but says nothing for {duration(limit)}",
                        "Run the same two commands again, with fresh codes.",
                    )
                began = loop.time()
