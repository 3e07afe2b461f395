"""A bottleneck on a virtual clock: a rate, a queue that drops its tail, delay, seeded loss, reordering and duplicates; and flows
that share it, ours and a TCP's with CUBIC.

As a program it prints the shares of a 100 Mbit/s bottleneck: simulated_bottleneck.py [CASE...]
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, TypeVar

from p2pcopy.net.congestion import Controller

T = TypeVar("T")

PACKET = 1500  # bytes on the wire
MBIT = 125_000.0  # bytes/s
REORDERING = 3  # packets that overtake one that is not lost yet
BATCH_S = 0.0005  # a receiver of ours answers this long after the first packet that waits
LARGEST_BURST = 88
TIMER_S = 0.001
START_WITHIN_S = 0.05  # flows of a case that start together


class Clock:
    """Runs what is due, in order; takes no time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(when, self.now), next(self._numbers), call))

    def run(self, until: float) -> None:
        due = self._due
        while due and due[0][0] <= until:
            self.now, _, call = heapq.heappop(due)
            call()
        self.now = until


@dataclass(frozen=True)
class Road:
    """One direction. rate: bytes/s, infinite without a bottleneck; queue: bytes that may wait; loss, reordered, doubled: shares of
    packets; late_s: by how much the reordered ones come later; polices: what is too much is dropped at once, and nothing waits: the
    queue is the bucket's depth."""

    rate: float = math.inf
    delay_s: float = 0.0
    queue: float = math.inf
    loss: float = 0.0
    reordered: float = 0.0
    late_s: float = 0.002
    doubled: float = 0.0
    jitter_s: float = 0.0
    polices: bool = False


class Bottleneck:
    """What several flows share. Carries any packet and gives it back with the time of its arrival."""

    def __init__(self, clock: Clock, road: Road, seed: int = 1) -> None:
        self.clock = clock
        self.road = road
        self.passed = 0  # bytes
        self.dropped = 0  # packets, by the queue
        self._random = Random(seed)
        self._free_at = 0.0
        self._last = 0.0

    @property
    def waiting_s(self) -> float:
        return max(0.0, self._free_at - self.clock.now)

    def send(self, packet: T, size: int, arrived: Callable[[T, float], None]) -> None:
        road, clock = self.road, self.clock
        if road.loss and self._random.random() < road.loss:
            return
        left = clock.now
        if road.rate != math.inf:
            if self.waiting_s * road.rate + size > road.queue:
                self.dropped += 1
                return
            self._free_at = max(self._free_at, left) + size / road.rate
            if not road.polices:
                left = self._free_at
        self.passed += size
        due = left + road.delay_s
        if road.jitter_s:  # packets stay in order
            self._last = due = max(self._last, due + self._random.random() * road.jitter_s)
        if road.reordered and self._random.random() < road.reordered:
            due += road.late_s
        clock.at(due, lambda: arrived(packet, clock.now))
        if road.doubled and self._random.random() < road.doubled:
            clock.at(due, lambda: arrived(packet, clock.now))


class Control(Protocol):
    """What a flow asks of its controller: p2pcopy.net.congestion.Controller, or Cubic below."""

    window: float
    rate: float

    def acknowledged(
        self,
        now: float,
        *,
        newly: int,
        in_flight: int,
        rtt: float | None,
        rate: float | None,
        delivered: int,
        prior: int | None,
        limited: bool,
    ) -> None: ...
    def lost(self, now: float, packets: int) -> None: ...
    def spurious(self, packets: int) -> None: ...
    def timed_out(self, now: float) -> None: ...


