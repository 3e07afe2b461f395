"""One connection to one peer: ICE, DTLS and SCTP put together from aiortc's ORTC classes, without SDP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiortc import RTCCertificate
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcopy import events
from p2pcopy.config import IceServer, NetSettings, NetTimes
from p2pcopy.errors import ConnectionLost, NoConnection, ProtocolError, UsageError
from p2pcopy.net.agreement import Agreement
from p2pcopy.net.allocation import CREDENTIAL_S
from p2pcopy.net.checks import Keys
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.datachannel import PeerChannel
from p2pcopy.net.datapath import DataPath
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.gathering import Gathering
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.link import Addresses, Servers, addresses, candidates, decode, encode, servers
from p2pcopy.net.liveness import Gone, Silent
from p2pcopy.net.news import Selected
from p2pcopy.net.path import describe
from p2pcopy.net.sctp import BoundedSctpTransport
from p2pcopy.net.trial import RemoteTrial, ServerReport, Trial
from p2pcopy.quantities import duration
from p2pcopy.signaling import derive
from p2pcopy.signaling.candidates import Candidate
from p2pcopy.signaling.lent import lend, shared_servers

_FLUSH_SHARE: Final = 0.4  # of the time for closing; a TURN server gets 0.5 of it for its goodbye
_PART_SHARE: Final = 0.4
_RERUN: Final = "Run the same two commands again, with fresh codes."

PathNews = events.Stalled | events.Recovered | events.PathChanged

__all__ = ["PathNews", "Peer", "PeerChannel", "ServerReport"]


class Peer:
    """One side of one connection. Used once: gather(), connect(), close(); add_remote() at any time. Needs a running loop.

    secret: the offer's. offering: we made the offer; our key is random and the peer's follows from the secret. Otherwise
    our key follows from the secret, and remote_pin is the one in the offer. two_way: the answering side's key is random,
    too; the offering side accepts nobody before expect(). pin: of our key (derive.public_key_pin).
    on_path: told what happens to the path after connect(); on_candidates: our addresses have changed before it; on_data_path:
    how data moves, after connect().
    Raises ValueError when remote_pin is missing or superfluous, UsageError for a setting that makes no sense.
    """

    def __init__(
        self,
        settings: NetSettings,
        secret: bytes,
        *,
        offering: bool,
        remote_pin: bytes | None = None,
        two_way: bool = False,
        times: NetTimes = NetTimes(),  # noqa: B008  frozen
    ) -> None:
        if offering == (remote_pin is not None):
            raise ValueError("the answering side needs the pin of the offer, and only it")
        self.on_path: Callable[[PathNews], None] = lambda news: None
        self.on_candidates: Callable[[tuple[Candidate, ...]], None] = lambda ours: None
        self.on_data_path: Callable[[events.DataPath], None] = lambda news: None
        derived = derive.answer_key(secret)
        key = ec.generate_private_key(ec.SECP256R1()) if offering or two_way else derived
        self.pin = derive.public_key_pin(key.public_key())
        self._certificate = RTCCertificate(key, derive.self_signed(key))
        self._remote_pin = remote_pin
        if offering and not two_way:
            self._remote_pin = derive.public_key_pin(derived.public_key())
        self._offering = offering
        self._settings = settings
        self._times = times
        self._ice = IceConnection(
            controlling=offering,
            keys=self._keys(secret),
            relay=settings.relay,
            times=times,
            stall_limit_s=settings.stall_limit_s,
        )
        self._ice.on_news = self._on_news
        self._ice.hold(self._remote_pin is None)
        self._data_path = DataPath(settings, self._ice)
        self._data_path.on_change = self._on_data_path
        self._gathering = Gathering(self._ice, settings, times)
        self._gathering.on_change = self._on_own_candidates
        self._dtls: PinnedDtlsTransport | None = None
        self._sctp: BoundedSctpTransport | None = None
        self._channel: PeerChannel | None = None
        self._agreement = Agreement(lambda message: self._send_link(encode(message)), lambda: self._ice.stalled)
        self._path: events.Path | None = None
        self._gather_task: asyncio.Task[tuple[Candidate, ...]] | None = None
        self._watch_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None

    @property
    def server_reports(self) -> list[ServerReport]:
        """What became of the STUN and TURN servers, in the order of the settings; complete after gather()."""
        return self._gathering.reports

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Our addresses that help now, best first."""
        return self._gathering.candidates

    def add_servers(self, lent: Iterable[IceServer]) -> None:
        """More servers, which the other side lends. Before gather()."""
        self._gathering.add_servers(lent)

    async def gather(self) -> tuple[Candidate, ...]:
        """Our addresses that help, best first; once only. Takes at most times.gather_limit_s, or little more.

        Raises NoConnection when there is not a single one, or when closed meanwhile.
        """
        if not self._offering:
            self._ice.start()  # what there is can be tried while slow servers are waited for
        self._gather_task = asyncio.create_task(self._gathering.run())
        try:
            found = await self._gather_task
        except asyncio.CancelledError:
            if self._close_task is not None and not _is_cancelled():
                raise _closed() from None
            raise
        if self._close_task is None:
            self._watch_task = asyncio.create_task(self._gathering.watch())
        return found

    def add_remote(self, remote: Iterable[Candidate]) -> None:
        """The peer's addresses. Any number of times, also while connect() runs. mDNS names are passed over."""
        self._ice.add_remote(remote)

    def expect(self, pin: bytes) -> None:
        """Two-way: the peer is who has this key, and nobody else."""
        self._remote_pin = pin
        self._ice.hold(False)

    async def connect(self) -> PeerChannel:
        """Wait for a path, as long as it takes, then set up the session. After gather(); once only.

        Where a path is found but no session comes of it, others are tried. Raises NoConnection when closed, CodeUsed, and
        on the answering side ProtocolError when the peer does not have the key that it must have.
        """
        while True:
            try:
                await self._ice.connected()
            except ConnectionError:
                raise _closed() from None
            channel = await self._try_session()
            if channel is not None:
                return channel
            self._ice.reject()

    async def _try_session(self) -> PeerChannel | None:
        """The session over the path that was found, None if there is none to be had with whoever is there."""
        try:
            async with asyncio.timeout(self._times.handshake_s):
                channel, keys = await self._set_up()
        except (TimeoutError, ConnectionLost):
            await self._take_down()
            return None
        try:
            is_mutual = await self._ice.begin_session(keys)
        except ConnectionError:
            raise _closed() from None
        if not is_mutual:
            await self._take_down()
            return None
        self._channel = channel
        self._data_path.begin()
        self._send_link(encode(addresses(self.candidates)))
        self._lend_servers()
        return channel

    async def _set_up(self) -> tuple[PeerChannel, Keys]:
        if self._remote_pin is None:
            raise ConnectionLost("the other side is not known yet")
        self._dtls = PinnedDtlsTransport(self._ice, self._certificate, self._remote_pin, is_server=self._offering)
        if not await self._dtls.handshake():
            if self._dtls.is_foreign and not self._offering:
                raise ProtocolError(
                    "somebody else answered: the other side does not have the key that belongs to the code",
                    "Make a new code and hand it over in a way that nobody else can read.",
                )
            raise ConnectionLost("the encrypted session was refused or broke off")
        self._sctp = self._data_path.association(self._dtls)
        self._sctp.on_packet = self._ice.heard_data
        channel = PeerChannel(self._sctp, self._on_link, lambda: self._ice.stalled, self._agreement.lost)
        self._dtls.on("statechange", self._on_dtls_state)
        await self._sctp.begin()
        await channel.opened()
        return channel, self._keys(self._dtls.export(derive.PATHS_LABEL, derive.EXPORT_SIZE))

    def _lend_servers(self) -> None:
        """A credential in the code ends with it; for the session the other side gets one that lasts."""
        ends = int(time.time()) + CREDENTIAL_S
        with contextlib.suppress(UsageError):  # one that cannot be lent is told of when the offer is made
            lent = [lend(server, expires_s=ends).to_ice_server() for server in shared_servers(self._settings)]
            if lent:
                self._send_link(encode(Servers([(each.url, each.username, each.password) for each in lent])))

    async def _take_down(self) -> None:
        sctp, dtls, self._sctp, self._dtls = self._sctp, self._dtls, None, None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.close_s):
                if sctp is not None:
                    sctp.lost()
                    await sctp.stop()
                if dtls is not None:
                    await dtls.stop()

    def _keys(self, secret: bytes) -> Keys:
        offer, answer = derive.ice_credentials(secret, "offer"), derive.ice_credentials(secret, "answer")
        return Keys(offer, answer) if self._offering else Keys(answer, offer)

    async def settle(self, ask: Callable[[str], Awaitable[None]] | None, on_confirming: Callable[[str], None]) -> None:
        """After connect(): both sides say that they go on. ask: lets a person compare the number, raises Declined for no.

        on_confirming: the other side's user compares it. Raises Declined, ConnectionLost when the other side says nothing.
        """
        number = derive.verification_number(self.export(derive.EXPORT_LABEL, derive.EXPORT_SIZE))
        await self._agreement.reach(None if ask is None else lambda: ask(number), lambda: on_confirming(number))

    # In the session

    def _on_link(self, data: bytes) -> bool:
        try:
            message = decode(data)
        except ProtocolError:
            return False
        if isinstance(message, Addresses):
            self._ice.add_remote(candidates(message))
        elif isinstance(message, Servers):
            self._gathering.renew_servers(servers(message))
        elif message is not None:
            self._agreement.take(message)
        return True

    def _send_link(self, message: bytes) -> None:
        if self._channel is not None:
            with contextlib.suppress(ConnectionLost):  # who uses the channel is told
                self._channel.send_link(message)

    def _on_own_candidates(self) -> None:
        if self._channel is not None:
            self._send_link(encode(addresses(self.candidates)))
        elif self._close_task is None:
            self.on_candidates(self.candidates)

    def _on_news(self, news: Selected | Silent | Gone) -> None:
        match news:
            case Silent():
                self._gathering.hurry()
                self.on_path(events.Stalled(news.silent_s, news.left_s))
            case Selected():
                if self._sctp is not None and news.gap_s:
                    self._sctp.path_is_back()
                path = self.path()
                self.on_path(events.Recovered(news.gap_s, path) if news.gap_s else events.PathChanged(path))
            case Gone():
                self._give_up(news)

    def _on_data_path(self, news: events.DataPath) -> None:
        self.on_data_path(news)

    def _give_up(self, gone: Gone) -> None:
        if gone.refused:
            error = ConnectionLost("the other side is gone: its machine says that nobody listens any more", _RERUN)
        else:
            error = ConnectionLost(
                f"nothing was heard of the other side for {duration(gone.silent_s)}, on any path", _RERUN
            )
        self._agreement.lost(error)
        if self._channel is not None:
            self._channel.fail(error)
        if self._sctp is not None:
            self._sctp.lost()

    def _on_dtls_state(self) -> None:
        if self._dtls is not None and self._sctp is not None and self._dtls.state in ("closed", "failed"):
            self._sctp.lost()
            if self._channel is None:
                self._ice.abandon()
            self._agreement.lost(ConnectionLost("the other side has ended the connection", _RERUN))

    # What is known

    def path(self) -> events.Path:
        """The way that packets take now, or took last. Raises NoConnection before there is one."""
        selected = self._ice.selected
        if selected is not None:
            self._path = describe(selected, local_addresses())
        if self._path is None:
            raise NoConnection("there is no path to the other side yet")
        return self._path

    def trial(self) -> Trial:
        """What was tried so far."""
        remote = [
            RemoteTrial(
                _as_candidate(each.type, each.address), tally.checks, tally.answered, tally.heard, tally.refused
            )
            for each, tally in self._ice.remotes
        ]
        return Trial(tuple(self.server_reports), self.candidates, tuple(remote))

    def export(self, label: str, size: int) -> bytes:
        """size bytes that only the two sides know (RFC 5705). Raises NoConnection before connect() has returned."""
        if self._dtls is None or self._channel is None:
            raise NoConnection("there is no session with the other side yet")
        return self._dtls.export(label, size)

    # The end

    async def close(self) -> None:
        """End the connection and tell the peer, when it has all that was sent. Within times.close_s; idempotent."""
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._close())
        await asyncio.shield(self._close_task)

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.close_s):
                await _cancel(self._gather_task)
                await self._end_session()
        self._ice.close()
        await _cancel(self._watch_task)
        await self._gathering.close()

    async def _end_session(self) -> None:
        if self._channel is not None:
            self._channel.finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.close_s * _FLUSH_SHARE):
                    with contextlib.suppress(ConnectionLost):  # the peer has begun to end it
                        await self._channel.acknowledged()
                await self._part(self._channel)
        if self._sctp is not None:
            await self._sctp.stop()
        if self._dtls is not None:
            await self._dtls.stop()

    async def _part(self, channel: PeerChannel) -> None:
        """Raises TimeoutError when the peer does not answer. A peer of which nothing is heard is not waited for."""
        if not self._ice.stalled:
            async with asyncio.timeout(self._times.close_s * _PART_SHARE):
                await channel.part()


async def _cancel(task: asyncio.Task[tuple[Candidate, ...]] | asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


def _as_candidate(kind: str, address: tuple[str, int]) -> Candidate:
    """What was only heard of is somebody's address behind a NAT, as far as we know."""
    return Candidate("relay" if kind == "relay" else "host" if kind == "host" else "srflx", *address)


def _is_cancelled() -> bool:
    """Has somebody asked the running task to end?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _closed() -> NoConnection:
    return NoConnection("the connection was closed before it came up")
