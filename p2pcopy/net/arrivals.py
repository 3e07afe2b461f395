"""What has arrived out of order and waits for what is missing (RFC 9260 sections 3.3.4, 6.2; RFC 3758 section 3.6). Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import chain
from typing import Final, Generic, TypeVar

from p2pcopy.net.tsn import HALF, MASK, distance

T = TypeVar("T")

MAX_OFFSET: Final = 65535  # from the cumulative TSN: what is beyond cannot be told in a SACK, so it is not held
MAX_RANGES: Final = 4096  # a hostile peer leaves every other packet out
MIN_COST: Final = 512  # bytes that an item may cost however small it is: one byte of payload occupies some 300
MAX_DUPLICATES: Final = 64  # that wait to be told


class Arrivals(Generic[T]):
    """limit: bytes that may be held out of order.

    cumulative: TSN up to which everything has arrived. Who takes the next packet in order puts its TSN there, and then calls
    advance_run() if has_gaps. held_bytes: bytes that are held.
    """

    def __init__(self, cumulative_tsn: int, limit: int) -> None:
        self.cumulative = cumulative_tsn
        self.held_bytes = 0
        self.has_gaps = False
        self._limit = limit
        self._most = limit // MIN_COST
        self._held: dict[int, tuple[T, int]] = {}
        # What is held, as ranges: TSNs of their first and last packets, in order, a packet or more missing before each.
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._duplicates: list[int] = []

    def take(self, tsn: int, item: T, size: int) -> bool:
        """A packet that is not the next one in order. False: it was there already, or there is no room for it."""
        offset = (tsn - self.cumulative) & MASK
        held = self._held
        if not 0 < offset <= MAX_OFFSET or tsn in held:
            is_far = MAX_OFFSET < offset < HALF
            if not is_far and len(self._duplicates) < MAX_DUPLICATES:
                self._duplicates.append(tsn)
            return False
        if self.held_bytes + size > self._limit or len(held) >= self._most or not self._note(tsn, offset):
            return False
        held[tsn] = (item, size)
        self.held_bytes += size
        self.has_gaps = True
        return True

    def _note(self, tsn: int, offset: int) -> bool:
        """Enter a packet into the ranges. False: there are too many."""
        firsts, lasts = self._firsts, self._lasts
        before, after = (tsn - 1) & MASK, (tsn + 1) & MASK
        if lasts and lasts[-1] == before:  # nearly always
            lasts[-1] = tsn
            return True
        cumulative = self.cumulative
        at = bisect_left(firsts, offset, key=lambda first: (first - cumulative) & MASK)
        follows = at > 0 and lasts[at - 1] == before
        if at < len(firsts) and firsts[at] == after:
            firsts[at] = tsn
            if follows:
                del firsts[at], lasts[at - 1]
        elif follows:
            lasts[at - 1] = tsn
        elif len(firsts) < MAX_RANGES:
            firsts.insert(at, tsn)
            lasts.insert(at, tsn)
        else:
            return False
        return True

    def advance_run(self) -> list[T]:
        """What has become the next in order, after cumulative has moved on; cumulative moves on over it."""
        if not self._firsts or self._firsts[0] != (self.cumulative + 1) & MASK:
            return []
        first, last = self._firsts.pop(0), self._lasts.pop(0)
        self.has_gaps = bool(self._firsts)
        self.cumulative = last
        return self._release(first, last)

    def forward(self, cumulative_tsn: int) -> list[tuple[int, T]]:
        """Wait no longer for what is missing up to there: returns what is held up to there, in order, with the TSNs. Call
        advance_run() afterwards. What is no progress is ignored."""
        if distance(cumulative_tsn, self.cumulative) <= 0:
            return []
        found: list[tuple[int, T]] = []
        firsts, lasts = self._firsts, self._lasts
        while firsts and distance(firsts[0], cumulative_tsn) <= 0:
            first, last = firsts[0], lasts[0]
            if distance(last, cumulative_tsn) > 0:  # a part of this range stays
                last = cumulative_tsn
                firsts[0] = (last + 1) & MASK
            else:
                del firsts[0], lasts[0]
            found += zip(_tsns(first, last), self._release(first, last), strict=True)
        self.cumulative = cumulative_tsn
        self.has_gaps = bool(firsts)
        return found

    def _release(self, first: int, last: int) -> list[T]:
        pop = self._held.pop
        released = [pop(tsn) for tsn in _tsns(first, last)]
        self.held_bytes -= sum([size for _, size in released])
        return [item for item, _ in released]

    def gaps(self, room: int) -> list[int]:
        """Gap ack blocks for a SACK: first and last, first and last..., as offsets from cumulative.

        At most room blocks, those nearest to cumulative.
        """
        cumulative = self.cumulative
        blocks: list[int] = []
        for first, last in zip(self._firsts[: max(0, room)], self._lasts, strict=False):
            blocks += ((first - cumulative) & MASK, (last - cumulative) & MASK)
        return blocks

    def take_duplicates(self, limit: int) -> list[int]:
        """TSNs that came again since the last call, at most limit of them."""
        duplicates, self._duplicates = self._duplicates[: max(0, limit)], []
        return duplicates


def _tsns(first: int, last: int) -> Iterable[int]:
    if first <= last:
        return range(first, last + 1)
    return chain(range(first, MASK + 1), range(last + 1))
