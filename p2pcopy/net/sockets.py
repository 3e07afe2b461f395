"""The sockets below ICE: aioice's, made safe against what anybody can send, and TURN allocations that can be closed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from aioice import Candidate, stun, turn
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from p2pcopy.net.uri import ServerUri

Address = tuple[str, int]

COMPONENT: Final = 1  # a data channel has one component (RFC 8445 section 4)
RECEIVE_BUFFER: Final = 4 * 1024 * 1024  # asked for; many systems give 208 KiB
READ_AT_ONCE: Final = 128  # datagrams
_FIRST_DTLS: Final = 20
_LAST_DTLS: Final = 63
# A TURN permission ends after 300 s (RFC 8656 section 9); binding the channel again refreshes it. aioice: 500 s.
_BIND_AGAIN_S: Final = 240


class Receiver(Protocol):
    """What a socket hands its datagrams to."""

    def takes_data_from(self, address: Address, protocol: IceProtocol) -> bool: ...

    def request_received(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None: ...

    def data_received(self, data: bytes, component: int) -> None: ...

    def protocol_lost(self, protocol: StunProtocol) -> None: ...


class IceProtocol(StunProtocol):
    """One socket or TURN allocation. Takes STUN from anybody, DTLS from addresses that ICE knows, and nothing else.

    keep_alive_to: where a message now and then keeps the way to this socket open, None: nowhere; relay: the URL of the
    TURN server, "" for a socket of this machine; mapped: our address as a STUN server sees it.
    """

    def __init__(self, receiver: Receiver, raw: socket.socket | None = None) -> None:
        super().__init__(receiver)  # type: ignore[arg-type]
        self._raw = raw
        self.receiver: Receiver = receiver  # type: ignore[assignment]
        self.keep_alive_to: Address | None = None
        self.relay = ""
        self.mapped: Address | None = None
        self._is_closing = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        super().connection_lost(exc)

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        self._take(data, addr)
        _take_waiting(self._raw, self._take)

    def _take(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        if not isinstance(data, bytes) or not data:
            return
        address = (str(addr[0]), int(str(addr[1])))
        if _FIRST_DTLS <= data[0] <= _LAST_DTLS:  # RFC 7983 section 7
            if self.receiver.takes_data_from(address, self):
                self.receiver.data_received(data, COMPONENT)
            return
        try:
            message = stun.parse_message(data)
        except (ValueError, struct.error):
            return
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            transaction = self.transactions.get(message.transaction_id)
            if transaction is not None:
                transaction.response_received(message, address)
        elif message.message_class == stun.Class.REQUEST:
            self.receiver.request_received(message, address, self)

    async def send_data(self, data: bytes, addr: Address) -> None:
        if not self._is_closing:
            self.transport.sendto(data, addr)

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        if not self._is_closing:
            self.transport.sendto(bytes(message), addr)

    def keep_alive(self) -> None:
        """Send an indication, which nobody answers (RFC 8445 section 11)."""
        if self.keep_alive_to is not None:
            self.send_stun(stun.Message(stun.Method.BINDING, stun.Class.INDICATION), self.keep_alive_to)

    async def close(self) -> None:
        self._is_closing = True
        await super().close()


class _TurnClient(turn.TurnClientMixin):
    """Gives up on a dead server when it says goodbye, where aioice takes 63.5 s, and survives malformed messages."""

    goodbye_s: float
    raw: socket.socket | None

    async def delete(self) -> None:
        try:
            async with asyncio.timeout(self.goodbye_s):
                await super().delete()
        except TimeoutError:
            return  # the server frees the allocation when its lifetime ends

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        with contextlib.suppress(IndexError, struct.error):  # a malformed message
            super().datagram_received(data, addr)


class _UdpClient(_TurnClient, turn.TurnClientUdpProtocol):
    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        super().datagram_received(data, addr)
        _take_waiting(self.raw, super().datagram_received)


class _TcpClient(_TurnClient, turn.TurnClientTcpProtocol):
    pass


def _udp_socket(address: str) -> socket.socket:
    raw = socket.socket(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, socket.SOCK_DGRAM)
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return raw


def _readable(raw: socket.socket) -> socket.socket | None:
    """Only on a loop that waits for readiness; on Windows' default one the system already holds a read on the socket."""
    return raw if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop) else None


