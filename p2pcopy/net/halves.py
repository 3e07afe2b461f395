"""DATA chunks that have become too long for the path, each in two packets. Pure.

A message is cut into chunks only once (RFC 9260 section 6.9): when the path gets narrower, IP has to cut the packets that are under
way. But routers do not cut those of IPv6, and many firewalls drop the fragments of both. Another p2pcopy therefore takes halves.
They have the flags of the chunk; the second one begins with its TSN again.
"""

from __future__ import annotations

import struct
from typing import Final

from p2pcopy.net.packets import DATA, Chunk

HALF: Final = 0xB7  # of our own; its upper bits (10) have others skip it (RFC 9260 section 3.2)
MAX_WAITING: Final = 1024
MAX_SIZE: Final = 2048  # bytes
_SECOND: Final = 0x10
_HEADER: Final = 4
_TSN: Final = 4
_pack_header: Final = struct.Struct("!BBH").pack


def halves(chunk: bytes) -> tuple[bytes, bytes]:
    """chunk: DATA, not padded. The second half, with its padding, is not longer than the first."""
    flags, body = chunk[1], chunk[_HEADER:]
    middle = (len(body) + _TSN + 7) // 8 * 4
    return _half(flags, body[:middle]), _half(flags | _SECOND, body[:_TSN] + body[middle:])


def _half(flags: int, body: bytes) -> bytes:
    return _pack_header(HALF, flags, _HEADER + len(body)) + body + bytes(-len(body) % 4)


class Halves:
    """Makes chunks of them again."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Chunk] = {}  # by TSN

    def take(self, half: Chunk) -> Chunk | None:
        """The whole chunk, when the other half was there already."""
        tsn = half.body[:_TSN]
        if len(tsn) < _TSN or len(half.body) > MAX_SIZE:
            return None
        other = self._waiting.pop(tsn, None)
        if other is None or other.flags ^ half.flags != _SECOND:
            while len(self._waiting) >= MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[tsn] = half
            return None
        first, second = (other, half) if half.flags & _SECOND else (half, other)
        return Chunk(DATA, first.flags, first.body + second.body[_TSN:])
