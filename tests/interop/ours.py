"""Our side of a connection to a foreign WebRTC stack: p2pcopy's ICE, DTLS, SCTP and channels, joined by an SDP offer and answer
where the program itself has codes and a derived key.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from aiortc import RTCCertificate, RTCDataChannel, RTCDataChannelParameters, RTCDtlsParameters, RTCSctpTransport
from aiortc.rtcdtlstransport import State
from aiortc.rtcsctptransport import WEBRTC_DCEP, DataChunk
from crossing import Crossing
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from p2pcopy.config import NetTimes, Relay
from p2pcopy.net import fastsctp
from p2pcopy.net.checks import Keys
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.datachannel import CONTROL, DATA, LINK, PeerChannel
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.endpoint import HostEndpoint, open_host
from p2pcopy.net.queueing import run
from p2pcopy.net.sctp import BoundedSctpTransport
from p2pcopy.signaling import derive
from p2pcopy.signaling.candidates import Candidate
from p2pcopy.signaling.derive import Credentials
from p2pcopy.signaling.parameters import Generic, Starter
from p2pcopy.signaling.sdp import generic_to_sdp, sdp_to_generic

Label = Literal["control", "data"]
Message = tuple[Literal["text", "binary"], int]  # what kind, how many bytes
Entry = tuple[int, str]  # bytes, SHA-256

# The channels that p2pcopy opens, for the other side.
CHANNELS: Final[list[dict[str, Any]]] = [
    {"label": "control", "ordered": True, "id": CONTROL},
    {"label": "data", "ordered": False, "id": DATA},
    {"label": "link", "ordered": True, "id": LINK},
]
BACKLOG: Final = 1024 * 1024
TIMES: Final = NetTimes()
STALL_LIMIT_S: Final = 30.0
PART_S: Final = 20.0


class FingerprintDtlsTransport(PinnedDtlsTransport):
    """Trusts the certificate whose SHA-256 an SDP has told, as WebRTC has it (RFC 8122)."""

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:  # noqa: N803  the name in aiortc
        certificate = self.session.get_peer_certificate(as_cryptography=True)
        if certificate is None or certificate.fingerprint(SHA256()) != self._remote_pin:
            self.is_foreign = True
            self._set_state(State.FAILED)


def in_band(association: type[BoundedSctpTransport]) -> type[BoundedSctpTransport]:
    """With the channels opened in band (RFC 8832) that p2pcopy has no use for, and ends the association for."""

    class InBand(association):  # type: ignore[valid-type,misc]
        async def _receive_data_chunk(self, chunk: DataChunk) -> None:
            bounded = super()._receive_data_chunk
            await (
                RTCSctpTransport._receive_data_chunk(self, chunk) if chunk.protocol == WEBRTC_DCEP else bounded(chunk)
            )

        async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
            if pp_id == WEBRTC_DCEP:
                await RTCSctpTransport._data_channel_receive(self, stream_id, pp_id, data)
            else:
                await super()._data_channel_receive(stream_id, pp_id, data)

        def _deliver(self, stream: int, protocol: int, message: bytes) -> None:
            if protocol == WEBRTC_DCEP:
                run(self._data_channel_receive(stream, protocol, message))
            else:
                super()._deliver(stream, protocol, message)

    return InBand


class Record:
    """A sink that keeps the size and the hash of what has arrived."""

    def __init__(self) -> None:
        self.arrived: dict[Label, list[Entry]] = {"control": [], "data": []}
        self.is_closed = False
        self.consumed: Callable[[int], None] = lambda size: None
        self._changed = asyncio.Event()

    def control_received(self, message: bytes) -> None:
        self._take("control", message)

    def data_received(self, message: bytes) -> None:
        self._take("data", message)
        self.consumed(len(message))

    def channel_closed(self) -> None:
        self.is_closed = True
        self._changed.set()

    def _take(self, label: Label, message: bytes) -> None:
        self.arrived[label].append(entry(message))
        self._changed.set()

    async def received(self, label: Label, count: int) -> list[Entry]:
        """The next so many messages, in the order in which they came."""
        await self._until(lambda: len(self.arrived[label]) >= count)
        entries, self.arrived[label] = self.arrived[label][:count], self.arrived[label][count:]
        return entries

    async def closed(self) -> None:
        await self._until(lambda: self.is_closed)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


class Ours:
    """open(), then describe() and accept() in the order of the roles, connect(), and close().

    address: of this machine; before: called with the association before its handshake; crossing: an open one that is in between.
    """

    def __init__(
        self,
        association: type[BoundedSctpTransport],
        *,
        offering: bool,
        address: str = "127.0.0.1",
        before: Callable[[BoundedSctpTransport], None] = lambda sctp: None,
        crossing: Crossing | None = None,
    ) -> None:
        self.offering = offering
        self.record = Record()
        self._crossing = crossing
        self._association = association
        self._address = address
        self._before = before
        key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = RTCCertificate(key, derive.self_signed(key))
        self._credentials = derive.ice_credentials(os.urandom(16), "offer")
        self._theirs: Generic | None = None
        self._keys = Keys(self._credentials, Credentials("", ""))  # theirs come with accept()
        self.ice = IceConnection(
            controlling=offering, keys=self._keys, relay=Relay.NEVER, times=TIMES, stall_limit_s=STALL_LIMIT_S
        )
        self._endpoint: HostEndpoint | None = None
        self._dtls: FingerprintDtlsTransport | None = None
        self.sctp: BoundedSctpTransport
        self.channel: PeerChannel

    async def open(self) -> None:
        self._endpoint = await open_host(self.ice, self._address)
        self.ice.add_local(self._endpoint)

    def describe(self) -> str:
        """Our offer, or the answer to what was accepted."""
        assert self._endpoint is not None
        address = self._crossing.far if self._crossing else self._endpoint.address
        fingerprint = self._certificate._cert.fingerprint(SHA256())
        return generic_to_sdp(
            Generic(
                kind="offer" if self.offering else "answer",
                starter=Starter.SENDER,
                ufrag=self._credentials.ufrag,
                password=self._credentials.password,
                fingerprint=fingerprint,
                setup="actpass" if self.offering else "active",
                candidates=(Candidate("host", *address),),
            )
        )

    def accept(self, sdp: str) -> None:
        """Their answer, or the offer that we are going to answer."""
        theirs = self._theirs = sdp_to_generic(sdp, Starter.SENDER)
        self._keys = self.ice._agent._code = Keys(self._credentials, Credentials(theirs.ufrag, theirs.password))
        self.ice.add_remote([Candidate("host", *self._crossing.near)] if self._crossing else theirs.candidates)

    async def connect(self) -> None:
        assert self._theirs is not None
        await self.ice.connected()
        is_server = self._theirs.setup == "active" if self.offering else False
        dtls = self._dtls = FingerprintDtlsTransport(
            self.ice, self._certificate, self._theirs.fingerprint, is_server=is_server
        )
        assert await dtls.handshake()
        is_fast = issubclass(self._association, fastsctp.FastSctpTransport)
        self.sctp = self._association(dtls, self.ice) if is_fast else self._association(dtls)  # type: ignore[call-arg]
        self.sctp.on_packet = self.ice.heard_data
        self._before(self.sctp)
        self.channel = PeerChannel(self.sctp, is_stalled=lambda: self.ice.stalled)
        self.record.consumed = self.channel.consumed
        dtls.on("statechange", self._on_dtls_state)
        await self.sctp.begin()
        await self.channel.opened()
        assert await self.ice.begin_session(self._keys)
        self.channel.attach(self.record)

    def _on_dtls_state(self) -> None:
        if self._dtls is not None and self._dtls.state in ("closed", "failed"):
            self.sctp.lost()

    async def open_in_band(self, label: str, *, ordered: bool) -> RTCDataChannel:
        """Another channel, of which the other side is told in band. What arrives in it is recorded as "data"."""
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label=label, ordered=ordered))
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await opened.wait()
        return channel

    async def send(self, label: Label, messages: Iterable[Message]) -> list[Entry]:
        """All of them, as fast as they are taken."""
        sent = []
        for kind, size in messages:
            data = text(size) if kind == "text" else os.urandom(size)
            (self.channel._control if label == "control" else self.channel._data).send(data)
            sent.append(entry(data.encode() if isinstance(data, str) else data))
            await self.channel.drain(BACKLOG)
        return sent

    async def close(self) -> None:
        """As Peer does it: when the other side has everything."""
        if hasattr(self, "channel"):
            self.channel.finish()
            if not self.record.is_closed:
                await self.channel.acknowledged()
            async with asyncio.timeout(PART_S):
                await self.channel.part()
        await self.leave()

    async def leave(self) -> None:
        """At once."""
        if hasattr(self, "sctp"):
            await self.sctp.stop()
        if self._dtls is not None:
            await self._dtls.stop()
        self.ice.close()
        if self._endpoint is not None:
            await self._endpoint.close()


def text(size: int) -> str:
    """So many bytes, of characters of 1 to 4 bytes."""
    return "aé€😀" * (size // 10) + "x" * (size % 10)


def entry(message: bytes) -> Entry:
    return len(message), hashlib.sha256(message).hexdigest()
