"""Two hosts, "a" and "b", in network namespaces, and what lies between them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
from enum import Enum
from types import TracebackType

from lab import namespaces, nat
from lab.kinds import Family, Layout, Nat, Shape, Site
from lab.plan import SERVER, SERVER6, SERVER6_2, SERVER_2, Link, Plan
from lab.slow import Slow
from lab.tied import shell

_numbers = itertools.count(1)


class Topology(Enum):
    """LAN: both on one switch, 10.77.0.2 and 10.77.0.3. PUBLIC: public addresses in two networks, 203.0.113.101 and
    198.51.100.102. TWO_NATS: 10.1.0.2 and 10.2.0.2, each behind a port-restricted NAT at these public addresses."""

    LAN = "lan"
    PUBLIC = "public"
    TWO_NATS = "two-nats"


_LAYOUTS = {
    Topology.LAN: Layout(Site(), Site(), Shape.TOGETHER),
    Topology.PUBLIC: Layout(Site(), Site()),
    Topology.TWO_NATS: Layout(Site(Nat.PORT_RESTRICTED), Site(Nat.PORT_RESTRICTED)),
}


class Lab:
    """Use as a context manager: everything is gone afterwards, also after a failure.

    Members: "a" and "b", the hosts; "ra" and "rb", their NATs ("ra" alone where they share it); "m", the middle that all
    cables lead to, with addresses for servers. mapping_s: for how long a NAT keeps a mapping that is not used; refuses: whether
    it answers what comes for none (ICMP port unreachable).
    """

    SERVER = SERVER
    SERVER_2 = SERVER_2
    SERVER6 = SERVER6
    SERVER6_2 = SERVER6_2

    def __init__(self, layout: Topology | Layout, *, mapping_s: int = nat.MAPPING_S, refuses: bool = False) -> None:
        self.layout = _LAYOUTS[layout] if isinstance(layout, Topology) else layout
        self._name = namespaces.name(next(_numbers))
        self._plan = Plan(self.namespace, mapping_s, refuses=refuses)
        self._slow: dict[str, Slow] = {}
        self._cut: dict[str, Link] = {}
        self._moves = {"a": itertools.count(1), "b": itertools.count(1)}
        self._shifts = itertools.count(1)
        self._addresses = itertools.count(1)

    @classmethod
    def between(cls, a: Nat, b: Nat, family: Family = Family.IPV4) -> Lab:
        """Each host behind a NAT of its own."""
        return cls(Layout(Site(a, family), Site(b, family)))

    @classmethod
    def together(cls, kind: Nat, family: Family = Family.IPV4) -> Lab:
        """Both on one LAN, behind one NAT, or with Nat.NONE behind none."""
        return cls(Layout(Site(kind, family), Site(kind, family), Shape.TOGETHER))

    @classmethod
    def isolated(cls, kind: Nat, family: Family = Family.IPV4) -> Lab:
        """Both behind one NAT, which lets them not reach each other."""
        return cls(Layout(Site(kind, family), Site(kind, family), Shape.ISOLATED))

    def __enter__(self) -> Lab:
        namespaces.sweep()
        try:
            self._plan.build(self.layout)
            self._carry_out()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def __str__(self) -> str:
        return str(self.layout)

    def namespace(self, member: str) -> str:
        return f"{self._name}-{member}"

    def command(self, member: str, *arguments: str) -> list[str]:
        """The command line that runs a command in a member's place. The process keeps its id: it can be signalled."""
        return ["ip", "netns", "exec", self.namespace(member), *arguments]

    def inside(self, member: str) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread opens, and threads that it starts, are in the member's place."""
        return namespaces.inside(self.namespace(member))

    def link(self, host: str) -> Link:
        """How host "a" or "b" is connected now."""
        return self._plan.links[host]

    def cut(self, host: str) -> None:
        """Everything on the cable of host "a" or "b", or of the NAT before it, vanishes; nobody is told."""
        if host in self._cut:
            raise ValueError(f"{host} is cut already")
        link = self.link(host)
        # Who is next on the cable stays known: the break that this stands for is further away.
        neighbours = "ether type arp accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
        chains = "; ".join(
            f'chain {hook} {{ type filter hook {hook} device "{link.device}" priority 0; policy drop; {neighbours}; }}'
            for hook in ("ingress", "egress")
        )
        self._nft(link.where, f"table netdev cut-{host} {{ {chains}; }}")
        self._cut[host] = link

    def mend(self, host: str) -> None:
        """The end of cut."""
        if host not in self._cut:
            raise ValueError(f"{host} is not cut")
        self._nft(self._cut.pop(host).where, f"delete table netdev cut-{host}")

    def slow_down(self, host: str, *, delay_s: float = 0.0, loss: float = 0.0, seed: int = 0) -> None:
        """What goes through the cable of host "a" or "b" takes delay_s longer each way, and a part of the packets, 0 to 1, is
        lost, the same ones for the same seed. Both 0: the bare cable again. Nothing else changes, mappings included."""
        link = self.link(host)
        old = self._slow.pop(host, None)
        if old is not None:
            shell(old.undo_script(link.device, link.bridge))
            old.stop()
        if delay_s or loss:
            self._slow[host] = new = Slow(self.command(link.where), host, delay_s, loss, seed)
            shell(new.script(link.device, link.bridge))

    def slow(self, host: str) -> Slow:
        """What slow_down has put into the cable of host "a" or "b"."""
        return self._slow[host]

    def forget_mappings(self, host: str) -> None:
        """The NAT before host "a" or "b" starts again. Its next mappings have the same ports where it preserves them."""
        place = self._nat(host)
        shell([f"ip netns exec {place} nft '{nat.FORGET}'", _forget_connections(place)])

    def rebind(self, host: str) -> None:
        """The NAT before host "a" or "b" forgets its mappings, and the next ones have other ports."""
        link = self.link(host)
        place = self._nat(host)
        plan = self._plan
        kind, shift = link.site.nat, next(self._shifts)
        change = nat.rules(kind, link.public, shift=shift, mapping_s=plan.mapping_s, refuses=plan.refuses)
        shell([f"ip netns exec {place} nft -f - <<'.'", change, ".", _forget_connections(place)])

    def renumber(self, host: str) -> None:
        """Host "a" or "b" gets another address in the same network, behind the same NAT if there is one."""
        self._plan.renumber(host, next(self._addresses))
        self._carry_out()

    def roam(self, host: str, site: Site | None = None) -> None:
        """Host "a" or "b" leaves its network, and gets another address in a new one; site: what is there, None: the same as
        before. At most plan.MAX_NUMBER times each. What the cable was like, cut or slow, is left behind."""
        link = self.link(host)
        if host in self._cut:
            self.mend(host)
        if host in self._slow:
            self.slow_down(host)
        shell([f"ip -n {self.namespace(host)} link delete {link.host_device}"])
        self._plan.attach(host, site or link.site, next(self._moves[host]))
        self._carry_out()

    def _nat(self, host: str) -> str:
        """The namespace of its NAT."""
        link = self.link(host)
        if not link.nat:
            raise ValueError(f"{host} is behind no NAT")
        return self.namespace(link.nat)

    def _carry_out(self) -> None:
        lines, self._plan.lines = self._plan.lines, []
        shell(lines)

    def _nft(self, member: str, rules: str) -> None:
        shell([f"ip netns exec {self.namespace(member)} nft '{rules}'"])

    def _remove(self) -> None:
        for each in self._slow.values():
            each.stop()
        self._slow.clear()
        namespaces.delete(namespaces.present(f"{self._name}-"))


def _forget_connections(namespace: str) -> str:
    return f"ip netns exec {namespace} conntrack -F >/dev/null 2>&1"


@functools.cache
def why_not() -> str:
    """Why there can be no laboratory on this machine, "" when there can."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft", "sysctl", "conntrack", "setpriv") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    try:
        with Lab(Topology.TWO_NATS):
            return ""
    except (OSError, RuntimeError) as error:
        return f"network namespaces do not work here: {error}"
