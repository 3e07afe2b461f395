"""How the two sides meet: a code out, perhaps one back, and the connection that comes of them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from p2pcopy import events
from p2pcopy.config import NetSettings
from p2pcopy.desk import Countdown, Desk, Held, News, ShownCode, first
from p2pcopy.errors import CodeError, CodeUsed, NobodyCame, NoConnection
from p2pcopy.net import diagnosis
from p2pcopy.net.peer import Peer, PeerChannel
from p2pcopy.net.trial import ServerReport
from p2pcopy.quantities import limit
from p2pcopy.signaling import code
from p2pcopy.signaling.code import Answer, Candidate, Offer, Starter
from p2pcopy.signaling.exchange import LineSource, parsed_code
from p2pcopy.signaling.lent import lent_servers, shared_servers

_ANSWER_AFTER_S: Final = 5.0
_CALLS_S: Final = 0.5
_REFUSALS_S: Final = 3.0
_GONE_S: Final = 10.0
_LEAST_WAIT_S: Final = 60.0  # for an offer that is about to expire

# With how data moves: that is for the session to tell, which can tell the other side when it fails.
Met = tuple[Peer, PeerChannel, Held]


def meet(
    role: Starter, theirs: LineSource | None, settings: NetSettings, desk: Desk, *, again: bool = False
) -> AbstractAsyncContextManager[Met]:
    """With the other side's offer from theirs, or without: then this side makes one. role: of this side; again: see answer()."""
    if theirs is None:
        return offer(role, settings, desk)
    other = Starter.RECEIVER if role is Starter.SENDER else Starter.SENDER
    return answer(theirs, other, settings, desk, again=again)


@asynccontextmanager
async def offer(starter: Starter, settings: NetSettings, desk: Desk) -> AsyncIterator[Met]:
    """Make an offer, show its code, and wait for the other side. Raises NobodyCame after settings.wait_s."""
    secret = secrets.token_bytes(code.SECRET_SIZE)
    async with _closing(Peer(settings, secret, offering=True, two_way=settings.two_way)) as peer:
        data_path = _data_path(peer)
        candidates = await _gather(peer, settings, desk, offering=True)
        now_s = time.time()
        expires = code.expiry_minute(now_s + settings.wait_s)
        sharing = _working_servers(peer, settings)
        _warn_of_shared_passwords(sharing, desk)
        relays = lent_servers(sharing, expires_minute=expires, now_s=now_s)

        def make(present: tuple[Candidate, ...]) -> str:
            parts = Offer(secret, peer.pin, starter, expires, present, relays, settings.two_way)
            return code.to_text(code.encode_offer(parts))

        countdown = Countdown(desk, settings.wait_s)
        shown = ShownCode("offer", make, candidates, desk, countdown)
        peer.on_candidates = shown.candidates_changed
        await shown.show()
        channel = await _connection(
            peer,
            settings,
            countdown,
            _take_answers(peer, desk, countdown, secret, shown),
            shown.renew(),
            _notice_call(peer, desk),
            offering=True,
        )
        await _settle(peer, desk)
        yield peer, channel, data_path


@asynccontextmanager
async def answer(
    source: LineSource, expecting: Starter, settings: NetSettings, desk: Desk, *, again: bool = False
) -> AsyncIterator[Met]:
    """Connect to the side whose offer comes from source. again: a person is there to correct a bad one.

    Raises CodeError for a bad code, CodeUsed for one that somebody else has used, NobodyCame after settings.wait_s, which
    counts from the code on.
    """
    theirs = await _their_offer(source, expecting, settings.wait_s, desk, again=again)
    if settings.two_way and not theirs.two_way:
        raise CodeError(
            "the code was made without --two-way", "Let the other side add --two-way, or leave it out on this side."
        )
    pin, two_way = theirs.pin, theirs.two_way
    async with _closing(Peer(settings, theirs.secret, offering=False, remote_pin=pin, two_way=two_way)) as peer:
        data_path = _data_path(peer)
        peer.add_servers(relay.to_ice_server() for relay in theirs.relays)
        peer.add_remote(theirs.candidates)
        candidates = await _gather(peer, settings, desk, offering=False)
        desk.tell(events.Connecting(len(theirs.candidates)))

        def make(present: tuple[Candidate, ...]) -> str:
            return code.to_text(code.encode_answer(Answer(present, peer.pin if two_way else b""), theirs.secret))

        left_s = code.seconds_left(theirs.expires_minute, time.time())
        countdown = Countdown(desk, min(settings.wait_s, max(_LEAST_WAIT_S, left_s)))
        shown = ShownCode("answer", make, candidates, desk, countdown)
        peer.on_candidates = shown.candidates_changed
        channel = await _connection(
            peer,
            settings,
            countdown,
            _show_answer(shown, at_once=two_way or not desk.patient),
            shown.renew(),
            _notice_refusals(peer, desk),
            offering=False,
        )
        await _settle(peer, desk)
        yield peer, channel, data_path


