"""The kinds of NAT, in the terms of RFC 4787, and how two hosts may be placed behind them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Nat(Enum):
    """What lies between a host and the middle. For UDP, mapping and filtering are as in RFC 4787, sections 4.1 and 5.

    NONE: nothing. FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED: endpoint-independent mapping, ports preserved; filtering
    is endpoint-independent, address-dependent, address- and port-dependent. SYMMETRIC: mapping and filtering are both
    address- and port-dependent, ports are random. UDP_BLOCKED: no UDP at all. TCP gets out through all of them, and none
    of them hairpins.

    Where there is IPv6, it is routed; all but NONE have a stateful firewall for it, and UDP_BLOCKED blocks UDP there, too.
    """

    NONE = "none"
    FULL_CONE = "full-cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "udp-blocked"


class Family(Enum):
    """What addresses a host has."""

    IPV4 = "ipv4"
    DUAL = "dual"
    IPV6 = "ipv6"

    @property
    def has_ipv4(self) -> bool:
        return self is not Family.IPV6

    @property
    def has_ipv6(self) -> bool:
        return self is not Family.IPV4


class Shape(Enum):
    """APART: each host behind a NAT of its own. TOGETHER: both on one LAN, behind one NAT. ISOLATED: both behind one NAT,
    which lets them not reach each other, as in a hotel."""

    APART = "apart"
    TOGETHER = "together"
    ISOLATED = "isolated"


@dataclass(frozen=True)
class Site:
    """What a host is connected to the middle by."""

    nat: Nat = Nat.NONE
    family: Family = Family.IPV4

    def __str__(self) -> str:
        return self.nat.value if self.family is Family.IPV4 else f"{self.nat.value},{self.family.value}"

    @classmethod
    def parse(cls, text: str) -> Site:
        """From "symmetric" or "symmetric,dual". Raises ValueError for anything else."""
        nat, _, family = text.partition(",")
        return cls(Nat(nat), Family(family) if family else Family.IPV4)


@dataclass(frozen=True)
class Layout:
    """Where the hosts "a" and "b" are. Raises ValueError where they share a NAT that is not the same."""

    a: Site
    b: Site
    shape: Shape = Shape.APART

    def __post_init__(self) -> None:
        if self.shape is not Shape.APART and self.a != self.b:
            raise ValueError("two hosts behind one NAT are behind the same NAT")
        if self.shape is Shape.ISOLATED and self.a.nat is Nat.NONE:
            raise ValueError("only a NAT can isolate two hosts")

    def __str__(self) -> str:
        return f"a={self.a} b={self.b}" + (f" --{self.shape.value}" if self.shape is not Shape.APART else "")