class Cubic:
    """Linux's TCP: CUBIC (RFC 9438) with fast convergence, HyStart by delay and by trains of acknowledgements, growth by 5 % a
    round until the first loss, proportional rate reduction (RFC 6937), no pacing."""

    C, BETA = 0.4, 717 / 1024

    def __init__(self) -> None:
        self.window = 10.0
        self.rate = 0.0
        self._threshold = math.inf
        self._plateau = 0.0
        self._epoch = -1.0
        self._k = self._origin = self._reno = self._top = 0.0
        self._srtt = 0.0
        self._floor = math.inf
        self._recovered_at = -1  # delivered count
        self._before = 0.0  # the window before the recovery
        self._prr_delivered = self._prr_out = self._in_flight = 0
        self._pending = 0
        self._train_began = self._train_at = 0.0
        self._round_end = 0
        self._round_rtt = math.inf
        self._samples = 0

    def acknowledged(
        self,
        now: float,
        *,
        newly: int,
        in_flight: int,
        rtt: float | None,
        rate: float | None,
        delivered: int,
        prior: int | None,
        limited: bool,
    ) -> None:
        if rtt is not None:
            self._srtt = self._srtt + (rtt - self._srtt) / 8 if self._srtt else rtt
            self._floor = min(self._floor, rtt)
            self._hystart(now, rtt, delivered, prior)
        recovering = prior is None or prior < self._recovered_at
        if self._pending and not recovering:
            self._plateau = self.window * (1 + self.BETA) / 2 if self.window < self._plateau else self.window
            self._before = self.window
            self._threshold = max(2.0, self.window * self.BETA)
            self._prr_delivered = self._prr_out = 0
            self._recovered_at = delivered + 1
            self._epoch = -1.0
            recovering = True
        lost, self._pending = self._pending, 0
        out, self._in_flight = in_flight + newly + lost - self._in_flight, in_flight
        if recovering:
            self._reduce(newly, lost, in_flight, out)
        elif limited or in_flight + newly < self.window / 2:
            return
        elif self.window < self._threshold:
            self.window += newly
        else:
            if self._epoch < 0 and self._before:  # the recovery is over
                self.window = self._threshold
            self._avoid(now, newly)

    def _reduce(self, newly: int, lost: int, in_flight: int, out: int) -> None:
        if self._prr_delivered:
            self._prr_out += out
        self._prr_delivered += newly
        room = self._threshold - in_flight
        if room < 0:
            more = math.ceil(self._threshold * self._prr_delivered / self._before) - self._prr_out
        else:
            more = int(min(room, max(self._prr_delivered - self._prr_out, newly) + (not lost)))
        self.window = in_flight + max(more, 0 if self._prr_out else 1)

    def _hystart(self, now: float, rtt: float, delivered: int, prior: int | None) -> None:
        if prior is not None and prior >= self._round_end:
            self._round_end, self._round_rtt, self._samples = delivered, math.inf, 0
            self._train_began = self._train_at = now
        self._round_rtt = min(self._round_rtt, rtt)
        self._samples += 1
        limit = self._floor + min(max(self._floor / 8, 0.004), 0.016)
        is_train = now - self._train_at <= 0.002
        if is_train:
            self._train_at = now
        found = (is_train and now - self._train_began > self._floor / 2) or (
            self._samples >= 8 and self._round_rtt > limit
        )
        if found and 16 <= self.window < self._threshold:
            self._threshold = self.window

    def _avoid(self, now: float, newly: int) -> None:
        if self._epoch < 0:
            self._epoch = now
            self._top = max(self._plateau, self.window)
            self._k = ((self._top - self.window) / self.C) ** (1 / 3)
            self._reno = self.window
        target = self._top + self.C * (now - self._epoch + self._floor - self._k) ** 3
        target = min(target, 1.5 * self.window)
        grown = (target - self.window) / self.window if target > self.window else 0.01 / self.window
        if not self._plateau:
            grown = max(grown, 0.05)
        self._reno += newly / self.window * 3 * (1 - self.BETA) / (1 + self.BETA)
        self.window += max(grown, min((self._reno - self.window) / self.window, 0.5), 0.0) * newly

    def lost(self, now: float, packets: int) -> None:
        self._pending += packets

    def spurious(self, packets: int) -> None:
        """Not undone."""

    def timed_out(self, now: float) -> None:
        self._threshold = max(2.0, self.window * self.BETA)
        self._plateau = self.window
        self.window = 2.0
        self._before = 0.0
        self._in_flight = 0
        self._epoch = -1.0


