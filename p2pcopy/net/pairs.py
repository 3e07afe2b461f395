"""Candidate pairs (RFC 8445 section 6.1.2): what is known of the way from one of our endpoints to one of the peer's addresses."""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from aioice.candidate import candidate_priority

from p2pcopy.net.offload import Offload

Address = tuple[str, int]
RemoteType = Literal["host", "srflx", "prflx", "relay"]

COMPONENT: Final = 1  # a data channel has one component (RFC 8445 section 4)
# Checks through a relay carry the lowest local preference, so that the other side knows what it would be talking through.
RELAYED_PRIORITY: Final = candidate_priority(COMPONENT, "prflx", 0)
CHECK_PRIORITY: Final = candidate_priority(COMPONENT, "prflx")


class LocalEnd(Protocol):
    """Where packets leave from: endpoint.Endpoint, which says more about each of these."""

    address: Address
    relay: str
    overhead: int

    @property
    def is_full(self) -> bool: ...

    @property
    def burst(self) -> int: ...

    @property
    def offload(self) -> Offload: ...

    def send(self, data: bytes, address: Address) -> None: ...

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None: ...

    def probe_mtu(self, on: bool) -> int: ...


@dataclass(frozen=True)
class Remote:
    """An address of the peer. priority: as in RFC 8445 section 5.1.2."""

    address: Address
    type: RemoteType
    priority: int

    @property
    def is_relayed(self) -> bool:
        return self.type == "relay" or (self.type == "prflx" and self.priority == RELAYED_PRIORITY)


@dataclass(eq=False)
class Pair:
    """Times in seconds of the agent's clock. due: of the next check; pause: from it to the one after; answered_at: the last
    answer that proves the peer; heard_at: its last check; unusable_until: not to be nominated before; mapped: our address as the
    peer sees it; wants: the controlling peer has nominated it."""

    local: LocalEnd
    remote: Remote
    due: float
    pause: float
    seen: float
    sent_at: float = float("-inf")
    answered_at: float = float("-inf")
    heard_at: float = float("-inf")
    unusable_until: float = float("-inf")
    mapped: Address | None = None
    wants: bool = False
    rtts: deque[float] = field(default_factory=lambda: deque(maxlen=8))

    @property
    def is_relayed(self) -> bool:
        return bool(self.local.relay) or self.remote.is_relayed

    @property
    def last_sign(self) -> float:
        return max(self.heard_at, self.answered_at)

    @property
    def rtt_s(self) -> float | None:
        return min(self.rtts, default=None)

    def rank(self, *, controlling: bool) -> int:
        """Pair priority (RFC 8445 section 6.1.2.3): the larger, the better."""
        ours = candidate_priority(COMPONENT, "relay" if self.local.relay else "host")
        theirs = self.remote.priority
        g, d = (ours, theirs) if controlling else (theirs, ours)
        return (min(g, d) << 32) + 2 * max(g, d) + (g > d)


@dataclass
class Tally:
    """What became of the checks with one address of the peer."""

    checks: int = 0
    answered: int = 0
    heard: int = 0
    refused: bool = False


def remote_priority(kind: RemoteType, place: int) -> int:
    """For an address at this place of a code; the earlier, the better."""
    return candidate_priority(COMPONENT, kind, 65535 - min(place, 65000))


def same_family(local: Address, remote: Address) -> bool:
    return ipaddress.ip_address(local[0]).version == ipaddress.ip_address(remote[0]).version
