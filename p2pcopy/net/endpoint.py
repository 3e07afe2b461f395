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
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from aioice import stun

from p2pcopy.net.udp import EVERYTHING, Offload, UdpSocket, open_socket, udp_socket

Address = tuple[str, int]

MAX_STUN: Final = 1500  # bytes; RFC 8489 section 6.1 wants less
ASK_AGAIN_S: Final = (0.5, 1.0, 1.5)  # RFC 8489 section 6.2.1: RTO; a question is given up after their sum

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
_ERRORS_AT_ONCE: Final = 128


class Receiver(Protocol):
    """Takes what arrives; always called from the event loop."""

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        """Any STUN message, except answers to what the endpoint itself has asked."""

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        """What looks like DTLS (first byte 20 to 63)."""

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        """The same, many at once: the first size bytes of data hold datagrams of segment bytes each (the last may be shorter),
        all from address. data is used again after the return, and is always the same object of this endpoint."""

    def batch_ended(self, endpoint: Endpoint) -> None:
        """After data: all that waited has been handed over, or enough for one turn of the loop."""

    def writable(self, endpoint: Endpoint) -> None:
        """is_full has become False."""

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        """The machine at address says that nobody listens there (ICMP port unreachable). Easily forged."""


class Locals(Receiver, Protocol):
    """Also wants to know which endpoints there are."""

    def add_local(self, endpoint: Endpoint) -> None: ...

    def remove_local(self, endpoint: Endpoint) -> None:
        """Its address or its allocation is gone; what is sent from there is lost."""