@dataclass(slots=True)
class Sent:
    when: float
    delivered: int
    delivered_at: float
    first_at: float
    limited: bool
    again: bool


@dataclass
class Flow:
    """A sender and its receiver. Every sending has a number of its own, so that the loss of what is sent again is seen too.

    back_s: how long an acknowledgement takes back, without loss; jitter_s: and how much longer at most (without it, flows fall
    into step, and one of them meets each full queue); packets: to be sent, infinite for as long as it takes; supply: what the
    application gives, packets/s; tcp: two packets are acknowledged at a time, else what came in BATCH_S.
    """

    clock: Clock
    bottleneck: Bottleneck
    control: Control
    back_s: float
    packets: float = math.inf
    supply: float = math.inf
    tcp: bool = False
    fastest: float = math.inf  # what the sender's processor can do, packets/s
    jitter_s: float = 0.0005
    seed: int = 1
    # counts of packets
    sent: int = 0
    resent: int = 0
    arrived: int = 0
    timeouts: int = 0
    done_at: float = math.inf
    history: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._flying: dict[int, Sent] = {}
        self._order: deque[int] = deque()
        self._again = 0
        self._delivered = 0
        self._delivered_at = self._first_at = self.clock.now
        self._highest = -1
        self._next = 0.0
        self._waking = False
        self._waiting: list[int] = []  # at the receiver
        self._srtt = 0.0
        self._heard = 0.0
        self._silent = 0
        self._given_up: dict[int, float] = {}
        self._starved = False
        self._started = self.clock.now
        self._random = Random(self.seed)
        self._last_back = 0.0

    def start(self, when: float = 0.0) -> Flow:
        self.clock.at(when, self._begin)
        return self

    def rate(self, since: float, until: float) -> float:
        """Packets/s that arrived first within this time."""
        inside = [count for when, count in self.history if since <= when < until]
        return sum(inside) / (until - since)

    def _begin(self) -> None:
        self._started = self._heard = self.clock.now
        self._delivered_at = self._first_at = self.clock.now
        self._pump()
        self._watch()

    @property
    def _supplied(self) -> float:
        if self.supply == math.inf:
            return self.packets
        return min(self.packets, self.supply * (self.clock.now - self._started))

    def _pump(self) -> None:
        clock, control = self.clock, self.control
        while True:
            now = clock.now
            room = int(control.window) - len(self._flying)
            fresh = self._supplied - (self.sent - self.resent)
            self._starved = fresh < 1 and not self._again
            if self._starved and self.supply != math.inf and fresh < 1:
                self._wake(now + 1 / self.supply)
            if room <= 0 or self._starved:
                return
            rate = min(control.rate or math.inf, self.fastest)
            if rate == math.inf:
                count = room
            else:
                if now < self._next - TIMER_S / 2:
                    self._wake(self._next)
                    return
                count = max(2, min(LARGEST_BURST, int(rate * TIMER_S)))
            count = int(min(count, room, fresh + self._again))
            for _ in range(count):
                self._send(now)
            self._next = max(self._next, now - 2 * TIMER_S) + count / rate

    def _wake(self, when: float) -> None:
        if not self._waking:
            self._waking = True
            self.clock.at(when, self._woken)

    def _woken(self) -> None:
        self._waking = False
        self._pump()

    def _send(self, now: float) -> None:
        again = self._again > 0
        if again:
            self._again -= 1
            self.resent += 1
        if not self._flying:
            self._first_at = self._delivered_at = now
        number = self.sent
        self.sent += 1
        self._flying[number] = Sent(now, self._delivered, self._delivered_at, self._first_at, self._starved, again)
        self._order.append(number)
        self.bottleneck.send(number, PACKET, self._receive)

    def _receive(self, number: int, now: float) -> None:
        self._waiting.append(number)
        if self.tcp:
            if len(self._waiting) >= 2 or number != self._waiting[0]:
                self._answer()
            elif len(self._waiting) == 1:
                self.clock.at(now + 0.04, lambda: self._late(number))
        elif len(self._waiting) == 1:
            self.clock.at(now + BATCH_S, self._answer)

    def _late(self, number: int) -> None:
        if self._waiting and self._waiting[0] == number:
            self._answer()

    def _answer(self) -> None:
        numbers, self._waiting = self._waiting, []
        back_s = self.back_s + self._random.random() * self.jitter_s
        self._last_back = max(self._last_back, self.clock.now + back_s)  # they stay in order
        self.clock.at(self._last_back, lambda: self._acknowledge(numbers))

    def _acknowledge(self, numbers: list[int]) -> None:
        now = self.clock.now
        newest: Sent | None = None
        once: Sent | None = None
        newly = spurious = 0
        for number in numbers:
            packet = self._flying.pop(number, None)
            if packet is None:
                spurious += self._given_up.pop(number, None) is not None
                continue
            newly += 1
            if number > self._highest:
                self._highest = number
                newest = packet
                once = packet  # a number of its own for every sending: no ambiguity
        if spurious:
            self.control.spurious(spurious)
            self._again = max(0, self._again - spurious)
        lost = 0
        while self._order and self._order[0] <= self._highest - REORDERING:
            number = self._order.popleft()
            if number in self._flying:
                del self._flying[number]
                self._given_up[number] = now
                lost += 1
        if lost:
            self._again += lost
            self.control.lost(now, lost)
        if newly:
            self._heard = now
            self._silent = 0
            self.arrived += newly
            self._delivered += newly
            self.history.append((now, newly))
            if self._delivered >= self.packets and self.done_at == math.inf:
                self.done_at = now
            rtt = now - once.when if once else None
            sample = None
            if rtt is not None:
                self._srtt = self._srtt + (rtt - self._srtt) / 8 if self._srtt else rtt
            if newest is not None:
                interval = max(newest.when - newest.first_at, now - newest.delivered_at)
                self._first_at = newest.when
                if interval > 0:
                    sample = (self._delivered - newest.delivered) / interval
            self._delivered_at = now
            self.control.acknowledged(
                now,
                newly=newly,
                in_flight=len(self._flying),
                rtt=rtt,
                rate=sample,
                delivered=self._delivered,
                prior=newest.delivered if newest else None,
                limited=newest.limited if newest else self._starved,
            )
        self._pump()

    def _watch(self) -> None:
        """The retransmission timeout; the first silence sends one packet again, the second is a timeout."""
        now = self.clock.now
        timeout = max(0.2, 2 * self._srtt) * 2**self._silent
        if self._flying and now - self._heard > timeout:
            self._silent += 1
            self._heard = now
            oldest = next(iter(self._flying))
            if self._silent == 1:
                del self._flying[oldest]
                self._again += 1
            else:
                self.timeouts += 1
                self._again += len(self._flying)
                self._flying.clear()
                self.control.timed_out(now)
            self._next = now
            self._pump()
        if self.done_at == math.inf:
            self.clock.at(now + 0.05, self._watch)


