"""How fast a transfer is through coturn over UDP, TCP and TLS, and how fast it is without."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lab.network import Lab, Topology
from lab.program import Trouble
from lab.session import FILE, credential, session
from lab.turn import Coturn

MIB, GIB = 2**20, 2**30


class Route(Enum):
    DIRECT = "direct"
    UDP = "relay, UDP"
    TCP = "relay, TCP"
    TLS = "relay, TLS"


@dataclass(frozen=True)
class Run:
    """cpu_s: of the sender and of the receiver, from start to end."""

    route: Route
    mib_per_s: float
    cpu_s_per_gib: tuple[float, float]
    trouble: str = ""


def measure(rounds: int, mib: int) -> list[Run]:
    """All routes in turn, so many times, with a file of so many MiB."""
    with (
        tempfile.TemporaryDirectory(prefix="p2pcopy-throughput-") as folder,
        Lab(Topology.TWO_NATS) as lab,
        Coturn(Lab.SERVER, lab=lab) as server,
    ):
        (Path(folder) / FILE).write_bytes(os.urandom(mib * MIB))
        return [_once(route, lab, server, Path(folder)) for _ in range(rounds) for route in Route]


def table(runs: Sequence[Run]) -> list[str]:
    lines = [
        "| path | MiB/s, median (range) | of direct | CPU s/GiB sending / receiving, median |",
        "|---|---:|---:|---:|",
    ]
    direct = statistics.median(run.mib_per_s for run in runs if run.route is Route.DIRECT)
    for route in Route:
        some = [run for run in runs if run.route is route]
        rates = [run.mib_per_s for run in some]
        cpu = " / ".join(f"{statistics.median(run.cpu_s_per_gib[side] for run in some):.0f}" for side in (0, 1))
        median = statistics.median(rates)
        ratio = f"{median / direct:.2f}" if direct else ""
        lines.append(f"| {route.value} | {median:.1f} ({min(rates):.1f}-{max(rates):.1f}) | {ratio} | {cpu} |")
    return lines + [f"\n**{run.route.value}: {run.trouble}**" for run in runs if run.trouble]


def _once(route: Route, lab: Lab, server: Coturn, folder: Path) -> Run:
    try:
        with session(lab, folder, _arguments(route, server), environment=_environment(route, server)) as meeting:
            meeting.paste()
            meeting.finish(900)
            done = next(told.event for told in meeting.sender.told if told.name == "done")
            expected = "direct" if route is Route.DIRECT else "relayed"
            if done["path"]["kind"] != expected:
                raise Trouble(f"it was {done['path']['kind']}")
            per_gib = done["bytes_done"] / GIB
            cpu = tuple(each.cpu_s / per_gib for each in meeting.both)
            return Run(route, done["bytes_done"] / MIB / done["seconds"], (cpu[0], cpu[1]))
    except Trouble as error:
        return Run(route, 0.0, (0.0, 0.0), str(error))
    finally:
        (folder / "out" / FILE).unlink(missing_ok=True)


def _arguments(route: Route, server: Coturn) -> Sequence[str]:
    if route is Route.DIRECT:
        return ("--stun", server.stun_url, "--relay", "never")
    url = {Route.UDP: server.turn_url, Route.TCP: server.turn_tcp_url, Route.TLS: server.turns_url}[route]
    return ("--no-stun", "--turn", url, "--relay", "only")


def _environment(route: Route, server: Coturn) -> Mapping[str, str]:
    return {} if route is Route.DIRECT else credential(server)
