"""UDP sockets that read and write many datagrams at once, as far as the system and the event loop let them.

On Linux the kernel cuts a burst into datagrams (UDP_SEGMENT) and puts those that arrive together into one buffer (UDP_GRO), see
udp(7). Where the loop leaves sockets alone they are read until they are empty; otherwise asyncio's transport does it all.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace
from typing import Any, Final, Protocol

from p2pcopy.net.offload import (
    EVERYTHING,
    SOL_UDP,
    UDP_GRO,
    UDP_SEGMENT,
    Offload,
    available,
    offload_of,
    probe_mtu,
    udp_socket,
)

__all__ = ["EVERYTHING", "Offload", "Owner", "UdpSocket", "available", "offload_of", "open_socket", "udp_socket"]

Address = tuple[str, int]

READ_AT_ONCE: Final = 256  # datagrams a turn of the event loop; of those that the kernel has put together, more
MAX_UNSENT: Final = 512 * 1024  # bytes that wait for the system to take them; more are lost, as in any other queue
BURST: Final = 88  # datagrams: with 1472 bytes each, as many as two calls take
SMALL_BURST: Final = 16
RETRY_SEGMENT_S: Final = 5.0  # routes change
_MAX_DATAGRAM: Final = 65536
_GROUP: Final = 131072  # bytes from which on a batch is handed over
_MAX_SEGMENTS: Final = 64  # of one call: UDP_MAX_SEGMENTS
_MAX_PAYLOAD: Final = 65535 - 40 - 8
_CLOSE_S: Final = 0.2

_SEGMENT_SIZE: Final = struct.Struct("=H")
_GRO_SIZE: Final = struct.Struct("=i")
_ANCILLARY_ROOM: Final = 64


class Owner(Protocol):
    """Who has the socket; called from the event loop."""

    def batch_read(self, data: bytearray, size: int, segment: int, address: Address) -> None:
        """The first size bytes of data hold datagrams of segment bytes each (the last may be shorter), all from address. data
        is used again after the return, and is always the same object."""

    def reading_ended(self) -> None:
        """All that waited has been handed over, or enough for one turn of the loop."""

    def failed(self, error: OSError) -> None:
        """Of an earlier datagram, told later: by ICMP, or by the system."""

    def writable(self) -> None:
        """is_full has become False."""


class UdpSocket(ABC):
    """raw: not to be used by others but for its options. Made by open_socket()."""

    def __init__(self, raw: socket.socket, owner: Owner, offload: Offload) -> None:
        self.raw = raw
        self.offload = offload
        self._owner = owner
        self._is_closed = False

    @property
    def burst(self) -> int:
        """Datagrams that are best sent at once."""
        return BURST if self.offload.gso else SMALL_BURST

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Does something wait for the system to take it?"""

    @abstractmethod
    def send(self, data: bytes, address: Address | None, *, urgent: bool) -> OSError | None:
        """One datagram; to nobody in particular from a connected socket. urgent: before all that waits. Why it did not go out,
        None when it may have."""

    @abstractmethod
    def send_burst(self, data: memoryview, segment: int, address: Address | None) -> OSError | None:
        """Datagrams of segment bytes each, the last may be shorter. What the system does not take now waits here. Why something
        was lost, or an earlier datagram, None when that is not known."""

    @abstractmethod
    async def close(self) -> None:
        """What waits has a moment to go out. Idempotent."""

    def probe_mtu(self, on: bool) -> int:
        """As offload.probe_mtu(); 0 where it cannot be."""
        try:
            return probe_mtu(self.raw, on)
        except OSError:
            return 0


