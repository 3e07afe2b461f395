"""How the two sides meet: a code out, perhaps one back, and the connection that comes of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from p2pcopy import events
from p2pcopy.config import NetSettings, Relay
from p2pcopy.errors import CodeError, NoConnection
from p2pcopy.net.peer import Peer, PeerChannel
from p2pcopy.signaling import code
from p2pcopy.signaling.code import Answer, Candidate, Offer, Starter
from p2pcopy.signaling.exchange import LineSource, parsed_code

_ANSWER_AFTER_S: Final = 5.0


@dataclass(frozen=True)
class Desk:
    """Where codes come from and go to, and how the user is told.

    tell: also shows our codes where they go to a terminal or a pipe. deliver: takes our codes elsewhere. answers: None when
    no code can come in. patient: a person reads along, so our answer is shown only if the connection does not come up by
    itself, and a mistyped code may be entered again. waiting_s: seconds between two Waiting events.
    """

    tell: Callable[[events.Event], None]
    deliver: Callable[[events.Code], Awaitable[None]]
    answers: LineSource | None
    patient: bool
    waiting_s: float


@asynccontextmanager
async def offer(starter: Starter, settings: NetSettings, desk: Desk) -> AsyncIterator[tuple[Peer, PeerChannel]]:
    """Make an offer, show its code, and wait for the other side. Raises NoConnection after settings.wait_s."""
    secret = secrets.token_bytes(code.SECRET_SIZE)
    async with _closing(Peer(settings, secret, offering=True)) as peer:
        candidates = await _gather(peer, settings, desk)
        expires = code.expiry_minute(time.time() + settings.wait_s)
        text = code.to_text(code.encode_offer(Offer(secret, peer.pin, starter, expires, candidates)))
        await _hand_out(desk, events.Code("offer", text, settings.wait_s))
        wait = _Wait(desk, settings.wait_s)
        channel = await _first(
            peer.connect(),
            _take_answers(peer, desk, wait, secret, text),
            wait.count_down(),
            limit_s=settings.wait_s,
            relay=settings.relay,
        )
        desk.tell(events.Connected(peer.path()))
        yield peer, channel


@asynccontextmanager
async def answer(
    source: LineSource, expecting: Starter, settings: NetSettings, desk: Desk
) -> AsyncIterator[tuple[Peer, PeerChannel]]:
    """Connect to the side whose offer comes from source. Raises CodeError for a bad code, NoConnection after settings.wait_s."""
    theirs = await parsed_code(source, lambda text: code.parse_offer(text, now_s=time.time(), expecting=expecting))
    if theirs is None:
        raise CodeError(
            "no code came: the input ended before it", "Give the other side's code as an argument or a line of input."
        )
    async with _closing(Peer(settings, theirs.secret, offering=False, remote_pin=theirs.pin)) as peer:
        peer.add_remote(theirs.candidates)
        candidates = await _gather(peer, settings, desk)
        ours = code.to_text(code.encode_answer(Answer(candidates), theirs.secret))
        desk.tell(events.Connecting(len(theirs.candidates)))
        wait_s = min(settings.wait_s, max(60.0, code.seconds_left(theirs.expires_minute, time.time())))
        channel = await _first(
            peer.connect(),
            _show_answer(desk, ours, wait_s),
            _Wait(desk, wait_s).count_down(),
            limit_s=wait_s,
            relay=settings.relay,
        )
        desk.tell(events.Connected(peer.path()))
        yield peer, channel


@asynccontextmanager
async def _closing(peer: Peer) -> AsyncIterator[Peer]:
    try:
        yield peer
    finally:
        await peer.close()


async def _gather(peer: Peer, settings: NetSettings, desk: Desk) -> tuple[Candidate, ...]:
    candidates = await peer.gather()
    for warning in _server_warnings(peer, settings):
        desk.tell(events.Warned(warning))
    if settings.relay is Relay.ONLY and not candidates:
        raise NoConnection(
            "only a relay may be used, and there is none",
            "Name a TURN server with --turn, or allow others with --relay auto.",
        )
    if not candidates:
        raise NoConnection("this machine has no network address to be reached at", "Connect it to a network.")
    return candidates


def _server_warnings(peer: Peer, settings: NetSettings) -> list[str]:
    """A TURN server that fails was asked for; of STUN servers it is enough that one answers."""
    failed = {report.url: report.reason for report in peer.server_reports if not report.ok}
    warnings = [
        f"{server.url} cannot be used: {failed[server.url]}" for server in settings.turn if server.url in failed
    ]
    if settings.stun and all(server.url in failed for server in settings.stun):
        reason = failed[settings.stun[0].url]
        warnings.append(
            f"no STUN server answers ({reason}): the code has no public address, and works in this network only"
        )
    return warnings


async def _first(
    connecting: Coroutine[Any, Any, PeerChannel], *beside: Coroutine[Any, Any, None], limit_s: float, relay: Relay
) -> PeerChannel:
    """The connection, while the others run beside it; a failure of any of them ends the wait."""
    connect = asyncio.create_task(connecting)
    tasks: set[asyncio.Task[Any]] = {connect, *(asyncio.create_task(work) for work in beside)}
    try:
        async with asyncio.timeout(limit_s):
            while not connect.done():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {connect}:
                    tasks.discard(task)
                    task.result()
        return connect.result()
    except TimeoutError:
        raise _nobody_came(limit_s, relay) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _nobody_came(limit_s: float, relay: Relay) -> NoConnection:
    hint = "Start both sides again with a fresh code, and pass the answer code back if one is shown."
    if relay is Relay.AUTO:
        hint += " If that fails too, both networks are closed: name a TURN server with --turn."
    return NoConnection(f"no connection came about within {limit_s:.0f} s", hint)


class _Wait:
    """Tells every desk.waiting_s seconds what is waited for, and how long still. answers: whether a code may come in."""

    def __init__(self, desk: Desk, limit_s: float) -> None:
        self.answers = False
        self._desk = desk
        self._limit_s = limit_s

    async def count_down(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limit_s
        while True:
            await asyncio.sleep(self._desk.waiting_s)
            what = "for_answer" if self.answers else "for_peer"
            self._desk.tell(events.Waiting(what, max(0.0, end - loop.time())))


async def _take_answers(peer: Peer, desk: Desk, wait: _Wait, secret: bytes, own: str) -> None:
    """Answer codes from the other side, as many as come. A person may mistype one; a script may not."""
    while desk.answers is not None:
        wait.answers = True
        try:
            theirs = await parsed_code(desk.answers, lambda text: code.parse_answer(text, secret, own))
        except CodeError as error:
            if not desk.patient:
                raise
            desk.tell(events.Warned(f"{error.message}. {error.hint}"))
            continue
        if theirs is None:
            wait.answers = False
            return
        peer.add_remote(theirs.candidates)
        desk.tell(events.Connecting(len(theirs.candidates)))


async def _show_answer(desk: Desk, text: str, wait_s: float) -> None:
    if desk.patient:
        await asyncio.sleep(_ANSWER_AFTER_S)
    await _hand_out(desk, events.Code("answer", text, wait_s))


async def _hand_out(desk: Desk, ours: events.Code) -> None:
    desk.tell(ours)
    await desk.deliver(ours)
