"""The client's side of TURN (RFC 8656): aioice's, with ends to all waits and no trust in what arrives. turnways.py carries it."""

from __future__ import annotations

import asyncio
import errno
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aioice import stun, turn

from p2pcopy.net.channeldata import Payloads
from p2pcopy.net.endpoint import Address, parse_stun
from p2pcopy.net.offload import EVERYTHING, Offload

LIFETIME_S: Final = 600  # RFC 8656 section 7.2: the usual one
_MAX_MESSAGE: Final = 65535 + 20
_REQUESTED_ADDRESS_FAMILY: Final = struct.pack("!HHBxxx", 0x0017, 4, 0x02)  # RFC 8656 section 18.6: IPv6
_UNSUPPORTED: Final = (420, 440)  # unknown attribute (RFC 8489), address family not supported (RFC 8656 section 19)


@dataclass(frozen=True)
class Way:
    """One way to one TURN server. name: in its certificate; tls: None without TLS; source: the address of ours that has to be
    used, "" for any; families: of the lent address, in the order in which they are asked for (4, 6); wish: of its socket."""

    server: Address
    name: str
    transport: str
    username: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    source: str = ""
    families: tuple[int, ...] = (4,)
    wish: Offload = EVERYTHING


class TurnClient(turn.TurnClientMixin, ABC):
    """on_data: a datagram of a peer; on_batch: many, as in endpoint.Receiver.batch_received(); on_batch_end: after either;
    on_writable: is_full has become False; on_trouble: the server may be gone. base: the address of ours that the server is
    asked from."""

    base: str

    def __init__(self, way: Way) -> None:
        super().__init__(way.server, way.username or None, way.password or None, LIFETIME_S, LIFETIME_S)
        self.way = way
        self.on_data: Callable[[bytes, Address], None] = lambda data, address: None
        self.on_batch: Callable[[bytearray, int, int, Address], None] = lambda data, size, segment, address: None
        self.on_batch_end: Callable[[], None] = lambda: None
        self.on_writable: Callable[[], None] = lambda: None
        self.on_trouble: Callable[[], None] = lambda: None
        self.channels: dict[int, Address] = {}
        self.permitted: set[str] = set()
        self.is_lost = False
        self._payloads = Payloads(self._take_payloads)
        self.trouble: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()

    # Questions

    async def ask(self, request: stun.Message, limit_s: float) -> stun.Message:
        """The answer, with our credential where the server wants it.

        Raises stun.TransactionFailed, TimeoutError, OSError when the way to the server is closed.
        """
        if self.trouble.done() and not self.is_lost:
            self.trouble = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self.request_with_retry(request))
        asking.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # it may come when nobody waits any more
        try:
            ends: set[asyncio.Future[Any]] = {asking, self.trouble}
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return _answer(asking)
            if self.trouble.done():
                raise self.trouble.result()
            raise TimeoutError
        finally:
            if not asking.done():
                asking.cancel()
                await asyncio.wait({asking})

    async def allocate(self, limit_s: float) -> Address:
        """Raises what ask() does, ValueError for an answer that makes no sense."""
        for number, family in enumerate(self.way.families, 1):
            request = (_Ipv6Allocation if family == 6 else stun.Message)(stun.Method.ALLOCATE, stun.Class.REQUEST)
            request.attributes["LIFETIME"] = LIFETIME_S
            request.attributes["REQUESTED-TRANSPORT"] = turn.UDP_TRANSPORT
            try:
                answer = await self.ask(request, limit_s)
                break
            except stun.TransactionFailed as error:
                if number == len(self.way.families) or error.response.error_code not in _UNSUPPORTED:
                    raise
        lent: Address | None = answer.attributes.get("XOR-RELAYED-ADDRESS")
        if lent is None or not lent[1]:
            raise ValueError("the answer does not say which address is lent")
        return lent

    async def refresh(self, limit_s: float, lifetime_s: int = LIFETIME_S) -> None:
        """Raises what ask() does."""
        request = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST)
        request.attributes["LIFETIME"] = lifetime_s
        await self.ask(request, limit_s)

    async def permit(self, address: Address, limit_s: float) -> None:
        """For 300 s (RFC 8656 section 9). Raises what ask() does."""
        request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
        request.attributes["XOR-PEER-ADDRESS"] = address
        await self.ask(request, limit_s)
        self.permitted.add(address[0])

    async def bind(self, channel: int, address: Address, limit_s: float) -> None:
        """A channel for 600 s, with a permission for 300 s (RFC 8656 section 12). Raises what ask() does."""
        request = stun.Message(stun.Method.CHANNEL_BIND, stun.Class.REQUEST)
        request.attributes["CHANNEL-NUMBER"] = channel
        request.attributes["XOR-PEER-ADDRESS"] = address
        await self.ask(request, limit_s)
        self.channels[channel] = address
        self.permitted.add(address[0])

    # Data

    @property
    @abstractmethod
    def offload(self) -> Offload: ...

    @property
    @abstractmethod
    def burst(self) -> int:
        """As UdpSocket.burst."""

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Does something wait for the way to the server? Then no more bursts now."""

    @abstractmethod
    def send_burst(self, channel: int, data: memoryview, segment: int) -> None:
        """As Endpoint.send_burst()."""

    @abstractmethod
    def send_on(self, channel: int, data: bytes) -> None:
        """One datagram; STUN does not wait behind data where that can be helped."""

    @abstractmethod
    def probe_mtu(self, on: bool) -> int:
        """As UdpSocket.probe_mtu(), for what goes into a message; 0 over TCP."""

    def indicate(self, data: bytes, address: Address) -> None:
        """Without a channel, for an address with a permission (RFC 8656 section 11.1)."""
        message = stun.Message(stun.Method.SEND, stun.Class.INDICATION)
        message.attributes["XOR-PEER-ADDRESS"] = address
        message.attributes["DATA"] = data
        self._send(bytes(message))

    def say_goodbye(self) -> None:
        """Give the allocation back without waiting for an answer."""
        request = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST)
        request.attributes["LIFETIME"] = 0
        if self.integrity_key is not None:
            request.attributes.update({"USERNAME": self.username, "NONCE": self.nonce, "REALM": self.realm})
            request.add_message_integrity(self.integrity_key)
        self._send(bytes(request))

    def _take_payloads(self, channel: int, data: bytearray, size: int, segment: int) -> None:
        peer = self.channels.get(channel)
        if peer is not None:
            self.on_batch(data, size, segment, peer)

    def _take_message(self, data: bytes) -> None:
        message = parse_stun(data, _MAX_MESSAGE)
        if message is None:
            return
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            transaction = self.transactions.get(message.transaction_id)
            if transaction is not None:
                transaction.response_received(message, self.server)
        elif message.message_class is stun.Class.INDICATION and message.message_method is stun.Method.DATA:
            peer, carried = message.attributes.get("XOR-PEER-ADDRESS"), message.attributes.get("DATA")
            if peer is not None and carried and peer[0] in self.permitted:  # RFC 8656 section 11.4
                self.on_data(carried, peer)

    # The way to the server

    @abstractmethod
    async def close(self) -> None:
        """Close the way to the server, within a moment."""

    def _end(self, error: OSError | None) -> None:
        self.is_lost = True
        self._tell(error or ConnectionResetError(errno.ECONNRESET, "the server hung up"))

    def _tell(self, error: OSError) -> None:
        if not self.trouble.done():
            self.trouble.set_result(error)
            self.on_trouble()


class _Ipv6Allocation(stun.Message):
    """An Allocate request for an IPv6 address; aioice does not know the attribute."""

    def __bytes__(self) -> bytes:
        plain = super().__bytes__()
        length = len(plain) - 20 + len(_REQUESTED_ADDRESS_FAMILY)
        return plain[:2] + length.to_bytes(2, "big") + plain[4:20] + _REQUESTED_ADDRESS_FAMILY + plain[20:]


def _answer(asking: asyncio.Task[tuple[stun.Message, Address]]) -> stun.Message:
    try:
        return asking.result()[0]
    except stun.TransactionTimeout:
        raise TimeoutError from None
