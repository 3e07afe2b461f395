"""Which size of packets a path takes: the search of packetization layer path MTU discovery (RFC 8899 section 5). Pure.

The largest size is asked first, because most paths take it; then the range between a size that is good and one that is not is
halved. After a black hole (section 4.3) the search goes up step by step instead.
"""

from __future__ import annotations

from math import inf
from typing import Final

LINK_MTUS: Final = (
    1500,
    1492,
    1480,
    1460,
    1440,
    1420,
    1400,
    1360,
    1320,
    1280,
)  # Ethernet, PPPoE, tunnels, WireGuard... IPv6
MAX_TRIES: Final = 3  # MAX_PROBES
MIN_WAIT_S: Final = 0.3  # PROBE_TIMER
FIRST_RTT_S: Final = 0.1
RAISE_S: Final = 600.0  # PMTU_RAISE_TIMER
HOLE_S: Final = 5.0  # after what looked like a black hole, and may have been a short break; doubled with each


class PathMtuSearch:
    """Sizes are those of UDP payloads in bytes. base: goes everywhere, if need be in fragments of IP; largest: what the local
    link takes (MTU 1500); without probes being possible: base or less.

    size: the largest one that is known to be good.
    """

    def __init__(self, base: int, largest: int, now: float) -> None:
        self.size = base
        self._base = base
        smaller = (largest - LINK_MTUS[0] + mtu for mtu in reversed(LINK_MTUS))
        self._sizes = [base, *(size for size in smaller if size > base)]
        self._good = 0
        self._bad = len(self._sizes)  # the smallest one that is not: both are indices
        self._step_by_step = False
        self._holes = 0
        self._probed: set[int] = set()  # sizes, since the last black hole
        self._asked = 0  # index of the probe that is under way; 0: there is none
        self._tries = 0
        self._due = now if self._bad > 1 else inf

    def next_probe(self, now: float, rtt: float | None) -> int | None:
        """The size to be asked now, if it is time for a probe. rtt: smoothed, in s."""
        if now < self._due:
            return None
        if self._asked and self._tries >= MAX_TRIES:
            self._bad = self._asked
            self._asked = 0
        if not self._asked:
            self._asked, self._tries = self._choose(), 0
        if not self._asked:
            self._rest(now)
            return None
        self._tries += 1
        self._due = now + max(MIN_WAIT_S, 3 * (FIRST_RTT_S if rtt is None else rtt))
        self._probed.add(self._sizes[self._asked])
        return self._sizes[self._asked]

    def _choose(self) -> int:
        """0: the search is over."""
        if self._bad - self._good <= 1:
            return 0
        if self._step_by_step:
            return self._good + 1
        if self._bad == len(self._sizes):
            return self._bad - 1
        return (self._good + self._bad) // 2

    def _rest(self, now: float) -> None:
        """The search is over: paths change, so after a while larger sizes are asked again."""
        self._bad = len(self._sizes)
        self._step_by_step = True
        self._due = now + RAISE_S if self._good < self._bad - 1 else inf

    def confirmed(self, size: int) -> None:
        """A probe of this size was answered. Ignored if it was sent before a black hole, or says nothing new."""
        if size <= self.size or size not in self._probed:
            return
        self._good, self.size = self._sizes.index(size), size
        if self._good >= self._bad:  # all its probes had timed out: who knows which of the others are good, then
            self._bad = len(self._sizes)
        self._asked = 0
        self._due = -inf

    def black_hole(self, now: float) -> None:
        """Packets of this size vanish: the base size again, and other sizes are tried after a while."""
        self._good, self.size = 0, self._base
        self._bad = len(self._sizes)
        self._asked = 0
        self._probed.clear()
        self._step_by_step = True
        self._due = now + min(HOLE_S * 2**self._holes, RAISE_S) if self._bad > 1 else inf
        self._holes = min(self._holes + 1, 10)

    def due(self) -> float:
        """When next_probe() wants to be called: -inf at once, inf not before a black hole."""
        return self._due
