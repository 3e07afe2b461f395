"""Two hosts, "a" and "b", in network namespaces, and what lies between them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import TracebackType

# Network namespaces are named p2pcopy-<process>-<number>-<member>; what a killed process leaves is swept by the next one.
_PREFIX = "p2pcopy"
_numbers = itertools.count(1)
_CLONE_NEWNET = 0x40000000


class Topology(Enum):
    """LAN: both on one switch, 10.77.0.2 and 10.77.0.3. PUBLIC: public addresses in two networks, 203.0.113.101 and
    198.51.100.102. TWO_NATS: 10.1.0.2 and 10.2.0.2, each behind a port-restricted NAT at these public addresses. The
    middle has 203.0.113.10, free for servers."""

    LAN = "lan"
    PUBLIC = "public"
    TWO_NATS = "two-nats"


class Lab:
    """Use as a context manager: everything is gone afterwards, also after a failure.

    Members: "a" and "b", the hosts; "ra" and "rb", their NATs; "m", the middle that all cables lead to.
    """

    SERVER = "203.0.113.10"

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}"

    def __enter__(self) -> Lab:
        _sweep()
        try:
            _shell(self._plan())
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def namespace(self, member: str) -> str:
        return f"{self._name}-{member}"

    def command(self, member: str, *arguments: str) -> list[str]:
        """The command line that runs a command in a member's place. The process keeps its id: it can be signalled."""
        return ["ip", "netns", "exec", self.namespace(member), *arguments]

    @contextlib.contextmanager
    def inside(self, member: str) -> Iterator[None]:
        """Sockets that this thread opens, and threads that it starts, are in the member's place."""
        with Path("/proc/thread-self/ns/net").open("rb") as home:
            with Path("/run/netns", self.namespace(member)).open("rb") as place:
                _enter(place.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def cut(self, member: str) -> None:
        """Everything on the cable of host "a" or "b", or of the NAT before it, vanishes; nobody is told."""
        chains = "; ".join(
            f'chain {hook} {{ type filter hook {hook} device "to-{member}" priority 0; policy drop; }}'
            for hook in ("ingress", "egress")
        )
        self._nft(f"table netdev cut-{member} {{ {chains}; }}")

    def mend(self, member: str) -> None:
        """The end of cut."""
        self._nft(f"delete table netdev cut-{member}")

    def forget_mappings(self, member: str) -> None:
        """The NAT before host "a" or "b" starts again."""
        _shell([f"ip netns exec {self.namespace('r' + member)} conntrack -F >/dev/null 2>&1"])

    # How it is built

    def _plan(self) -> list[str]:
        members = ["m", "a", "b"] + (["ra", "rb"] if self.topology is Topology.TWO_NATS else [])
        plan = []
        for member in members:
            place = self.namespace(member)
            plan += [f"ip netns add {place}", f"ip -n {place} link set lo up", f"ip netns exec {place} {_NO_IPV6}"]
        return (
            plan
            + {
                Topology.LAN: self._lan,
                Topology.PUBLIC: self._public,
                Topology.TWO_NATS: self._two_nats,
            }[self.topology]()
        )

    def _lan(self) -> list[str]:
        middle = self.namespace("m")
        plan = [f"ip -n {middle} link add switch type bridge", f"ip -n {middle} link set switch up"]
        plan.append(f"ip -n {middle} addr add {self.SERVER}/24 dev switch")
        plan.append(f"ip -n {middle} addr add 10.77.0.1/24 dev switch")
        for member, address in (("a", "10.77.0.2/24"), ("b", "10.77.0.3/24")):
            plan += self._cable(member, member, "eth0", address, "10.77.0.1")
            plan.append(f"ip -n {middle} link set to-{member} master switch")
        return plan

    def _public(self) -> list[str]:
        return [*self._middle(), *self._uplink("a", "a", "eth0"), *self._uplink("b", "b", "eth0")]

    def _two_nats(self) -> list[str]:
        plan = self._middle()
        for member, network in (("a", "10.1.0"), ("b", "10.2.0")):
            nat, host = self.namespace("r" + member), self.namespace(member)
            plan += [
                *self._uplink(member, "r" + member, "wan"),
                f"ip -n {nat} link add lan type veth peer name eth0 netns {host}",
                f"ip -n {nat} link set lan up",
                f"ip -n {nat} addr add {network}.1/24 dev lan",
                f"ip -n {host} link set eth0 up",
                f"ip -n {host} addr add {network}.2/24 dev eth0",
                f"ip -n {host} route add default via {network}.1",
                f"ip netns exec {nat} sysctl -qw net.ipv4.ip_forward=1",
                f"ip netns exec {nat} nft '{_PORT_RESTRICTED}'",
            ]
        return plan

    def _middle(self) -> list[str]:
        """A router with the servers' address. Packets to nowhere vanish: coturn drops an allocation that gets an error."""
        middle = self.namespace("m")
        return [
            f"ip netns exec {middle} sysctl -qw net.ipv4.ip_forward=1",
            f"ip -n {middle} link add servers type veth peer name nowhere",
            f"ip -n {middle} link set servers up arp off",
            f"ip -n {middle} link set nowhere up arp off",
            f"ip -n {middle} addr add {self.SERVER}/32 dev servers",
            f"ip -n {middle} route add default dev servers",
        ]

    def _uplink(self, member: str, end: str, device: str) -> list[str]:
        address, gateway = _PUBLIC_ADDRESSES[member]
        middle = self.namespace("m")
        plan = self._cable(member, end, device, f"{address}/24", gateway)
        return [*plan, f"ip -n {middle} addr add {gateway}/24 dev to-{member}"]

    def _cable(self, member: str, end: str, device: str, address: str, gateway: str) -> list[str]:
        middle, place = self.namespace("m"), self.namespace(end)
        return [
            f"ip -n {middle} link add to-{member} type veth peer name {device} netns {place}",
            f"ip -n {middle} link set to-{member} up",
            f"ip -n {place} link set {device} up",
            f"ip -n {place} addr add {address} dev {device}",
            f"ip -n {place} route add default via {gateway}",
        ]

    def _nft(self, rules: str) -> None:
        _shell([f"ip netns exec {self.namespace('m')} nft '{rules}'"])

    def _remove(self) -> None:
        _delete(name for name in _namespaces() if name.startswith(self._name + "-"))


_PUBLIC_ADDRESSES = {"a": ("203.0.113.101", "203.0.113.1"), "b": ("198.51.100.102", "198.51.100.1")}
_NO_IPV6 = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
# An unsolicited packet must neither be answered nor leave a conntrack entry: it would take the port from the mapping
# that the host's own packet is about to make, and give it another one.
_PORT_RESTRICTED = """
table ip nat {
  chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
table ip filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
}
"""


@functools.cache
def why_not() -> str:
    """Why there can be no laboratory on this machine, "" when there can."""
    if os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft", "sysctl", "conntrack") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    try:
        with Lab(Topology.TWO_NATS):
            return ""
    except (OSError, RuntimeError) as error:
        return f"network namespaces do not work here: {error}"


def _shell(lines: list[str]) -> None:
    done = subprocess.run(["sh", "-e", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")


def _namespaces() -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir("/run/netns")
    return []


def _delete(names: Iterator[str]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _sweep() -> None:
    found = [(name, re.match(rf"{_PREFIX}-(\d+)-", name)) for name in _namespaces()]
    _delete(name for name, match in found if match and not Path(f"/proc/{match[1]}").exists())


def _enter(namespace: int) -> None:
    setns: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).setns
    if setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
