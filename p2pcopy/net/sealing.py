"""DATA chunks into the buffer of a wire, one or several packets of a message at a time (RFC 9260 sections 3.3.1, 6.8).

Without I/O. All packets of a burst have one size, so that the system can cut the burst itself.
"""

from __future__ import annotations

import struct
from typing import Final

from p2pcopy.net.halves import halves
from p2pcopy.net.messages import Part, Wire
from p2pcopy.net.packets import COMMON_HEADER, DATA, DATA_HEADER, Way
from p2pcopy.net.runs import MAX_TSNS, RUN, RUN_HEADER, pack_run
from p2pcopy.net.slices import MAX_SIZE

MAX_RUN: Final = MAX_SIZE - 128  # bytes of a packet: DTLS adds some
_M32: Final = 0xFFFFFFFF
_pack_data: Final = struct.Struct("!HHLLBBHLHHL").pack_into
_pack_chunk: Final = struct.Struct("!BBHLHHL").pack
_pack_tsn: Final = struct.Struct("!L").pack_into
_pack_checksum: Final = struct.Struct("<L").pack_into
_AT_FLAGS: Final = 13
_AT_TSN: Final = 16


class Sealer:
    """way: to the peer; zero_checksum: the peer takes packets without one (RFC 9653)."""

    def __init__(self, way: Way, wire: Wire, *, zero_checksum: bool) -> None:
        self._way = way
        self._wire = wire
        self._view = memoryview(wire.plain)
        self._zero_checksum = zero_checksum

    def packets(self, part: Part, index: int, count: int, tsn: int) -> None:
        """count packets of a part, from its packet number index on. Here is where the time goes: one copy and one seal() each."""
        plain, view, seal = self._wire.plain, self._view, self._wire.seal
        data, size, zero_checksum = part.data, part.size, self._zero_checksum
        full = DATA_HEADER + size
        window = view[DATA_HEADER:full]
        _pack_data(plain, 0, *self._way.ports_and_tag, 0, DATA, part.flags_of(index), DATA_HEADER - COMMON_HEADER + size, tsn,
                   part.stream, part.sequence, part.protocol)  # fmt: skip
        is_last = index + count == part.count
        start = index * size
        for at in range(start, start + (count - is_last) * size, size):
            _pack_tsn(plain, _AT_TSN, tsn)
            window[:] = data[at : at + size]
            if not zero_checksum:
                self._sum(full)
            if seal(full) != full:
                raise ConnectionError("OpenSSL cannot encrypt any more")
            plain[_AT_FLAGS] = part.flags
            tsn = (tsn + 1) & _M32
        if is_last:
            at = (part.count - 1) * size
            rest = len(data) - at
            flags = part.flags_of(part.count - 1)
            _pack_data(plain, 0, *self._way.ports_and_tag, 0, DATA, flags, DATA_HEADER - COMMON_HEADER + rest, tsn, part.stream,
                       part.sequence, part.protocol)  # fmt: skip
            end = DATA_HEADER + rest
            view[DATA_HEADER:end] = data[at:]
            padded = (end + 3) & ~3
            plain[end:padded] = bytes(padded - end)
            if not zero_checksum:
                self._sum(padded)
            if seal(padded) != padded:
                raise ConnectionError("OpenSSL cannot encrypt any more")

    @staticmethod
    def run_length(size: int, burst: int) -> int:
        """Packets of size bytes of a message that are best put into one record, so that a burst consists of such records."""
        longest = min(MAX_TSNS, (MAX_RUN - RUN_HEADER) // size, burst)
        return next((length for length in range(longest, 1, -1) if burst % length == 0), 0)

    def runs(self, part: Part, index: int, records: int, length: int, tsn: int) -> None:
        """Send length whole packets of a part in each of so many records. Only to who takes packets without a checksum."""
        plain, seal = self._wire.plain, self._wire.seal
        data, size = part.data, length * part.size
        full = RUN_HEADER + size
        window = self._view[RUN_HEADER:full]
        flags = part.flags_of(index)
        start = index * part.size
        for at in range(start, start + records * size, size):
            if at + size == len(data):
                flags |= part.flags_of(part.count - 1)
            pack_run(plain, 0, *self._way.ports_and_tag, 0, RUN, flags, full - COMMON_HEADER, tsn, part.stream, part.sequence,
                     part.protocol, part.size, 0)  # fmt: skip
            window[:] = data[at : at + size]
            if seal(full) != full:
                raise ConnectionError("OpenSSL cannot encrypt any more")
            flags = part.flags
            tsn = (tsn + length) & _M32
        self._wire.flush_slices(full, length, records)

    def halves(self, part: Part, index: int, tsn: int) -> None:
        """Send a packet that has become too long for the path."""
        data = bytes(part.data[index * part.size : (index + 1) * part.size])
        length = DATA_HEADER - COMMON_HEADER + len(data)
        head = _pack_chunk(DATA, part.flags_of(index), length, tsn, part.stream, part.sequence, part.protocol)
        first, second = halves(head + data)
        for half in (first, second):
            self._wire.put(self._way.packet(half, zero_checksum=self._zero_checksum))
        self._wire.flush(COMMON_HEADER + len(first))

    def _sum(self, size: int) -> None:
        _pack_checksum(self._wire.plain, 8, self._way.checksum(bytes(self._view[COMMON_HEADER:size])))
