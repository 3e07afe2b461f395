"""Two hosts in network namespaces: one code, two codes, and a relay; each side says which way it went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lab.network import Lab, Topology
from lab.turn import PASSWORD, USERNAME, Coturn
from processes import Ended, Processes, Running
from trees import MIB, copied, make, noise

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

CREDENTIAL = {"P2PCOPY_TURN_USER": USERNAME, "P2PCOPY_TURN_PASSWORD": PASSWORD}


class Hosts:
    """p2pcopy on the two hosts of a laboratory."""

    def __init__(self, lab: Lab, start: Processes, server: Coturn | None = None) -> None:
        self._lab = lab
        self._start = start
        self._stun = ("--stun", server.stun_url) if server else ("--no-stun",)
        self._environment = CREDENTIAL

    def send(self, *arguments: str, **how: Any) -> Running:
        return self._run("a", "send", *arguments, **how)

    def receive(self, *arguments: str, **how: Any) -> Running:
        return self._run("b", "receive", *arguments, "--output", "out", "--yes", **how)

    def _run(self, member: str, command: str, *arguments: str, **how: Any) -> Running:
        place = self._lab.command(member)
        return self._start.start(command, *self._stun, *arguments, place=place, environment=self._environment, **how)


def both_succeed(ends: Sequence[Ended]) -> None:
    assert [each.exit_code for each in ends] == [0, 0], "".join(each.err for each in ends)


def tree(work: Path) -> Path:
    make(work / "tree" / "file", noise(MIB + 5))
    make(work / "tree" / "empty", b"")
    return work / "tree"


def path_of(end: Ended) -> tuple[str, str, str]:
    """The kind of path and both addresses, without ports, as this side tells them."""
    path = end.told("done")["path"]
    return path["kind"], path["local"].rpartition(":")[0], path["remote"].rpartition(":")[0]


def test_one_code_on_a_lan(tmp_path: Path) -> None:
    source = tree(tmp_path)
    with Lab(Topology.LAN) as lab, Processes(tmp_path) as start:
        hosts = Hosts(lab, start)
        sender = hosts.send("tree", "--json", "--answer-to", "stderr")
        code = sender.err.wait_for(rb"^([0-9A-Z]{40,})\n")[1].decode()
        receiver = hosts.receive(code, "--json")
        ends = sender.ended(), receiver.ended()
    both_succeed(ends)
    assert path_of(ends[0]) == ("local", "10.77.0.2", "10.77.0.3")
    assert path_of(ends[1]) == ("local", "10.77.0.3", "10.77.0.2")
    assert copied(source, tmp_path / "out")


def test_one_code_between_public_addresses(tmp_path: Path) -> None:
    source = tree(tmp_path)
    with Lab(Topology.PUBLIC) as lab, Processes(tmp_path) as start:
        hosts = Hosts(lab, start)
        sender = hosts.send("tree")
        ends = (hosts.receive(sender.code()).ended(), sender.ended())
    both_succeed(ends)
    assert "direct" in ends[1].err
    assert copied(source, tmp_path / "out")


def test_two_codes_between_two_nats(tmp_path: Path) -> None:
    source = tree(tmp_path)
    with Lab(Topology.TWO_NATS) as lab, Coturn(lab.SERVER, lab=lab) as server, Processes(tmp_path) as start:
        hosts = Hosts(lab, start, server)
        sender = hosts.send("tree", keyboard=True)
        receiver = hosts.receive(sender.code())
        answer = receiver.code()
        sender.type(answer + "\n")
        ends = sender.ended(), receiver.ended()
    both_succeed(ends)
    for end in ends:
        assert "\npath: direct 1" in end.err or "\npath: direct 2" in end.err
    assert copied(source, tmp_path / "out")


def test_one_code_is_not_enough_between_two_nats(tmp_path: Path) -> None:
    tree(tmp_path)
    with Lab(Topology.TWO_NATS) as lab, Coturn(lab.SERVER, lab=lab) as server, Processes(tmp_path) as start:
        hosts = Hosts(lab, start, server)
        sender = hosts.send("tree", "--wait", "4s")
        receiver = hosts.receive(sender.code(), "--wait", "4s")
        ends = sender.ended(), receiver.ended()
    assert [each.exit_code for each in ends] == [5, 5]
    assert "no connection" in ends[0].err
    assert "--turn" in ends[0].err


def test_relay_only(tmp_path: Path) -> None:
    source = tree(tmp_path)
    with Lab(Topology.TWO_NATS) as lab, Coturn(lab.SERVER, lab=lab) as server, Processes(tmp_path) as start:
        hosts = Hosts(lab, start, server)
        sender = hosts.send("tree", "--turn", server.turn_url, "--relay", "only")
        receiver = hosts.receive(sender.code(), "--turn", server.turn_url, "--relay", "only")
        ends = sender.ended(), receiver.ended()
    both_succeed(ends)
    for end in ends:
        assert "relayed" in end.err
        assert server.turn_url in end.err
    assert copied(source, tmp_path / "out")


def test_a_wrong_turn_password_is_told(tmp_path: Path) -> None:
    tree(tmp_path)
    with Lab(Topology.LAN) as lab, Coturn(lab.SERVER, lab=lab) as server, Processes(tmp_path) as start:
        sender = start.start(
            "send", "tree", "--no-stun", "--turn", server.turn_url, "--relay", "only",
            place=lab.command("a"),
            environment={**CREDENTIAL, "P2PCOPY_TURN_PASSWORD": "wrong"},
        )  # fmt: skip
        end = sender.ended()
    assert end.exit_code == 5
    assert server.turn_url in end.err
    assert end.out == b""
