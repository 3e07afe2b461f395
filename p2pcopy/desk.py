"""Where codes come from and go to, and how the user is told, while the two sides look for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from p2pcopy import events
from p2pcopy.signaling.code import Candidate
from p2pcopy.signaling.exchange import LineSource

RENEW_S: Final = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """Where codes come from and go to, and how the user is told.

    tell: also shows our codes where they go to a terminal or a pipe. deliver: takes our codes elsewhere. answers: None when
    no code can come in. patient: a person reads along, so our answer is shown only if the connection does not come up by
    itself, and a mistyped code may be entered again. waiting_s: seconds between two Waiting events. confirm: asks this side's
    user whether the other side shows this number, and raises Declined if not; None: this side's user is not asked.
    forgiving: a wrong answer code is told, and another one waited for, whether a person reads along or not.
    """

    tell: Callable[[events.Event], None]
    deliver: Callable[[events.Code], Awaitable[None]]
    answers: LineSource | None
    patient: bool
    waiting_s: float
    confirm: Callable[[str], Awaitable[None]] | None = None
    forgiving: bool = False


class Countdown:
    """Tells every desk.waiting_s seconds what is waited for, and how long still. answers: whether a code may come in."""

    def __init__(self, desk: Desk, limit_s: float) -> None:
        self.answers = False
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + limit_s

    @property
    def left_s(self) -> float:
        return max(0.0, self._end - self._loop.time())

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._desk.waiting_s)
            self._desk.tell(events.Waiting("for_answer" if self.answers else "for_peer", self.left_s))


class ShownCode:
    """A code of ours, which is made anew when our addresses change while it is waited for.

    make: the code with these addresses; countdown: to its expiry.
    """

    def __init__(
        self,
        kind: str,
        make: Callable[[tuple[Candidate, ...]], str],
        candidates: tuple[Candidate, ...],
        desk: Desk,
        countdown: Countdown,
    ) -> None:
        self.text = make(candidates)
        self._kind = kind
        self._make = make
        self._in_code = self._present = candidates
        self._desk = desk
        self._countdown = countdown
        self._changed = asyncio.Event()
        self._is_shown = False

    async def show(self) -> None:
        ours = events.Code(self._kind, self.text, self._countdown.left_s)
        self._is_shown = True
        self._desk.tell(ours)
        await self._desk.deliver(ours)

    def candidates_changed(self, candidates: tuple[Candidate, ...]) -> None:
        """These are our addresses now."""
        self._present = candidates
        self._changed.set()

    async def renew(self) -> None:
        """Show a fresh code whenever it is needed, at most one every 5 s; none while there is no address at all."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            fresh = self._make(self._present)
            if not self._present or fresh == self.text:
                continue
            what = "public address" if _public(self._present) != _public(self._in_code) else "addresses"
            self.text, self._in_code = fresh, self._present
            if self._is_shown:
                self._desk.tell(
                    events.Warned(
                        f"the {what} of this machine changed: here is a fresh code; the one before works where it still can"
                    )
                )
                await self.show()
                await asyncio.sleep(RENEW_S)


def _public(candidates: tuple[Candidate, ...]) -> set[str]:
    return {each.host for each in candidates if each.type == "srflx"}


class News:
    """Events from callbacks of the connection, told outside of them: telling can fail, and that has to end the run."""

    def __init__(self, tell: Callable[[events.Event], None]) -> None:
        self._tell = tell
        self._queue: asyncio.Queue[events.Event] = asyncio.Queue()

    def put(self, event: events.Event) -> None:
        self._queue.put_nowait(event)

    async def run(self) -> None:
        while True:
            self._tell(await self._queue.get())

    def tell_rest(self) -> None:
        while not self._queue.empty():
            self._tell(self._queue.get_nowait())


class Held:
    """The newest event of a kind, from callbacks of the connection: kept until there is somebody to tell."""

    def __init__(self) -> None:
        self._event: events.Event | None = None
        self._tell: Callable[[events.Event], None] | None = None

    def put(self, event: events.Event) -> None:
        self._event = event
        if self._tell is not None:
            self._tell(event)

    def release(self, tell: Callable[[events.Event], None]) -> None:
        """Tell this one and all that come, in callbacks of the loop."""
        self._tell = tell
        if self._event is not None:
            asyncio.get_running_loop().call_soon(tell, self._event)


async def first(main: Coroutine[Any, Any, T], *beside: Coroutine[Any, Any, None]) -> T:
    """What main returns or raises, while the others run beside it; a failure of any of them ends it."""
    running = asyncio.create_task(main)
    tasks: set[asyncio.Task[Any]] = {running, *(asyncio.create_task(work) for work in beside)}
    try:
        while not running.done():
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {running}:
                tasks.discard(task)
                task.result()
        return running.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
