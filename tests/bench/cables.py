"""What a cable is like, and what went through it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cable:
    """rtt_ms: added by it; loss: 0 to 1, each way; rate_mbit: of IP packets, each way, 0: no limit; queue_ms: before that rate."""

    rtt_ms: float = 0.0
    loss: float = 0.0
    rate_mbit: float = 0.0
    queue_ms: float = 50.0

    @property
    def capacity_mib_s(self) -> float:
        """0: no limit."""
        return self.rate_mbit * 1e6 / 8 / 2**20


@dataclass(frozen=True)
class Traffic:
    """What has entered a cable on one side. late_ms: the worst that it was behind its time."""

    packets: int
    bytes: int
    lost: int
    overflowed: int
    late_ms: float
