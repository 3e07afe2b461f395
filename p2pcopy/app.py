"""The two stories, send and receive, from top to bottom."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from p2pcopy import __version__, events, meeting
from p2pcopy.config import Existing, ReceiveSettings, SendSettings, Talk, TransferLimits
from p2pcopy.desk import Desk
from p2pcopy.errors import (
    CodeError,
    DryRun,
    ExitCode,
    InternalError,
    LocalFileError,
    NobodyCame,
    P2PCopyError,
    UsageError,
)
from p2pcopy.files import memory, tree
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.names import NameGate
from p2pcopy.files.source import BlockReader
from p2pcopy.files.stream import StreamStore
from p2pcopy.keyboard import Keyboard, asking_confirmation, asking_consent, find_keyboard, has_person, is_alone
from p2pcopy.net.peer import Peer
from p2pcopy.net.probe import probe_libraries
from p2pcopy.net.quiet import quiet_libraries
from p2pcopy.serving import serve
from p2pcopy.signaling import exchange, qr
from p2pcopy.signaling.code import Starter
from p2pcopy.signaling.exchange import Lines, LineSource
from p2pcopy.stops import Stops, guarded
from p2pcopy.transfer.receive_session import Consent, ReceiveSession
from p2pcopy.transfer.send_session import SendSession
from p2pcopy.ui.reporter import CodeSink, Reporter, Role, make_reporter

_SOFTWARE: Final = f"p2pcopy {__version__}"
_DESCRIPTORS: Final = {"-": 1, "stderr": 2}
_PRINTED: Final = tuple(_DESCRIPTORS)
_LIMITS: Final = TransferLimits()
_WAITS: Final = "If the {} still waits, run this again with the same code."
_AGAIN: Final = "the same two commands again"
_STREAMS: Final = ("standard input", "standard output")  # of a sender, of a receiver
_Meeting = AbstractAsyncContextManager[meeting.Met]


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
    desk = _desk(settings.talk, "-", reporter, keyboard, confirm=settings.net.confirm)

    async def once() -> ExitCode:
        return await _send_once(settings, reporter, stops, desk, keyboard)

    with keyboard.held(stops):
        return await (serve(once, reporter.tell, stops) if settings.keep_open else once())


async def _send_once(
    settings: SendSettings, reporter: Reporter, stops: Stops, desk: Desk, keyboard: Keyboard
) -> ExitCode:
    """Sources, meeting, transfer, result."""
    sources = tree.prepare(
        settings.paths,
        stdin_name=settings.name,
        excludes=settings.excludes,
        follow_symlinks=settings.follow_symlinks,
    )
    # Unbuffered: Python aborts at its end when a thread still waits inside the lock of a buffered stream.
    stdin = FileIO(0, closefd=False) if sources.uses_stdin else None
    with (
        closing(EntryLog()) as log,
        closing(
            BlockReader(
                log,
                block_size=_LIMITS.block_size,
                compress=settings.compress,
                stdin=stdin,
                verify_resume=settings.verify_resume,
            )
        ) as reader,
    ):
        typed = keyboard.asked(reporter, "Code of the receiver:")
        meet = await _meet(Starter.SENDER, settings.to, settings, desk, keyboard.lines, typed)
        async with _told_who_waits(meet, "" if settings.to is None else "receiver", stops) as (
            peer,
            channel,
            data_path,
        ):
            session = SendSession(
                channel,
                _LIMITS,
                reporter.tell,
                found=tree.walk(sources, now_ns=time.time_ns()),
                log=log,
                reader=reader,
                software=_SOFTWARE,
                settled=reporter.settled,
                stream=stdin is not None,
            )
            peer.on_path = session.report
            data_path.release(session.report)
            with stops.session(session), _saying_what_stays(session, *_STREAMS, stream=stdin is not None):
                await session.run()
            stops.finished = True
            return _finish(reporter, peer, session)


async def receive(settings: ReceiveSettings, reporter: Reporter, stops: Stops) -> ExitCode:
    """Destination, meeting, consent, transfer, result. Raises P2PCopyError."""
    to_stdout = settings.output == "-"
    piped = Lines() if _is_piped(settings) else None
    keyboard = find_keyboard(reporter, busy=piped is not None)
    existing = settings.existing or (Existing.ASK if keyboard.person is not None else Existing.REFUSE)
    given = to_stdout or (settings.yes and existing is not Existing.ASK)
    codes_to = "stderr" if to_stdout else "-"
    desk = _desk(settings.talk, codes_to, reporter, keyboard, confirm=settings.net.confirm)
    with keyboard.held(stops), closing(_open_store(settings)) as store, closing(EntryLog()) as log:
        typed = None if piped else keyboard.asked(reporter, "Code of the sender:")
        meet = await _meet(Starter.RECEIVER, settings.code, settings, desk, piped or keyboard.lines, typed)
        async with _told_who_waits(meet, "" if settings.code is None else "sender", stops) as (
            peer,
            channel,
            data_path,
        ):
            session = ReceiveSession(
                channel,
                _LIMITS,
                reporter.tell,
                gate=NameGate(os.urandom(16), windows=os.name == "nt", fold=store.folds_names),
                log=log,
                store=store,
                consent=Consent(given, existing, settings.max_bytes, settings.dry_run),
                ask=asking_consent(settings.yes, existing, reporter, keyboard),
                destination=_shown(settings.output),
                software=_SOFTWARE,
                settled=reporter.settled,
                stream=to_stdout,
            )
            peer.on_path = session.report
            data_path.release(session.report)
            try:
                with stops.session(session), _saying_what_stays(session, *reversed(_STREAMS), stream=to_stdout):
                    await session.run()
            except DryRun:
                stops.finished = True
                reporter.tell(events.Rehearsed(_shown(settings.output)))
                return ExitCode.OK
            stops.finished = True
            return _finish(reporter, peer, session)


@asynccontextmanager
async def _told_who_waits(meet: _Meeting, waiting: str, stops: Stops) -> AsyncIterator[meeting.Met]:
    """The meeting; what ends it says that the other side waits on. waiting: who that is, "" when nobody has a code of it."""
    async with AsyncExitStack() as stack:
        try:
            met = await stack.enter_async_context(meet)
        except (P2PCopyError, asyncio.CancelledError) as failure:
            error = stops.error if isinstance(failure, asyncio.CancelledError) else failure
            if waiting and error is not None and not isinstance(error, CodeError | NobodyCame):
                error.hint = f"{'' if error is stops.error else error.hint} {_WAITS.format(waiting)}".strip()
            raise
        yield met


@contextmanager
def _saying_what_stays(
    session: SendSession | ReceiveSession, ours: str, theirs: str, *, stream: bool
) -> Iterator[None]:
    """Hints of errors that end a transfer say whether it can go on. ours, theirs: the streams of both sides, where they are in use;
    stream: ours is."""
    try:
        yield
    except P2PCopyError as error:
        if error.resumable and session.seconds > 0:
            if stream or session.machine.peer_streams:
                error.resumable = False
                through = ours if stream else f"the other side's {theirs}"
                said = f"A transfer through {through} cannot go on where it stopped"
                _add_hint(error, f"{said}.", f"{said}: start it again from its beginning.")
            elif session.has_arrived:
                stays = "What has arrived stays"
                _add_hint(error, f"{stays}.", f"{stays}: the same two commands, with fresh codes, go on with it.")
        raise


def _add_hint(error: P2PCopyError, short: str, text: str) -> None:
    """What to do about a disk stays in the hint. short: for one that says to run the commands again already."""
    if isinstance(error, LocalFileError):
        error.hint = f"{error.hint} {short if _AGAIN in error.hint else text}".lstrip()
    else:
        error.hint = text


def _shown(output: str) -> str:
    """As people know it: symbolic links stay, but what ".." leads to may depend on them."""
    if output == "-":
        return "standard output"
    path = Path(output).absolute()
    return str(path.resolve() if ".." in path.parts else path)


def _open_store(settings: ReceiveSettings) -> StreamStore | DirectoryStore:
    if settings.output == "-":
        return StreamStore(1)
    store = DirectoryStore(settings.output, checksum=settings.checksum)
    try:
        store.open()
    except P2PCopyError as error:
        if settings.code is not None:
            error.hint = f"{error.hint} {_WAITS.format('sender')}"
        raise
    return store


def _finish(reporter: Reporter, peer: Peer, session: SendSession | ReceiveSession) -> ExitCode:
    machine, seconds = session.machine, session.seconds
    failed, there = machine.files_failed + session.left_out, machine.files_there + machine.files_same
    progress = session.progress()
    reporter.tell(
        events.Done(
            ok=failed == 0,
            files_done=machine.files_done - machine.files_same,
            files_skipped=machine.files_skipped - machine.files_there,
            files_failed=failed,
            bytes_done=machine.bytes_stored,
            seconds=seconds,
            rate_bytes_per_s=machine.bytes_stored / seconds if seconds > 0 else 0.0,
            path=peer.path(),
            bytes_resumed=progress.bytes_resumed if progress is not None else 0,
            files_there=there,
            left_out=session.omitted,
        )
    )
    if failed == 0:
        return ExitCode.OK
    return ExitCode.INTEGRITY if machine.files_damaged else ExitCode.LOCAL


def _is_piped(settings: ReceiveSettings) -> bool:
    """Whether the code comes in through a pipe, so that standard input is no keyboard."""
    return settings.code == "-" and not sys.stdin.isatty()


def _is_shown(talk: Talk, codes_to: str) -> bool:
    """Whether our codes appear on a terminal. codes_to: where they go unless the user says otherwise."""
    printed = "" if talk.json else talk.answer_to or codes_to
    return printed in _PRINTED and os.isatty(_DESCRIPTORS[printed])


def _desk(talk: Talk, codes_to: str, reporter: Reporter, keyboard: Keyboard, *, confirm: bool) -> Desk:
    answers = None if keyboard.lines is None else keyboard.typed(reporter)
    if talk.answer is not None:
        answers = exchange.code_source(talk.answer, keyboard.lines or Lines(), literal=False)
    person = keyboard.person is not None and talk.answer is None
    live = sys.stderr.isatty() and not talk.json and not talk.quiet
    return Desk(
        tell=reporter.tell,
        deliver=_deliverer(talk),
        answers=answers,
        patient=person and _is_shown(talk, codes_to),
        waiting_s=1.0 if live else 30.0,
        confirm=asking_confirmation(reporter, keyboard) if confirm else None,
    )


def _deliverer(talk: Talk) -> Callable[[events.Code], Awaitable[None]]:
    """Takes codes to --answer-to and --qr-file."""
    sink = None if talk.answer_to in (None, *_PRINTED) else exchange.code_sink(talk.answer_to or "")
    picture = None if talk.qr_file is None else Path(talk.qr_file)

    async def deliver(ours: events.Code) -> None:
        if picture is not None and ours.kind == "offer":
            await exchange.threaded(lambda: qr.write_qr_png(ours.code, picture))
        if sink is not None:
            await sink.write(ours.code)

    return deliver


async def _meet(
    role: Starter,
    theirs: str | None,
    settings: SendSettings | ReceiveSettings,
    desk: Desk,
    lines: Lines | None,
    typed: LineSource | None,
) -> _Meeting:
    """theirs: the other side's code as the user gave it, None to make an offer; lines: what - stands for in it; typed: the
    same, where a person is asked for it."""
    if theirs is None:
        return meeting.offer(role, settings.net, desk)
    other = Starter.RECEIVER if role is Starter.SENDER else Starter.SENDER
    if theirs == "-" and typed is not None:
        return meeting.answer(typed, other, settings.net, desk, again=True)
    seen = await exchange.threaded(lambda: qr.code_in_picture(theirs))
    return meeting.answer(exchange.code_source(seen or theirs, lines or Lines()), other, settings.net, desk)


def _run(
    role: Role, talk: Talk, codes_to: str, busy: bool, story: Callable[[Reporter, Stops], Awaitable[ExitCode]]
) -> ExitCode:
    """codes_to: where codes go unless the user says otherwise; busy: standard input is no keyboard."""
    quiet_libraries(talk.verbose)
    printed = talk.answer_to or ("" if talk.json else codes_to)
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
        prompts=has_person(busy=busy),
        codes_shown=_is_shown(talk, codes_to),
        draws_typing=has_person(busy=busy) and is_alone(),
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
    if destination not in _PRINTED:
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
