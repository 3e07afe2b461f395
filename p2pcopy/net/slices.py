"""DTLS records that are longer than a packet of the path, in slices of a datagram each. Pure.

A record of eleven packets costs OpenSSL and the association little more than one of a single packet does. Only another p2pcopy that
has said so gets slices. When one is lost the whole record is, so they are for paths that lose next to nothing (calm.py), and what
was lost is sent again in packets of one datagram. Whether a record is genuine DTLS alone decides: who forges slices can spoil
records that are under way, as who drops datagrams can, and makes the sender do without.

A slice begins with SLICE, then the index of the record's last slice and its own, four bits each, then the record's number in two
bytes. All slices of a record have one size; what follows the record in the last one means nothing.

What is joined are memoryviews that were made before, which is the cheapest way to move pieces. OpenSSL could take and give slices
one by one, but each call lets go of the interpreter's lock, and the threads that read and write files would take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

SLICE: Final = 0x1F  # no content type of TLS, in the range that RFC 7983 section 7 gives to DTLS
HEADER: Final = 4  # bytes
MAX_SLICES: Final = 16  # of a record
MAX_SLICE: Final = 2048  # bytes with the header
MIN_SLICE: Final = 256
MAX_WAITING: Final = 64  # records that are not whole yet
MAX_SIZE: Final = 16384  # bytes of a record: OpenSSL reads ahead so far
MAX_DATAGRAMS: Final = 128  # of one burst
_REMEMBERED: Final = 16
_RECORD_HEADER: Final = 13  # RFC 6347 section 4.1
_AT_LENGTH: Final = 11
_PLACES: Final = [bytes([(count - 1) << 4 | index for index in range(count)]) for count in range(MAX_SLICES + 1)]
_REPEATED: Final = [bytes((byte,)) * MAX_SLICES for byte in range(256)]


class Slicer:
    """Cuts what is at the beginning of a buffer of records. first: number of the first one."""

    def __init__(self, records: bytearray, first: int = 0) -> None:
        self._records = memoryview(records)
        self._next = first
        self._heads = bytearray(HEADER * MAX_DATAGRAMS)
        self._plans: dict[tuple[int, int, int], list[memoryview]] = {}

    def cut(self, size: int, count: int, records: int) -> tuple[bytes, int]:
        """So many records of size bytes each, in count slices each: datagrams in a row, and their length in bytes; the last one
        may be shorter. At most MAX_DATAGRAMS in all."""
        numbers = range(self._next, self._next + records)
        self._next = numbers.stop
        end = HEADER * count * records
        heads = self._heads
        heads[0:end:HEADER] = bytes((SLICE,)) * (count * records)
        heads[1:end:HEADER] = _PLACES[count] * records
        heads[2:end:HEADER] = b"".join([_REPEATED[number >> 8 & 0xFF][:count] for number in numbers])
        heads[3:end:HEADER] = b"".join([_REPEATED[number & 0xFF][:count] for number in numbers])
        pieces = self._plans.get((size, count, records)) or self._plan(size, count, records)
        return b"".join(pieces), HEADER + -(-size // count)

    def _plan(self, size: int, count: int, records: int) -> list[memoryview]:
        """What the datagrams are made of. All have one size, so in the last slice of a record the next record begins."""
        step = -(-size // count)
        heads = memoryview(self._heads)
        pieces: list[memoryview] = []
        for record in range(records):
            for index in range(count):
                head, start = (record * count + index) * HEADER, record * size + index * step
                pieces += heads[head : head + HEADER], self._records[start : start + step]
        pieces[-1] = self._records[(records - 1) * size + (count - 1) * step : records * size]
        if len(self._plans) >= _REMEMBERED:
            self._plans.clear()
        self._plans[size, count, records] = pieces
        return pieces


class Joiner:
    """Makes records of slices that may come in any order."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[bytes]] = {}  # by number; b"": that slice is missing
        self._pieces: dict[tuple[int, int], tuple[bytearray, list[memoryview]]] = {}

    def take(self, data: bytearray, size: int, segment: int) -> Iterator[tuple[bytes, int]]:
        """Records that are whole now, each with its length in bytes: what is behind that means nothing.

        The first size bytes of data are datagrams of segment bytes each, the last may be shorter, all of which begin with SLICE.
        data: best the same few objects again and again.
        """
        if not MIN_SLICE <= segment <= MAX_SLICE:
            return
        columns = Columns(data[1:size:segment], data[2:size:segment], data[3:size:segment])
        at, total, step = 0, len(columns.lows), segment - HEADER
        pieces = self._pieces_of(data, segment, total)
        while at < total:
            start = at * segment
            count = columns.in_a_row(at)
            length = _size(data[start + HEADER : start + HEADER + _RECORD_HEADER])
            rest = length - (count - 1) * step  # in the last slice
            if count and 0 < rest <= step and start + (count - 1) * segment + HEADER + rest <= size:
                record = b"".join(pieces[at : at + count])
                at += count
            else:
                record = self._put(bytes(data[start : min(start + segment, size)]))
                length = _size(record)
                at += 1
            if 0 < length <= min(len(record), MAX_SIZE):
                yield record, length

    def _put(self, datagram: bytes) -> bytes:
        """Keep a slice. Returns the record when it has become whole, otherwise b""."""
        last, index = divmod(datagram[1], MAX_SLICES)
        number = datagram[2:HEADER]
        pieces = self._waiting.get(number, [])
        if len(pieces) != last + 1:
            self._waiting.pop(number, None)
            while len(self._waiting) >= MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            pieces = self._waiting[number] = [b""] * (last + 1)
        if index <= last:
            pieces[index] = datagram[HEADER:]
        if not all(pieces):
            return b""
        del self._waiting[number]
        return b"".join(pieces)

    def _pieces_of(self, data: bytearray, segment: int, count: int) -> list[memoryview]:
        """Of the datagrams in data, count of them or more, what follows their headers."""
        known = self._pieces.get((id(data), segment))
        if known is None or known[0] is not data or len(known[1]) < count:
            if len(self._pieces) >= _REMEMBERED:
                self._pieces.clear()
            view = memoryview(data)
            pieces = [view[at + HEADER : at + segment] for at in range(0, count * segment, segment)]
            known = self._pieces[id(data), segment] = data, pieces
        return known[1]


class Columns(NamedTuple):
    """The headers of slices in a row, without SLICE: each the same byte of all of them."""

    places: bytearray
    highs: bytearray
    lows: bytearray

    def in_a_row(self, at: int) -> int:
        """How many slices the record has that begins there; 0 when not all of them follow, in order."""
        count = (self.places[at] >> 4) + 1
        stop = at + count
        is_whole = (
            self.places[at:stop] == _PLACES[count]
            and self.lows.count(self.lows[at], at, stop) == count
            and self.highs.count(self.highs[at], at, stop) == count
        )
        return count if is_whole else 0


def _size(record: bytes | bytearray) -> int:
    """Of a record, by its header; 13 for none."""
    return _RECORD_HEADER + int.from_bytes(record[_AT_LENGTH:_RECORD_HEADER], "big")
