"""What can connect in theory, and how. Pure.

The offering side is "a". A code tells the answering side where a is; a second one tells a where b is. A TURN server that
only a has travels in its code; one that only b has does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lab.kinds import Family, Layout, Nat, Shape


class Path(Enum):
    """NONE: no connection."""

    NONE = "none"
    LOCAL = "local"
    DIRECT = "direct"
    RELAYED = "relayed"


class Has(Enum):
    """Which side has a TURN server in its settings."""

    NOBODY = ""
    OFFERING = "offering"
    ANSWERING = "answering"
    BOTH = "both"


@dataclass(frozen=True)
class Servers:
    """What the two sides have in their settings. transport: of the TURN server, udp, tcp or tls, "" for none."""

    stun: bool = False
    transport: str = ""
    turn: Has = Has.NOBODY

    def __str__(self) -> str:
        if self.transport:
            return f"{self.transport} {self.turn.value}"
        return "stun" if self.stun else "none"


ALL_SERVERS = (
    Servers(),
    Servers(stun=True),
    *(
        Servers(stun=True, transport=transport, turn=turn)
        for transport in ("udp", "tcp", "tls")
        for turn in (Has.OFFERING, Has.ANSWERING, Has.BOTH)
    ),
)


@dataclass(frozen=True)
class Case:
    """pastes: 1, the offer alone, or 2, the answer, too."""

    layout: Layout
    servers: Servers
    pastes: int

    def __str__(self) -> str:
        return f"{self.layout}, {self.servers}, {self.pastes} paste{'s' if self.pastes > 1 else ''}"


class _LetsIn(Enum):
    EVERYBODY = 0
    ADDRESS = 1
    PORT = 2


@dataclass(frozen=True)
class _End:
    """How one side looks from outside. address: its code says its public address; fixed: the port there is the same for
    whomever it sends to."""

    udp: bool
    address: bool
    fixed: bool
    lets_in: _LetsIn

    @property
    def open(self) -> bool:
        """Whoever knows its code can send to it."""
        return self.udp and self.address and self.fixed and self.lets_in is _LetsIn.EVERYBODY


def expected(case: Case) -> Path:
    """The path at the end. Where the sides have met over a relay they exchange all addresses, as two pastes do."""
    if case.layout.shape is Shape.TOGETHER:
        return Path.LOCAL
    if not _direct(case, case.pastes) and not _relayed(case):
        return Path.NONE
    return Path.DIRECT if _direct(case, 2) else Path.RELAYED


def _direct(case: Case, pastes: int) -> bool:
    layout = case.layout
    if layout.shape is Shape.ISOLATED:
        return False
    if _both(layout, Family.IPV6) and _meet(_ipv6(layout.a.nat), _ipv6(layout.b.nat), pastes):
        return True
    stun = case.servers.stun
    return _both(layout, Family.IPV4) and _meet(_ipv4(layout.a.nat, stun), _ipv4(layout.b.nat, stun), pastes)


def _meet(a: _End, b: _End, pastes: int) -> bool:
    if not (a.udp and b.udp):
        return False
    if a.open:
        return True
    if pastes == 1:
        return False
    if b.open:
        return True
    # Each sends to what it knows of the other. One packet has to pass a filter; where it comes from is learned.
    return (a.address and b.address) and (_passes(b, a) or _passes(a, b))


def _passes(source: _End, target: _End) -> bool:
    """Target has sent to where source is said to be. Does what source sends come in?"""
    return target.fixed and (source.fixed or target.lets_in is not _LetsIn.PORT)


def _relayed(case: Case) -> bool:
    """Can they meet over a TURN server?"""
    servers, layout = case.servers, case.layout
    if servers.turn is Has.NOBODY:
        return False
    end = _ipv6 if layout.a.family is Family.IPV6 else _ipv4_with_stun
    a, b = end(layout.a.nat), end(layout.b.nat)
    lends = servers.turn is not Has.ANSWERING
    a_allocates = lends and (a.udp or servers.transport != "udp")
    # What a code says of a server leaves TCP open where UDP does not get through.
    b_allocates = lends or b.udp or servers.transport != "udp"
    if a_allocates and b_allocates:
        return True  # on one server, whose own address both have let in beforehand
    # b's relay lets in the address in a's code; a has to know where that relay is, or let it in: the STUN server that a has
    # asked is at the same address.
    lets_relay_in = a.open or (a.fixed and a.lets_in is _LetsIn.ADDRESS)
    return b_allocates and a.udp and a.address and (case.pastes == 2 or lets_relay_in)


def _ipv4(nat: Nat, stun: bool) -> _End:
    match nat:
        case Nat.NONE:
            return _End(udp=True, address=True, fixed=True, lets_in=_LetsIn.EVERYBODY)
        case Nat.FULL_CONE:
            return _End(udp=True, address=stun, fixed=True, lets_in=_LetsIn.EVERYBODY)
        case Nat.ADDRESS_RESTRICTED:
            return _End(udp=True, address=stun, fixed=True, lets_in=_LetsIn.ADDRESS)
        case Nat.PORT_RESTRICTED:
            return _End(udp=True, address=stun, fixed=True, lets_in=_LetsIn.PORT)
        case Nat.SYMMETRIC:
            return _End(udp=True, address=stun, fixed=False, lets_in=_LetsIn.PORT)
        case Nat.UDP_BLOCKED:
            return _End(udp=False, address=False, fixed=False, lets_in=_LetsIn.PORT)


def _ipv4_with_stun(nat: Nat) -> _End:
    return _ipv4(nat, stun=True)


def _ipv6(nat: Nat) -> _End:
    """Nothing is translated; all but NONE have a stateful firewall."""
    if nat is Nat.NONE:
        return _End(udp=True, address=True, fixed=True, lets_in=_LetsIn.EVERYBODY)
    return _End(udp=nat is not Nat.UDP_BLOCKED, address=True, fixed=True, lets_in=_LetsIn.PORT)


def _both(layout: Layout, family: Family) -> bool:
    return all(site.family in (family, Family.DUAL) for site in (layout.a, layout.b))