@dataclass(frozen=True)
class Case:
    """flows: what each is, "ours" or "tcp"; latest: seconds after which the last of them starts."""

    name: str
    flows: tuple[str, ...]
    rtt_s: float
    queue_s: float
    mbit: float = 100.0
    loss: float = 0.0
    latest: float = 0.0
    seconds: float = 30.0
    jitter_s: float = 0.0
    polices: bool = False
    packets: float = math.inf
    fastest: float = math.inf
    seed: int = 1

    def run(self) -> Outcome:
        clock = Clock()
        rate = self.mbit * MBIT
        queue = max(self.queue_s * rate, 2 * PACKET) if rate != math.inf else math.inf
        road = Road(rate, self.rtt_s / 2, queue, self.loss, jitter_s=self.jitter_s, polices=self.polices)
        bottleneck = Bottleneck(clock, road, self.seed)
        flows = []
        random = Random(self.seed)
        for index, kind in enumerate(self.flows):
            start = random.random() * START_WITHIN_S
            if self.latest and index == len(self.flows) - 1:
                start = self.latest
            control: Control = Cubic() if kind == "tcp" else Controller(start)
            flow = Flow(
                clock,
                bottleneck,
                control,
                self.rtt_s / 2,
                packets=self.packets,
                tcp=kind == "tcp",
                fastest=self.fastest,
                seed=self.seed + index,
            )
            flows.append(flow.start(start))
        end = self.latest + self.seconds
        clock.run(end)
        since = self.latest
        until = min(end, *(flow.done_at for flow in flows))
        return Outcome(self, flows, [flow.rate(since, until) for flow in flows], until)


