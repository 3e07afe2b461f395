"""Two peers that meet on this machine, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from p2pcopy.config import NetSettings, NetTimes
from p2pcopy.net.peer import Peer, PeerChannel
from p2pcopy.net.sctp import BoundedSctpTransport

T = TypeVar("T")

ALONE = NetSettings(stun=())
STOCK = replace(ALONE, fast_path=False)
TIMES = NetTimes()
LIMIT_S = 100.0


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Its result, within LIMIT_S; fails when it leaves tasks behind."""

    async def body() -> T:
        async with asyncio.timeout(LIMIT_S):
            result = await coroutine
        await asyncio.sleep(0)  # tasks that were cancelled end now
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    return asyncio.run(body())


@dataclass
class Inbox:
    """A sink that can be waited for."""

    control: list[bytes] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    data_bytes: int = 0
    keep_data: bool = True
    closed: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def control_received(self, message: bytes) -> None:
        self.control.append(message)
        self._changed.set()

    def data_received(self, message: bytes) -> None:
        self.data_bytes += len(message)
        if self.keep_data:
            self.data.append(message)
        self._changed.set()

    def channel_closed(self) -> None:
        self.closed += 1
        self._changed.set()

    async def until(self, *, control: int = 0, data: int = 0, data_bytes: int = 0, closed: int = 0) -> None:
        """Wait for so many messages, bytes, or ends."""
        while (
            len(self.control) < control
            or (self.keep_data and len(self.data) < data)
            or self.data_bytes < data_bytes
            or self.closed < closed
        ):
            self._changed.clear()
            await self._changed.wait()


@dataclass
class Meeting:
    """Both ends of a connection: the side that made the offer, and the one that answered with one paste."""

    offering: Peer
    answering: Peer
    left: PeerChannel
    right: PeerChannel

    def offering_sctp(self) -> BoundedSctpTransport:
        """The association of the offering side, for what a peer does not do by itself."""
        assert self.offering._sctp is not None
        return self.offering._sctp


async def introduce(
    settings: NetSettings = ALONE, times: NetTimes = TIMES, answering_settings: NetSettings | None = None
) -> tuple[Peer, Peer]:
    """Two peers that have gathered; the answering one has the offer."""
    secret = os.urandom(16)
    offering = Peer(settings, secret, offering=True, times=times)
    answering = Peer(answering_settings or settings, secret, offering=False, remote_pin=offering.pin, times=times)
    offered, _ = await asyncio.gather(offering.gather(), answering.gather())
    answering.add_remote(offered)
    return offering, answering


@contextlib.asynccontextmanager
async def meeting(
    settings: NetSettings = ALONE, times: NetTimes = TIMES, answering_settings: NetSettings | None = None
) -> AsyncIterator[Meeting]:
    offering, answering = await introduce(settings, times, answering_settings)
    try:
        left, right = await asyncio.gather(offering.connect(), answering.connect())
        yield Meeting(offering, answering, left, right)
    finally:
        await asyncio.gather(offering.close(), answering.close())
