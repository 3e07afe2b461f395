"""Several packets of a message in one chunk. Pure.

Another p2pcopy takes DATA of consecutive TSNs, each with the same number of bytes, in one chunk of type RUN: a DATA chunk (RFC 9260
section 3.3.1) with the first TSN, then the number of bytes of each TSN in two bytes, two bytes of zeros, and the bytes of all.
BEGINS is that of the first TSN, ENDS that of the last. What of it has to be sent again is sent as DATA.
"""

from __future__ import annotations

import struct
from typing import Final

from p2pcopy.net.packets import BEGINS, COMMON_HEADER, ENDS, Chunk, Data

RUN: Final = 0xB8  # of our own; its upper bits (10) have others skip it (RFC 9260 section 3.2)
RUN_HEADER: Final = COMMON_HEADER + 20
MAX_TSNS: Final = 16  # in one chunk
_BODY_HEADER: Final = 16
_M32: Final = 0xFFFFFFFF

# Into a packet: its header, RFC 9653's checksum 0, and all that goes before the bytes.
pack_run: Final = struct.Struct("!HHLLBBHLHHLHH").pack_into
unpack_step: Final = struct.Struct("!16xH").unpack_from  # from the chunk
_body_header: Final = struct.Struct("!LHHLHH").unpack_from


def tsns(size: int, step: int) -> int:
    """How many there are in size bytes of data, step bytes each; 0 when that makes no sense."""
    if size <= 0 or not step or size % step or size > MAX_TSNS * step:
        return 0
    return size // step


def split(chunk: Chunk) -> list[Data]:
    """The DATA of each TSN; none when it makes no sense."""
    body = chunk.body
    if len(body) <= _BODY_HEADER:
        return []
    first, stream, _, protocol, step, _ = _body_header(body)
    count = tsns(len(body) - _BODY_HEADER, step)
    found = []
    for index in range(count):
        flags = chunk.flags & ~(BEGINS | ENDS)
        if index == 0:
            flags |= chunk.flags & BEGINS
        if index == count - 1:
            flags |= chunk.flags & ENDS
        start = _BODY_HEADER + index * step
        found.append(Data(flags, (first + index) & _M32, stream, protocol, body[start : start + step]))
    return found
