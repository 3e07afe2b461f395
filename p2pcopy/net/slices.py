"""DTLS records that are longer than a packet of the path, in slices of a datagram each. Pure.

A record of eleven packets costs OpenSSL and the association little more than one of a single packet does. Only another p2pcopy that
has said so gets slices. When one is lost the whole record is, so they are for paths that lose next to nothing (calm.py), and what
was lost is sent again in packets of one datagram. Whether a record is genuine DTLS alone decides: who forges slices can spoil
records that are under way, as who drops datagrams can, and makes the sender do without.

A slice begins with SLICE, then the index of the record's last slice and its own, four bits each, then the record's number in two
bytes. All slices of a record have one size; what follows the record in the last one means nothing.

What is copied here is copied from one memoryview to another, and all of them are made before: a call into OpenSSL for each slice
would let go of the interpreter's lock each time, and the threads that read and write files would take it.
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
ROOM: Final = 65536  # for the datagrams of one burst
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
        self._datagrams = bytearray(ROOM)
        self._moves: dict[tuple[int, int, int], list[tuple[memoryview, memoryview]]] = {}

    def cut(self, size: int, count: int, records: int) -> tuple[memoryview, int]:
        """So many records of size bytes each, in count slices each: datagrams in a row, and their length in bytes; the last one
        may be shorter. Good until the next call."""
        step = -(-size // count)
        segment, total = HEADER + step, count * records
        numbers = range(self._next, self._next + records)
        self._next = numbers.stop
        end = total * segment
        datagrams = self._datagrams
        datagrams[0:end:segment] = _REPEATED[SLICE] * (total // MAX_SLICES) + _REPEATED[SLICE][: total % MAX_SLICES]
        datagrams[1:end:segment] = _PLACES[count] * records
        datagrams[2:end:segment] = b"".join([_REPEATED[number >> 8 & 0xFF][:count] for number in numbers])
        datagrams[3:end:segment] = b"".join([_REPEATED[number & 0xFF][:count] for number in numbers])
        for room, piece in self._moves.get((size, count, records)) or self._plan(size, count, records):
            room[:] = piece
        return memoryview(datagrams)[: end - (count * step - size)], segment

    def _plan(self, size: int, count: int, records: int) -> list[tuple[memoryview, memoryview]]:
        """Where the slices go, and where they come from."""
        step = -(-size // count)
        rooms, moves = memoryview(self._datagrams), []
        for record in range(records):
            for index in range(count):
                room = (record * count + index) * (HEADER + step) + HEADER
                start, stop = record * size + index * step, record * size + min((index + 1) * step, size)
                moves.append((rooms[room : room + stop - start], self._records[start:stop]))
        if len(self._moves) >= _REMEMBERED:
            self._moves.clear()
        self._moves[size, count, records] = moves
        return moves


class Joiner:
    """Makes records of slices that may come in any order. record: where they are put together."""

    def __init__(self) -> None:
        self.record = bytearray(MAX_SLICES * MAX_SLICE)
        self._waiting: dict[bytes, list[bytes]] = {}  # by number; b"": that slice is missing
        self._rooms: dict[int, list[memoryview]] = {}  # in the record, by their size
        self._pieces: dict[tuple[int, int], tuple[bytearray, list[memoryview]]] = {}

    def take(self, data: bytearray, size: int, segment: int) -> Iterator[int]:
        """Bytes of each record that is whole now: the first ones of record, until the next turn.

        The first size bytes of data are datagrams of segment bytes each, the last may be shorter, all of which begin with SLICE.
        data: best the same few objects again and again.
        """
        if not MIN_SLICE <= segment <= MAX_SLICE:
            return
        columns = Columns(data[1:size:segment], data[2:size:segment], data[3:size:segment])
        at, total = 0, len(columns.lows)
        while at < total:
            start = at * segment
            count = columns.in_a_row(at)
            length = _size(data[start + HEADER : start + HEADER + _RECORD_HEADER]) if count else 0
            rest = length - (count - 1) * (segment - HEADER)
            stop = start + count * segment
            # The last one is copied with what follows the record.
            is_there = stop - segment + HEADER + rest <= size and stop <= len(data)
            if count and 0 < rest <= segment - HEADER and is_there:
                pieces = self._pieces_of(data, segment, at + count)[at : at + count]
                for room, piece in zip(self._rooms_of(segment - HEADER), pieces, strict=False):
                    room[:] = piece
                at += count
            else:
                length = self._put(bytes(data[start : min(start + segment, size)]))
                at += 1
            if 0 < length <= MAX_SIZE:
                yield length

    def _put(self, datagram: bytes) -> int:
        """Keep a slice. Returns the bytes of the record when it has become whole, otherwise 0."""
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
            return 0
        del self._waiting[number]
        record = b"".join(pieces)
        self.record[: len(record)] = record
        return _size(record) if _size(record) <= len(record) else 0

    def _rooms_of(self, step: int) -> list[memoryview]:
        rooms = self._rooms.get(step)
        if rooms is None:
            if len(self._rooms) >= _REMEMBERED:
                self._rooms.clear()
            view = memoryview(self.record)
            rooms = self._rooms[step] = [view[at : at + step] for at in range(0, MAX_SLICES * step, step)]
        return rooms

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
    """Of a record, by its header."""
    return _RECORD_HEADER + int.from_bytes(record[_AT_LENGTH:_RECORD_HEADER], "big")