class Endpoint(ABC):
    """address: bound, or lent by the server; relay: URL of the TURN server, "" for a socket; mapped: address of the socket
    as a STUN server sees it, None while that is not known, and for relays; overhead: bytes that go before each datagram."""

    address: Address
    relay: str = ""
    mapped: Address | None = None
    overhead: int = 0

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_closed = False
        self._has_data = False

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Does something wait here for the system, or for the way to the TURN server? Then no more bursts now."""

    @property
    @abstractmethod
    def burst(self) -> int:
        """Datagrams that are best sent at once."""

    @property
    @abstractmethod
    def offload(self) -> Offload: ...

    @abstractmethod
    def send(self, data: bytes, address: Address) -> None:
        """Never blocks, never raises. Lost when it cannot go out. address: a literal, not a name."""

    @abstractmethod
    def send_burst(self, data: memoryview, segment: int, address: Address) -> None:
        """Datagrams of segment bytes each, the last may be shorter. What the system does not take now waits here. Never raises.
        data may be used again after the return."""

    @abstractmethod
    def probe_mtu(self, on: bool) -> int:
        """On: datagrams are not fragmented from now on, whatever ICMP says; off: they may be.

        The largest datagram in bytes worth a try, 0 where none is.
        """

    @abstractmethod
    async def close(self) -> None:
        """Bounded in time; idempotent."""

    def watch_refusals(self, on: bool) -> None:  # noqa: B027  not abstract: a relay never hears of any
        """Whether the receiver is told of refusals; only sockets on Linux can. Off to start with."""

    def send_stun(self, message: stun.Message, address: Address) -> None:
        self.send(bytes(message), address)

    def _take_batch(self, data: bytearray, size: int, segment: int, address: Address) -> None:
        """Hand on what may be meant for us. Cheap for what is not: anybody can send anything."""
        if self._is_closed:
            return
        firsts = data[0:size:segment]
        if min(firsts) >= _FIRST_DTLS and max(firsts) <= _LAST_DTLS:
            self._has_data = True
            self._receiver.batch_received(data, size, segment, address, self)
            return
        for at in range(0, size, segment):
            self._take(bytes(data[at : min(at + segment, size)]), address)

    def _take(self, data: bytes, address: Address) -> None:
        """A single one."""
        if self._is_closed or not data:
            return
        first = data[0]
        if _FIRST_DTLS <= first <= _LAST_DTLS:
            self._has_data = True
            self._receiver.data_received(data, address, self)
        elif first <= _LAST_STUN and (message := parse_stun(data)) is not None:
            self._stun_received(message, address)

    def _end_batch(self) -> None:
        if self._has_data and not self._is_closed:
            self._has_data = False
            self._receiver.batch_ended(self)

    def _stun_received(self, message: stun.Message, address: Address) -> None:
        self._receiver.stun_received(message, address, self)


class OverSocket:
    """What is as its socket is."""

    _socket: UdpSocket

    @property
    def offload(self) -> Offload:
        return self._socket.offload

    @property
    def burst(self) -> int:
        return self._socket.burst

    @property
    def is_full(self) -> bool:
        return self._socket.is_full


class HostEndpoint(OverSocket, Endpoint):
    """A UDP socket on one address of this machine (udp.Owner). Made by open_host()."""

    def __init__(self, receiver: Receiver, raw: socket.socket) -> None:
        super().__init__(receiver)
        host, port = raw.getsockname()[:2]
        self.address = (host, port)
        self._questions: dict[bytes, tuple[Sequence[Address], asyncio.Future[tuple[stun.Message, Address]]]] = {}
        self._watches = False

    def probe_mtu(self, on: bool) -> int:
        return self._socket.probe_mtu(on)

    # Sending

    def send(self, data: bytes, address: Address) -> None:
        self._transmit(data, address)

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None:
        if not self._is_closed:
            error = self._socket.send_burst(data, segment, address)
            if error is not None and self._watches:
                self._take_refusals()

    def _transmit(self, data: bytes, address: Address) -> OSError | None:
        """Why it did not go out, None when it may have."""
        if self._is_closed:
            return None
        urgent = is_stun(data)
        error = self._socket.send(data, address, urgent=urgent)
        if error is not None and self._watches:  # of an earlier datagram, say, and this one was held back for it
            self._take_refusals()
            error = self._socket.send(data, address, urgent=urgent)
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

    def batch_read(self, data: bytearray, size: int, segment: int, address: Address) -> None:
        if "%" not in address[0]:  # an IPv6 link-local address means nothing without its interface
            self._take_batch(data, size, segment, address)

    def reading_ended(self) -> None:
        self._end_batch()

    def writable(self) -> None:
        self._receiver.writable(self)

    def _stun_received(self, message: stun.Message, address: Address) -> None:
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            servers, answer = self._questions.get(message.transaction_id, ((), None))
            if answer is not None:
                if address in servers and not answer.done():
                    answer.set_result((message, address))
                return
        super()._stun_received(message, address)

    # Errors

    def failed(self, error: OSError) -> None:
        if self._watches:
            self._take_refusals()

    def watch_refusals(self, on: bool) -> None:
        if sys.platform != "linux" or self._is_closed or on == self._watches or not self.offload.batch:
            return
        raw = self._socket.raw
        level, option = _RECVERR[raw.family]
        with contextlib.suppress(OSError):
            raw.setsockopt(level, option, int(on))  # off: the kernel empties the queue of errors
            raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # and this takes the one that is pending
            self._watches = on

    def _take_refusals(self) -> None:
        """Empty the queue of errors (ip(7), IP_RECVERR); the loop would find the socket readable again and again."""
        if sys.platform != "linux":
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(_ERRORS_AT_ONCE):
                try:
                    _, ancillary, _, address = self._socket.raw.recvmsg(0, _ERROR_ROOM, socket.MSG_ERRQUEUE)
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

    async def close(self) -> None:
        self._is_closed = True
        for _, answer in self._questions.values():
            answer.cancel()
        await self._socket.close()


async def open_host(receiver: Receiver, address: str, wish: Offload = EVERYTHING) -> HostEndpoint:
    """A socket on one of our addresses, at a port that the system chooses. Raises OSError."""
    raw = udp_socket(address)
    try:
        raw.bind((address, 0))
        endpoint = HostEndpoint(receiver, raw)
        endpoint._socket = await open_socket(raw, endpoint, wish)
    except BaseException:
        raw.close()
        raise
    return endpoint


def is_ipv6(address: str) -> bool:
    return ipaddress.ip_address(address).version == 6


def is_stun(data: bytes) -> bool:
    """By its first byte (RFC 7983 section 7)."""
    return data[:1] <= bytes([_LAST_STUN])


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
