"""What aiortc's data channels want sent, one message after the other. Touches RTCSctpTransport's inside, as fastsctp.py does."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from aiortc import RTCDtlsTransport
from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcsctptransport import (
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
)

from p2pcopy.net.messages import Message
from p2pcopy.net.outbound import Outbound
from p2pcopy.net.pump import Pump
from p2pcopy.net.sctp import BoundedSctpTransport


class QueueingSctpTransport(BoundedSctpTransport):
    """A message stays in aiortc's queue until it has been sent, so that a reset of its stream waits for it.

    _is_attached: there are an Outbound and its Pump; until then aiortc sends.
    """

    def __init__(self, transport: RTCDtlsTransport) -> None:
        super().__init__(transport)
        self._is_attached = False
        self._outbound: Outbound
        self._pump: Pump

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        """What RTCDataChannel.send() calls; aiortc's own starts a task a message."""
        if isinstance(data, str):
            protocol, body = (WEBRTC_STRING, data.encode()) if data else (WEBRTC_STRING_EMPTY, b"\0")
        else:
            protocol, body = (WEBRTC_BINARY, data) if data else (WEBRTC_BINARY_EMPTY, b"\0")
        if self._remote_max_message_size and len(body) > self._remote_max_message_size:
            raise ValueError("the message is larger than the peer allows")
        channel._addBufferedAmount(len(body))
        self._data_channel_queue.append((channel, protocol, body))
        if self._is_attached:
            self._pump.soon()

    def _next_message(self) -> Message | None:
        """The first one of the queue; it stays there until it has been sent."""
        if not self._data_channel_queue:
            return None
        channel, protocol, body = self._data_channel_queue[0]
        stream = self._stream(channel)
        is_opening = protocol == WEBRTC_DCEP

        def done() -> None:
            self._data_channel_queue.popleft()
            self._local_tsn = self._outbound.next_tsn
            if not is_opening:
                channel._addBufferedAmount(-len(body))
            if self._reconfig_queue:
                run(self._transmit_reconfig())
            self.on_progress()

        return Message(stream, protocol, body, not channel.ordered and not is_opening, done)

    def _stream(self, channel: RTCDataChannel) -> int:
        """Its number; one that the channel gets now if it has none (RFC 8832 section 6)."""
        if channel.id is not None:
            return channel.id
        number = self._data_channel_id or 0
        while number in self._data_channels:
            number += 2
        self._data_channels[number] = channel
        channel._setId(number)
        return number


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Of aiortc's methods those that are called here wait for nothing but _send_chunk(), and that one does not wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("aiortc waits where it did not wait before")
