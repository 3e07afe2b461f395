from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import Lab, Nat, Topology
from lab.sockets import NEVER_S, Address, Udp

FAR = {Topology.LAN: "10.77.0.3", Topology.PUBLIC: "198.51.100.102", Topology.TWO_NATS: Lab.SERVER}
HERE = Path(__file__).parent


def reaches(lab: Lab, address: str, *, host: str = "a", within_s: int = 30) -> bool:
    """within_s: until then it asks every second."""
    command = lab.command(host, "ping", "-n", "-c", "1", "-w", str(within_s), address)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def namespaces() -> set[str]:
    return {name for name in os.listdir("/run/netns") if name.startswith(f"p2pcopy-{os.getpid()}-")}


@pytest.mark.lab
@pytest.mark.parametrize("topology", Topology)
def test_a_cable_can_be_pulled_and_plugged_in(topology: Topology) -> None:
    with Lab(topology) as lab:
        assert reaches(lab, FAR[topology])
        lab.cut("a")
        assert not reaches(lab, FAR[topology], within_s=1)
        lab.mend("a")
        assert reaches(lab, FAR[topology])


@pytest.mark.lab
def test_a_nat_lets_nothing_in_that_was_not_asked_for() -> None:
    with Lab(Topology.TWO_NATS) as lab:
        assert not reaches(lab, "10.1.0.2", host="b", within_s=1)
        lab.forget_mappings("a")


@pytest.mark.lab
def test_nothing_is_left_after_a_failure() -> None:
    before = namespaces()

    def fail() -> None:
        with Lab(Topology.TWO_NATS):
            assert namespaces() > before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert namespaces() == before


def shortest_s(source: Udp, sink: Udp, to: Address, limit_s: float) -> float:
    """How long packets take: one after the other, until one takes less than the limit, as on a busy machine many have to wait."""
    shortest, tries = math.inf, 0
    while shortest >= limit_s and tries < 20:
        sent = time.monotonic()
        source.send(b"on its way", to)
        sink.receive()
        shortest, tries = min(shortest, time.monotonic() - sent), tries + 1
    return shortest


@pytest.mark.lab
@pytest.mark.parametrize("lab", [Lab.between(Nat.NONE, Nat.PORT_RESTRICTED), Lab.together(Nat.SYMMETRIC)], ids=str)
def test_a_cable_can_be_slow_and_lossy_and_keeps_the_mappings(lab: Lab) -> None:
    with lab, Udp(lab, "m", Lab.SERVER) as server, Udp(lab, "b") as host:
        before = host.seen_by(server)
        lab.slow_down("b", delay_s=0.2)
        assert 0.2 <= shortest_s(host, server, server.address, 0.4) < 0.4
        assert 0.2 <= shortest_s(server, host, before, 0.4) < 0.4
        lab.slow_down("b", loss=1.0)
        host.send(b"lost", server.address)
        with pytest.raises(TimeoutError):
            server.receive(NEVER_S)
        lab.slow_down("b", loss=0.5, seed=3)
        for number in range(100):
            host.send(bytes([number]), server.address)
            server.send(bytes([number]), before)
        assert 20 < server.arrived(host, server.address) < 80
        assert 20 < host.arrived(server, before) < 80
        lab.slow_down("b")
        assert host.seen_by(server) == before


@pytest.mark.lab
@pytest.mark.coturn
def test_a_killed_process_takes_its_servers_with_it_and_what_it_leaves_is_swept() -> None:
    script = """
import sys, time
from lab import Coturn, Lab, Nat
lab = Lab.between(Nat.SYMMETRIC, Nat.NONE).__enter__()
server = Coturn(Lab.SERVER, lab=lab).__enter__()
lab.slow_down("a", delay_s=0.1)
print(lab.namespace("a"), server.pid, lab.slow("a").pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        namespace, *servers = owner.stdout.readline().split()
        inside_it = ["ip", "netns", "exec", namespace, "sh", "-c", "echo there; exec sleep 60"]
        with subprocess.Popen(inside_it, stdout=subprocess.PIPE) as inside:
            assert inside.stdout is not None
            assert inside.stdout.readline() == b"there\n"
            assert Path("/run/netns", namespace).exists()  # from now on any process may sweep it
            watched = [os.pidfd_open(int(each)) for each in servers]
            owner.kill()
            for each in watched:
                assert select.select([each], [], [], 30)[0], "it still runs"
                os.close(each)
            owner.wait()
            with Lab(Topology.LAN):
                assert not Path("/run/netns", namespace).exists()
            assert inside.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "failed")])
def test_what_cannot_run_here_is_skipped_but_not_in_continuous_integration(
    ci: str, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.coturn\ndef test_it(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "conftest",
        "-c",
        "/dev/null",
        str(tmp_path),
    ]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(HERE.parent), "CI": ci}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert f"1 {outcome}" in done.stdout + done.stderr or (outcome == "failed" and "1 error" in done.stdout)
