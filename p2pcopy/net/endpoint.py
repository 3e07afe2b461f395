"""Where packets leave and arrive: a UDP socket on an address of this machine, or (relay.py) an address that a TURN server lends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import itertools
import socket
import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from aioice import stun

Address = tuple[str, int]

RECEIVE_BUFFER: Final = 4 * 1024 * 1024  # bytes, asked for; many systems give 208 KiB
READ_AT_ONCE: Final = 128  # datagrams a turn of the event loop
MAX_UNSENT: Final = 512 * 1024  # bytes that wait for the system to take them; more are lost, as in any other queue
MAX_STUN: Final = 1500  # bytes; RFC 8489 section 6.1 wants less
ASK_AGAIN_S: Final = (0.5, 1.0, 1.5)  # RFC 8489 section 6.2.1: RTO; a question is given up after their sum
_CLOSE_S: Final = 0.2

# RFC 7983 section 7
_LAST_STUN: Final = 3
_FIRST_DTLS: Final = 20
_LAST_DTLS: Final = 63
_STUN_HEADER: Final = struct.Struct("!HHI")
_STUN_HEADER_SIZE: Final = 20

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>
_RECVERR: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_ORIGIN_ICMP: Final = (2, 3)  # ICMP, ICMPv6
_OFFENDER: Final = {4: 20, 6: 24}  # where the address of who says so is, in the sockaddr behind it
_ERROR_ROOM: Final = 256


class Receiver(Protocol):
    """Takes what arrives; always called from the event loop."""

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        """Any STUN message, except answers to what the endpoint itself has asked."""

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        """What looks like DTLS (first byte 20 to 63)."""

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        """The machine at address says that nobody listens there (ICMP port unreachable). Easily forged."""


class Locals(Receiver, Protocol):
    """Also wants to know which endpoints there are."""

    def add_local(self, endpoint: Endpoint) -> None: ...

    def remove_local(self, endpoint: Endpoint) -> None:
        """Its address or its allocation is gone; what is sent from there is lost."""


class Endpoint(ABC):
    """address: bound, or lent by the server; relay: URL of the TURN server, "" for a socket; mapped: address of the socket
    as a STUN server sees it, None while that is not known, and for relays."""

    address: Address
    relay: str = ""
    mapped: Address | None = None

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    @abstractmethod
    def send(self, data: bytes, address: Address) -> None:
        """Never blocks, never raises. Lost when it cannot go out. address: a literal, not a name."""

    @abstractmethod
    async def close(self) -> None:
        """Bounded in time; idempotent."""

    def watch_refusals(self, on: bool) -> None:  # noqa: B027  not abstract: a relay never hears of any
        """Whether the receiver is told of refusals; only sockets on Linux can. Off to start with."""

    def send_stun(self, message: stun.Message, address: Address) -> None:
        self.send(bytes(message), address)

    def _take(self, data: bytes, address: Address) -> None:
        """Hand on what may be meant for us. Cheap for what is not: anybody can send anything."""
        if self._is_closed or not data:
            return
        first = data[0]
        if _FIRST_DTLS <= first <= _LAST_DTLS:
            self._receiver.data_received(data, address, self)
        elif first <= _LAST_STUN and (message := parse_stun(data)) is not None:
            self._stun_received(message, address)

    def _stun_received(self, message: stun.Message, address: Address) -> None:
        self._receiver.stun_received(message, address, self)


class HostEndpoint(Endpoint, asyncio.DatagramProtocol):
    """A UDP socket on one address of this machine. Made by open_host()."""

    def __init__(self, receiver: Receiver, raw: socket.socket) -> None:
        super().__init__(receiver)
        host, port = raw.getsockname()[:2]
        self.address = (host, port)
        self._raw = raw
        self._transport: Any = None  # asyncio.DatagramTransport; typeshed does not know its get_write_buffer_size()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch = reads_ahead()
        self._questions: dict[bytes, tuple[Sequence[Address], asyncio.Future[tuple[stun.Message, Address]]]] = {}
        self._error: OSError | None = None
        self._watches = False

    # Sending

    def send(self, data: bytes, address: Address) -> None:
        self._transmit(data, address)

    def _transmit(self, data: bytes, address: Address) -> OSError | None:
        """Why it did not go out, None when it may have."""
        if self._is_closed or self._transport is None or self._transport.get_write_buffer_size() > MAX_UNSENT:
            return None
        self._take_error()
        self._transport.sendto(data, address)
        error = self._take_error()
        if error is not None and self._watches:  # of an earlier datagram, say, and this one was held back for it
            self._transport.sendto(data, address)
            error = self._take_error()
        return error

    def _take_error(self) -> OSError | None:
        error, self._error = self._error, None
        return error

    async def ask(self, servers: Sequence[Address], again_s: Iterable[float] = ASK_AGAIN_S) -> tuple[Address, Address]:
        """Our address as a STUN server sees it (RFC 8489), and which one that is. again_s: the waits after each try.

        The servers are asked in turn, or all those of a name. Raises TimeoutError, OSError when there is no way to any,
        stun.TransactionFailed when the server says no, ValueError when its answer does not say.
        """
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        answer: asyncio.Future[tuple[stun.Message, Address]] = asyncio.get_running_loop().create_future()
        self._questions[request.transaction_id] = (servers, answer)
        errors = 0
        try:
            for pause, server in zip(again_s, itertools.cycle(servers), strict=False):
                error = self._transmit(bytes(request), server)
                errors = errors + 1 if error is not None else 0
                if error is not None:
                    if errors >= len(servers):
                        raise error
                    continue
                await asyncio.wait([answer], timeout=pause)
                if self._is_closed:
                    raise OSError(errno.EBADF, "the socket is closed")
                if answer.done():
                    message, answering = answer.result()
                    return _mapped_address(message), answering
            raise TimeoutError
        finally:
            del self._questions[request.transaction_id]

    # Receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        self._take_from(data, address)
        if self._batch and not self._is_closed:
            error = take_waiting(self._raw, self._take_from)
            if error is not None:
                self.error_received(error)

    def _take_from(self, data: bytes, address: tuple[Any, ...]) -> None:
        host, port = address[:2]
        if "%" not in host:  # an IPv6 link-local address means nothing without its interface
            self._take(data, (host, port))

    def _stun_received(self, message: stun.Message, address: Address) -> None:
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            servers, answer = self._questions.get(message.transaction_id, ((), None))
            if answer is not None:
                if address in servers and not answer.done():
                    answer.set_result((message, address))
                return
        super()._stun_received(message, address)

    # Errors

    def error_received(self, exc: Exception) -> None:
        self._error = exc if isinstance(exc, OSError) else None
        if self._watches:
            self._take_refusals()

    def watch_refusals(self, on: bool) -> None:
        if sys.platform != "linux" or self._is_closed or on == self._watches or not self._batch:
            return
        level, option = _RECVERR[self._raw.family]
        with contextlib.suppress(OSError):
            self._raw.setsockopt(level, option, int(on))  # off: the kernel empties the queue of errors
            self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # and this takes the one that is pending
            self._watches = on

    def _take_refusals(self) -> None:
        """Empty the queue of errors (ip(7), IP_RECVERR); the loop would find the socket readable again and again."""
        if sys.platform != "linux":
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(READ_AT_ONCE):
                try:
                    _, ancillary, _, address = self._raw.recvmsg(0, _ERROR_ROOM, socket.MSG_ERRQUEUE)
                except BlockingIOError:
                    return
                except OSError:
                    continue
                if address and any(_is_refusal(data, address[0]) for _, _, data in ancillary):
                    # Not from within a send() of the receiver's.
                    asyncio.get_running_loop().call_soon(self._tell_refused, (address[0], address[1]))

    def _tell_refused(self, address: Address) -> None:
        if self._watches and not self._is_closed:
            self._receiver.refused(address, self)

    # The end

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        if not self._lost.done():
            self._lost.set_result(None)

    async def close(self) -> None:
        self._is_closed = True
        for _, answer in self._questions.values():
            answer.cancel()
        if self._transport is None:
            return
        self._transport.close()
        done, _ = await asyncio.wait([self._lost], timeout=_CLOSE_S)
        if not done:  # what it still had to send does not go out
            self._transport.abort()
            await asyncio.wait([self._lost], timeout=_CLOSE_S)


async def open_host(receiver: Receiver, address: str) -> HostEndpoint:
    """A socket on one of our addresses, at a port that the system chooses. Raises OSError."""
    raw = udp_socket(address)
    try:
        raw.bind((address, 0))
        endpoint = HostEndpoint(receiver, raw)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: endpoint, sock=raw)
    except BaseException:
        raw.close()
        raise
    return endpoint


def is_ipv6(address: str) -> bool:
    return ipaddress.ip_address(address).version == 6


def parse_stun(data: bytes, limit: int = MAX_STUN) -> stun.Message | None:
    """None for what is no STUN message, or a malformed or too long one (RFC 8489 section 5). limit: in bytes."""
    if not _STUN_HEADER_SIZE <= len(data) <= limit:
        return None
    _, length, cookie = _STUN_HEADER.unpack_from(data)
    if cookie != stun.COOKIE or length % 4 or length != len(data) - _STUN_HEADER_SIZE:
        return None
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error, IndexError):
        return None


def udp_socket(address: str) -> socket.socket:
    """Not bound yet, of the family of address."""
    raw = socket.socket(socket.AF_INET6 if is_ipv6(address) else socket.AF_INET, socket.SOCK_DGRAM)
    raw.setblocking(False)
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return raw


def reads_ahead() -> bool:
    """May a socket be read while asyncio waits for it? On Windows' default loop the system already holds a read."""
    return isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)


