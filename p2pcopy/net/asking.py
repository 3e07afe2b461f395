"""Questions to STUN servers that are about the way there: over UDP, with the requests of RFC 5780, and over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from dataclasses import dataclass
from typing import Any, Final

from aioice import stun

from p2pcopy.net.endpoint import parse_stun
from p2pcopy.net.natkind import Address

# When a request goes out, in seconds from the start. Each is sent so often: one that is lost must not look like a filter.
_SENDS_S: Final = (0.0, 0.15, 0.4, 0.8, 1.4)
CHANGE_PORT: Final = 0x02  # RFC 5780 section 7.2
CHANGE_ADDRESS_AND_PORT: Final = 0x06
_HEADER: Final = 20


@dataclass(frozen=True)
class Reply:
    """mapped: our address as the server sees it; source: where the answer came from; other: the server's other address and
    port, for the tests of RFC 5780; seconds: from the first request to the answer."""

    mapped: Address
    source: Address
    other: Address | None
    seconds: float


class Asker(asyncio.DatagramProtocol):
    """A UDP socket that asks STUN servers, and answers as one, so that two of them can find out about hairpinning."""

    def __init__(self) -> None:
        self.local: Address = ("", 0)
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, asyncio.Future[tuple[stun.Message, Address]]] = {}
        self._send_error: OSError | None = None

    @classmethod
    async def open(cls, address: str) -> Asker:
        """On one of our addresses, with a port of its own. Raises OSError."""
        _, asker = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=(address, 0))
        return asker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # always a DatagramTransport
        self.local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        message, source = parse_stun(data), (str(addr[0]), int(addr[1]))
        if message is None or message.message_method is not stun.Method.BINDING:
            return
        if message.message_class is stun.Class.REQUEST:
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = source
            with contextlib.suppress(OSError):
                self._send(answer, source)
        elif (waiting := self._waiting.get(message.transaction_id)) is not None and not waiting.done():
            waiting.set_result((message, source))

    def error_received(self, exc: Exception) -> None:
        self._send_error = exc if isinstance(exc, OSError) else None

    async def ask(self, server: Address, *, limit_s: float, change: int = 0) -> Reply:
        """change: where the server shall answer from (RFC 5780 section 7.2).

        Raises TimeoutError, stun.TransactionFailed, ValueError for an answer that makes no sense, OSError when nothing can be sent.
        """
        loop = asyncio.get_running_loop()
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        if change:
            request.attributes["CHANGE-REQUEST"] = change
        answer: asyncio.Future[tuple[stun.Message, Address]] = loop.create_future()
        self._waiting[request.transaction_id] = answer
        started = loop.time()
        try:
            async with asyncio.timeout(limit_s):
                for due in _SENDS_S:
                    await asyncio.wait([answer], timeout=max(0.0, started + due - loop.time()))
                    if answer.done():
                        break
                    self._send(request, server)
                message, source = await answer
        finally:
            del self._waiting[request.transaction_id]
        return _reply(message, source, loop.time() - started)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _send(self, message: stun.Message, address: Address) -> None:
        """Raises OSError where the system refuses at once, as for an address that there is no route to."""
        if self._transport is None or self._transport.is_closing():
            return
        self._send_error = None
        self._transport.sendto(bytes(message), address)
        if self._send_error is not None:
            raise self._send_error


async def ask_over_tcp(server: Address, *, limit_s: float, local: str) -> Reply:
    """From our address local. Raises what Asker.ask does."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(*server, local_addr=(local, 0))
        try:
            writer.write(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)))
            header = await reader.readexactly(_HEADER)
            message = parse_stun(header + await reader.readexactly(int.from_bytes(header[2:4], "big")))
        except EOFError:
            raise ConnectionResetError(errno.ECONNRESET, "the server hung up") from None
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    if message is None:
        raise ValueError("no STUN message")
    return _reply(message, server, loop.time() - started)


def default_source(family: int) -> str | None:
    """Our address of this family (4 or 6) that the way to the internet begins at, None without one. Nothing is sent."""
    kind, anybody = (socket.AF_INET6, "2001:db8::1") if family == 6 else (socket.AF_INET, "192.0.2.1")
    with contextlib.suppress(OSError), socket.socket(kind, socket.SOCK_DGRAM) as probe:
        probe.connect((anybody, 9))
        return str(probe.getsockname()[0])
    return None


def _reply(message: stun.Message, source: Address, seconds: float) -> Reply:
    if message.message_class is stun.Class.ERROR:
        raise stun.TransactionFailed(message)
    mapped: Address | None = message.attributes.get("XOR-MAPPED-ADDRESS")
    if mapped is None:
        raise ValueError("no mapped address")
    return Reply(mapped, source, message.attributes.get("OTHER-ADDRESS"), seconds)
