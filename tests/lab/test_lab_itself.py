from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Coturn, Lab, Topology

PING = ("ping", "-c", "1", "-W", "1", "-n")
FAR = {Topology.LAN: "10.77.0.3", Topology.PUBLIC: "198.51.100.102", Topology.TWO_NATS: Lab.SERVER}


def reaches(lab: Lab) -> bool:
    command = lab.command("a", *PING, FAR[lab.topology])
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def namespaces() -> set[str]:
    return {name for name in os.listdir("/run/netns") if name.startswith(f"p2pcopy-{os.getpid()}-")}


@pytest.mark.lab
@pytest.mark.parametrize("topology", Topology)
def test_a_cable_can_be_pulled_and_plugged_in(topology: Topology) -> None:
    with Lab(topology) as lab:
        assert reaches(lab)
        lab.cut("a")
        assert not reaches(lab)
        lab.mend("a")
        assert reaches(lab)


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
def test_what_a_killed_process_leaves_is_swept() -> None:
    script = "import os; from lab import *; lab = Lab(Topology.LAN).__enter__(); print(lab.namespace('a'), flush=True); os._exit(9)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    left = Path("/run/netns", done.stdout.strip())
    assert left.name.startswith("p2pcopy-")
    with Lab(Topology.LAN):
        assert not left.exists()


@pytest.mark.coturn
def test_coturn_starts_and_stops() -> None:
    with Coturn("127.0.0.1") as server:
        assert server.stun_url == f"stun:127.0.0.1:{server.port}"
        server.stop()
        server.start()


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
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent), "CI": ci}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert f"1 {outcome}" in done.stdout + done.stderr or (outcome == "failed" and "1 error" in done.stdout)
