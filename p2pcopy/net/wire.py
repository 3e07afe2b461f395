"""Where SCTP packets leave: the record layer, and behind it the pair that is selected at the moment."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, Protocol, cast

from p2pcopy.net.endpoint import Endpoint
from p2pcopy.net.pairs import Pair
from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.net.slices import Slicer

RELAYED_BURST: Final = 16  # packets: coturn drops what a client on TCP or TLS cannot take at once, from 32 KiB on


class Paths(Protocol):
    """IceConnection, as the association sees it."""

    @property
    def pair(self) -> Pair | None:
        """The selected one."""


class PathWire:
    """messages.Wire. overhead: bytes that a record adds, known after measure()."""

    def __init__(self, records: Records, paths: Paths) -> None:
        self.records = records
        self.plain = self.records.plain
        self.seal = self.records.seal
        self.overhead = 0
        self._slicer = Slicer(records.sealed)
        self._paths = paths

    @property
    def endpoint(self) -> Endpoint | None:
        pair = self._paths.pair
        return cast(Endpoint, pair.local) if pair is not None else None  # to the agent it is something smaller

    @property
    def burst(self) -> int:
        pair = self._paths.pair
        if pair is None:
            return 1
        return min(pair.local.burst, RELAYED_BURST) if pair.is_relayed else pair.local.burst

    @property
    def is_full(self) -> bool:
        endpoint = self.endpoint
        return endpoint is not None and endpoint.is_full

    def flush(self, size: int = MAX_RECORD) -> None:
        """Send what is sealed: packets of size bytes each, the last may be shorter. Lost while there is no path."""
        records = self.records.take()
        if records:
            self._send(records, size + self.overhead)

    def flush_slices(self, size: int, count: int, records: int) -> None:
        """Send so many packets of size bytes each that are sealed, in count slices each. Lost while there is no path. Raises
        ConnectionError."""
        size += self.overhead
        if len(self.records.take()) != size * records:
            raise ConnectionError("OpenSSL gives other records than it has sealed")
        datagrams, segment = self._slicer.cut(size, count, records)
        self._send(memoryview(datagrams), segment)

    def put(self, packet: bytes) -> None:
        """Seal one packet. Raises ConnectionError."""
        self.plain[: len(packet)] = packet
        if self.seal(len(packet)) != len(packet):
            raise ConnectionError("OpenSSL cannot encrypt any more")

    def send(self, packet: bytes) -> None:
        """One packet by itself. Raises ConnectionError."""
        self.flush()
        self.put(packet)
        self.flush()

    def send_all(self, packets: Iterable[bytes]) -> None:
        """Those of one size together. Raises ConnectionError."""
        for size, alike in groupby(packets, len):
            for packet in alike:
                self.put(packet)
            self.flush(size)

    def measure(self, packet: bytes) -> None:
        """Send a packet, and see how much longer it has become: that depends on the version of DTLS and on the cipher."""
        self.flush()
        self.put(packet)
        records = self.records.take()
        self.overhead = len(records) - len(packet)
        self._send(records, len(records))

    def _send(self, records: memoryview, segment: int) -> None:
        pair, endpoint = self._paths.pair, self.endpoint
        if pair is not None and endpoint is not None:
            endpoint.send_burst(records, segment, pair.remote.address)
