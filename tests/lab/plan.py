"""The commands that build a laboratory: members, bridges, cables and addresses. Pure.

The middle routes between all networks; what is meant for none of them vanishes there. A cable ends in a bridge, so that
something slower can be put between the two while it is in use (slow.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from lab.kinds import Family, Layout, Nat, Shape, Site
from lab.nat import rules

SERVER, SERVER_2 = "203.0.113.10", "203.0.113.11"
SERVER6, SERVER6_2 = "2001:db8::10", "2001:db8::11"
MAX_NUMBER = 15
_ROUTER_MAC = "02:00:00:00:00:01"


@dataclass(frozen=True)
class Segment:
    """A network with a router and one host, or two. Addresses without prefix lengths."""

    length: int
    router: str
    host: str
    router6: str
    host6: str

    @property
    def network6(self) -> str:
        return f"{self.router6.removesuffix('1')}/64"

    def other_host(self, number: int) -> Segment:
        """The network with the host at an address of its own for each number, from 1. Raises ValueError when there is none."""
        network, _, last = self.host.rpartition(".")
        if self.length != 24 or number > MAX_NUMBER:
            raise ValueError("there is no other address in this network")
        new = 100 + 10 * number + int(last) % 10
        return dataclasses.replace(self, host=f"{network}.{new}", host6=f"{self.network6.removesuffix('/64')}{new}")


@dataclass(frozen=True)
class Link:
    """How a host is connected: the end of its cable, or of that of the NAT before it, which is a device in member "where",
    plugged into a bridge. host_device: in the host; segment: with the host's addresses; nat: the member that is its NAT, ""
    for none; public: IPv4 address."""

    site: Site
    where: str
    device: str
    bridge: str
    host_device: str
    segment: Segment
    nat: str
    public: str


class Plan:
    """lines: the shell script so far; links: by host. namespace: the name for a member."""

    def __init__(self, namespace: Callable[[str], str], mapping_s: int, *, refuses: bool = False) -> None:
        self.lines: list[str] = []
        self.links: dict[str, Link] = {}
        self._namespace = namespace
        self.mapping_s = mapping_s
        self.refuses = refuses

    def build(self, layout: Layout) -> None:
        """All of it."""
        self._middle()
        for host in ("a", "b"):
            self._member(host)
        if layout.shape is Shape.APART:
            self.attach("a", layout.a, 0)
            self.attach("b", layout.b, 0)
        elif layout.a.nat is Nat.NONE:
            self._on_switch(layout.a)
        else:
            self._behind_one(layout.a, isolated=layout.shape is Shape.ISOLATED)

    def attach(self, host: str, site: Site, number: int) -> None:
        """Connect a host to the middle through a network of its own; number: 0 to MAX_NUMBER, counts those of this host.

        Raises ValueError when there are too many.
        """
        if number > MAX_NUMBER:
            raise ValueError(f"a host can move {MAX_NUMBER} times")
        suffix = str(number or "")
        device, cable, bridge = f"eth{number}", f"cable-{host}{suffix}", f"to-{host}{suffix}"
        segment = _public(host, number)
        self._bridge("m", bridge, segment)
        if site.nat is Nat.NONE:
            self._settle(host, site.family)
            self._cable("m", cable, bridge, host, device)
            self._address(host, device, segment, site.family)
            router, at = "", segment
        else:
            router = f"r{host}{suffix}"
            self._router(router, site, segment, cable, bridge)
            lan = _private(host, number)
            self._route_to_lan(lan, segment, site.family)
            self._bridge(router, "lan", lan, site.family)
            self._settle(host, site.family)
            self._cable(router, f"in-{host}", "lan", host, device)
            self._address(host, device, lan, site.family)
            at = lan
        self.links[host] = Link(site, "m", cable, bridge, device, at, router, segment.host)

    def renumber(self, host: str, number: int) -> None:
        """Another address in the same network; number: counts. Raises ValueError when there is none left."""
        link = self.links[host]
        device, family = link.host_device, link.site.family
        segment = link.segment.other_host(number)
        self._ip(host, f"addr flush dev {device} scope global")
        self._address(host, device, segment, family)
        public = segment.host if not link.nat else link.public
        self.links[host] = dataclasses.replace(link, segment=segment, public=public)

    def _on_switch(self, site: Site) -> None:
        """Both hosts at one switch in the middle."""
        for number, host in enumerate(("a", "b")):
            segment = Segment(24, "10.77.0.1", f"10.77.0.{2 + number}", "2001:db8:77::1", f"2001:db8:77::{2 + number}")
            if number == 0:
                self._bridge("m", "switch", segment)
            self._settle(host, site.family)
            self._cable("m", f"cable-{host}", "switch", host, "eth0")
            self._address(host, "eth0", segment, site.family)
            self.links[host] = Link(site, "m", f"cable-{host}", "switch", "eth0", segment, "", segment.host)

    def _behind_one(self, site: Site, *, isolated: bool) -> None:
        """Both hosts behind "ra", at one switch or at two."""
        segment = _public("a", 0)
        self._bridge("m", "to-a", segment)
        self._router("ra", site, segment, "cable-a", "to-a")
        for number, host in enumerate(("a", "b")):
            lan = _private(host, 0) if isolated else _private("a", 0, 2 + number)
            bridge = f"lan-{host}" if isolated else "lan"
            if isolated or number == 0:
                self._route_to_lan(lan, segment, site.family)
                self._bridge("ra", bridge, lan, site.family)
            self._settle(host, site.family)
            self._cable("ra", f"in-{host}", bridge, host, "eth0")
            self._address(host, "eth0", lan, site.family)
            self.links[host] = Link(site, "ra", f"in-{host}", bridge, "eth0", lan, "ra", segment.host)

    def _middle(self) -> None:
        """A router with the servers' addresses. Packets to nowhere vanish: coturn drops an allocation that gets an error."""
        self._member("m")
        self._settle("m", Family.DUAL)
        self._forward("m")
        self._ip(
            "m",
            "link add servers type veth peer name nowhere",
            "link set servers up arp off",
            "link set nowhere up arp off",
            *(f"addr add {address}/32 dev servers" for address in (SERVER, SERVER_2)),
            *(f"addr add {address}/128 dev servers nodad" for address in (SERVER6, SERVER6_2)),
            "route add default dev servers",
        )
        self._ip6("m", "route add default dev servers")

    def _router(self, member: str, site: Site, segment: Segment, cable: str, bridge: str) -> None:
        self._member(member)
        self._settle(member, site.family)
        self._forward(member)
        self._cable("m", cable, bridge, member, "wan")
        self._address(member, "wan", segment, site.family)
        kind = rules(site.nat, segment.host, mapping_s=self.mapping_s, refuses=self.refuses)
        self.lines += [f"ip netns exec {self._namespace(member)} nft -f - <<'.'", kind, "."]
        timeouts = (f"net.netfilter.nf_conntrack_udp_timeout{each}={self.mapping_s}" for each in ("", "_stream"))
        limits = "net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0"
        # Some routers refuse each packet, not one a second.
        self.lines.append(f"ip netns exec {self._namespace(member)} sysctl -qw {' '.join(timeouts)} {limits}")

    def _route_to_lan(self, lan: Segment, uplink: Segment, family: Family) -> None:
        if family.has_ipv6:
            self._ip6("m", f"route add {lan.network6} via {uplink.host6}")

    def _member(self, member: str) -> None:
        self.lines.append(f"ip netns add {self._namespace(member)}")
        self._ip(member, "link set lo up")

    def _settle(self, member: str, family: Family) -> None:
        """IPv6 or none, and addresses that can be used at once: no search for duplicates, no advertisements."""
        disabled = 0 if family.has_ipv6 else 1
        keys = (f"disable_ipv6={disabled}", "accept_dad=0", "accept_ra=0")
        settings = (f"net.ipv6.conf.{which}.{key}" for key in keys for which in ("all", "default"))
        self.lines.append(f"ip netns exec {self._namespace(member)} sysctl -qw {' '.join(settings)}")

    def _forward(self, member: str) -> None:
        """Route, and let what a bridge passes on not meet the rules for what is routed, as it does with br_netfilter."""
        settings = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        bridges = "net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"
        self.lines.append(f"ip netns exec {self._namespace(member)} sysctl -e -qw {settings} {bridges}")

    def _bridge(self, member: str, bridge: str, segment: Segment, family: Family = Family.DUAL) -> None:
        # Without an address of its own a bridge takes one of its ports, and changes it whenever they change.
        self._ip(member, f"link add {bridge} address {_ROUTER_MAC} type bridge", f"link set {bridge} up")
        if family.has_ipv4:
            self._ip(member, f"addr add {segment.router}/{segment.length} dev {bridge}")
        if family.has_ipv6:
            self._ip(member, f"addr add {segment.router6}/64 dev {bridge} nodad")

    def _cable(self, near: str, device: str, bridge: str, far: str, far_device: str) -> None:
        self._ip(
            near,
            f"link add {device} type veth peer name {far_device} netns {self._namespace(far)}",
            f"link set {device} master {bridge} up",
        )
        self._ip(far, f"link set {far_device} up")

    def _address(self, member: str, device: str, segment: Segment, family: Family) -> None:
        if family.has_ipv4:
            self._ip(
                member,
                f"addr add {segment.host}/{segment.length} dev {device}",
                f"route replace default via {segment.router}",
            )
        if family.has_ipv6:
            self._ip6(
                member,
                f"addr add {segment.host6}/64 dev {device} nodad",
                f"route replace default via {segment.router6}",
            )

    def _ip(self, member: str, *commands: str) -> None:
        self.lines += [f"ip -n {self._namespace(member)} -batch - <<'.'", *commands, "."]

    def _ip6(self, member: str, *commands: str) -> None:
        self.lines += [f"ip -6 -n {self._namespace(member)} -batch - <<'.'", *commands, "."]


def _public(host: str, number: int) -> Segment:
    side = "ab".index(host)
    network = f"2001:db8:{2 * number + side + 1:x}:1"
    if number == 0:
        router, end, length = (
            ("203.0.113.1", "203.0.113.101", 24),
            ("198.51.100.1", "198.51.100.102", 24),
        )[side]
    else:
        first = 8 * (2 * number + side)
        router, end, length = f"192.0.2.{first + 1}", f"192.0.2.{first + 2}", 29
    return Segment(length, router, end, f"{network}::1", f"{network}::2")


def _private(host: str, number: int, last: int = 2) -> Segment:
    side = "ab".index(host)
    network, network6 = f"10.{side + 1}.{number}", f"2001:db8:{2 * number + side + 1:x}:2"
    return Segment(24, f"{network}.1", f"{network}.{last}", f"{network6}::1", f"{network6}::{last}")