@dataclass(frozen=True)
class Outcome:
    """rates: packets/s of each flow since the last of them started."""

    case: Case
    flows: list[Flow]
    rates: list[float]
    until: float

    @property
    def share(self) -> float:
        """Of the last flow in what all of them get."""
        return self.rates[-1] / sum(self.rates)

    @property
    def used(self) -> float:
        """Of the bottleneck."""
        return sum(self.rates) * PACKET / (self.case.mbit * MBIT)

    @property
    def resent(self) -> float:
        """Share of our sendings, of the first flow."""
        return self.flows[0].resent / max(1, self.flows[0].sent)


RTTS, QUEUES = (0.010, 0.040, 0.100), (0.005, 0.050, 0.200)


def cases() -> list[Case]:
    grid = [(rtt, queue) for rtt in RTTS for queue in QUEUES]
    return [
        *(Case("ours, TCP", ("tcp", "ours"), rtt, queue) for rtt, queue in grid),
        *(Case("two of ours", ("ours", "ours"), rtt, queue) for rtt, queue in grid),
        *(Case("two TCP", ("tcp", "tcp"), rtt, queue) for rtt, queue in grid),
        *(Case("TCP later than TCP", ("tcp", "tcp"), rtt, queue, latest=10) for rtt, queue in grid),
        *(Case("ours later than TCP", ("tcp", "ours"), rtt, queue, latest=10) for rtt, queue in grid),
        *(Case("TCP later than ours", ("ours", "tcp"), rtt, queue, latest=10) for rtt, queue in grid),
        *(Case("ours later than ours", ("ours", "ours"), rtt, queue, latest=10) for rtt, queue in grid),
        *(Case("alone", ("ours",), rtt, queue, packets=70_000) for rtt, queue in grid),
        *(Case("TCP alone", ("tcp",), rtt, queue, packets=70_000) for rtt, queue in grid),
        *(Case("lossy", ("ours",), 0.1, 0.05, mbit=1000, loss=loss, seconds=6) for loss in (0, 0.001, 0.01, 0.03)),
        *(Case("lossy, jitter", ("ours",), 0.1, 0.05, mbit=300, loss=loss, jitter_s=0.004) for loss in (0.001, 0.01)),
        *(Case("policer", ("ours",), 0.04, depth, polices=True) for depth in (0.02, 0.1)),
        *(Case("near", ("ours",), 0.0003, queue, mbit=1000, seconds=1) for queue in (0.002, 0.01)),
    ]


def main(names: list[str]) -> None:
    print(
        f"{'case':22} RTT ms queue loss % | {'Mbit/s':>13} {'first third':>13} {'last third':>13} | share  used resent CPU s"
    )
    for case in cases():
        if names and case.name not in names:
            continue
        began = time.process_time()
        outcome = case.run()
        spent = time.process_time() - began
        since = case.latest
        third = (outcome.until - since) / 3

        def mbit(start: float, end: float, outcome: Outcome = outcome) -> str:
            return "/".join(f"{flow.rate(start, end) * PACKET / MBIT:.1f}" for flow in outcome.flows)

        print(
            f"{case.name:22} {case.rtt_s * 1000:6.0f} {case.queue_s * 1000:5.0f} {case.loss * 100:6.1f} | "
            f"{mbit(since, outcome.until):>13} {mbit(since, since + third):>13} "
            f"{mbit(outcome.until - third, outcome.until):>13} | "
            f"{outcome.share:5.0%} {outcome.used:5.0%} {outcome.resent:6.2%} {spent:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
