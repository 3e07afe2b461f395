"""Two hosts, "a" and "b", and what lies between them: a veth pair, a slow stretch of cable, or a switch with a TURN server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab import namespaces
from lab.network import Lab, Topology
from lab.tied import Tied, shell
from lab.turn import Coturn

from bench import equipment
from bench.cables import Cable, Traffic
from bench.measuring import Trouble

_ADDRESSES = {"a": "10.78.0.1", "b": "10.78.0.2"}
# Packets that wait until the cable takes them, or the host: a second of 100 Mbit/s, so that what is lost is what the cable loses.
_DEVICE_QUEUE = 10_000


@dataclass(frozen=True)
class Hosts:
    """namespaces, addresses: by member; server: at the switch, if there is one."""

    namespaces: Mapping[str, str]
    addresses: Mapping[str, str]
    server: Coturn | None = None
    cable: _Impaired | None = None

    def command(self, member: str) -> list[str]:
        """The command line that runs a command there."""
        return ["ip", "netns", "exec", self.namespaces[member]]

    def inside(self, member: str) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread opens are there."""
        return namespaces.inside(self.namespaces[member])


@contextlib.contextmanager
def network(cable: Cable | None, *, server: bool = False) -> Iterator[Hosts]:
    """cable: None for a bare one; server: with a TURN server, at a switch. Everything is gone afterwards.

    Raises equipment.Missing, RuntimeError.
    """
    namespaces.sweep()
    if server:
        with Lab(Topology.LAN) as lab, Coturn(Lab.SERVER, lab=lab) as coturn:
            names = {member: lab.namespace(member) for member in ("a", "b")}
            yield Hosts(names, {member: lab.link(member).segment.host for member in names}, coturn)
        return
    beginning = namespaces.name(0)  # laboratories count from 1
    names = {member: f"{beginning}-{member}" for member in ("a", "b")}
    try:
        shell(_script(names, "veth" if cable is None else "tap"))
        if cable is None:
            yield Hosts(names, _ADDRESSES)
        else:
            yield Hosts(names, _ADDRESSES, cable=_Impaired(cable, names))
    finally:
        namespaces.delete(namespaces.present(f"{beginning}-"))


@dataclass
class _Impaired:
    """A process with both ends of the cable; started for each transfer, so that all see the same losses."""

    cable: Cable
    names: Mapping[str, str]
    traffic: tuple[Traffic, ...] = field(default=(), init=False)

    @contextlib.contextmanager
    def plugged_in(self, seed: int) -> Iterator[None]:
        """Afterwards, traffic is what went from a to b, and back. Raises Trouble."""
        cable = self.cable
        delay_us, queue_us = (str(round(each * 1000)) for each in (cable.rtt_ms / 2, cable.queue_ms))
        figures = (delay_us, str(cable.loss), str(cable.rate_mbit * 1e6), queue_us, str(seed))
        command = [str(equipment.impair()), self.names["a"], "eth0", self.names["b"], "eth0", *figures]
        process = Tied(command, stdout=subprocess.PIPE)
        try:
            if process.stdout.readline() != b"ready\n":
                raise Trouble("the cable cannot be plugged in")
            yield
            self.traffic = tuple(_traffic(line) for line in _last_lines(process))
        finally:
            process.stop()


def _last_lines(process: Tied) -> list[str]:
    os.kill(process.pid, signal.SIGTERM)
    return process.stdout.read().decode().splitlines()


def _traffic(line: str) -> Traffic:
    packets, size, lost, overflowed, late_us = map(int, line.split())
    return Traffic(packets, size, lost, overflowed, late_us / 1000)


def _script(names: Mapping[str, str], kind: str) -> list[str]:
    lines = [f"ip netns add {name}" for name in names.values()]
    if kind == "veth":
        lines.append(f"ip -n {names['a']} link add eth0 type veth peer name eth0 netns {names['b']}")
    for member, name in names.items():
        lines += [
            f"ip netns exec {name} sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
            f"ip -n {name} link set lo up",
        ]
        if kind == "tap":
            lines += [
                f"ip -n {name} tuntap add dev eth0 mode tap",
                f"ip -n {name} link set eth0 txqueuelen {_DEVICE_QUEUE}",
            ]
        lines += [f"ip -n {name} addr add {_ADDRESSES[member]}/24 dev eth0", f"ip -n {name} link set eth0 up"]
    return lines