def _take_waiting(raw: socket.socket | None, take: Callable[[bytes, Any], None]) -> None:
    """Hand over what else waits in the socket.

    asyncio reads one datagram a turn of the loop. The system's buffer holds about 200, less than SCTP's window, and what
    does not fit is lost, which costs aiortc seconds.
    """
    if raw is None:
        return
    with contextlib.suppress(OSError):  # BlockingIOError: that was all; others come again, to asyncio
        for _ in range(READ_AT_ONCE):
            take(*raw.recvfrom(65535))


async def open_host(receiver: Receiver, address: str) -> IceProtocol:
    """A socket on one of our addresses, with its host candidate. Raises OSError."""
    raw = _udp_socket(address)
    try:
        raw.bind((address, 0))
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: IceProtocol(receiver, _readable(raw)), sock=raw
        )
    except BaseException:
        raw.close()
        raise
    host, port = raw.getsockname()[:2]
    protocol.local_candidate = _candidate("host", host, port, None)
    return protocol


async def ask_mapped_address(protocol: IceProtocol, server: Address) -> Address:
    """How the STUN server sees this socket. Raises stun.TransactionError, KeyError when the answer does not say."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    response, _ = await protocol.request(request, server)
    mapped: Address = response.attributes["XOR-MAPPED-ADDRESS"]
    return mapped


def reflexive_candidate(protocol: IceProtocol, mapped: Address) -> Candidate:
    base = protocol.local_candidate
    return _candidate("srflx", mapped[0], mapped[1], (base.host, base.port), foundation_of=base.host)


async def open_relay(
    receiver: Receiver,
    uri: ServerUri,
    address: str,
    username: str,
    password: str,
    *,
    url: str,
    goodbye_s: float,
) -> IceProtocol:
    """An allocation on a TURN server (RFC 8656), with its relay candidate. address: the server's, resolved.

    Raises stun.TransactionError, OSError (ssl.SSLError is one), KeyError or ValueError for an answer that makes no sense.
    """
    loop = asyncio.get_running_loop()
    server = (address, uri.port)
    raw = _udp_socket(address) if uri.transport == "udp" else None

    def client(kind: type[_UdpClient] | type[_TcpClient]) -> _UdpClient | _TcpClient:
        protocol = kind(server, username or None, password or None, turn.DEFAULT_ALLOCATION_LIFETIME, _BIND_AGAIN_S)
        protocol.goodbye_s = goodbye_s
        protocol.raw = _readable(raw) if raw is not None else None
        return protocol

    transport: asyncio.BaseTransport
    inner: _UdpClient | _TcpClient
    if raw is not None:
        try:
            raw.connect(server)
            transport, inner = await loop.create_datagram_endpoint(lambda: client(_UdpClient), sock=raw)
        except BaseException:
            raw.close()
            raise
    else:
        context = await asyncio.to_thread(ssl.create_default_context) if uri.tls else None
        transport, inner = await loop.create_connection(
            lambda: client(_TcpClient),
            *server,
            ssl=context,
            server_hostname=uri.host if uri.tls else None,
        )
    try:
        protocol = IceProtocol(receiver)
        relayed = turn.TurnTransport(inner)
        await relayed._connect(protocol)
    except BaseException:
        transport.close()
        raise
    host, port = relayed.get_extra_info("sockname")
    protocol.local_candidate = _candidate("relay", host, port, relayed.get_extra_info("related_address"))
    protocol.relay = url
    # To itself: keeps the binding of a NAT between us and the server, and permits the address that the server lends, so
    # that a peer with an allocation on the same server gets through although nothing is known of it yet.
    protocol.keep_alive_to = (host, port)
    return protocol


def is_ipv6(address: str) -> bool:
    return ipaddress.ip_address(address).version == 6


def _candidate(kind: str, host: str, port: int, related: Address | None, foundation_of: str = "") -> Candidate:
    return Candidate(
        foundation=candidate_foundation(kind, "udp", foundation_of or host),
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, kind),
        host=host,
        port=port,
        type=kind,
        related_address=related[0] if related else None,
        related_port=related[1] if related else None,
    )
