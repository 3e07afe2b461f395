"""An address that a TURN server lends (RFC 8656), as an endpoint of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from aioice import stun

from p2pcopy.net.channeldata import HEADER_SIZE
from p2pcopy.net.endpoint import Address, Endpoint, Receiver, is_ipv6
from p2pcopy.net.turnclient import LIFETIME_S, TurnClient, Way
from p2pcopy.net.turnways import open_client
from p2pcopy.net.udp import Offload

BIND_AGAIN_S: Final = 200.0  # a permission ends after 300 s (RFC 8656 section 9), and a refresh may take several tries
BOUND_S: Final = 290.0
MAX_CHANNELS: Final = 256
MAX_WAITING: Final = 16  # datagrams to one peer while its channel is bound
_FIRST_CHANNEL: Final = 0x4000  # RFC 8656 section 12
_LAST_CHANNEL: Final = 0x4FFF
_FORGET_S: Final = 600.0
_BIND_LIMIT_S: Final = 8.0
_BIND_PAUSE_S: Final = 1.0  # after no answer
_NO_PAUSE_S: Final = 10.0  # after a no
_PERMIT_PAUSE_S: Final = 30.0
_MISMATCH: Final = 437  # the server does not know the allocation (any more)


class AllocationLost(Exception):
    """The server does not have the allocation any more, or the way to it is closed for good."""


@dataclass
class _Channel:
    """bound_at, used_at: times of the loop; retry_at: not before then, when binding has failed."""

    number: int
    bound_at: float = float("-inf")
    used_at: float = 0.0
    retry_at: float = 0.0
    is_binding: bool = False
    waiting: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))


class RelayEndpoint(Endpoint):
    """An allocation. Made by open_relay(); kept alive by refresh() every 15 s or so.

    on_trouble: the server may be gone, or does not know us any more; asking it with refresh() tells. is_silent: it did not
    answer when it was asked last; base: the address of ours that it is asked from; host: its name; over: udp, tcp or tls;
    expires: when the allocation ends without a refresh (time of the loop).
    """

    overhead = HEADER_SIZE

    def __init__(self, receiver: Receiver, client: TurnClient, url: str, lent: Address) -> None:
        super().__init__(receiver)
        self.address = lent
        self.relay = url
        self.server = client.server
        self.host = client.way.name
        self.over = "tls" if client.way.tls else client.way.transport
        self.base: str = client.base
        self.is_silent = False
        self.on_trouble: Callable[[], None] = lambda: None
        self._client = client
        self._is_ipv6 = is_ipv6(lent[0])
        self._channels: dict[Address, _Channel] = {}
        self._next_number = _FIRST_CHANNEL
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_unknown = False
        self._permitted_at = float("-inf")
        self._loop = asyncio.get_running_loop()
        self.expires = self._loop.time() + LIFETIME_S
        client.on_data = self._take
        client.on_batch = self._take_batch
        client.on_batch_end = self._end_batch
        client.on_writable = lambda: receiver.writable(self)
        client.on_trouble = self._report_trouble
        self._start(self._permit_itself())

    @property
    def is_lost(self) -> bool:
        return self._is_unknown or self._client.is_lost or self._loop.time() >= self.expires

    def _report_trouble(self) -> None:
        self.on_trouble()

    # Data

    @property
    def offload(self) -> Offload:
        return self._client.offload

    @property
    def burst(self) -> int:
        return self._client.burst

    @property
    def is_full(self) -> bool:
        return self._client.is_full

    def probe_mtu(self, on: bool) -> int:
        return self._client.probe_mtu(on)

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None:
        channel = self._channels.get(address)
        now = self._loop.time()
        if channel is None or now >= channel.bound_at + BOUND_S:
            for at in range(0, len(data), segment):
                self.send(bytes(data[at : at + segment]), address)
        elif not self._is_closed and not self.is_lost:
            channel.used_at = now
            self._client.send_burst(channel.number, data, segment)

    def send(self, data: bytes, address: Address) -> None:
        if self._is_closed or self.is_lost or (":" in address[0]) != self._is_ipv6:
            return
        channel = self._channel_to(address)
        if channel is None:
            return
        now = channel.used_at = self._loop.time()
        if now < channel.bound_at + BOUND_S:
            self._client.send_on(channel.number, data)
        elif channel.is_binding or now >= channel.retry_at:
            channel.waiting.append(data)
            self._bind(channel, address)

    def send_once(self, data: bytes, port: int) -> bool:
        """To another relayed address of the same server, without a channel. False when the allocation is gone."""
        if self._is_closed or self.is_lost:
            return False
        self._client.indicate(data, (self.address[0], port))
        return True

    def _channel_to(self, address: Address) -> _Channel | None:
        """Numbers are not used again: the server may still know whose they were."""
        if address not in self._channels:
            if len(self._channels) >= MAX_CHANNELS:
                self._forget_unused()
            if len(self._channels) >= MAX_CHANNELS or self._next_number > _LAST_CHANNEL:
                return None
            self._channels[address] = _Channel(self._next_number)
            self._next_number += 1
        return self._channels[address]

    def _forget_unused(self) -> None:
        limit = self._loop.time() - _FORGET_S
        for address in [address for address, channel in self._channels.items() if channel.used_at < limit]:
            del self._channels[address]

    def _bind(self, channel: _Channel, address: Address) -> None:
        if not channel.is_binding:
            channel.is_binding = True
            self._start(self._bind_now(channel, address))

    async def _bind_now(self, channel: _Channel, address: Address) -> None:
        try:
            await self._client.bind(channel.number, address, _BIND_LIMIT_S)
        except (stun.TransactionError, OSError) as error:  # TimeoutError is an OSError
            self._judge(error)
            channel.retry_at = self._loop.time() + (_BIND_PAUSE_S if isinstance(error, OSError) else _NO_PAUSE_S)
        else:
            channel.bound_at = self._loop.time()
            for data in channel.waiting:
                self._client.send_on(channel.number, data)
        finally:
            channel.waiting.clear()
            channel.is_binding = False

    # Upkeep

    async def refresh(self, limit_s: float) -> None:
        """Have the server say that the allocation lives on, and renew what runs out before long.

        Raises AllocationLost; TimeoutError, or another OSError, when the server does not answer now.
        """
        if not self.is_lost:
            try:
                await self._client.refresh(limit_s)
            except stun.TransactionError as error:
                self._judge(error)
                if not self._is_unknown:
                    raise AllocationLost from error
            except OSError:
                self.is_silent = True
                if not self.is_lost:
                    raise
        if self.is_lost:
            raise AllocationLost
        now = self._loop.time()
        self.is_silent = False
        self.expires = now + LIFETIME_S
        if now >= self._permitted_at + BIND_AGAIN_S:
            self._start(self._permit_itself())
        for address, channel in self._channels.items():
            if channel.bound_at + BIND_AGAIN_S <= now < channel.used_at + BOUND_S:
                self._bind(channel, address)

    async def _permit_itself(self) -> None:
        """So that a peer with an allocation on the same server gets through, although nothing is known of it yet."""
        self._permitted_at = self._loop.time()
        try:
            await self._client.permit(self.address, _BIND_LIMIT_S)
        except (stun.TransactionError, OSError) as error:  # a server may refuse just this
            self._judge(error)
            self._permitted_at += _PERMIT_PAUSE_S - BIND_AGAIN_S

    def _judge(self, error: stun.TransactionError | OSError) -> None:
        if isinstance(error, stun.TransactionFailed) and error.response.error_code == _MISMATCH:
            self._is_unknown = True
            self.on_trouble()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The end

    async def close(self, goodbye_s: float = 0.0) -> None:
        """Give the allocation back. goodbye_s: how long to wait for the server to say so."""
        if self._is_closed:
            return
        self._is_closed = True
        self.on_trouble = lambda: None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
            if self.is_lost:
                return
            if goodbye_s:
                with contextlib.suppress(stun.TransactionError, OSError):
                    await self._client.refresh(goodbye_s, lifetime_s=0)
            else:
                self._client.say_goodbye()
        finally:
            await self._client.close()


async def open_relay(receiver: Receiver, way: Way, *, url: str, limit_s: float) -> RelayEndpoint:
    """Raises stun.TransactionFailed, TimeoutError, OSError, ssl.SSLError, ValueError for an answer that makes no sense."""
    async with asyncio.timeout(limit_s):
        client = await open_client(way)
        try:
            return RelayEndpoint(receiver, client, url, await client.allocate(limit_s))
        except BaseException:
            await client.close()
            raise
