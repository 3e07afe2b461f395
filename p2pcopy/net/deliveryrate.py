"""How fast a path delivers: draft-cheng-iccrg-delivery-rate-estimation, by bursts instead of packets. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Sent(NamedTuple):
    """A burst, and how things were when it was sent.

    end: the number after its last packet; limited: the application had no more to send.
    """

    end: int
    at: float
    delivered: int
    delivered_at: float
    first_sent_at: float
    limited: bool


class DeliveryRate:
    """delivered: packets that have arrived, in all."""

    def __init__(self, now: float) -> None:
        self.delivered = 0
        self._delivered_at = now
        self._first_sent_at = now  # when the packet left that was newest among those that arrived at _delivered_at
        self._void_before = now
        self._limited = False
        self._bursts: deque[Sent] = deque()

    def sent(self, end: int, now: float, is_idle: bool, limited: bool) -> None:
        """A burst of new packets up to number end. is_idle: nothing else is on the way."""
        if is_idle:
            self._first_sent_at = self._delivered_at = now
        self._limited = limited
        self._bursts.append(Sent(end, now, self.delivered, self._delivered_at, self._first_sent_at, limited))

    def sent_again(self, now: float, is_idle: bool) -> Sent:
        """A burst of packets that were sent before."""
        if is_idle:
            self._first_sent_at = self._delivered_at = now
        return Sent(0, now, self.delivered, self._delivered_at, self._first_sent_at, self._limited)

    def burst_of(self, number: int) -> Sent | None:
        """The burst in which a packet was sent first; None if that says nothing any more. Later calls are for no smaller number."""
        bursts = self._bursts
        while bursts[0].end <= number:
            bursts.popleft()
        return bursts[0] if bursts[0].at >= self._void_before else None

    def arrived(self, packets: int, newest: Sent | None, now: float, smallest: float | None) -> float | None:
        """So many packets have arrived; newest: the burst that was sent last among theirs.

        Returns packets/s since then, over the longer one of the times for sending and for acknowledging them. None if that is
        shorter than the smallest round-trip time: too short to say anything.
        """
        self.delivered += packets
        self._delivered_at = now
        if newest is None or newest.at < self._void_before:
            return None
        self._first_sent_at = max(self._first_sent_at, newest.at)
        took = max(newest.at - newest.first_sent_at, now - newest.delivered_at)
        if took <= 0 or took < (smallest or 0.0):
            return None
        return (self.delivered - newest.delivered) / took

    def forget(self, now: float) -> None:
        """The path was away or is another one: what was sent before now says nothing of it."""
        self._void_before = self._first_sent_at = self._delivered_at = now
