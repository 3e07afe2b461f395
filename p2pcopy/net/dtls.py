"""DTLS that trusts one public key, whatever certificate it comes in. The one place that touches RTCDtlsTransport's inside."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any, Protocol, cast

from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport, RTCIceTransport
from aiortc.rtcdtlstransport import State
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from p2pcopy.signaling import derive


class Way(Protocol):
    """Carries datagrams to the peer and back."""

    async def recv(self) -> bytes:
        """Raises ConnectionError when closed."""

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when closed."""


class _Underlay:
    """All that RTCDtlsTransport wants of an RTCIceTransport."""

    def __init__(self, way: Way, is_server: bool) -> None:
        self._recv = way.recv
        self._send = way.send
        self.state = "completed"
        self.role = "controlling" if is_server else "controlled"


class PinnedDtlsTransport(RTCDtlsTransport):
    """remote_pin: what derive.public_key_pin makes of the only public key that the peer may have."""

    def __init__(self, way: Way, certificate: RTCCertificate, remote_pin: bytes, *, is_server: bool) -> None:
        super().__init__(cast(RTCIceTransport, _Underlay(way, is_server)), [certificate])
        self.is_foreign = False
        self._remote_pin = remote_pin
        self._pump: asyncio.Future[None] | None = None
        self._set_role("server" if is_server else "client")

    async def handshake(self) -> bool:
        """Whether the session is up. Once only. When not: is_foreign tells if the peer had the wrong key."""
        # What the parameters say is not looked at (_validate_peer_identity), but there has to be something.
        await self.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", self._remote_pin.hex())]))
        if self._task is not None:
            self._pump = self._task
            self._pump.add_done_callback(_take_exception)
        elif self.is_foreign:
            await self._say_goodbye()
        return self.state == "connected"

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:  # noqa: N803  the name in aiortc
        certificate = self.session.get_peer_certificate(as_cryptography=True)
        key = certificate.public_key() if certificate is not None else None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not hmac.compare_digest(
            derive.public_key_pin(key), self._remote_pin
        ):
            self.is_foreign = True
            self._set_state(State.FAILED)

    def export(self, label: str, size: int) -> bytes:
        """Keying material that both sides share and nobody else has (RFC 5705). Only while connected."""
        material: bytes = self.session.export_keying_material(label.encode("ascii"), size)
        return material

    @property
    def session(self) -> SSL.Connection:
        """Raises ConnectionError when there is none."""
        if self._ssl is None:
            raise ConnectionError("there is no DTLS session")
        return self._ssl

    def ended(self) -> None:
        """The peer has ended the session, as the records say that did not come this way."""
        if self._task is not None:
            self._task.cancel()

    async def _say_goodbye(self) -> None:
        try:
            self.session.shutdown()
            await self._write_ssl()
        except (SSL.Error, ConnectionError):
            return  # nobody is there to be told

    async def stop(self) -> None:
        await super().stop()
        if self._pump is not None:
            await asyncio.wait([self._pump])


def _take_exception(pump: asyncio.Future[Any]) -> None:
    """What a malformed record or SCTP packet of the peer raises ends the session; there is nothing to tell but that."""
    if not pump.cancelled():
        pump.exception()
