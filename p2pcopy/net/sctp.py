"""aiortc's SCTP association with bounds against a hostile peer, and with a backlog that can be waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiortc import RTCDtlsTransport, RTCSctpCapabilities
from aiortc.rtcsctptransport import (
    USERDATA_MAX_LENGTH,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    Chunk,
    DataChunk,
    SackChunk,
)

from p2pcopy.net.packets import chunks, has_sound_parameters
from p2pcopy.net.shutdown import AgreeingSctpTransport

MAX_MESSAGE: Final = 256 * 1024
MESSAGE_SIZE: Final = 65536
WINDOW: Final = 8 * 1024 * 1024
PORT: Final = 5000
MAX_FRAGMENTS: Final = 20_000  # received and not yet a whole message: about 24 MB


class BoundedSctpTransport(AgreeingSctpTransport):
    """on_message: takes stream and message, and says whether the peer may go on; on_progress: the backlog may be smaller;
    on_packet: something of the peer has arrived; on_violation: the peer does what no honest one does.

    Text arrives as its UTF-8 bytes. A peer that opens other channels, sends messages above MAX_MESSAGE, or never
    completes them, ends the association: on_violation is called before. is_peer_fast: so is the peer's association, None where
    that cannot be known.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        super().__init__(transport, PORT)
        self.is_peer_fast: bool | None = None
        self.on_message: Callable[[int, bytes], bool] = lambda stream, message: True
        self.on_progress: Callable[[], None] = lambda: None
        self.on_packet: Callable[[], None] = lambda: None
        self.on_violation: Callable[[], None] = lambda: None

    async def begin(self) -> None:
        await self.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), PORT)

    def lost(self) -> None:
        """What is below is gone: close the association and its channels without telling the peer."""
        self._set_state(self.State.CLOSED)

    @property
    def unsent(self) -> int:
        """Bytes that have left the channels' queues and wait for the congestion window, up to a message too many."""
        return len(self._outbound_queue) * USERDATA_MAX_LENGTH

    @property
    def unacknowledged(self) -> int:
        """Bytes that the peer has not confirmed yet."""
        return self.unsent + len(self._sent_queue) * USERDATA_MAX_LENGTH

    @property
    def message_size(self) -> int:
        """Bytes of a message that is moved fastest."""
        return MESSAGE_SIZE

    @property
    def window(self) -> int:
        """Bytes of messages that the peer may send and that may wait here for the application."""
        return WINDOW

    def waits(self, size: int) -> None:
        """So many bytes that were delivered wait for the application; here credit alone holds the sender back."""

    def consumed(self, size: int) -> None:
        """The application has dealt with them."""

    def path_is_back(self) -> None:
        """What was on the way is lost: send it again now, and not when a timer ends that has waited longer and longer."""
        if self._t3_handle is not None:
            self._t3_cancel()
            self._t3_expired()

    async def _handle_data(self, data: bytes) -> None:
        self.on_packet()
        if all(map(has_sound_parameters, chunks(data))):
            await super()._handle_data(data)

    async def _send_chunk(self, chunk: Chunk) -> None:
        try:
            await super()._send_chunk(chunk)
        except ConnectionError:
            return  # timers still run when DTLS has just gone; lost() follows

    async def _data_channel_flush(self) -> None:
        await super()._data_channel_flush()
        self.on_progress()

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        await super()._receive_sack_chunk(chunk)
        self.on_progress()
        await self._agree()

    async def _send_sack(self) -> None:
        await super()._send_sack()
        if self._association_state == self.State.SHUTDOWN_SENT:
            await self._send_chunk(self._shutdown())

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        if self._association_state == self.State.SHUTDOWN_ACK_SENT:
            return  # the peer had sent all before, and the channels are closed
        fragments = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if chunk.stream_id not in self._data_channels or not chunk.user_data or fragments >= MAX_FRAGMENTS:
            await self._refuse()
            return
        await super()._receive_data_chunk(chunk)

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        is_empty = pp_id in (WEBRTC_BINARY_EMPTY, WEBRTC_STRING_EMPTY)
        if not is_empty and pp_id not in (WEBRTC_BINARY, WEBRTC_STRING):
            return
        if len(data) > MAX_MESSAGE or not self.on_message(stream_id, b"" if is_empty else data):
            await self._refuse()

    async def _refuse(self) -> None:
        """End the association because of what the peer does."""
        self.on_violation()
        await self.stop()