class BatchSocket(UdpSocket):
    """Reads and writes the socket itself."""

    def __init__(self, raw: socket.socket, owner: Owner, offload: Offload) -> None:
        super().__init__(raw, owner, offload)
        self._loop = asyncio.get_running_loop()
        self._data = bytearray(_GROUP + _MAX_DATAGRAM)
        self._view = memoryview(self._data)
        self._waiting: deque[tuple[bytes, int, Address | None]] = deque()
        self._unsent = 0
        self._drained = asyncio.Event()
        self._too_long: tuple[Address | None, int, float] | None = None
        if offload.gro:
            raw.setsockopt(SOL_UDP, UDP_GRO, 1)
        self._loop.add_reader(raw, self._read)

    # Sending

    @property
    def is_full(self) -> bool:
        return bool(self._waiting)

    def send(self, data: bytes, address: Address | None, *, urgent: bool) -> OSError | None:
        if self._is_closed:
            return None
        if self._waiting:
            self._wait(data, len(data), address, first=urgent)
            return None
        try:
            self._send_one(data, address)
        except (BlockingIOError, InterruptedError):
            self._wait(data, len(data), address)
        except OSError as error:
            return error
        return None

    def send_burst(self, data: memoryview, segment: int, address: Address | None) -> OSError | None:
        if self._is_closed:
            return None
        taken, error = (0, None) if self._waiting else self._transmit(data, segment, address)
        if taken < len(data):
            self._wait(bytes(data[taken:]), segment, address)
        return error

    def probe_mtu(self, on: bool) -> int:
        self._too_long = None
        return super().probe_mtu(on)

    def _transmit(self, data: memoryview, segment: int, address: Address | None) -> tuple[int, OSError | None]:
        """How many bytes the system has taken or lost, and why it has lost something.

        An error may be that of an earlier datagram, so the first one is tried again (ip(7), IP_RECVERR).
        """
        size, at, error = len(data), 0, None
        step = segment
        if size > segment and self.offload.gso and self._is_short_enough(segment, address):
            step = max(1, min(_MAX_SEGMENTS, _MAX_PAYLOAD // segment)) * segment
        ancillary = [(SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(min(segment, 0xFFFF)))]
        while at < size:
            try:
                if step == segment:
                    self._send_one(data[at : at + step], address)
                else:
                    self.raw.sendmsg([data[at : at + step]], ancillary, 0, address)
            except (BlockingIOError, InterruptedError):
                return at, error
            except OSError as failure:
                if step > segment and self._is_refused(failure, segment, address):
                    step = segment
                    continue
                if error is None:
                    error = failure
                    continue
            at += step
        return size, error

    def _send_one(self, data: bytes | memoryview, address: Address | None) -> None:
        if address is None:
            self.raw.send(data)
        else:
            self.raw.sendto(data, address)

    def _is_short_enough(self, segment: int, address: Address | None) -> bool:
        if self._too_long is None:
            return True
        where, length, until = self._too_long
        return address != where or segment < length or self._loop.time() >= until

    def _is_refused(self, error: OSError, segment: int, address: Address | None) -> bool:
        """Was it the cutting? The kernel does not do it for IPsec and some devices, nor into what the route does not take."""
        if error.errno in (errno.EIO, errno.EOPNOTSUPP):
            self.offload = replace(self.offload, gso=False, why="the network device does not take bursts (GSO)")
            return True
        if error.errno in (errno.EINVAL, errno.EMSGSIZE):
            self._too_long = address, segment, self._loop.time() + RETRY_SEGMENT_S
            return True
        return False

    def _wait(self, data: bytes, segment: int, address: Address | None, *, first: bool = False) -> None:
        if self._unsent > MAX_UNSENT:
            return
        if not self._waiting:
            self._drained.clear()
            self._loop.add_writer(self.raw, self._write)
        (self._waiting.appendleft if first else self._waiting.append)((data, segment, address))
        self._unsent += len(data)

    def _write(self) -> None:
        last_error = None
        while self._waiting:
            data, segment, address = self._waiting.popleft()
            taken, error = self._transmit(memoryview(data), max(1, segment), address)
            self._unsent -= taken
            last_error = error or last_error
            if taken < len(data):
                self._waiting.appendleft((data[taken:], segment, address))
                break
        else:
            self._loop.remove_writer(self.raw)
            self._drained.set()
            if not self._is_closed:
                self._owner.writable()
        if last_error is not None and not self._is_closed:
            self._owner.failed(last_error)

    # Receiving

    def _read(self) -> None:
        try:
            self._read_all()
        finally:  # the owner's mistakes are for the loop to report
            if not self._is_closed:
                self._owner.reading_ended()

    def _read_all(self) -> None:
        """Datagrams of equal size from the same address are handed over together, also when they came one by one."""
        raw, data, view, gro = self.raw, self._data, self._view, self.offload.gro
        filled = segment = 0
        source: Any = None
        left = READ_AT_ONCE
        while left > 0 and not self._is_closed:
            try:
                if gro:
                    size, ancillary, _, sender = raw.recvmsg_into([view[filled:]], _ANCILLARY_ROOM)
                    step = _segment_size(ancillary) or size
                else:
                    size, sender = raw.recvfrom_into(view[filled:])
                    step = size
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._owner.failed(error)
                break
            left -= 1 + (size >> 12)
            if not size:
                continue
            if filled and (sender != source or not (step == segment or step == size < segment)):
                self._hand_over(filled, segment, source)
                data[:size] = view[filled : filled + size]
                filled = 0
            if not filled:
                segment, source = step, sender
            filled += size
            if filled % segment or filled > _GROUP:
                self._hand_over(filled, segment, source)
                filled = 0
        if filled:
            self._hand_over(filled, segment, source)

    def _hand_over(self, size: int, segment: int, source: Any) -> None:
        if not self._is_closed:
            self._owner.batch_read(self._data, size, segment, source[:2])

    # The end

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self.raw)
        try:
            if self._waiting:
                await asyncio.wait_for(self._drained.wait(), _CLOSE_S)
        except TimeoutError:
            self._waiting.clear()
        finally:
            if self.raw.fileno() >= 0:
                self._loop.remove_writer(self.raw)
                self.raw.close()


class TransportSocket(UdpSocket, asyncio.DatagramProtocol):
    """Goes through asyncio's transport, which reads one datagram a turn, and may keep what it is given."""

    def __init__(self, raw: socket.socket, owner: Owner, offload: Offload) -> None:
        super().__init__(raw, owner, offload)
        self._loop = asyncio.get_running_loop()
        self._data = bytearray(_MAX_DATAGRAM)
        self._transport: Any = None  # asyncio.DatagramTransport; typeshed does not know its get_write_buffer_size()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._error: OSError | None = None
        self._is_paused = False
        self._has_read = False

    @property
    def is_full(self) -> bool:
        return self._is_paused

    def send(self, data: bytes, address: Address | None, *, urgent: bool) -> OSError | None:
        if self._is_closed or self._transport.get_write_buffer_size() > MAX_UNSENT:
            return None
        self._error = None
        self._transport.sendto(data, address)
        return self._error

    def send_burst(self, data: memoryview, segment: int, address: Address | None) -> OSError | None:
        error = None
        for at in range(0, len(data), segment):
            error = self.send(bytes(data[at : at + segment]), address, urgent=False) or error
        return error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        if not data or self._is_closed:
            return
        if not self._has_read:
            self._has_read = True
            self._loop.call_soon(self._end_reading)
        self._data[: len(data)] = data
        self._owner.batch_read(self._data, len(data), len(data), address[:2])

    def _end_reading(self) -> None:
        self._has_read = False
        if not self._is_closed:
            self._owner.reading_ended()

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self._error = exc
            self._owner.failed(exc)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if not self._is_closed:
            self._owner.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        if not self._lost.done():
            self._lost.set_result(None)

    async def close(self) -> None:
        self._is_closed = True
        self._transport.close()
        done, _ = await asyncio.wait([self._lost], timeout=_CLOSE_S)
        if not done:
            self._transport.abort()
            await asyncio.wait([self._lost], timeout=_CLOSE_S)


async def open_socket(raw: socket.socket, owner: Owner, wish: Offload = EVERYTHING) -> UdpSocket:
    """raw: from udp_socket(), bound or connected; from now on the socket closes it. Raises OSError."""
    offload = offload_of(raw, wish)
    if offload.batch:
        return BatchSocket(raw, owner, offload)
    found = TransportSocket(raw, owner, offload)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: found, sock=raw)
    return found


def _segment_size(ancillary: list[tuple[int, int, bytes]]) -> int:
    """0: it is a single datagram."""
    for level, kind, data in ancillary:
        if level == SOL_UDP and kind == UDP_GRO:
            size: int = _GRO_SIZE.unpack_from(data)[0]
            return size
    return 0
