"""The roads that codes take in and out of one run, put together from what the user has said."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2pcopy import events, meeting
from p2pcopy.config import NetSettings, Talk
from p2pcopy.desk import Desk
from p2pcopy.keyboard import Keyboard, asking_confirmation
from p2pcopy.signaling import exchange, qr, sources
from p2pcopy.signaling.camera import Camera
from p2pcopy.signaling.clipboard import find_clipboard
from p2pcopy.signaling.code import Starter
from p2pcopy.signaling.exchange import Lines, LineSource
from p2pcopy.signaling.via import Via
from p2pcopy.ui.reporter import Reporter

PRINTED: Final = ("-", "stderr")  # where the reporter writes codes


@dataclass(frozen=True)
class Roads:
    """theirs: gives the other side's offer, None to make one. cameras: those that codes come from. again: a person is there
    to correct a bad offer."""

    desk: Desk
    theirs: LineSource | None
    cameras: Sequence[Camera] = ()
    again: bool = False

    @asynccontextmanager
    async def meet(self, role: Starter, settings: NetSettings) -> AsyncIterator[meeting.Met]:
        """role: of this side. Raises what meeting.offer() and meeting.answer() do. No camera looks on when the two have met."""
        async with meeting.meet(role, self.theirs, settings, self.desk, again=self.again) as met:
            for camera in self.cameras:
                await camera.close()
            yield met


@asynccontextmanager
async def opened(
    talk: Talk,
    theirs: str | None,
    reporter: Reporter,
    keyboard: Keyboard,
    lines: Lines | None,
    typed: LineSource | None,
    *,
    confirm: bool,
    shown: bool,
) -> AsyncIterator[Roads]:
    """theirs: the other side's offer as the user gave it; lines: what - stands for in it; typed: the same, where a person is
    asked for it; shown: our codes appear on a terminal.

    A camera or command that is in use ends with this context.
    """
    cameras: list[Camera] = []
    async with AsyncExitStack() as stack:

        def on_camera(name: str) -> None:
            reporter.tell(events.Scanning(name))

        def in_use(source: LineSource) -> LineSource:
            if isinstance(source, Camera):
                cameras.append(source)
                stack.push_async_callback(source.close)
            return source

        via = None if talk.via is None else await stack.enter_async_context(_via(talk.via, reporter))
        answers: LineSource | None = via
        if talk.answer is not None:
            answers = in_use(sources.answer_source(talk.answer, keyboard.lines or Lines(), on_camera=on_camera))
            if talk.scans_answers and keyboard.person is not None:
                answers = sources.Either(answers, keyboard.typed(reporter))
        elif via is None and keyboard.lines is not None:
            answers = keyboard.typed(reporter)
        asked = typed if theirs == "-" else None
        offers = asked
        if theirs is not None and asked is None:
            offers = in_use(sources.code_source(theirs, lines or Lines(), on_camera=on_camera))
        desk = _desk(talk, reporter, keyboard, answers, via, confirm=confirm, shown=shown)
        yield Roads(desk, offers, cameras, asked is not None)


def _via(command: str, reporter: Reporter) -> Via:
    return Via(
        command,
        say=lambda line: reporter.tell(events.ViaSays(line)),
        warn=lambda message: reporter.tell(events.Warned(message)),
    )


def _desk(
    talk: Talk,
    reporter: Reporter,
    keyboard: Keyboard,
    answers: LineSource | None,
    via: Via | None,
    *,
    confirm: bool,
    shown: bool,
) -> Desk:
    person = keyboard.person is not None and talk.takes_typed_answers
    # What counts down every second would overwrite the prompt of a command that asks for a password.
    live = sys.stderr.isatty() and not talk.json and not talk.quiet and via is None
    return Desk(
        tell=reporter.tell,
        deliver=_deliverer(talk, reporter, via),
        answers=answers,
        patient=person and shown,
        waiting_s=1.0 if live else 30.0,
        confirm=asking_confirmation(reporter, keyboard) if confirm else None,
        forgiving=talk.scans_answers,
    )


def _deliverer(talk: Talk, reporter: Reporter, via: Via | None) -> Callable[[events.Code], Awaitable[None]]:
    """Takes codes to wherever else than a printed line they go."""
    sink = None if talk.answer_to in (None, *PRINTED) else exchange.code_sink(talk.answer_to or "")
    picture = None if talk.qr_file is None else Path(talk.qr_file)
    clipboard = find_clipboard() if talk.copy else None

    async def deliver(ours: events.Code) -> None:
        if picture is not None:
            await exchange.threaded(lambda: qr.write_qr_png(ours.code, picture))
        if clipboard is not None:
            reporter.tell(events.Copied(await clipboard.copy(ours.code)))
        if sink is not None:
            await sink.write(ours.code)
        if via is not None:
            await via.write(ours.code)

    return deliver
