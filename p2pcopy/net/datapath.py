"""Which association moves the data, our own or aiortc's, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable

from p2pcopy import events
from p2pcopy.config import NetSettings
from p2pcopy.net import abilities
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.sctp import BoundedSctpTransport


class DataPath:
    """on_change: told once the session is up and the size of packets is known, and when that changes. Needs a running loop."""

    def __init__(self, settings: NetSettings, ice: IceConnection) -> None:
        self.on_change: Callable[[events.DataPath], None] = lambda news: None
        self._abilities = abilities.probe(settings)
        self._ice = ice
        self._sctp: BoundedSctpTransport | None = None
        self._is_up = False
        self._packet_size: int | None = None

    def association(self, dtls: PinnedDtlsTransport) -> BoundedSctpTransport:
        """A new one for this session."""
        self._is_up = False
        self._packet_size = None
        if self._abilities.fast:
            from p2pcopy.net.fastsctp import FastSctpTransport  # needs what the probe has looked for

            fast = FastSctpTransport(dtls, self._ice)
            fast.on_packet_size = self._sized
            self._sctp = fast
        else:
            self._sctp = BoundedSctpTransport(dtls)
        return self._sctp

    def begin(self) -> None:
        """The session is up."""
        self._is_up = True
        self._tell()

    def _sized(self, size: int) -> None:
        self._packet_size = size
        self._tell()

    def _tell(self) -> None:
        pair, sctp = self._ice.pair, self._sctp
        if not self._is_up or pair is None or sctp is None or (self._abilities.fast and self._packet_size is None):
            return
        self.on_change(
            abilities.describe(
                self._abilities, pair.local.offload, packet_bytes=self._packet_size, peer_fast=sctp.is_peer_fast
            )
        )
