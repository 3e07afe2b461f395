"""How much may be in flight, and how fast it is sent: CUBIC (RFC 9438), paced, which does not take every loss for congestion. Pure.

It differs from TCP's CUBIC in this:

- A loss counts when the round-trip time at that moment shows a queue, and more is lost than this path loses without one. Long and
  wireless paths lose packets at random; to give way to these losses makes a flow slow and helps nobody. Losses without a queue
  count when they are many: policers, and buffers that are too short to be seen.
- Slow start stops at the first sign of a queue, looks whether it is there to stay, and leaves only what fits the path (HyStart++,
  RFC 9406, stops later). Where a queue of others stays, it takes its share of it.
- It gives way to others by more, so that flows that came later get their share sooner.

Units: packets, seconds, packets/s; now: of any clock that does not go backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from p2pcopy.net.baseline import DEVIATIONS, FEW_LOSSES, LossLevel, RttFloor

# As Chromium's QUIC: three times IW10 (RFC 6928), at most 45 KB, once a path, after the handshakes have passed over it.
INITIAL_WINDOW: Final = 32.0
# RFC 9002 section 7.2 has 2. With 4, three more can arrive after one that is lost, and tell of it.
MIN_WINDOW: Final = 4.0

CUBIC_C: Final = 0.4  # RFC 9438 section 5
BETA: Final = 0.7  # section 4.6
MAX_TARGET: Final = 1.5  # section 4.2
# Until the first reduction, no less in a round, as Linux: nobody knows how much there is, and others are quick to take it.
UNKNOWN_TARGET: Final = 1.05
RENO_ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)  # section 4.3
# Section 4.7, fast convergence, has 0.7: who loses before the window is back where it was is in the way of another flow.
YIELD_BETA: Final = 0.5
YIELD_BELOW: Final = 0.98  # of that window
# RFC 5681 section 3.1: at the end of slow start, half of the window has fitted. What fits is not known better than that.
START_BETA: Final = 0.5
START_PLATEAU: Final = 0.7

# A queue in slow start, RFC 9406 section 4.3: an eighth of the round-trip time within these bounds, so many times.
START_QUEUE_S: Final = (0.004, 0.016)
START_QUEUE_SAMPLES: Final = 8
START_LOSSES: Final = 6  # with a queue, in a round: a sign as well
LOOK_ROUNDS: Final = 2
OTHERS_QUEUE: Final = 0.7  # a queue of which so much stays when ours is gone is that of others
# and where the round-trip time has grown by this factor since, what is on the way is half ours: as much as theirs, and a margin
OUR_SHARE: Final = 1.75

START_PACING: Final = 2.0  # of window / SRTT, as Linux (tcp_pacing_ss_ratio)
PACING: Final = 1.25

SRTT_WEIGHT: Final = 1 / 8  # RFC 6298 section 2
# So much above the smallest round-trip time is a queue; twice that time on a path that is faster.
QUEUE_S: Final = 0.002
QUEUE_SHARE: Final = 0.02
JITTERS: Final = 6.0  # and so many times what round-trip times change from one to the next: radio links, busy machines
JITTER_WEIGHT: Final = 1 / 16  # as RFC 3550 section 6.4.1
# Losses without a queue count from this share of a round on; from the lower one where losses have ended with a reduction.
LOSS_CAP: Final = 0.10
LOW_LOSS_CAP: Final = 0.02
LOW_CAP_S: Final = 30.0

# Who has less than this share of the window in flight does not use it, and it does not grow (RFC 9438 section 5.8).
USED_IN_START: Final = 0.5
USED: Final = 0.75


class Phase(Enum):
    DOUBLING = auto()
    HELD = auto()  # there is a queue: does it stay?
    CAREFUL = auto()  # it did not
    DRAINED = auto()  # it did, and so the window is as large as fits without: does the queue go?
    CROWDED = auto()  # it did not: it is that of others
    AVOIDING = auto()  # congestion avoidance


# Packets by which the window grows for one that is acknowledged (RFC 9406 section 4.2).
GROWTH: Final = {Phase.DOUBLING: 1.0, Phase.CAREFUL: 0.25, Phase.CROWDED: 0.25, Phase.HELD: 0.0, Phase.DRAINED: 0.0}


@dataclass
class Round:
    """From a packet's departure to its acknowledgement. used: most in flight; queued, queued_lost: those that met a queue."""

    end: int = 0  # over when a packet is acknowledged before whose departure so many had been delivered
    acknowledged: int = 0
    lost: int = 0
    queued: int = 0
    queued_lost: int = 0
    samples: int = 0
    min_rtt: float = math.inf
    used: float = 0.0


