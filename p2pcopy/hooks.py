"""A program's part of one transfer: functions of its own, where the command has a screen, a keyboard and signals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import isawaitable
from typing import Final, ParamSpec, TypeVar

from p2pcopy import events, meeting
from p2pcopy.config import NetSettings
from p2pcopy.desk import Desk
from p2pcopy.errors import NUMBERS_DIFFER, Declined, Interrupted, P2PCopyError
from p2pcopy.signaling.code import Starter
from p2pcopy.stories import Session, Stage
from p2pcopy.transfer.session import at_once
from p2pcopy.ui.meter import Pace

OnCode = Callable[[events.Code], object]
OnEvent = Callable[[events.Event], object]
Answers = Callable[[], Awaitable[str | None]]
Compare = Callable[[str], Awaitable[bool]]
CodeFrom = str | Answers
"""A code of the other side, or a coroutine function that brings it; None: no code will come."""

_WAITING_S: Final = 1.0
_RERUN: Final = "Run the same transfer again, with fresh codes."
_T = TypeVar("_T")
_P = ParamSpec("_P")


class Hooks:
    """Calls them. The first that raises ends the transfer, and raising() then raises the same."""

    def __init__(
        self, on_code: OnCode | None, on_event: OnEvent | None, answer: Answers | None, confirm: Compare | None
    ) -> None:
        self._on_code = on_code
        self._on_event = on_event
        self._answer = answer
        self._confirm = confirm
        self._pace = Pace()
        self._failure: BaseException | None = None

    def stage(self, role: Starter, theirs: CodeFrom | None, net: NetSettings) -> Stage:
        """role: of this side; theirs: gives the other side's offer, None to make one."""
        source = None if theirs is None else _Codes(theirs, self)
        desk = Desk(
            tell=self._tell,
            deliver=self._deliver,
            answers=None if self._answer is None else _Codes(self._answer, self),
            patient=False,
            waiting_s=_WAITING_S,
            confirm=None if self._confirm is None else self._compare,
        )
        return Stage(self._tell, at_once, lambda: meeting.meet(role, source, net, desk), carry)

    async def ask(self, hook: Callable[_P, Awaitable[_T]], *arguments: _P.args, **options: _P.kwargs) -> _T:
        """What the hook returns."""
        with self._calling():
            return await hook(*arguments, **options)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Around the whole transfer."""
        try:
            yield
        except P2PCopyError:
            if self._failure is not None:
                raise self._failure from self._failure.__cause__
            raise

    def _tell(self, event: events.Event) -> None:
        if self._on_event is None:
            return
        match event:
            case events.Stalled():
                self._pace.pause()
            case events.Recovered() | events.PathChanged():
                self._pace.resume()
            case events.Progress():
                event = self._pace.rated(event, asyncio.get_running_loop().time())
        with self._calling():
            self._on_event(event)

    async def _deliver(self, ours: events.Code) -> None:
        with self._calling():
            if self._on_code is not None and isawaitable(delivering := self._on_code(ours)):
                await delivering

    async def _compare(self, number: str) -> None:
        if self._confirm is not None and not await self.ask(self._confirm, number):
            raise Declined("the verification numbers were not confirmed", NUMBERS_DIFFER)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Around each call. A P2PCopyError of a hook, Declined say, is as good as ours."""
        try:
            yield
        except P2PCopyError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # not of the hook's making
            self._failure = self._failure or error
            raise Interrupted("the program that moves the files has failed", _RERUN) from error


class _Codes:
    """A LineSource of the codes that a program has."""

    def __init__(self, codes: CodeFrom, hooks: Hooks) -> None:
        self._codes = codes
        self._hooks = hooks
        self._last: str | None = None
        self._ended = False

    async def next_line(self) -> str | None:
        """None once the program has said so, or given the same code again."""
        if self._ended:
            return None
        codes = self._codes
        code = codes if isinstance(codes, str) else await self._hooks.ask(codes)
        self._ended = code is None or code == self._last
        self._last = code
        return None if self._ended else code


async def carry(session: Session) -> None:
    """Run it to its end; when cancelled, end it through its own protocol, so that the other side is told. Twice: now."""
    running = asyncio.create_task(session.run())
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        session.stop(Interrupted("stopped by the program", _RERUN))
        with suppress(P2PCopyError):
            await running
        raise
