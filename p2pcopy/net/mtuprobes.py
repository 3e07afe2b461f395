"""Packetization layer path MTU discovery (RFC 8899) over an association: pathmtu.py with timers and real probes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from math import inf
from typing import Final

from p2pcopy.net.outbound import BASE_PAYLOAD, Outbound
from p2pcopy.net.packets import COMMON_HEADER, DATA_HEADER, heartbeat
from p2pcopy.net.pathmtu import PathMtuSearch
from p2pcopy.net.wire import PathWire

_TOKEN_SIZE: Final = 16
_MAX_PROBES: Final = 8  # that wait for their answer
_LOOK_AGAIN_S: Final = 0.1
_SOON_S: Final = 0.01


class MtuProbes:
    """send: one packet with these chunks; on_size: the UDP payload in bytes that packets have, when it is settled for a while."""

    def __init__(
        self, wire: PathWire, outbound: Outbound, send: Callable[[bytes], None], on_size: Callable[[int], None]
    ) -> None:
        self._wire = wire
        self._outbound = outbound
        self._send = send
        self._on_size = on_size
        self._loop = asyncio.get_running_loop()
        self._search: PathMtuSearch | None = None
        self._size = 0  # that was told
        self._probes: dict[bytes, int] = {}
        self._after = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A new path: from the base size on. Larger packets that are under way for the old one may have to be cut by IP, so the
        search waits until they have arrived."""
        self.stop()
        self._probes.clear()
        self._after = self._outbound.flight.next
        base = BASE_PAYLOAD + DATA_HEADER + self._wire.overhead
        endpoint = self._wire.endpoint
        largest = endpoint.probe_mtu(True) if endpoint is not None else 0
        self._allow_fragments()
        self._outbound.set_payload(BASE_PAYLOAD)
        self._search = PathMtuSearch(base, largest, self._loop.time()) if largest > base else None
        if self._search is None:
            self._tell(base)
        self._go_on()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self, token: bytes) -> None:
        """A HEARTBEAT-ACK has come."""
        size = self._probes.pop(token, None)
        if size is not None and self._search is not None:
            self._search.confirmed(size)
            self._use(self._search.size)
            self._go_on()

    def black_hole(self) -> None:
        """The path answers small packets, and large ones are lost (RFC 8899 section 4.3)."""
        if self._search is not None:
            self._after = self._outbound.flight.next
            self._search.black_hole(self._loop.time())
            self._use(self._search.size)
            self._allow_fragments()
            self._go_on()

    def _go_on(self) -> None:
        self.stop()
        if self._search is None:
            return
        now = self._loop.time()
        if self._outbound.flight.oldest < self._after:
            due = now + _LOOK_AGAIN_S
        else:
            size = self._search.next_probe(now, self._outbound.round_trip.smoothed)
            if size is not None:
                self._probe(size)
            else:
                self._tell(self._search.size)
                if self._outbound.payload == BASE_PAYLOAD:
                    self._allow_fragments()
            due = max(self._search.due(), now + _SOON_S)
        if due != inf:
            self._timer = self._loop.call_at(due, self._go_on)

    def _probe(self, size: int) -> None:
        endpoint = self._wire.endpoint
        if endpoint is not None:
            endpoint.probe_mtu(True)
        token = os.urandom(_TOKEN_SIZE)
        while len(self._probes) >= _MAX_PROBES:
            del self._probes[next(iter(self._probes))]
        self._probes[token] = size
        self._send(heartbeat(token, (size - self._wire.overhead - COMMON_HEADER) // 4 * 4))

    def _allow_fragments(self) -> None:
        endpoint = self._wire.endpoint
        if endpoint is not None:
            endpoint.probe_mtu(False)

    def _use(self, size: int) -> None:
        payload = (size - self._wire.overhead - DATA_HEADER) // 4 * 4
        self._outbound.set_payload(payload)

    def _tell(self, size: int) -> None:
        if size != self._size:
            self._size = size
            self._on_size(size)
