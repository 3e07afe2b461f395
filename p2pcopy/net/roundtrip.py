"""The round-trip time of a path and how long to wait for an acknowledgement (RFC 9260 section 6.3). Pure."""

from __future__ import annotations

from typing import Final

FIRST_TIMEOUT_S: Final = 1.0  # RTO.Initial
MIN_TIMEOUT_S: Final = 0.1
MAX_TIMEOUT_S: Final = 2.0  # of a path that is not slower than that: who waits longer misses the moment when it is back
SMALLEST_FOR_S: Final = 30.0
_ALPHA: Final = 0.125
_BETA: Final = 0.25
_MAX_DOUBLINGS: Final = 6


class RoundTrip:
    """Of one path. All times in seconds.

    ack_delay: for how long the peer may keep an acknowledgement back. smoothed and variation: SRTT and RTTVAR. smallest: of the
    last 30 to 60 s in which there were samples. latest: the newest sample. None: there was no sample yet.
    """

    def __init__(self, ack_delay: float) -> None:
        self.smoothed: float | None = None
        self.variation = 0.0
        self.smallest: float | None = None
        self.latest: float | None = None
        self._ack_delay = ack_delay
        self._smallest_now = 0.0  # since _since
        self._since = 0.0

    def sample(self, rtt: float, now: float) -> None:
        """A packet that was sent once was acknowledged after rtt (section 6.3.1)."""
        self.latest = rtt
        if self.smoothed is None or self.smallest is None:
            self.smoothed, self.variation = rtt, rtt / 2
            self.smallest = self._smallest_now = rtt
            self._since = now
            return
        self.variation += _BETA * (abs(self.smoothed - rtt) - self.variation)
        self.smoothed += _ALPHA * (rtt - self.smoothed)
        if now - self._since > SMALLEST_FOR_S:
            self.smallest, self._smallest_now, self._since = min(self._smallest_now, rtt), rtt, now
        elif rtt < self._smallest_now:
            self._smallest_now = rtt
            self.smallest = min(self.smallest, rtt)

    def timeout(self, expired: int) -> float:
        """How long to wait for news of what was just sent, after expired timeouts in a row: doubled each time up to 2 s, or up to
        twice the first one on a path that is slower."""
        wait = FIRST_TIMEOUT_S if self.smoothed is None else self.smoothed + 4 * self.variation
        wait = max(wait + self._ack_delay, MIN_TIMEOUT_S)
        return min(wait * (1 << min(expired, _MAX_DOUBLINGS)), max(MAX_TIMEOUT_S, 2 * wait))