async def _their_offer(source: LineSource, expecting: Starter, limit_s: float, desk: Desk, *, again: bool) -> Offer:
    try:
        async with asyncio.timeout(limit_s):
            theirs = await _parsed_offer(source, expecting, desk, again=again)
    except TimeoutError:
        raise CodeError(
            f"no code came within {limit(limit_s)}",
            "Give the other side's code in time, or wait longer with --wait.",
        ) from None
    if theirs is None:
        raise CodeError(
            "no code came: the input ended before it", "Give the other side's code as an argument or a line of input."
        )
    return theirs


async def _parsed_offer(source: LineSource, expecting: Starter, desk: Desk, *, again: bool) -> Offer | None:
    while True:
        try:
            return await parsed_code(
                source, lambda text: code.parse_offer(text, now_s=time.time(), expecting=expecting)
            )
        except CodeError as error:
            if not again:
                raise
            desk.tell(events.Warned(f"{error.message}. {error.hint}"))


@asynccontextmanager
async def _closing(peer: Peer) -> AsyncIterator[Peer]:
    try:
        yield peer
    finally:
        await peer.close()


def _data_path(peer: Peer) -> Held:
    held = Held()
    peer.on_data_path = held.put
    return held


# Before the code


async def _gather(peer: Peer, settings: NetSettings, desk: Desk, *, offering: bool) -> tuple[Candidate, ...]:
    if settings.turn_insecure:
        desk.tell(
            events.Warned(
                "certificates of TURN servers are not verified (--turn-insecure): somebody in the network may take their place"
            )
        )
    try:
        candidates = await peer.gather()
    except NoConnection as error:
        _check_credentials(peer, settings)
        error.tried = diagnosis.tried(peer.trial())
        raise
    _check_credentials(peer, settings)
    for warning in _server_warnings(peer, settings, offering=offering):
        desk.tell(events.Warned(warning))
    return candidates


def _check_credentials(peer: Peer, settings: NetSettings) -> None:
    """A credential of ours that is not accepted ends the run, unless there is another relay of ours. Raises NoConnection."""
    reports = _reports(peer)
    ours = [reports[server.url] for server in settings.turn if server.url in reports]
    refused = [report for report in ours if report.refused_credential]
    if refused and not any(report.ok for report in ours):
        raise NoConnection(
            f"the TURN server {refused[0].url} does not accept the credential: {refused[0].reason}",
            "Check the user name, and the password or the shared secret; with a secret, the clock of this machine as well.",
            diagnosis.tried(peer.trial()),
        )


def _server_warnings(peer: Peer, settings: NetSettings, *, offering: bool) -> list[str]:
    """A TURN server that fails was asked for; of STUN servers it is enough that one answers."""
    failed = {url: report.reason for url, report in _reports(peer).items() if not report.ok}
    ours = {server.url for server in (*settings.stun, *settings.turn)}
    warnings = [
        f"{server.url} cannot be used: {failed[server.url]}" for server in settings.turn if server.url in failed
    ]
    warnings += [f"{url}, from the code, cannot be used: {failed[url]}" for url in failed if url not in ours]
    if settings.stun and all(server.url in failed for server in settings.stun):
        reason = failed[settings.stun[0].url]
        means = _without_stun(peer.candidates) if offering else "this machine's public address is not known"
        warnings.append(f"no STUN server answers ({reason}): {means}; p2pcopy doctor tells more")
    return warnings


def _without_stun(candidates: tuple[Candidate, ...]) -> str:
    if any(each.type == "relay" for each in candidates):
        return "other networks are reached through the TURN server only"
    if all(map(diagnosis.is_local, candidates)):
        return "the code has no public address, and works in this network only"
    return "the code has no public address but this machine's own"


def _reports(peer: Peer) -> dict[str, ServerReport]:
    return {report.url: report for report in peer.server_reports}


