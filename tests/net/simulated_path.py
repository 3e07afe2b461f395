"""A sender with a fixed window and a receiver, joined by a path that loses, delays and repeats packets, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from p2pcopy.net.arrivals import Arrivals
from p2pcopy.net.flight import Flight
from p2pcopy.net.tsn import plus

BURST = 16
SACK_EVERY = 4


@dataclass
class SimulatedPath:
    """delay: of a packet, in s; SACKs take half of rtt and are not lost. loss and repeat: probabilities."""

    packets: int
    window: int
    rtt: float
    delay: Callable[[random.Random], float]
    loss: float = 0.0
    repeat: float = 0.0
    seed: int = 1
    gap: float = 0.0  # s that a packet takes to leave
    first_tsn: int = 0xFFFFFF00
    now: float = 0.0
    lost: int = 0
    sent_again: int = 0
    spurious: int = 0
    timeouts: int = 0
    delivered: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.flight = Flight(self.first_tsn, self.now)
        self.arrivals: Arrivals[int] = Arrivals(plus(self.first_tsn, -1), 1 << 30)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._unsaid = 0
        self._deadline = 0.0
        self._line = 0.0

    def run(self) -> None:
        """Until all packets are acknowledged, which must happen within 1000 s."""
        flight = self.flight
        self._pump()
        while flight.oldest < self.packets:
            overdue = flight.overdue_at()
            timer = min(self._deadline, self._deadline if overdue is None else overdue)
            if self._events and self._events[0][0] <= timer:
                self.now, _, event = heapq.heappop(self._events)
                event()
            else:
                self.now = max(self.now, timer)
                if overdue is not None and overdue <= self.now:
                    if not flight.overdue(self.now):
                        raise AssertionError("nothing was overdue")
                else:
                    self.timeouts += 1
                    if self.timeouts % 2:
                        flight.timed_out_once()
                    else:
                        flight.timed_out()
                    self._rearm()
            if self.now > 1000:
                raise AssertionError("it does not end")
            self._pump()

    def _rearm(self) -> None:
        self._deadline = self.now + self.flight.round_trip.timeout(0)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def _pump(self) -> None:
        flight = self.flight
        while flight.in_flight < self.window:
            numbers = flight.take_lost(BURST, self.now)
            self.sent_again += len(numbers)
            if not numbers:
                size = min(BURST, self.packets - flight.next)
                if not size:
                    return
                numbers = list(range(flight.next, flight.next + size))
                flight.sent(size, self.now, False)
            if not self._deadline:
                self._rearm()
            self._line = max(self._line, self.now)
            for number in numbers:
                self._line += self.gap
                self._send(number, self._line)

    def _send(self, number: int, when: float) -> None:
        if self.random.random() < self.loss:
            self.lost += 1
            return
        for _ in range(2 if self.random.random() < self.repeat else 1):
            self._at(when + self.delay(self.random), lambda: self._arrive(number))

    def _arrive(self, number: int) -> None:
        arrivals, tsn = self.arrivals, self.flight.tsn(number)
        had_gaps = arrivals.has_gaps
        if tsn == plus(arrivals.cumulative, 1):
            arrivals.cumulative = tsn
            self.delivered.append(number)
            if arrivals.has_gaps:
                self.delivered += arrivals.advance_run()
        else:
            arrivals.take(tsn, number, 1000)
        self._unsaid += 1
        if self._unsaid >= SACK_EVERY or had_gaps or arrivals.has_gaps or number == self.packets - 1:
            self._unsaid = 0
            cumulative, gaps, duplicates = arrivals.cumulative, arrivals.gaps(300), arrivals.take_duplicates(16)
            self._at(self.now + self.rtt / 2, lambda: self._sack(cumulative, gaps, duplicates))

    def _sack(self, cumulative: int, gaps: list[int], duplicates: list[int]) -> None:
        told = self.flight.acknowledge(cumulative, gaps, duplicates, self.now)
        if told is not None:
            self.spurious += told.spurious
            if told.newly:
                self._rearm()