@dataclass
class Reduction:
    """What it was before, and after how many losses that turned out to be real."""

    window: float
    plateau: float
    phase: Phase
    losses: int


class Controller:
    """window: packets that may be in flight, at least MIN_WINDOW; rate: for pacing, 0 while no round-trip time is known."""

    def __init__(self, now: float) -> None:
        self.window = INITIAL_WINDOW
        self.rate = 0.0
        self._phase = Phase.DOUBLING
        self._threshold = math.inf  # slow start ends here
        self._rounds = 0  # in this phase
        self._chance = True  # a flow among others may lose once, and go on to take its share
        self._high_samples = 0  # in a row
        self._stayed_s = 0.0  # the queue that was there to stay
        self._crowded_s = math.inf
        self._plateau = 0.0  # W_max; 0 until the first reduction
        self._origin = 0.0  # the window at the beginning of the epoch
        self._reno = 0.0  # W_est
        self._age = 0.0  # of the epoch: seconds in which the window was used
        self._last = now
        self._srtt = 0.0
        self._is_void = False  # nothing was measured since the last outage
        self._is_drained = False  # nothing was on the way for so long that there is no queue; until the next sample
        self._floor = RttFloor()
        self._queue_s = 0.0  # at the newest sample
        self._rtt = self._jitter_s = 0.0  # the newest sample, and what it differs by from the one before, on average
        self._level = LossLevel()
        self._low_cap_until = -math.inf
        self._capped = 0  # rounds until it shows whether the losses have ended
        self._doubtful = (
            0.0  # the window before it was reduced for a few losses while nothing was known about the level
        )
        self._pending = 0  # losses not judged yet
        self._deaf_until = -math.inf  # losses among what left before then have had their answer
        self._valid_from = -math.inf  # what left before then says nothing of the round-trip time
        self._reduction: Reduction | None = None
        self._outage_window = 0.0  # before the first timeout
        self._used = 0.0  # in the last round
        self._round = Round()

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
        """newly: packets that this SACK acknowledged first; in_flight: after it; rtt: of the newest packet that was sent once;
        rate: delivery rate sample (CUBIC does without); delivered: packets in all; prior: `delivered` when the sampled packet
        was sent; limited: the application had no more to send then."""
        self._outage_window = 0.0
        lost, self._pending = self._pending, 0
        if rtt is not None and now - rtt >= self._valid_from:
            self._measure(now, max(rtt, 1e-6))
        if rtt is not None and now - rtt < self._deaf_until:
            lost = 0
        self._count(newly, lost, in_flight)
        if lost and self._is_congestion(now):
            self._reduce(now)
        elif not limited:
            self._grow(now, newly)
        self._last = now
        if prior is not None and prior >= self._round.end:
            self._end_round(now, delivered)
        self._pace()

    def lost(self, now: float, packets: int) -> None:
        """So many packets are taken for lost; judged with the next acknowledged()."""
        self._pending += packets

    def spurious(self, packets: int) -> None:
        """So many were not lost after all; a reduction for nothing but these is taken back (RFC 9438 section 4.9)."""
        self._round.lost = max(0, self._round.lost - packets)
        before = self._reduction
        if before is None:
            return
        before.losses -= packets
        if before.losses <= 0:
            self._reduction = None
            self._plateau = before.plateau
            self.window = max(self.window, before.window)
            self._enter(before.phase)
            self._pace()

    def timed_out(self, now: float) -> None:
        """Nothing was acknowledged for a timeout, and all that is on the way counts as lost (RFC 9438 section 4.8)."""
        if not self._outage_window:
            self._outage_window = self._plateau = self.window
            self._threshold = max(MIN_WINDOW, BETA * self.window)
        self._is_drained = True
        self._begin_again(now, MIN_WINDOW)

    def restart(self, now: float) -> None:
        """After an outage of the same path: samples are void, and half the rate is left, once before there are new ones."""
        before = self._outage_window or self.window
        if self._is_void and not self._outage_window:
            return
        self._outage_window = 0.0
        if self._phase is Phase.AVOIDING or self._threshold < math.inf:
            self._plateau = before
            self._threshold = max(MIN_WINDOW, BETA * before)
        self._is_drained = False
        self._begin_again(now, max(MIN_WINDOW, before / 2))

    def _begin_again(self, now: float, window: float) -> None:
        self.window = window
        self._valid_from = self._deaf_until = self._last = now
        self._pending = self._capped = 0
        self._reduction = None
        self._round = Round(self._round.end)
        self._is_void = True
        self._enter(Phase.DOUBLING)
        self._pace()

    def _measure(self, now: float, rtt: float) -> None:
        self._srtt = self._srtt + SRTT_WEIGHT * (rtt - self._srtt) if self._srtt else rtt
        self._is_drained = self._is_void = False
        self._floor.add(now, rtt)
        if self._rtt:
            self._jitter_s += JITTER_WEIGHT * (abs(rtt - self._rtt) - self._jitter_s)
        self._rtt = rtt
        self._queue_s = rtt - self._floor.value
        self._high_samples = self._high_samples + 1 if self._queue_s >= self._start_queue_s else 0
        self._round.min_rtt = min(self._round.min_rtt, rtt)
        self._round.samples += 1

    def _pace(self) -> None:
        if self._srtt:
            rtt = self._floor.value if self._is_drained else self._srtt
            self.rate = (START_PACING if self._phase is Phase.DOUBLING else PACING) * self.window / rtt

    def _end_round(self, now: float, delivered: int) -> None:
        ended = self._round
        if self._phase is not Phase.AVOIDING and not self._end_start_round(ended):
            return
        self._used = ended.used
        if now - self._deaf_until > LOOK_ROUNDS * self._srtt:  # not what is left of an overshoot
            lost = ended.lost - ended.queued_lost
            self._level.add(ended.acknowledged - ended.queued + lost, lost)
        if self._doubtful and self._level.share:
            self._go_back()
        if self._capped:
            self._capped -= 1
            if not self._capped and ended.lost < LOW_LOSS_CAP * (ended.acknowledged + ended.lost):
                self._low_cap_until = now + LOW_CAP_S
                self._level = LossLevel()
        self._round = Round(delivered)

    # Losses

    def _count(self, newly: int, lost: int, in_flight: int) -> None:
        current = self._round
        current.acknowledged += newly
        current.lost += lost
        current.used = max(current.used, in_flight + newly)
        floor = self._floor.value
        if self._queue_s > max(min(floor, QUEUE_S), QUEUE_SHARE * floor, JITTERS * self._jitter_s):
            current.queued += newly
            current.queued_lost += lost

    def _is_congestion(self, now: float) -> bool:
        current = self._round
        cap = LOSS_CAP if now >= self._low_cap_until else max(LOW_LOSS_CAP, DEVIATIONS * self._level.share)
        if current.lost >= FEW_LOSSES and current.lost > cap * max(self.window, current.acknowledged + current.lost):
            self._capped = LOOK_ROUNDS
            return True
        if self._phase is Phase.DOUBLING or not current.queued_lost:
            return False
        return not self._level.explains(current.queued_lost, current.queued + current.queued_lost)

    def _reduce(self, now: float) -> None:
        current, phase = self._round, self._phase
        if current.lost < FEW_LOSSES:
            unqueued = current.lost - current.queued_lost
            self._level.add(current.acknowledged - current.queued + unqueued, unqueued)
            if phase is Phase.AVOIDING and not self._level.share:
                self._doubtful = max(self._doubtful, self.window)
        self._reduction = Reduction(self.window, self._plateau, phase, current.lost)
        beta, plateau = BETA, self.window
        if phase in {Phase.DOUBLING, Phase.HELD, Phase.CAREFUL}:
            beta, plateau = START_BETA, START_PLATEAU * self.window
        elif self.window < YIELD_BELOW * self._plateau:
            # at once again: the reduction before was too small
            beta = YIELD_BETA if self._age > LOOK_ROUNDS * self._srtt else BETA
            plateau = self.window * (1 + beta) / 2
        survived = 1 - current.lost / max(self.window, current.acknowledged + current.lost)
        self.window = max(MIN_WINDOW, self.window * min(beta, survived))
        self._plateau = plateau
        # What left just before the reduction may be missed later than what follows.
        self._deaf_until = now + self._srtt / 4
        self._round = Round(current.end)
        stays = phase in {Phase.DRAINED, Phase.CROWDED} and self._chance
        self._chance = self._chance and not stays
        self._enter(Phase.CROWDED if stays else Phase.AVOIDING)

    def _go_back(self) -> None:
        """What is usual here was not known when the window was reduced for a few losses: carefully back to what it was."""
        if self._phase is Phase.AVOIDING and self.window < self._doubtful:
            self._plateau = self._threshold = self._doubtful
            self._enter(Phase.CAREFUL)
        self._doubtful = 0.0

    # Growth

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._rounds = self._high_samples = 0
        self._age = 0.0
        self._origin = self._reno = self.window

    def _grow(self, now: float, newly: int) -> None:
        used = max(self._used, self._round.used)
        if self._phase is not Phase.AVOIDING:
            self._grow_in_start(now, newly, used)
        elif used >= USED * self.window:
            self._age += min(now - self._last, self._srtt)
            plateau = max(self._plateau, self._origin)
            k = ((plateau - self._origin) / CUBIC_C) ** (1 / 3)
            target = plateau + CUBIC_C * (self._age + self._srtt - k) ** 3
            least = 1.0 if self._plateau else UNKNOWN_TARGET
            target = min(max(target, least * self.window), MAX_TARGET * self.window)
            self._reno += (RENO_ALPHA if self._reno < plateau else 1.0) * newly / self.window
            self.window = max(self.window + (target - self.window) * newly / self.window, self._reno)

    # Slow start

    @property
    def _start_queue_s(self) -> float:
        least, most = START_QUEUE_S
        return min(max(self._floor.value / 8, least), most)

    def _grow_in_start(self, now: float, newly: int, used: float) -> None:
        has_queue = self._high_samples >= START_QUEUE_SAMPLES or self._round.queued_lost >= START_LOSSES
        if has_queue and self._phase in {Phase.DOUBLING, Phase.CAREFUL}:
            self._enter(Phase.HELD)
            self._deaf_until = now + self._srtt / 4
            self._round = Round(self._round.end + self._round.acknowledged)
        elif used >= USED_IN_START * self.window:
            self.window += GROWTH[self._phase] * newly
            if self.window >= self._threshold:
                self.window = self._threshold
                self._enter(Phase.AVOIDING)

    def _end_start_round(self, ended: Round) -> bool:
        """False: there were too few samples to end it."""
        if self._phase is Phase.CROWDED and ended.min_rtt > OUR_SHARE * self._crowded_s:
            self._plateau = min(self._plateau, self.window)
            self._enter(Phase.AVOIDING)
        if self._phase not in {Phase.HELD, Phase.DRAINED}:
            return True
        if ended.samples < START_QUEUE_SAMPLES:
            return False
        self._rounds += 1
        queue_s = ended.min_rtt - self._floor.value
        if self._phase is Phase.HELD and queue_s < self._start_queue_s:
            self._enter(Phase.CAREFUL)
        elif self._rounds >= LOOK_ROUNDS and self._phase is Phase.HELD:
            self._stayed_s = queue_s
            self.window = max(MIN_WINDOW, self.window * (self._floor.value + self._start_queue_s) / ended.min_rtt)
            self._plateau = min(self._plateau, self.window)
            self._enter(Phase.DRAINED)
        elif self._rounds >= LOOK_ROUNDS:
            self._crowded_s = ended.min_rtt
            self._enter(Phase.CROWDED if queue_s > OTHERS_QUEUE * self._stayed_s else Phase.AVOIDING)
        return True
