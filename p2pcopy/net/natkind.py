"""What lies between this machine and the internet, from what STUN servers saw: RFC 4787 behaviour, RFC 5780 tests. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

Address = tuple[str, int]


class Mapping(StrEnum):
    """Which public address a NAT gives to one local address and port (RFC 4787 section 4.1).

    DEPENDENT: on the destination, not known whether on its address alone.
    """

    NONE = "no translation"
    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address- and port-dependent"
    DEPENDENT = "dependent on the destination"
    UNKNOWN = "unknown"


class Filtering(StrEnum):
    """Who may send to that public address (RFC 4787 section 5), or, without a NAT, to this machine."""

    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address- and port-dependent"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """The name that people know: RFC 3489 section 5, and what is no NAT. CONE: with filtering that is not known."""

    OPEN = "no NAT"
    FIREWALL = "firewall without NAT"
    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted cone"
    PORT_RESTRICTED = "port-restricted cone"
    CONE = "cone"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "UDP blocked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Mapped:
    """How one STUN server saw the socket."""

    server: Address
    mapped: Address


@dataclass(frozen=True)
class FilterTest:
    """A server's answers from elsewhere to a socket that had only sent to its first address (RFC 5780 section 4.4).

    valid: the server's other address is alive and it did not refuse, so that silence means something.
    """

    from_other_address: bool
    from_other_port: bool
    valid: bool


@dataclass(frozen=True)
class Observations:
    """What was seen in one address family. local: the address of the socket that asked; mapped: by all servers that answered
    it, the other addresses of RFC 5780 servers included; hairpin: a packet to the public address came back, None: not tried;
    blocked: nothing answered over UDP, although other things show that there is a network; is_private: the local address means
    nothing on the internet, so that there is a NAT somewhere."""

    local: Address
    mapped: tuple[Mapped, ...] = ()
    filter_tests: tuple[FilterTest, ...] = ()
    hairpin: bool | None = None
    blocked: bool = False
    is_private: bool = False


@dataclass(frozen=True)
class Nat:
    """The way to the internet in one address family.

    public: our address as the servers see it, None where none answered or each sees another one; port_preserved: the public
    port is the local one; hairpinning: our own packets to the public address come back (RFC 4787 section 6); None: not known,
    or there is no NAT.
    """

    kind: Kind
    mapping: Mapping
    filtering: Filtering
    public: str | None = None
    port_preserved: bool | None = None
    hairpinning: bool | None = None


_CONES: Final = {
    Filtering.INDEPENDENT: Kind.FULL_CONE,
    Filtering.ADDRESS: Kind.ADDRESS_RESTRICTED,
    Filtering.ADDRESS_AND_PORT: Kind.PORT_RESTRICTED,
    Filtering.UNKNOWN: Kind.CONE,
}


def judge(seen: Observations) -> Nat:
    """The NAT behind the observations."""
    if not seen.mapped:
        return Nat(Kind.UDP_BLOCKED if seen.blocked else Kind.UNKNOWN, Mapping.UNKNOWN, Filtering.UNKNOWN)
    # A server on this side of the NAT sees us as we are and says nothing about the NAT.
    outside = [each for each in seen.mapped if each.mapped != seen.local]
    mapping, filtering = _mapping(outside), _filtering(seen.filter_tests)
    hosts = {each.mapped[0] for each in outside or seen.mapped}
    public = hosts.pop() if len(hosts) == 1 else None
    if mapping is Mapping.NONE:
        return Nat(Kind.UNKNOWN if seen.is_private else _without_nat(filtering), mapping, filtering, public)
    preserved = all(each.mapped[1] == seen.local[1] for each in outside)
    return Nat(_with_nat(mapping, filtering), mapping, filtering, public, preserved, seen.hairpin)


def _without_nat(filtering: Filtering) -> Kind:
    return Kind.OPEN if filtering in (Filtering.INDEPENDENT, Filtering.UNKNOWN) else Kind.FIREWALL


def _with_nat(mapping: Mapping, filtering: Filtering) -> Kind:
    match mapping:
        case Mapping.UNKNOWN:
            return Kind.UNKNOWN
        case Mapping.INDEPENDENT:
            return _CONES[filtering]
        case _:
            return Kind.SYMMETRIC


def _mapping(outside: list[Mapped]) -> Mapping:
    """From pairs of answers: the same server address with two ports, or two addresses (RFC 5780 section 4.3)."""
    if not outside:
        return Mapping.NONE
    pairs = list(combinations(outside, 2))
    by_address = [a.mapped == b.mapped for a, b in pairs if a.server[0] != b.server[0]]
    by_port = [a.mapped == b.mapped for a, b in pairs if a.server[0] == b.server[0] and a.server[1] != b.server[1]]
    if not all(by_port):
        return Mapping.ADDRESS_AND_PORT
    if not all(by_address):
        return Mapping.ADDRESS if by_port else Mapping.DEPENDENT
    return Mapping.INDEPENDENT if by_address else Mapping.UNKNOWN


def _filtering(tests: Iterable[FilterTest]) -> Filtering:
    """The most open behaviour that was seen. An answer that came is proof; one that did not only where the test is valid."""
    tests = tuple(tests)
    if any(test.from_other_address for test in tests):
        return Filtering.INDEPENDENT
    if not any(test.valid for test in tests):
        return Filtering.UNKNOWN
    return Filtering.ADDRESS if any(test.from_other_port for test in tests) else Filtering.ADDRESS_AND_PORT
