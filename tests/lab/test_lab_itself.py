from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import Lab, Nat, Topology
from lab.sockets import NEVER_S, Udp

PING = ("ping", "-c", "1", "-W", "1", "-n")
FAR = {Topology.LAN: "10.77.0.3", Topology.PUBLIC: "198.51.100.102", Topology.TWO_NATS: Lab.SERVER}
HERE = Path(__file__).parent


def reaches(lab: Lab, address: str) -> bool:
    return subprocess.run(lab.command("a", *PING, address), capture_output=True, check=False).returncode == 0


def namespaces() -> set[str]:
    return {name for name in os.listdir("/run/netns") if name.startswith(f"p2pcopy-{os.getpid()}-")}


@pytest.mark.lab
@pytest.mark.parametrize("topology", Topology)
def test_a_cable_can_be_pulled_and_plugged_in(topology: Topology) -> None:
    with Lab(topology) as lab:
        assert reaches(lab, FAR[topology])
        lab.cut("a")
        assert not reaches(lab, FAR[topology])
        lab.mend("a")
        assert reaches(lab, FAR[topology])


@pytest.mark.lab
def test_a_nat_lets_nothing_in_that_was_not_asked_for() -> None:
    with Lab(Topology.TWO_NATS) as lab:
        command = lab.command("b", *PING, "10.1.0.2")
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0
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


@pytest.mark.lab
@pytest.mark.parametrize("lab", [Lab.between(Nat.NONE, Nat.PORT_RESTRICTED), Lab.together(Nat.SYMMETRIC)], ids=str)
def test_a_cable_can_be_slow_and_lossy_and_keeps_the_mappings(lab: Lab) -> None:
    with lab, Udp(lab, "m", Lab.SERVER) as server, Udp(lab, "b") as host:
        before = host.seen_by(server)
        lab.slow_down("b", delay_s=0.2)
        sent = time.monotonic()
        host.send(b"there", server.address)
        server.receive()
        arrived = time.monotonic()
        server.send(b"and back", before)
        host.receive()
        back = time.monotonic()
        assert 0.2 <= arrived - sent < 0.4
        assert 0.2 <= back - arrived < 0.4
        lab.slow_down("b", loss=1.0)
        host.send(b"lost", server.address)
        with pytest.raises(TimeoutError):
            server.receive(NEVER_S)
        lab.slow_down("b", loss=0.5, seed=3)
        for number in range(100):
            host.send(bytes([number]), server.address)
            server.send(bytes([number]), before)
        for each in (server, host):
            assert 20 < each.arrived() < 80
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
        with subprocess.Popen(["ip", "netns", "exec", namespace, "sleep", "60"]) as inside:
            watched = [os.pidfd_open(int(each)) for each in servers]
            owner.kill()
            for each in watched:
                assert select.select([each], [], [], 5)[0], "it still runs"
                os.close(each)
            owner.wait()
            assert Path("/run/netns", namespace).exists()
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
