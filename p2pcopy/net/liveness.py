"""Is the peer still there? Signs of life and the lack of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STALL_S: Final = 2.5  # without a sign of life
DOUBT_S: Final = 1.3
DATA_COUNTS_S: Final = 6.0  # how long data alone shows that the path is there: it says nothing of our own direction
GONE_S: Final = 6.0  # how long the peer's machine has to say that nobody listens
REFUSED_AGAIN_S: Final = (
    5.0  # Linux refuses once a second, whoever of this machine asks (icmp_ratelimit), and some get lost
)
SUSPENDED_S: Final = 2.0  # without a look at the clock: this machine or process was suspended
TELL_S: Final = 1.0


@dataclass(frozen=True)
class Silent:
    """No sign of life of the peer for silent_s; told again every second. left_s: until the agent gives up."""

    silent_s: float
    left_s: float


@dataclass(frozen=True)
class Gone:
    """The agent has given up. refused: the peer's machine says that nobody listens there any more."""

    silent_s: float
    refused: bool


class Liveness:
    """Of one session, from now on. stall_limit_s: how long a path may be away; the time that this machine sleeps does not count."""

    def __init__(self, stall_limit_s: float, now: float) -> None:
        self.stalled = False
        self.alive_at = now
        self._stall_limit_s = stall_limit_s
        self._answered_at = now
        self._gives_up_at = float("inf")
        self._looked = now
        self._told_at = now
        self._refused_since = float("inf")
        self._refused_at = float("-inf")

    def answered(self, now: float) -> float:
        """The peer has answered. Returns for how long it was away: 0.0 if it was not."""
        gap = now - self.alive_at if self.stalled else 0.0
        self.stalled = False
        self.alive_at = self._answered_at = now
        self._refused_since = float("inf")
        return gap

    def heard_data(self, now: float) -> None:
        """Data of the peer has arrived, and could be decrypted."""
        if not self.stalled and now - self._answered_at < DATA_COUNTS_S:
            self.alive_at = now

    def lost_path(self, now: float) -> None:
        """What the path went through on our side is gone."""
        self._answered_at = min(self._answered_at, now - STALL_S - DATA_COUNTS_S)

    def is_doubtful(self, now: float) -> bool:
        """Is an answer overdue?"""
        return now - self.alive_at > DOUBT_S

    def refused(self, now: float) -> None:
        """The peer's machine says that nobody listens there (ICMP, which anybody may have sent)."""
        self._refused_since = min(self._refused_since, now)
        self._refused_at = now

    @property
    def due(self) -> float:
        """When look() has something to say."""
        if self.stalled:
            return self._told_at + TELL_S
        return min(self.alive_at + STALL_S, self._answered_at + STALL_S + DATA_COUNTS_S)

    def look(self, now: float) -> Silent | Gone | None:
        """What is to be told now. Call it at least every second."""
        slept = now - self._looked
        self._looked = now
        if slept > SUSPENDED_S:
            self._gives_up_at += slept
        if now < self.due:
            return None
        if not self.stalled:
            self.stalled = True
            self._gives_up_at = now - STALL_S + self._stall_limit_s
        self._told_at = now
        is_refused = now - self._refused_since > GONE_S and now - self._refused_at < REFUSED_AGAIN_S
        if is_refused or now >= self._gives_up_at:
            return Gone(now - self.alive_at, is_refused)
        return Silent(now - self.alive_at, self._gives_up_at - now)