def _working_servers(peer: Peer, settings: NetSettings) -> NetSettings:
    """Settings without the TURN servers that do not work."""
    reports = _reports(peer)
    return replace(settings, turn=tuple(each for each in settings.turn if each.url in reports and reports[each.url].ok))


def _warn_of_shared_passwords(settings: NetSettings, desk: Desk) -> None:
    for server in shared_servers(settings):
        if not server.secret:
            desk.tell(
                events.Warned(
                    f"the password for {server.url} is in the code: who sees it can use that server until the password changes"
                )
            )


# While the code is out


async def _connection(
    peer: Peer, settings: NetSettings, countdown: Countdown, *beside: Coroutine[Any, Any, None], offering: bool
) -> PeerChannel:
    """The connection, while the rest runs beside it. Raises NobodyCame with the most likely reason when the time is over."""
    limit_s = countdown.left_s
    try:
        async with asyncio.timeout(limit_s):
            return await first(peer.connect(), countdown.run(), *beside)
    except TimeoutError:
        trial = peer.trial()
        finding = diagnosis.explain(trial, settings, offering=offering)
        message = f"no connection came about within {limit(limit_s)}: {finding.reason}"
        raise NobodyCame(message, finding.remedy, diagnosis.tried(trial)) from None


async def _take_answers(peer: Peer, desk: Desk, countdown: Countdown, secret: bytes, shown: ShownCode) -> None:
    """Answer codes from the other side, as many as come. A person may mistype one; a script may not."""
    while desk.answers is not None:
        countdown.answers = True
        try:
            theirs = await parsed_code(desk.answers, lambda text: _parse_answer(text, secret, shown.text))
        except CodeError as error:
            if not (desk.patient or desk.forgiving):
                raise
            desk.tell(events.Warned(f"{error.message}. {error.hint}"))
            continue
        if theirs is None:
            countdown.answers = False
            return
        if theirs.pin:
            peer.expect(theirs.pin)
        peer.add_remote(theirs.candidates)
        desk.tell(events.Connecting(len(theirs.candidates)))


def _parse_answer(text: str, secret: bytes, own: str) -> Answer:
    """The answer to any code of ours with this secret; own: the one shown last. Raises CodeError."""
    parsed = code.parse_any(text)
    is_ours = isinstance(parsed, Offer) and parsed.secret == secret
    return code.parse_answer(text, secret, text if is_ours else own)


async def _notice_call(peer: Peer, desk: Desk) -> None:
    """Say it when the other side is heard, and there is still no connection."""
    while True:
        await asyncio.sleep(_CALLS_S)
        remote = peer.trial().remote
        if any(each.heard for each in remote):
            desk.tell(events.Connecting(len(remote)))
            return


async def _show_answer(shown: ShownCode, *, at_once: bool) -> None:
    if not at_once:
        await asyncio.sleep(_ANSWER_AFTER_S)
    await shown.show()


async def _notice_refusals(peer: Peer, desk: Desk) -> None:
    """Say it when nobody listens at the addresses in the code. Raises CodeUsed when it stays so and there are no others."""
    while True:
        await asyncio.sleep(_REFUSALS_S)
        if diagnosis.all_refuse(peer.trial()):
            break
    desk.tell(events.Warned("the other side's machine says that nobody listens there: is p2pcopy still running there?"))
    await asyncio.sleep(_GONE_S)
    trial = peer.trial()
    if diagnosis.all_refuse(trial) and all(remote.candidate.type == "host" for remote in trial.remote):
        raise CodeUsed(
            "nobody listens any more at the addresses in the code: the run that made it has ended",
            "Ask the other side for a fresh code.",
        )


# When it is used


async def _settle(peer: Peer, desk: Desk) -> None:
    """Both sides say that they go on, after their users have compared the verification number if one of them wants it."""
    desk.tell(events.Connected(peer.path()))
    news = News(desk.tell)
    peer.on_candidates = lambda _: None
    peer.on_path = news.put

    def on_confirming(number: str) -> None:
        if desk.confirm is None:
            news.put(events.Verification(number, asked=False))

    await first(peer.settle(_asking(desk), on_confirming), news.run())
    news.tell_rest()


def _asking(desk: Desk) -> Callable[[str], Awaitable[None]] | None:
    confirm = desk.confirm
    if confirm is None:
        return None

    async def ask(number: str) -> None:
        desk.tell(events.Verification(number, asked=True))
        await confirm(number)

    return ask