def take_waiting(raw: socket.socket, take: Callable[[bytes, Any], None]) -> OSError | None:
    """Hand over what else waits in the socket, and return the error that ended it, if one did.

    asyncio reads one datagram a turn of the loop. The system's buffer holds about 200, less than SCTP's window, and what
    does not fit is lost.
    """
    try:
        for _ in range(READ_AT_ONCE):
            take(*raw.recvfrom(65535))
    except BlockingIOError:
        return None
    except OSError as error:
        return error
    return None


def _mapped_address(answer: stun.Message) -> Address:
    if answer.message_class is stun.Class.ERROR:
        raise stun.TransactionFailed(answer)
    mapped: Address | None = answer.attributes.get("XOR-MAPPED-ADDRESS")
    if mapped is None or not mapped[1]:
        raise ValueError("the answer does not say which address it is for")
    return mapped


def _is_refusal(extended_error: bytes, host: str) -> bool:
    """Does host itself say that nobody listens? A firewall on the way to it may say the same."""
    if len(extended_error) < _EXTENDED_ERROR.size:
        return False
    number, origin, *_ = _EXTENDED_ERROR.unpack_from(extended_error)
    ip = ipaddress.ip_address(host)
    offender = extended_error[_OFFENDER[ip.version] :][: len(ip.packed)]
    return number == errno.ECONNREFUSED and origin in _ORIGIN_ICMP and offender == ip.packed
