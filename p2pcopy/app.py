"""The commands send and receive: the stories, with a terminal, signals and exit codes around them."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from io import BytesIO, FileIO
from typing import BinaryIO, Final

from p2pcopy import events, roads, stories
from p2pcopy.config import Existing, ReceiveSettings, SendSettings, Talk
from p2pcopy.errors import (
    CodeError,
    Declined,
    DryRun,
    ExitCode,
    InternalError,
    LocalFileError,
    NobodyCame,
    P2PCopyError,
    UsageError,
)
from p2pcopy.files import memory
from p2pcopy.keyboard import asking_consent, find_keyboard, has_person, is_alone
from p2pcopy.meeting import Met
from p2pcopy.net.probe import probe_libraries
from p2pcopy.net.quiet import quiet_libraries
from p2pcopy.roads import PRINTED
from p2pcopy.serving import serve
from p2pcopy.signaling.code import Starter
from p2pcopy.signaling.exchange import Lines
from p2pcopy.stops import Stops, guarded
from p2pcopy.stories import Stage
from p2pcopy.transfer.receive_session import Consent
from p2pcopy.ui.reporter import CodeSink, Reporter, Role, make_reporter

_DESCRIPTORS: Final = {"-": 1, "stderr": 2}
_NOBODY: Final = "nobody can be asked here, as there is no terminal: files will be declined; --yes accepts them"
_WAITS: Final = "If the {} still waits, run this again with the same code."


def run_send(settings: SendSettings) -> ExitCode:
    """Send, and return the exit code; every failure has been told."""
    busy = "-" in settings.paths
    return _run("send", settings.talk, "-", busy, lambda reporter, stops: send(settings, reporter, stops))


def run_receive(settings: ReceiveSettings) -> ExitCode:
    """Receive, and return the exit code; every failure has been told."""
    codes = "stderr" if settings.output == "-" else "-"
    busy = _is_piped(settings)
    return _run("receive", settings.talk, codes, busy, lambda reporter, stops: receive(settings, reporter, stops))


async def send(settings: SendSettings, reporter: Reporter, stops: Stops) -> ExitCode:
    """One receiver, or one after the other with --keep-open. Raises P2PCopyError."""
    keyboard = find_keyboard(reporter, busy="-" in settings.paths)
    if "-" in settings.paths and keyboard.lines is None and "-" in (settings.to, settings.talk.answer):
        raise UsageError("standard input cannot be sent and hold a code at once", "Give the code with @FILE or fd:N.")
    confirm, shown = settings.net.confirm, _is_shown(settings.talk, "-")
    typed = keyboard.asked(reporter, "Code of the receiver:")
    with keyboard.held(stops):
        async with roads.opened(
            settings.talk, settings.to, reporter, keyboard, keyboard.lines, typed, confirm=confirm, shown=shown
        ) as way:

            def meet() -> AbstractAsyncContextManager[Met]:
                return _told_who_waits(way.meet(Starter.SENDER, settings.net), "receiver" if settings.to else "", stops)

            stage = Stage(reporter.tell, reporter.settled, meet, stops.carry)

            async def once() -> ExitCode:
                return (await stories.send(settings, stage, _stream(settings))).exit_code

            return await (serve(once, reporter.tell, stops) if settings.keep_open else once())


async def receive(settings: ReceiveSettings, reporter: Reporter, stops: Stops) -> ExitCode:
    """Raises P2PCopyError."""
    piped = Lines() if _is_piped(settings) else None
    keyboard = find_keyboard(reporter, busy=piped is not None)
    existing = settings.existing or (Existing.ASK if keyboard.person is not None else Existing.REFUSE)
    given = settings.output == "-" or (settings.yes and existing is not Existing.ASK)
    lines, confirm = piped or keyboard.lines, settings.net.confirm
    shown = _is_shown(settings.talk, "stderr" if settings.output == "-" else "-")
    typed = None if piped else keyboard.asked(reporter, "Code of the sender:")

    @asynccontextmanager
    async def meet() -> AsyncIterator[Met]:
        async with (
            roads.opened(
                settings.talk, settings.code, reporter, keyboard, lines, typed, confirm=confirm, shown=shown
            ) as way,
            _told_who_waits(way.meet(Starter.RECEIVER, settings.net), "sender" if settings.code else "", stops) as met,
        ):
            yield met

    stage = Stage(reporter.tell, reporter.settled, meet, stops.carry)
    consent = Consent(given, existing, settings.max_bytes, settings.dry_run)
    ask = asking_consent(settings.yes, existing, reporter, keyboard)
    if keyboard.person is None and not (given or settings.yes or settings.dry_run):
        reporter.tell(events.Warned(_NOBODY))
    try:
        with keyboard.held(stops):
            return (await stories.receive(settings, stage, consent, ask)).exit_code
    except DryRun:
        reporter.tell(events.Rehearsed(stories.shown(settings.output)))
        return ExitCode.OK


def _is_piped(settings: ReceiveSettings) -> bool:
    """Whether the code comes in through a pipe, so that standard input is no keyboard."""
    return settings.code == "-" and not sys.stdin.isatty()


def _is_shown(talk: Talk, codes_to: str) -> bool:
    """Whether our codes appear on a terminal. codes_to: where they go unless the user says otherwise."""
    printed = "" if talk.json or talk.via else talk.answer_to or codes_to
    return printed in PRINTED and os.isatty(_DESCRIPTORS[printed])


@asynccontextmanager
async def _told_who_waits(meet: AbstractAsyncContextManager[Met], waiting: str, stops: Stops) -> AsyncIterator[Met]:
    """The meeting; what ends it says that the other side waits on. waiting: who that is, "" when nobody has a code of it.

    Where a person refuses the verification number, both sides end, and the code is of no use any more.
    """
    async with AsyncExitStack() as stack:
        try:
            met = await stack.enter_async_context(meet)
        except (P2PCopyError, asyncio.CancelledError) as failure:
            error = stops.error if isinstance(failure, asyncio.CancelledError) else failure
            if waiting and error is not None and not isinstance(error, CodeError | NobodyCame | Declined):
                error.hint = f"{'' if error is stops.error else error.hint} {_WAITS.format(waiting)}".strip()
            raise
        yield met


def _stream(settings: SendSettings) -> BinaryIO | None:
    """What - stands for among the paths, and a text."""
    if settings.text not in (None, "-"):
        return BytesIO((settings.text or "").encode("utf-8", "surrogateescape"))
    # Unbuffered: Python aborts at its end when a thread still waits inside the lock of a buffered stream.
    return FileIO(0, closefd=False) if "-" in settings.paths else None


def _run(
    role: Role, talk: Talk, codes_to: str, busy: bool, story: Callable[[Reporter, Stops], Awaitable[ExitCode]]
) -> ExitCode:
    """codes_to: where codes go unless the user says otherwise; busy: standard input is no keyboard."""
    quiet_libraries(talk.verbose)
    printed = talk.answer_to or ("" if talk.json or talk.via else codes_to)
    reporter = make_reporter(
        json=talk.json,
        quiet=talk.quiet,
        verbose=talk.verbose,
        progress=talk.progress,
        qr=talk.qr,
        role=role,
        code_to=_printer(printed),
        stderr=sys.stderr,
        stdout=sys.stdout,
        color=None,
        prompts=has_person(busy=busy) and talk.takes_typed_answers,
        codes_shown=_is_shown(talk, codes_to),
        draws_typing=has_person(busy=busy) and is_alone() and talk.via is None,
    )
    with reporter:
        try:
            probe_libraries()
            memory.keep_freed()
            exit_code = asyncio.run(guarded(lambda stops: story(reporter, stops)))
            reporter.close()
        except P2PCopyError as error:
            exit_code = _failed(reporter, error)
            if talk.verbose and isinstance(error, InternalError):
                traceback.print_exception(error)
    return exit_code


def _printer(destination: str) -> CodeSink | None:
    """Writes a code as a line of its own to standard output or standard error; None for any other destination."""
    if destination not in PRINTED:
        return None
    descriptor = _DESCRIPTORS[destination]
    name = "standard output" if destination == "-" else "standard error"

    def write(text: str) -> None:
        try:
            os.write(descriptor, text.encode() + b"\n")
        except OSError as error:
            raise LocalFileError(
                f"the code cannot be written to {name}: {error.strerror}",
                "Keep it open, or send codes to @FILE with --answer-to.",
            ) from error

    return write


def _failed(reporter: Reporter, error: P2PCopyError) -> ExitCode:
    try:
        reporter.tell(events.Failed.of(error))
        reporter.close()
    except P2PCopyError:
        # Nobody reads any more; the exit code still says what happened.
        return error.exit_code
    return error.exit_code
