"""The pair of data channels that the transfer works with."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiortc import RTCDataChannel, RTCDataChannelParameters

from p2pcopy.channel import Sink
from p2pcopy.errors import ConnectionLost, P2PCopyError, ProtocolError
from p2pcopy.net.sctp import BoundedSctpTransport

CONTROL: Final = 0
DATA: Final = 1
LINK: Final = 2
MAX_EARLY_BYTES: Final = 1024 * 1024
MAX_EARLY_MESSAGES: Final = 4096


class PeerChannel:
    """p2pcopy.channel.Channel over two negotiated data channels: 0 "control", ordered, and 1 "data", unordered.

    A third, 2 "link", ordered, is for the connection itself: on_link takes what arrives there, and says whether the peer may
    go on. is_stalled: there is no path at present. on_over: told why when the channels close.
    """

    def __init__(
        self,
        sctp: BoundedSctpTransport,
        on_link: Callable[[bytes], bool] = lambda message: True,
        is_stalled: Callable[[], bool] = lambda: False,
        on_over: Callable[[P2PCopyError], None] = lambda error: None,
    ) -> None:
        self._sctp = sctp
        self._on_link = on_link
        self._is_stalled = is_stalled
        self._on_over = on_over
        self._link = _channel(sctp, "link", LINK, ordered=True)
        self._control = _channel(sctp, "control", CONTROL, ordered=True)
        self._data = _channel(sctp, "data", DATA, ordered=False)
        self.failure: P2PCopyError | None = None
        self._sink: Sink | None = None
        self._early: deque[tuple[int, bytes]] = deque()
        self._early_bytes = 0
        self._is_over = False
        self._is_ours = False
        self._is_parting = False
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sctp.on_message = self._received
        sctp.on_progress = self._progressed
        sctp.on_violation = self._on_violation
        self._data.on("open", self._on_open)  # the last one to open
        for channel in (self._link, self._control, self._data):
            channel.on("close", self._on_close)

    @property
    def message_size(self) -> int:
        """Bytes of a data message that is moved fastest."""
        return self._sctp.message_size

    @property
    def window(self) -> int:
        """Bytes of data messages that may be on the way to us or wait here; credit beyond it is of no use."""
        return self._sctp.window

    def consumed(self, size: int) -> None:
        """The sink has done with size bytes of data messages."""
        self._sctp.consumed(size)

    @property
    def stalled(self) -> bool:
        """Nothing is heard of the peer on any path; it may come back."""
        return not self._is_over and self._is_stalled()

    async def opened(self) -> None:
        """Wait until messages can be sent. Raises ConnectionLost."""
        await asyncio.shield(self._opened)

    def attach(self, sink: Sink) -> None:
        """From now on sink gets what arrives, first what came before."""
        self._sink = sink
        while self._early:
            self._deliver(sink, *self._early.popleft())
        self._early_bytes = 0
        if self._is_over and not self._is_ours:
            sink.channel_closed()

    def send_control(self, message: bytes) -> None:
        """Queue a message of at most 262144 bytes. Raises ConnectionLost."""
        self._send(self._control, message)

    def send_data(self, message: bytes) -> None:
        """Queue a message of at most 262144 bytes. Raises ConnectionLost."""
        self._send(self._data, message)

    def send_link(self, message: bytes) -> None:
        """Queue a message about the connection. Raises ConnectionLost."""
        self._send(self._link, message)

    @property
    def backlog(self) -> int:
        """Bytes queued here and not yet sent; what is sent and not yet acknowledged is bounded by the congestion window."""
        queued = self._link.bufferedAmount + self._control.bufferedAmount + self._data.bufferedAmount
        return queued + self._sctp.unsent

    async def drain(self, below: int) -> None:
        """Wait until the backlog is at most below bytes. Raises ConnectionLost."""
        if self._is_over:
            raise self._lost()
        if self.backlog > below:
            await self._wait(below)

    async def acknowledged(self) -> None:
        """Wait until the peer has all that was sent. Raises ConnectionLost."""
        while not self._is_over and self.backlog + self._sctp.unacknowledged:
            await self._wait(-1)
        if self._is_over:
            raise self._lost()

    def fail(self, error: P2PCopyError) -> None:
        """Why the connection is about to be closed."""
        self.failure = error

    def finish(self) -> None:
        """Our side is about to end it: nothing is delivered any more, and the sink is not told that the channel closes."""
        self._is_ours = True

    async def part(self) -> None:
        """After finish() and acknowledged(): end the association in agreement with the peer, which takes a round trip if it is
        there. A peer that still sends data is cut off: nobody would take it."""
        self._is_parting = True
        await self._sctp.shut_down()

    async def _wait(self, below: int) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = below
        try:
            await waiter
        finally:
            del self._waiters[waiter]

    def _progressed(self) -> None:
        if not self._waiters:
            return
        backlog = self.backlog
        for waiter, below in self._waiters.items():
            if (backlog <= below or below < 0) and not waiter.done():
                waiter.set_result(None)

    def _send(self, channel: RTCDataChannel, message: bytes) -> None:
        if channel.readyState != "open":
            raise self._lost()
        channel.send(message)

    def _received(self, stream: int, message: bytes) -> bool:
        if self._is_over or self._is_ours:
            return stream != DATA or not self._is_parting
        if stream == LINK:
            return self._on_link(message)
        if self._sink is not None:
            self._deliver(self._sink, stream, message)
            return True
        self._early.append((stream, message))
        self._early_bytes += len(message)
        return self._early_bytes <= MAX_EARLY_BYTES and len(self._early) <= MAX_EARLY_MESSAGES

    def _deliver(self, sink: Sink, stream: int, message: bytes) -> None:
        if stream == CONTROL:
            sink.control_received(message)
        else:
            self._sctp.waits(len(message))
            sink.data_received(message)

    def _on_open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_close(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._on_over(self.failure or self._lost())
        if not self._opened.done():
            self._opened.set_exception(self._lost())
            self._opened.exception()  # taken here, so that it is no complaint when nobody waits
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._lost())
        if self._sink is not None and not self._is_ours:
            self._sink.channel_closed()

    def _on_violation(self) -> None:
        self.failure = self.failure or ProtocolError(
            "the other side broke the rules of the connection", "Use the same version of p2pcopy on both sides."
        )

    def _lost(self) -> ConnectionLost:
        if isinstance(self.failure, ConnectionLost):
            return self.failure
        return ConnectionLost("the connection to the other side is gone", "Run the same two commands again to resume.")


def _channel(sctp: BoundedSctpTransport, label: str, number: int, *, ordered: bool) -> RTCDataChannel:
    return RTCDataChannel(sctp, RTCDataChannelParameters(label=label, ordered=ordered, negotiated=True, id=number))
