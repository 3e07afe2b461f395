"""The client's side of TURN (RFC 8656) over UDP, TCP and TLS: aioice's, with ends to all waits and no trust in what arrives."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aioice import stun, turn

from p2pcopy.net.endpoint import MAX_UNSENT, Address, is_ipv6, parse_stun, reads_ahead, take_waiting, udp_socket

LIFETIME_S: Final = 600  # RFC 8656 section 7.2: the usual one
_MAX_MESSAGE: Final = 65535 + 20
_CHANNEL: Final = struct.Struct("!HH")
_REQUESTED_ADDRESS_FAMILY: Final = struct.pack("!HHBxxx", 0x0017, 4, 0x02)  # RFC 8656 section 18.6: IPv6
_CLOSE_S: Final = 0.2
_UNSUPPORTED: Final = (420, 440)  # unknown attribute (RFC 8489), address family not supported (RFC 8656 section 19)


@dataclass(frozen=True)
class Way:
    """One way to one TURN server. name: in its certificate; tls: None without TLS; source: the address of ours that has to be
    used, "" for any; families: of the lent address, in the order in which they are asked for (4, 6)."""

    server: Address
    name: str
    transport: str
    username: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    source: str = ""
    families: tuple[int, ...] = (4,)


class TurnClient(turn.TurnClientMixin):
    """on_data: datagrams of peers; on_trouble: the server may be gone. lent: the address of ours on the server."""

    transport: Any  # asyncio's transports; typeshed does not know get_write_buffer_size() of all of them

    def __init__(self, way: Way) -> None:
        super().__init__(way.server, way.username or None, way.password or None, LIFETIME_S, LIFETIME_S)
        self.way = way
        self.on_data: Callable[[bytes, Address], None] = lambda data, address: None
        self.on_trouble: Callable[[], None] = lambda: None
        self.channels: dict[int, Address] = {}
        self.permitted: set[str] = set()
        self.is_lost = False
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.trouble: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()

    # Questions

    async def ask(self, request: stun.Message, limit_s: float) -> stun.Message:
        """The answer, with our credential where the server wants it.

        Raises stun.TransactionFailed, TimeoutError, OSError when the way to the server is closed.
        """
        if self.trouble.done() and not self.is_lost:
            self.trouble = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(self.request_with_retry(request))
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

    def send_on(self, channel: int, data: bytes) -> None:
        self._send(_CHANNEL.pack(channel, len(data)) + data)

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

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        if not isinstance(data, bytes) or not data:
            return
        if data[0] & 0xC0 == 0x40:
            self._channel_data_received(data)
        elif (message := parse_stun(data, _MAX_MESSAGE)) is not None:
            self._stun_received(message, addr)

    def _channel_data_received(self, data: bytes) -> None:
        if len(data) < _CHANNEL.size:
            return
        number, length = _CHANNEL.unpack_from(data)
        peer = self.channels.get(number)
        if peer is not None and len(data) >= _CHANNEL.size + length:
            self.on_data(data[_CHANNEL.size : _CHANNEL.size + length], peer)

    def _stun_received(self, message: stun.Message, addr: Address) -> None:
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            transaction = self.transactions.get(message.transaction_id)
            if transaction is not None:
                transaction.response_received(message, addr)
        elif message.message_class is stun.Class.INDICATION and message.message_method is stun.Method.DATA:
            peer, data = message.attributes.get("XOR-PEER-ADDRESS"), message.attributes.get("DATA")
            if peer is not None and data and peer[0] in self.permitted:  # RFC 8656 section 11.4
                self.on_data(data, peer)

    # The way to the server

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self._gone.done():
            self._gone.set_result(None)
        self._tell(exc if isinstance(exc, OSError) else ConnectionResetError(errno.ECONNRESET, "the server hung up"))

    def _tell(self, error: OSError) -> None:
        if not self.trouble.done():
            self.trouble.set_result(error)
            self.on_trouble()

    async def close(self) -> None:
        """Close the way to the server, within a moment."""
        self.on_trouble = lambda: None
        self.transport.close()
        done, _ = await asyncio.wait({self._gone}, timeout=_CLOSE_S)
        if not done:
            self.transport.abort()
            await asyncio.wait({self._gone}, timeout=_CLOSE_S)

    def _has_room(self) -> bool:
        return not self.transport.is_closing() and self.transport.get_write_buffer_size() <= MAX_UNSENT


class _UdpClient(TurnClient, asyncio.DatagramProtocol):
    raw: socket.socket

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        super().datagram_received(data, addr)
        if reads_ahead() and not self.transport.is_closing():
            error = take_waiting(self.raw, super().datagram_received)
            if error is not None:
                self.error_received(error)

    def error_received(self, exc: Exception) -> None:
        """ICMP, or no way there at all; either may be over soon."""
        if isinstance(exc, OSError):
            self._tell(exc)

    def _send(self, data: bytes) -> None:
        if self._has_room():
            self.transport.sendto(data)


class _TcpClient(TurnClient, asyncio.Protocol):
    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        """RFC 8656 section 12.5: messages in a row, ChannelData padded to four bytes."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _CHANNEL.size and not self.transport.is_closing():
            first, length = _CHANNEL.unpack_from(self._buffer, at)
            kind = first >> 14
            if kind > 1:  # neither: where the next message begins is not known any more
                self.transport.abort()
                break
            size = _CHANNEL.size + (length + 3) // 4 * 4 if kind == 1 else 20 + length
            if len(self._buffer) - at < size:
                break
            self.datagram_received(bytes(self._buffer[at : at + size]), self.server)
            at += size
        del self._buffer[:at]

    def _send(self, data: bytes) -> None:
        if self._has_room():
            self.transport.write(data + bytes(-len(data) % 4))


class _Ipv6Allocation(stun.Message):
    """An Allocate request for an IPv6 address; aioice does not know the attribute."""

    def __bytes__(self) -> bytes:
        plain = super().__bytes__()
        length = len(plain) - 20 + len(_REQUESTED_ADDRESS_FAMILY)
        return plain[:2] + length.to_bytes(2, "big") + plain[4:20] + _REQUESTED_ADDRESS_FAMILY + plain[20:]


async def open_client(way: Way) -> TurnClient:
    """Raises OSError (ssl.SSLError is one)."""
    loop = asyncio.get_running_loop()
    source = (way.source, 0) if way.source else None
    client: TurnClient
    if way.transport == "udp":
        raw = udp_socket(way.server[0])
        try:
            if source is not None:
                raw.bind(source)
            raw.connect(way.server)
            _, udp = await loop.create_datagram_endpoint(lambda: _UdpClient(way), sock=raw)
        except BaseException:
            raw.close()
            raise
        udp.raw = raw
        client = udp
    else:
        _, client = await loop.create_connection(
            lambda: _TcpClient(way),
            *way.server,
            family=socket.AF_INET6 if is_ipv6(way.server[0]) else socket.AF_INET,
            local_addr=source,
            ssl=way.tls,
            server_hostname=way.name if way.tls else None,
            ssl_shutdown_timeout=_CLOSE_S if way.tls else None,
        )
    return client


def _answer(asking: asyncio.Task[tuple[stun.Message, Address]]) -> stun.Message:
    try:
        return asking.result()[0]
    except stun.TransactionTimeout:
        raise TimeoutError from None
