"""The laboratory from the command line, as a developer uses it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Coturn, Lab, Nat, keeper
from lab.kinds import Family, Layout, Shape, Site

HERE = Path(__file__).parent
NAME = f"test-{os.getpid()}"


class Command:
    """python tests/lab, for one laboratory."""

    def __call__(self, *arguments: str, succeeds: bool = True) -> str:
        command = [sys.executable, str(HERE), "--name", NAME, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stdout + done.stderr

    def reaches(self, host: str, *, within_s: int = 30) -> bool:
        """The server. within_s: until then it asks every second."""
        ping = ["ping", "-n", "-c", "1", "-w", str(within_s), Lab.SERVER]
        return subprocess.run(inside(host, *ping), capture_output=True, check=False).returncode == 0


def inside(host: str, *command: str) -> list[str]:
    """What runs a command there, and stays the same process."""
    return [sys.executable, str(HERE), "--name", NAME, "exec", host, "--", *command]


@pytest.fixture
def command() -> Iterator[Command]:
    command = Command()
    yield command
    if NAME in keeper.names():
        keeper.end(NAME)


@pytest.mark.lab
@pytest.mark.coturn
def test_a_session_of_a_developer(command: Command) -> None:
    shown = command("up", "a=symmetric", "b=port-restricted,dual", "--turn", "tls")
    assert "turns:203.0.113.10:5349?transport=tcp" in shown
    assert NAME in command("list").split()
    assert "already" in command("up", succeeds=False)
    environment = command("exec", "b", "--", "env").splitlines()
    assert "P2PCOPY_TURN=turns:203.0.113.10:5349?transport=tcp" in environment
    assert "P2PCOPY_STUN=stun:203.0.113.10:3478" in environment
    assert any(each.startswith("SSL_CERT_FILE=/") for each in environment)
    assert command("exec", "b", "p2pcopy", "--version").startswith("p2pcopy ")
    command("cut", "a")
    assert not command.reaches("a", within_s=1)
    command("mend", "a")
    assert command.reaches("a")
    command("roam", "a", "none")
    assert "a: none, " in command("status")
    assert "192.0.2.18" in command("exec", "a", "--", "ip", "address")
    assert "no NAT" in command("flush", "a", succeeds=False)
    command("server", "kill")
    with subprocess.Popen(inside("b", "sh", "-c", "echo there; exec sleep 60"), stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"there\n"
        command("slow", "b", "--delay", "10000")
        assert not command.reaches("b", within_s=1)
        command("down")
        assert running.wait(30) == -signal.SIGKILL
    assert NAME not in command("list").split()


@pytest.mark.lab
def test_a_killed_keeper_leaves_nothing_that_is_not_swept(command: Command) -> None:
    command("up", "a=full-cone", "--isolated")
    pid = keeper.ask(NAME, "pid")
    (left,) = Path("/run/netns").glob(f"p2pcopy-{pid}-*-ra")
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert select.select([process], [], [], 30)[0]
    os.close(process)
    assert NAME not in keeper.names()
    command("down", succeeds=False)
    assert not left.exists()
    command("up", "b=none")


@pytest.mark.lab
def test_what_cannot_be_built_is_told(command: Command) -> None:
    assert "not a valid Nat" in command("up", "a=loop", succeeds=False)
    assert "no host: c" in command("up", "c=none", succeeds=False)
    assert "only a NAT" in command("up", "--isolated", succeeds=False)


@pytest.mark.parametrize("shape", [Shape.TOGETHER, Shape.ISOLATED])
def test_who_shares_a_nat_has_the_same_one(shape: Shape) -> None:
    with pytest.raises(ValueError, match="same NAT"):
        Layout(Site(Nat.SYMMETRIC), Site(Nat.FULL_CONE), shape)


def test_sites_are_written_as_they_are_read() -> None:
    for site in (Site(Nat.SYMMETRIC), Site(Nat.NONE, Family.DUAL), Site(Nat.UDP_BLOCKED, Family.IPV6)):
        assert Site.parse(str(site)) == site
    assert str(Layout(Site(), Site(), Shape.TOGETHER)) == "a=none b=none --together"


@pytest.mark.coturn
def test_directories_of_killed_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as gone:
        pass
    left, mine = tmp_path / f"p2pcopy-coturn-{gone.pid}-x", tmp_path / f"p2pcopy-coturn-{os.getpid()}-y"
    left.mkdir()
    mine.mkdir()
    with Coturn("127.0.0.1"):
        assert mine.exists()
        assert not left.exists()
