"""The end of an association in agreement with the peer: SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE (RFC 9260 section 9.2).

aiortc ends associations with ABORT alone, and agrees to a SHUTDOWN whatever it still has to send.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiortc import RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcsctptransport import Chunk, ShutdownAckChunk, ShutdownChunk, ShutdownCompleteChunk

REPLY_S: Final = 0.2  # until a SHUTDOWN or SHUTDOWN ACK is sent again, doubled each time (T2-shutdown)


class AgreeingSctpTransport(RTCSctpTransport):
    """A SHUTDOWN of the peer closes the channels here once it has all that was sent; what remains is a matter of shut_down()."""

    def __init__(self, transport: RTCDtlsTransport, port: int) -> None:
        super().__init__(transport, port)
        self._is_asked_to_end = False
        self._over = asyncio.Event()

    async def shut_down(self) -> None:
        """The peer has all that was sent: end the association in agreement with it, and wait for that. For how long is up to the
        caller; stop() ends it at once, with ABORT."""
        if self._association_state == self.State.ESTABLISHED:
            self._set_state(self.State.SHUTDOWN_SENT)
            await self._send_chunk(self._shutdown())
        wait = REPLY_S
        while self._association_state in (self.State.SHUTDOWN_SENT, self.State.SHUTDOWN_ACK_SENT):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._over.wait()
            wait *= 2
            if self._association_state == self.State.SHUTDOWN_SENT:
                await self._send_chunk(self._shutdown())
            elif self._association_state == self.State.SHUTDOWN_ACK_SENT:
                await self._send_chunk(ShutdownAckChunk())

    @property
    def is_drained(self) -> bool:
        """The peer has all that was sent."""
        return not (self._data_channel_queue or self._outbound_queue or self._sent_queue)

    def _shutdown(self) -> ShutdownChunk:
        chunk = ShutdownChunk()
        chunk.cumulative_tsn = self._last_received_tsn or 0
        return chunk

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state == self.State.CLOSED:
            self._over.set()

    async def _receive_chunk(self, chunk: Chunk) -> None:
        state = self._association_state
        match chunk:
            case ShutdownChunk():
                await self._take_shutdown()
            case ShutdownAckChunk():
                if state in (self.State.SHUTDOWN_SENT, self.State.SHUTDOWN_ACK_SENT):
                    await self._send_chunk(ShutdownCompleteChunk())
                    self._set_state(self.State.CLOSED)
            case ShutdownCompleteChunk():
                if state == self.State.SHUTDOWN_ACK_SENT:
                    self._set_state(self.State.CLOSED)
            case _:
                await super()._receive_chunk(chunk)

    async def _take_shutdown(self) -> None:
        match self._association_state:
            case self.State.ESTABLISHED:
                self._is_asked_to_end = True
                for channel in self._data_channels.values():
                    channel._setReadyState("closing")  # what is queued already is sent, and nothing more
                await self._agree()
            case self.State.SHUTDOWN_SENT | self.State.SHUTDOWN_ACK_SENT:  # both at once, or our answer was lost
                self._set_state(self.State.SHUTDOWN_ACK_SENT)
                await self._send_chunk(ShutdownAckChunk())

    async def _agree(self) -> None:
        """If the peer has asked for the end, and has all that was sent. To be called with every SACK."""
        if self._is_asked_to_end and self._association_state == self.State.ESTABLISHED and self.is_drained:
            self._set_state(self.State.SHUTDOWN_ACK_SENT)
            await self._send_chunk(ShutdownAckChunk())
            for stream in list(self._data_channels):
                self._data_channel_closed(stream)
