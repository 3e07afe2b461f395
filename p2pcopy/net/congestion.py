"""How much may be in flight, and how fast it is sent: CUBIC (RFC 9438), paced, that does not take every loss for congestion.

Three things differ from CUBIC as TCP does it:

- Slow start ends softly, on delay, before the queue overflows (HyStart++, RFC 9406).
- A loss counts as congestion when the round trip time at the loss shows a queue, and the losses are more than those that the path
  has without a queue. Radio links and long paths lose packets at random; halving the window for these makes them slow and helps
  nobody. Losses without a queue count beyond a share of all packets (policers, buffers too short to show).
- The window is paced over the round trip instead of being sent in bursts.

Units: packets, seconds, packets a second. Pure: now is the time of any clock that does not go backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# As Chromium's QUIC: three times IW10 (RFC 6928), 45 KB at most, once a session, on a path that has carried the handshakes.
INITIAL_WINDOW = 32.0
# RFC 9002 section 7.2 has 2; 4 packets let the loss of one be seen by three that come after.
MIN_WINDOW = 4.0

# RFC 9438 sections 4.1, 4.2, 4.3 (TCP-friendly growth) and 4.6.
CUBIC_C = 0.4
BETA = 0.7
RENO_ALPHA = 3 * (1 - BETA) / (1 + BETA)
MAX_TARGET = 1.5

# RFC 9406 section 4.3.
HYSTART_MIN_S, HYSTART_MAX_S = 0.004, 0.016
HYSTART_SAMPLES = 8
CSS_GROWTH = 0.25
HELD_ROUNDS = 2

# As Linux (tcp_pacing_ss_ratio, tcp_pacing_ca_ratio).
START_PACING = 2.0
WARNING_LOSSES = 6
YIELD_BETA = 0.5
YIELD_BELOW = 0.95
CROWDED = 0.7
START_BETA = 0.5
START_PLATEAU = 0.7
PACING = 1.25

SRTT_WEIGHT = 1 / 8  # RFC 6298 section 2
# The smallest round trip time is that of the last 15 to 30 s: longer than CUBIC's cycle on most paths, in which the queue empties.
FLOOR_WINDOW_S = 15.0

# A round trip time that is this much above the smallest one shows a queue.
QUEUE_S = 0.002
QUEUE_SHARE = 0.02
# Losses without a queue count from this share of a round on, and this many.
LOSS_CAP = 0.10
LOSS_COUNT = 6
# What was learnt about losses without a queue is worth this many packets at most.
LOSS_MEMORY = 100_000.0

# The flow uses its window when this much of it is in flight; otherwise the window does not grow (RFC 7661).
USED_IN_START = 0.5
USED = 0.75


class RttFloor:
    """The smallest round trip time of the last FLOOR_WINDOW_S to twice that, in seconds; infinite before the first."""

    def __init__(self) -> None:
        self.value = math.inf
        self._current = math.inf
        self._since = -math.inf

    def add(self, now: float, rtt: float) -> None:
        if now - self._since >= FLOOR_WINDOW_S:
            self.value = min(self._current, rtt) if now - self._since < 2 * FLOOR_WINDOW_S else rtt
            self._current = rtt
            self._since = now
        self._current = min(self._current, rtt)
        self.value = min(self.value, rtt)


class LossLevel:
    """The share of packets that is lost when there is no queue."""

    def __init__(self) -> None:
        self._packets = 0.0
        self._lost = 0.0

    def add(self, packets: int, lost: int) -> None:
        self._packets += packets
        self._lost += lost
        if self._packets > LOSS_MEMORY:
            self._packets /= 2
            self._lost /= 2

    def explains(self, lost: int, packets: int) -> bool:
        """Whether so many of so many packets may well be lost without congestion (within three standard deviations)."""
        if self._lost < LOSS_COUNT:
            return lost == 0
        usual = packets * self._lost / self._packets
        return lost <= usual + 3 * math.sqrt(usual)


@dataclass
class Round:
    """What has happened since the packet that began this round trip was sent."""

    end: int = 0  # the round is over when a packet is acknowledged that was sent after so many were delivered
    acknowledged: int = 0
    lost: int = 0
    queued: int = 0  # of those acknowledged, how many saw a queue
    queued_lost: int = 0
    samples: int = 0
    min_rtt: float = math.inf
    used: float = 0.0  # most packets in flight


@dataclass(frozen=True)
class Before:
    """What a reduction changed, to take it back."""

    window: float
    threshold: float
    plateau: float
    lost: int


class Controller:
    """window: packets that may be in flight, at least MIN_WINDOW; rate: for pacing, 0 as long as no round trip time is known."""

    def __init__(self, now: float) -> None:
        self.window = INITIAL_WINDOW
        self.rate = 0.0
        self._threshold = math.inf  # slow start below
        self._plateau = 0.0  # W_max
        self._reno = 0.0  # W_est
        self._origin = 0.0  # window at the beginning of the epoch
        self._age = 0.0  # seconds of growth in this epoch
        self._last = now
        self._srtt = 0.0
        self._floor = RttFloor()
        self._level = LossLevel()
        self._round = Round()
        self._used = 0.0  # of the last round
        self._pending = 0  # losses that are not judged yet
        self._queue_s = 0.0
        self._high_samples = 0
        self._is_drained = self._is_crowded = False
        self._held_queue_s = 0.0
        self._held_rounds = 0  # of slow start in which the window stays as it is, 0: it grows
        self._growth = 1.0  # packets a packet acknowledged, in slow start
        self._css_rtt = 0.0
        self._deaf_until = -math.inf  # losses of what was sent before have had their answer
        self._valid_from = -math.inf  # round trips that began before are void
        self._outage_window = 0.0  # before the timeout
        self._before: Before | None = None

    @property
    def is_starting(self) -> bool:
        return self.window < self._threshold

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
        rate: delivery rate sample; delivered: packets in all; prior: `delivered` when the sampled packet was sent; limited:
        the application had no more to send then."""
        self._outage_window = 0.0
        if rtt is not None and now - rtt < self._valid_from:
            rtt = None
        if rtt is not None:
            rtt = max(rtt, 1e-6)
            self._srtt = self._srtt + SRTT_WEIGHT * (rtt - self._srtt) if self._srtt else rtt
            self._floor.add(now, rtt)
            self._queue_s = rtt - self._floor.value
            self._round.min_rtt = min(self._round.min_rtt, rtt)
            self._round.samples += 1
            self._high_samples = self._high_samples + 1 if self._queue_s >= self._hystart_s else 0
        lost, self._pending = self._pending, 0
        if rtt is not None and now - rtt < self._deaf_until:
            lost = 0
        self._count(newly, lost, in_flight)
        if lost and self._is_congestion():
            self._reduce(now, self._round.lost)
        elif not limited and self._round.acknowledged:
            self._grow(now, newly, delivered)
        self._last = now
        if prior is not None and prior >= self._round.end:
            self._end_round(now, delivered)
        self._pace()

    def lost(self, now: float, packets: int) -> None:
        """So many packets are taken for lost; judged with the next acknowledged()."""
        self._pending += packets

    def spurious(self, packets: int) -> None:
        """So many had not been lost: a reduction for these alone is taken back."""
        self._round.lost = max(0, self._round.lost - packets)
        if (before := self._before) is None:
            return
        if before.lost > packets:
            self._before = Before(before.window, before.threshold, before.plateau, before.lost - packets)
            return
        self.window = max(self.window, before.window)
        self._threshold, self._plateau = before.threshold, before.plateau
        self._before = None
        self._begin_epoch()
        self._pace()

    def timed_out(self, now: float) -> None:
        """Nothing was acknowledged for a retransmission timeout, twice in a row (RFC 9438 section 4.8)."""
        if not self._outage_window:
            self._outage_window = self.window
            self._plateau = self.window
            self._threshold = max(MIN_WINDOW, BETA * self.window)
        self.window = MIN_WINDOW
        self._forget(now)

    def restart(self, now: float) -> None:
        """After an outage of the same path: samples are void, and the rate is at most half of what it was."""
        before = self._outage_window or self.window
        self._outage_window = 0.0
        self._plateau = before
        self._threshold = max(MIN_WINDOW, BETA * before)
        self.window = max(MIN_WINDOW, before / 2)
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._valid_from = self._deaf_until = self._last = now
        self._pending = 0
        self._before = None
        self._held_rounds = 0
        self._round = Round(end=self._round.end)
        self._begin_epoch()
        self._pace()

    # --- losses

    def _count(self, newly: int, lost: int, in_flight: int) -> None:
        current = self._round
        current.acknowledged += newly
        current.lost += lost
        current.used = max(current.used, in_flight + newly)
        if self._queue_s > max(min(self._floor.value, QUEUE_S), QUEUE_SHARE * self._floor.value):
            current.queued += newly
            current.queued_lost += lost

    def _is_congestion(self) -> bool:
        current = self._round
        everything = max(self.window, current.acknowledged + current.lost)
        if current.lost >= LOSS_COUNT and current.lost > LOSS_CAP * everything:
            return True
        if self._level.explains(current.queued_lost, current.queued + current.queued_lost):
            return False
        return not self.is_starting or self._growth < 1.0

    def _reduce(self, now: float, lost: int) -> None:
        self._before = Before(self.window, self._threshold, self._plateau, lost)
        # RFC 9438 section 4.7: a flow that is shrinking makes room for others
        beta = BETA
        if self.is_starting and not self._is_crowded:
            self._plateau = START_PLATEAU * self.window
            beta = START_BETA
        elif self.window < self._plateau * YIELD_BELOW:
            beta = YIELD_BETA
            self._plateau = self.window * (1 + beta) / 2
        else:
            self._plateau = self.window
        survived = 1 - lost / max(self.window, self._round.acknowledged + lost)
        self.window = max(MIN_WINDOW, self.window * min(beta, survived))
        self._threshold = self.window
        self._held_rounds = 0
        self._deaf_until = now + self._srtt / 4
        self._round = Round(end=self._round.end)
        self._begin_epoch()

    # --- growth

    def _begin_epoch(self) -> None:
        self._age = 0.0
        self._origin = self._reno = self.window

    def _grow(self, now: float, newly: int, delivered: int) -> None:
        used = max(self._used, self._round.used)
        if self.is_starting:
            if not self._held_rounds and not self._is_crowded and (
                self._high_samples >= HYSTART_SAMPLES or self._round.queued_lost >= WARNING_LOSSES
            ):
                self._held_rounds = 1
                self._growth = CSS_GROWTH
                self._deaf_until = now + self._srtt / 4
                self._round = Round(end=delivered)
            if used >= USED_IN_START * self.window and not self._held_rounds:
                self.window += newly * self._growth
                if self.window >= self._threshold:
                    self.window = self._threshold
                    self._begin_epoch()
            return
        if used < USED * self.window:
            return
        self._age += min(now - self._last, self._srtt)
        plateau = max(self._plateau, self._origin)
        k = ((plateau - self._origin) / CUBIC_C) ** (1 / 3)
        target = CUBIC_C * (self._age + self._srtt - k) ** 3 + plateau
        target = min(max(target, self.window), MAX_TARGET * self.window)
        self._reno += (RENO_ALPHA if self._reno < plateau else 1.0) * newly / self.window
        self.window = max(self.window + (target - self.window) / self.window * newly, self._reno)

    def _end_round(self, now: float, delivered: int) -> None:
        ended = self._round
        if self.is_starting:
            if ended.samples < HYSTART_SAMPLES and self._held_rounds:
                return
            if self._held_rounds:
                self._held_rounds += 1
                queue_s = ended.min_rtt - self._floor.value
                if self._held_rounds > HELD_ROUNDS and not self._is_drained:
                    self.window = max(MIN_WINDOW, self.window * (self._floor.value + self._hystart_s) / ended.min_rtt)
                    self._is_drained = True
                    self._held_queue_s = queue_s
                    self._held_rounds = 1
                elif self._is_drained and self._held_rounds > HELD_ROUNDS and queue_s > CROWDED * self._held_queue_s:
                    self._held_rounds = 0
                    self._is_crowded = True
                elif self._is_drained and self._held_rounds > HELD_ROUNDS:
                    self._end_start(ended.min_rtt)
                elif not self._is_drained and queue_s < self._hystart_s:
                    self._held_rounds = 0
        self._used = ended.used
        lost = ended.lost - ended.queued_lost
        self._level.add(ended.acknowledged - ended.queued + lost, lost)
        self._round = Round(end=delivered)

    @property
    def _hystart_s(self) -> float:
        return min(max(HYSTART_MIN_S, self._floor.value / 8), HYSTART_MAX_S)

    def _end_start(self, rtt: float) -> None:
        """Leaves what fits the path without a queue."""
        self._plateau = self._threshold = self.window
        self._held_rounds = 0
        self._begin_epoch()

    def _pace(self) -> None:
        if self._srtt:
            is_fast = self.is_starting and self._growth == 1.0
            self.rate = (START_PACING if is_fast else PACING) * self.window / self._srtt
