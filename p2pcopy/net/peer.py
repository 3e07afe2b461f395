"""One connection to one peer: ICE, DTLS and SCTP put together from aiortc's ORTC classes, without SDP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from aioice import Candidate as IceCandidate
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCCertificate, RTCIceGatherer, RTCIceTransport
from cryptography.hazmat.primitives.asymmetric import ec

from p2pcopy.config import NetSettings, NetTimes
from p2pcopy.errors import ConnectionLost, NoConnection, ProtocolError
from p2pcopy.events import Path
from p2pcopy.net.datachannel import PeerChannel
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.gather import Gathering, ServerReport
from p2pcopy.net.ice import PatientConnection
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.path import describe
from p2pcopy.net.sctp import BoundedSctpTransport
from p2pcopy.net.sockets import COMPONENT
from p2pcopy.signaling import derive
from p2pcopy.signaling.candidates import Candidate

_FLUSH_SHARE: Final = 0.4  # of the time for closing; a TURN server gets 0.5 of it for its goodbye

__all__ = ["Peer", "PeerChannel", "ServerReport"]


class Peer:
    """One side of one connection. Used once: gather(), connect(), close(); add_remote() at any time.

    secret: the offer's. offering: we made the offer; our key is random and the peer's follows from the secret. Otherwise
    our key follows from the secret, and remote_pin is the one in the offer. pin: of our key (derive.public_key_pin).
    Raises ValueError when remote_pin is missing or superfluous, UsageError for a setting that makes no sense.
    """

    def __init__(
        self,
        settings: NetSettings,
        secret: bytes,
        *,
        offering: bool,
        remote_pin: bytes | None = None,
        times: NetTimes = NetTimes(),  # noqa: B008  frozen
    ) -> None:
        if offering == (remote_pin is not None):
            raise ValueError("the answering side needs the pin of the offer, and only it")
        derived = derive.answer_key(secret)
        key = ec.generate_private_key(ec.SECP256R1()) if offering else derived
        self.pin = derive.public_key_pin(key.public_key())
        self._certificate = RTCCertificate(key, derive.self_signed(key))
        self._remote_pin = remote_pin or derive.public_key_pin(derived.public_key())
        self._offering = offering
        self._times = times
        offer, answer = derive.ice_credentials(secret, "offer"), derive.ice_credentials(secret, "answer")
        self._ice = PatientConnection(
            controlling=offering,
            local=offer if offering else answer,
            remote=answer if offering else offer,
            relay=settings.relay,
            times=times,
        )
        self._gathering = Gathering(self._ice, settings, times)
        self._dtls: PinnedDtlsTransport | None = None
        self._sctp: BoundedSctpTransport | None = None
        self._channel: PeerChannel | None = None
        self._path: Path | None = None
        self._gather_task: asyncio.Task[tuple[Candidate, ...]] | None = None
        self._close_task: asyncio.Task[None] | None = None

    @property
    def server_reports(self) -> list[ServerReport]:
        """What became of the STUN and TURN servers, in the order of the settings; complete after gather()."""
        return self._gathering.reports

    async def gather(self) -> tuple[Candidate, ...]:
        """Our addresses that help, best first; once only. Takes at most times.gather_limit_s, or little more.

        Raises NoConnection when there is not a single one, or when closed meanwhile.
        """
        self._gather_task = asyncio.create_task(self._gathering.run())
        try:
            return await self._gather_task
        except asyncio.CancelledError:
            if self._close_task is not None and not _is_cancelled():
                raise NoConnection("the connection was closed before it came up") from None
            raise

    def add_remote(self, candidates: Iterable[Candidate]) -> None:
        """The peer's addresses. Any number of times, also while connect() runs. mDNS names are passed over."""
        for number, candidate in enumerate(candidates):
            if not candidate.is_mdns:
                self._ice.add_remote(_ice_candidate(candidate, number))

    async def connect(self) -> PeerChannel:
        """Wait for a path, as long as it takes, then set up the session. After gather(); once only.

        Raises NoConnection, ProtocolError when the peer does not have the key that it must have.
        """
        try:
            await self._ice.connect()
        except ConnectionError:
            raise NoConnection("the connection was closed before it came up") from None
        try:
            async with asyncio.timeout(self._times.handshake_s):
                return await self._set_up()
        except TimeoutError:
            raise _no_session(f"did not come up within {self._times.handshake_s:g} s") from None
        except ConnectionLost:
            raise _no_session("broke while it was set up") from None

    async def _set_up(self) -> PeerChannel:
        self._dtls = PinnedDtlsTransport(
            _transport(self._ice), self._certificate, self._remote_pin, is_server=self._offering
        )
        if not await self._dtls.handshake():
            if self._dtls.is_foreign:
                raise ProtocolError(
                    "somebody else answered: the other side does not have the key that belongs to the code",
                    "Make a new code and hand it over in a way that nobody else can read.",
                )
            raise _no_session("was refused or broke off")
        self._sctp = BoundedSctpTransport(self._dtls)
        self._channel = PeerChannel(self._sctp)
        self._dtls.on("statechange", self._on_dtls_state)
        await self._sctp.begin()
        await self._channel.opened()
        return self._channel

    def _on_dtls_state(self) -> None:
        if self._dtls is not None and self._sctp is not None and self._dtls.state in ("closed", "failed"):
            self._sctp.lost()

    def path(self) -> Path:
        """The way that packets take now, or took last. Raises NoConnection before there is one."""
        selected = self._ice.selected
        if selected is not None:
            self._path = describe(selected, local_addresses())
        if self._path is None:
            raise NoConnection("there is no path to the other side yet")
        return self._path

    def export(self, label: str, size: int) -> bytes:
        """size bytes that only the two sides know (RFC 5705). Raises NoConnection before connect() has returned."""
        if self._dtls is None or self._channel is None:
            raise NoConnection("there is no session with the other side yet")
        return self._dtls.export(label, size)

    async def close(self) -> None:
        """End the connection and tell the peer, when it has all that was sent. Within times.close_s; idempotent."""
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._close())
        await asyncio.shield(self._close_task)

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.close_s):
                await self._end_gathering()
                await self._end_session()
                await self._ice.close()

    async def _end_gathering(self) -> None:
        if self._gather_task is not None:
            self._gather_task.cancel()
            await asyncio.wait([self._gather_task])

    async def _end_session(self) -> None:
        if self._channel is not None:
            self._channel.finish()
            with contextlib.suppress(TimeoutError, ConnectionLost):
                async with asyncio.timeout(self._times.close_s * _FLUSH_SHARE):
                    await self._channel.acknowledged()
        if self._sctp is not None:
            await self._sctp.stop()
        if self._dtls is not None:
            await self._dtls.stop()


def _transport(connection: PatientConnection) -> RTCIceTransport:
    """aiortc's view of our connection. Never started as such: connect() of the connection does all that is needed."""
    gatherer = RTCIceGatherer(iceServers=[])
    gatherer._connection = connection
    return RTCIceTransport(gatherer)


def _ice_candidate(candidate: Candidate, number: int) -> IceCandidate:
    """number: its place in the code; the earlier, the better it is."""
    return IceCandidate(
        foundation=candidate_foundation(candidate.type, "udp", candidate.host),
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, candidate.type, 65535 - number),
        host=candidate.host,
        port=candidate.port,
        type=candidate.type,
    )


def _is_cancelled() -> bool:
    """Has somebody asked the running task to end?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _no_session(what: str) -> NoConnection:
    return NoConnection(
        f"the two sides reached each other, but the encrypted session {what}",
        "Try again with a fresh code; if it happens again, run with --verbose on both sides.",
    )
