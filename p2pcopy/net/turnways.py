"""The ways to a TURN server: UDP, TCP, and TLS over TCP (RFC 8656 section 3.1)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from p2pcopy.net.channeldata import HEADER_SIZE, framed, is_channel_data, message_size
from p2pcopy.net.endpoint import Address, OverSocket, is_ipv6, is_stun
from p2pcopy.net.turnclient import TurnClient, Way
from p2pcopy.net.udp import BURST, MAX_UNSENT, Offload, open_socket, udp_socket

FULL: Final = 512 * 1024  # bytes that wait for a stream to take them
NOT_FULL: Final = 128 * 1024
_NOT_SENT: Final = 128 * 1024  # bytes that wait in the kernel besides (TCP_NOTSENT_LOWAT)
_CLOSE_S: Final = 0.2
_STREAM: Final = Offload(gso=False, gro=False, batch=True, why="the way to the TURN server is a stream")


class UdpClient(OverSocket, TurnClient):
    """udp.Owner of a connected socket."""

    async def open(self, raw: socket.socket) -> None:
        """raw: connected to the server. Raises OSError."""
        self.base = raw.getsockname()[0]
        self._socket = await open_socket(raw, self, self.way.wish)

    def probe_mtu(self, on: bool) -> int:
        return max(0, self._socket.probe_mtu(on) - HEADER_SIZE)

    def send_burst(self, channel: int, data: memoryview, segment: int) -> None:
        frames = memoryview(framed(channel, data, segment, padded=False))
        self._look_at(self._socket.send_burst(frames, segment + HEADER_SIZE, None))

    def send_on(self, channel: int, data: bytes) -> None:
        frame = framed(channel, memoryview(data), max(1, len(data)), padded=False)
        self._look_at(self._socket.send(frame, None, urgent=is_stun(data)))

    def _send(self, data: bytes) -> None:
        self._look_at(self._socket.send(data, None, urgent=True))

    def _look_at(self, error: OSError | None) -> None:
        if error is not None:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """ICMP, or no way there at all; either may be over soon."""
        self._tell(error)

    def batch_read(self, data: bytearray, size: int, segment: int, address: Address) -> None:
        at = 0
        while at < size:
            rest = min(segment, size - at)
            if rest >= HEADER_SIZE and is_channel_data(data[at]):
                at += self._payloads.take(data, at, max(1, (size - at) // segment), rest) * rest
            else:
                self._payloads.flush()
                self._take_message(bytes(data[at : at + rest]))
                at += rest
        self._payloads.flush()

    def reading_ended(self) -> None:
        self.on_batch_end()

    def writable(self) -> None:
        self.on_writable()

    async def close(self) -> None:
        self.on_trouble = lambda: None
        await self._socket.close()
        self._end(None)


class TcpClient(TurnClient, asyncio.Protocol):
    """Also over TLS."""

    transport: Any  # asyncio.Transport; typeshed does not know the get_write_buffer_size() of all of them

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self._rest = bytearray()
        self._is_paused = False
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def offload(self) -> Offload:
        return _STREAM

    @property
    def burst(self) -> int:
        return BURST

    @property
    def is_full(self) -> bool:
        return self._is_paused

    def probe_mtu(self, on: bool) -> int:
        return 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.base = self.transport.get_extra_info("sockname")[0]
        self.transport.set_write_buffer_limits(FULL, NOT_FULL)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what waits in the kernel is not seen from here, and holds up STUN
            with contextlib.suppress(OSError):
                raw = self.transport.get_extra_info("socket")
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.on_writable()

    def data_received(self, data: bytes) -> None:
        """RFC 8656 section 12.5: messages in a row, ChannelData padded to four bytes."""
        try:
            if self._rest:
                self._rest += data
                size = message_size(self._rest)
                if size is None or len(self._rest) < size:
                    return
                data = bytes(self._rest)
            self._rest = bytearray(data[self._take_messages(data) :])
        except ValueError:
            self.transport.abort()
        finally:
            self._payloads.flush()
            self._contained(self.on_batch_end)

    def _take_payloads(self, channel: int, data: bytearray, size: int, segment: int) -> None:
        self._contained(super()._take_payloads, channel, data, size, segment)

    def _contained(self, call: Callable[..., None], *arguments: Any) -> None:
        """asyncio gives the connection up when data_received() raises, and the place in the stream would be lost."""
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is, it is reported
            report = {"message": "what came through a TURN server could not be taken", "exception": error}
            asyncio.get_running_loop().call_exception_handler(report)

    def _take_messages(self, data: bytes) -> int:
        """All that are complete. Returns where the first one begins that is not."""
        at = 0
        while (size := message_size(data, at)) is not None and at + size <= len(data):
            if self.transport.is_closing():
                return len(data)
            if is_channel_data(data[at]):
                at += self._payloads.take(data, at, (len(data) - at) // size, size) * size
            else:
                self._payloads.flush()
                self._contained(self._take_message, data[at : at + size])
                at += size
        return at

    def send_burst(self, channel: int, data: memoryview, segment: int) -> None:
        if self._has_room():
            self.transport.write(framed(channel, data, segment, padded=True))

    def send_on(self, channel: int, data: bytes) -> None:
        if data:
            self.send_burst(channel, memoryview(data), len(data))

    def _send(self, data: bytes) -> None:
        if self._has_room():
            self.transport.write(data)

    def _has_room(self) -> bool:
        """Who sends heeds is_full; this is for who does not."""
        return not self.transport.is_closing() and self.transport.get_write_buffer_size() <= FULL + MAX_UNSENT

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self._end(exc if isinstance(exc, OSError) else None)

    async def close(self) -> None:
        self.on_trouble = lambda: None
        self.transport.close()
        done, _ = await asyncio.wait({self._gone}, timeout=_CLOSE_S)
        if not done:
            self.transport.abort()
            await asyncio.wait({self._gone}, timeout=_CLOSE_S)


async def open_client(way: Way) -> TurnClient:
    """Raises OSError (ssl.SSLError is one)."""
    loop = asyncio.get_running_loop()
    source = (way.source, 0) if way.source else None
    if way.transport == "udp":
        client = UdpClient(way)
        raw = udp_socket(way.server[0])
        try:
            if source is not None:
                raw.bind(source)
            raw.connect(way.server)
            await client.open(raw)
        except BaseException:
            raw.close()
            raise
        return client
    _, stream = await loop.create_connection(
        lambda: TcpClient(way),
        *way.server,
        family=socket.AF_INET6 if is_ipv6(way.server[0]) else socket.AF_INET,
        local_addr=source,
        ssl=way.tls,
        server_hostname=way.name if way.tls else None,
        ssl_shutdown_timeout=_CLOSE_S if way.tls else None,
    )
    return stream
