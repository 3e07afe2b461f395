"""A way between two peers that loses, repeats and delays some packets. Each finds the other at an address of the crossing."""

from __future__ import annotations

import asyncio
import socket
from random import Random
from typing import Any, Final

from p2pcopy.net.endpoint import Address

LOST: Final = 0.01
REPEATED: Final = 0.01
LATE: Final = 0.02
LATE_S: Final = 0.005
_APPLICATION_DATA: Final = 23  # RFC 6347 section 4.1: no handshake, whose timers are long
_BUFFER: Final = 4 * 1024 * 1024


class Crossing:
    """near: where we find them; far: where they find us. Counts what it does."""

    def __init__(self, seed: int) -> None:
        self.lost = 0
        self._random = Random(seed)
        self._near, self._far = _Bank(self), _Bank(self)
        self._near.opposite, self._far.opposite = self._far, self._near

    async def open(self, address: str = "127.0.0.1") -> None:
        for bank in (self._near, self._far):
            raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            raw.bind((address, 0))
            await asyncio.get_running_loop().create_datagram_endpoint(lambda bank=bank: bank, sock=raw)  # type: ignore[misc]

    @property
    def near(self) -> Address:
        return self._near.address

    @property
    def far(self) -> Address:
        return self._far.address

    def carry(self, data: bytes, to: _Bank) -> None:
        if data[:1] == bytes([_APPLICATION_DATA]):
            chance = self._random.random()
            if chance < LOST:
                self.lost += 1
                return
            if chance < LOST + REPEATED:
                to.send(data)
            elif chance < LOST + REPEATED + LATE:
                asyncio.get_running_loop().call_later(LATE_S, to.send, data)
                return
        to.send(data)

    def close(self) -> None:
        self._near.close()
        self._far.close()


class _Bank(asyncio.DatagramProtocol):
    """One side's end. Learns where that side is from what it sends."""

    opposite: _Bank

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._transport: Any = None
        self._user: Address | None = None
        self.address: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, address: Address) -> None:
        self._user = address
        self._crossing.carry(data, self.opposite)

    def send(self, data: bytes) -> None:
        if self._user is not None and not self._transport.is_closing():
            self._transport.sendto(data, self._user)

    def close(self) -> None:
        self._transport.close()
