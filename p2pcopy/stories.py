"""The two stories, send and receive, from top to bottom: the same for the command line (app.py) and for programs (api.py)."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from p2pcopy import __version__, events
from p2pcopy.config import ReceiveSettings, SendSettings, TransferLimits
from p2pcopy.errors import ExitCode, LocalFileError, P2PCopyError
from p2pcopy.files import tree
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.names import NameGate
from p2pcopy.files.source import BlockReader
from p2pcopy.files.stream import StreamStore
from p2pcopy.files.textstore import TextStore
from p2pcopy.meeting import Met
from p2pcopy.net.peer import Peer
from p2pcopy.transfer.receive_session import Ask, Consent, ReceiveSession
from p2pcopy.transfer.send_session import SendSession
from p2pcopy.transfer.session import Settled, Tell

_SOFTWARE: Final = f"p2pcopy {__version__}"
_LIMITS: Final = TransferLimits()
_TEXT_NAME: Final = "text.txt"
_AGAIN: Final = "the same two commands again"
_STREAMS: Final = ("standard input", "standard output")  # of a sender, of a receiver
Session = SendSession | ReceiveSession


@dataclass(frozen=True)
class Stage:
    """Where a story is told. tell: takes the events. settled: see Session. meet: how the two sides meet. carry: runs a session to
    its end, and may stop it."""

    tell: Tell
    settled: Settled
    meet: Callable[[], AbstractAsyncContextManager[Met]]
    carry: Callable[[Session], Awaitable[None]]


@dataclass(frozen=True)
class Ended:
    """How a transfer ended that both sides agree on: the event told last, and the exit code that says the same."""

    done: events.Done
    exit_code: ExitCode


async def send(settings: SendSettings, stage: Stage, stream: BinaryIO | None) -> Ended:
    """Sources, meeting, transfer, result. stream: what "-" among the paths stands for, unbuffered. Raises P2PCopyError."""
    sources = tree.prepare(
        settings.paths,
        stdin_name=settings.name if settings.text is None else _TEXT_NAME,
        excludes=settings.excludes,
        follow_symlinks=settings.follow_symlinks,
    )
    with (
        closing(EntryLog()) as log,
        closing(
            BlockReader(
                log,
                block_size=_LIMITS.block_size,
                compress=settings.compress,
                stdin=stream,
                verify_resume=settings.verify_resume,
            )
        ) as reader,
    ):
        async with stage.meet() as (peer, channel, data_path):
            session = SendSession(
                channel,
                _LIMITS,
                stage.tell,
                found=tree.walk(sources, now_ns=time.time_ns()),
                log=log,
                reader=reader,
                software=_SOFTWARE,
                is_text=settings.text is not None,
                settled=stage.settled,
                stream=sources.uses_stdin,
            )
            peer.on_path = session.report
            data_path.release(session.report)
            with _saying_what_stays(session, *_STREAMS, stream=sources.uses_stdin):
                await stage.carry(session)
            return _finish(stage.tell, peer, session)


async def receive(settings: ReceiveSettings, stage: Stage, consent: Consent, ask: Ask, *, stdout: int = 1) -> Ended:
    """Destination, meeting, consent, transfer, result. stdout: the descriptor that the output "-" is.

    Raises P2PCopyError; DryRun after a dry run.
    """
    to_stdout = settings.output == "-"
    text = None if settings.keep_text else TextStore()
    with closing(_open_store(settings, stdout)) as store, closing(EntryLog()) as log:
        async with stage.meet() as (peer, channel, data_path):
            session = ReceiveSession(
                channel,
                _LIMITS,
                stage.tell,
                gate=NameGate(os.urandom(16), windows=os.name == "nt", fold=store.folds_names),
                log=log,
                store=store,
                consent=consent,
                ask=ask,
                destination=shown(settings.output),
                software=_SOFTWARE,
                text_store=text,
                settled=stage.settled,
                stream=to_stdout,
            )
            peer.on_path = session.report
            data_path.release(session.report)
            with _saying_what_stays(session, *reversed(_STREAMS), stream=to_stdout):
                await stage.carry(session)
            if text is not None and text.text is not None:
                stage.tell(events.Text(text.text))
            return _finish(stage.tell, peer, session)


@contextmanager
def _saying_what_stays(session: Session, ours: str, theirs: str, *, stream: bool) -> Iterator[None]:
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


def shown(output: str) -> str:
    """As people know it: symbolic links stay, but what ".." leads to may depend on them."""
    if output == "-":
        return "standard output"
    path = Path(output).absolute()
    return str(path.resolve() if ".." in path.parts else path)


def _open_store(settings: ReceiveSettings, stdout: int) -> StreamStore | DirectoryStore:
    if settings.output == "-":
        return StreamStore(stdout)
    store = DirectoryStore(settings.output, checksum=settings.checksum)
    store.open()
    return store


def _finish(tell: Tell, peer: Peer, session: Session) -> Ended:
    machine, seconds = session.machine, session.seconds
    failed, there = machine.files_failed + session.left_out, machine.files_there + machine.files_same
    progress = session.progress()
    done = events.Done(
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
    tell(done)
    if failed == 0:
        return Ended(done, ExitCode.OK)
    return Ended(done, ExitCode.INTEGRITY if machine.files_damaged else ExitCode.LOCAL)
