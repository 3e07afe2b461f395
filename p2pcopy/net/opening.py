"""Datagrams of the peer into the record layer, whether each holds a record or a slice of one."""

from __future__ import annotations

from collections.abc import Iterator

from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.net.slices import SLICE, Joiner


class Opener:
    """Give it datagrams with take(), then call open() until it returns nothing more."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._joiner = Joiner()
        self._fed: Iterator[bool] = iter(())
        self._has_more = False

    def take(self, data: bytearray, size: int, segment: int) -> None:
        """The first size bytes of data: datagrams of segment bytes each, the last may be shorter. data: best the same few objects
        again and again; not to be changed before all is open."""
        self._fed = self._feed(data, size, segment)
        self._has_more = False

    def open(self) -> int:
        """As Records.open(): the size of the next packet, which is in Records.opened, or not more than 0."""
        opened = self._records.open
        size = opened() if self._has_more else 0
        while size <= 0:
            has_more = next(self._fed, None)
            size = opened()
            if has_more is None:
                self._has_more = False
                break
            self._has_more = has_more
        return size

    def _feed(self, data: bytearray, size: int, segment: int) -> Iterator[bool]:
        """As much at a time as may be. Yields whether that may be more than one record."""
        firsts = data[0:size:segment]
        slices = firsts.count(SLICE)
        if slices == len(firsts):
            for record, length in self._joiner.take(data, size, segment):
                self._records.feed_record(record, length)
                yield False
        elif not slices:
            step = max(1, MAX_RECORD // segment) * segment
            for start in range(0, size, step):
                self._records.feed(data, start, min(start + step, size))
                yield True
        else:
            for start in range(0, size, segment):
                alone = data[start : min(start + segment, size)]
                yield from self._feed(alone, len(alone), len(alone))
