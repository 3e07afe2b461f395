"""Datagrams of the peer into the record layer, whether each holds a record or a slice of one."""

from __future__ import annotations

from collections.abc import Iterator

from p2pcopy.net.records import MAX_RECORD, Records
from p2pcopy.net.slices import SLICE, Joiner


class Opener:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._joiner = Joiner()

    def feed(self, data: bytearray, size: int, segment: int) -> Iterator[None]:
        """The first size bytes of data: datagrams of segment bytes each, the last may be shorter. As much of them at a time as may
        be fed at once: what is in there has to be opened before the next turn. data: best the same few again and again."""
        firsts = data[0:size:segment]
        slices = firsts.count(SLICE)
        if slices == len(firsts):
            yield from self._feed_slices(data, size, segment)
        elif not slices:
            step = max(1, MAX_RECORD // segment) * segment
            for start in range(0, size, step):
                self._records.feed(data, start, min(start + step, size))
                yield
        else:
            for start in range(0, size, segment):
                alone = data[start : min(start + segment, size)]
                yield from self.feed(alone, len(alone), len(alone))

    def _feed_slices(self, data: bytearray, size: int, segment: int) -> Iterator[None]:
        for length in self._joiner.take(data, size, segment):
            self._records.feed(self._joiner.record, 0, length)
            yield
