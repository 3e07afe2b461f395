"""ChannelData (RFC 8656 sections 12.4 and 12.5), many messages at a time. Pure.

Bursts consist of datagrams of equal size, so their headers are equal, too: they are put in and taken out for all at once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

HEADER_SIZE: Final = 4  # bytes: number of the channel, length of the data
STUN_HEADER_SIZE: Final = 20
_ROOM: Final = 65536
_header: Final = struct.Struct("!HH")


def is_channel_data(first: int) -> bool:
    return first & 0xC0 == 0x40


def framed(channel: int, data: memoryview, segment: int, *, padded: bool) -> bytes:
    """Datagrams of segment bytes each (the last may be shorter) as messages in a row. padded: to four bytes, as in a stream."""
    whole = len(data) - len(data) % segment
    frames = b""
    if whole:
        padding = bytes(-segment % 4) if padded else b""
        pieces: list[bytes | memoryview] = [b""]
        pieces += [data[at : at + segment] for at in range(0, whole, segment)]
        frames = (padding + _header.pack(channel, segment)).join(pieces)[len(padding) :] + padding
    if whole < len(data):
        rest = len(data) - whole
        frames += b"".join([_header.pack(channel, rest), data[whole:], bytes(-rest % 4) if padded else b""])
    return frames


def message_size(data: bytes | bytearray, at: int = 0) -> int | None:
    """Of the message in a stream that begins there, padding included; None when too little of it is there to tell.

    Raises ValueError when it is neither STUN nor ChannelData: where the next one begins is not known then.
    """
    if len(data) - at < HEADER_SIZE:
        return None
    first: int
    length: int
    first, length = _header.unpack_from(data, at)
    if first >> 14 > 1:
        raise ValueError("neither STUN nor ChannelData")
    return HEADER_SIZE + (length + 3) // 4 * 4 if first >> 14 else STUN_HEADER_SIZE + length


class Payloads:
    """Takes messages apart, and hands over what was in them: channel, buffer, bytes in it, bytes of a datagram in it (the
    last may be shorter). The buffer is always the same."""

    def __init__(self, hand_over: Callable[[int, bytearray, int, int], None]) -> None:
        self._hand_over = hand_over
        self._data = bytearray(_ROOM)
        self._filled = self._segment = self._channel = 0

    def take(self, data: bytes | bytearray, at: int, count: int, step: int) -> int:
        """The first of up to count messages from there on, step bytes apart, as far as their headers are equal.

        Returns how many these were. What does not fit into step bytes is passed over.
        """
        channel, length = _header.unpack_from(data, at)
        count = min(_equal_headers(data, at, count, step), max(1, _ROOM // max(1, length)))
        if 0 < length <= step - HEADER_SIZE:
            view = memoryview(data)
            start = at + HEADER_SIZE
            payloads = b"".join([view[each : each + length] for each in range(start, start + count * step, step)])
            self._append(channel, payloads, length)
        return count

    def _append(self, channel: int, payloads: bytes, length: int) -> None:
        continues = channel == self._channel and (length == self._segment or len(payloads) == length < self._segment)
        if not continues or self._filled + len(payloads) > _ROOM:
            self.flush()
        if not self._filled:
            self._channel, self._segment = channel, length
        self._data[self._filled : self._filled + len(payloads)] = payloads
        self._filled += len(payloads)
        if length < self._segment:
            self.flush()

    def flush(self) -> None:
        """Hand over what there is. Before anything that has to come after it."""
        if self._filled:
            filled, self._filled = self._filled, 0
            self._hand_over(self._channel, self._data, filled, self._segment)


def _equal_headers(data: bytes | bytearray, at: int, count: int, step: int) -> int:
    for place in range(at, at + HEADER_SIZE):
        column = bytes(data[place : place + (count - 1) * step + 1 : step])
        count = len(column) - len(column.lstrip(column[:1]))
    return count
