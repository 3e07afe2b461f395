"""No connection: exit code 5, what was tried and what answered, and the most likely reason and remedy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hosts import CONNECTED, hosts_in, succeeded
from lab import PASSWORD, USERNAME, Coturn, Lab, Nat, Topology
from lab.turn import SECRET
from processes import Ended, Processes
from trees import copied, make

AT_ONCE_S = 4.0
SLACK_S = 8.0  # for a process to start and end on a busy machine
NOBODY_THERE = "nobody listens there: is p2pcopy still running there?"
in_the_lab = pytest.mark.lab
with_servers = pytest.mark.coturn


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    make(tmp_path / "file", b"content")


def failure(ended: Ended) -> dict[str, Any]:
    """The last JSON event."""
    assert ended.exit_code == 5, ended.err + ended.out.decode()
    told = ended.events[-1]
    assert (told["event"], told["error"], told["exit_code"]) == ("error", "no-connection", 5)
    assert told["message"]
    assert told["hint"]
    return told


def rows(told: dict[str, Any], kind: str) -> list[tuple[str, str, bool]]:
    """Of the table of what was tried, with addresses without their ports."""
    found = [each for each in told["tried"] if each["kind"] == kind]
    by_address = kind in ("own", "peer")
    return [(e["what"].rpartition(":")[0] if by_address else e["what"], e["outcome"], e["ok"]) for e in found]


# Nobody, or nobody to be reached


@in_the_lab
def test_nobody_came(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.LAN), tmp_path) as hosts:
        plain, told = hosts.send("file", "--wait", "1s"), hosts.send("file", "--wait", "1s", "--json")
        people, program = plain.ended(), failure(told.ended())
    assert rows(program, "own") == [("10.77.0.2", "an address of this machine", True)]
    assert (rows(program, "peer"), rows(program, "stun")) == ([], [])
    assert "the other side never used the code" in program["message"]
    assert people.exit_code == 5
    lines = people.err.splitlines()
    assert lines[-3].startswith("error: no connection came about within 1 s: the other side never used the code")
    assert lines[-2].startswith("tried: here 10.77.0.2:")
    assert lines[-1] == f"hint: {program['hint']}"


@in_the_lab
@with_servers
def test_symmetric_nats_need_a_relay(tmp_path: Path) -> None:
    """And get it, unless somebody forbids it."""
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)), secret=SECRET)
    with hosts_in(lab, tmp_path, server) as hosts:
        never = ("--relay", "never", "--json", "--wait", "8s")
        sender = hosts.send("file", *never, turn=server.turn_url, stun=server.stun_url, keyboard=True)
        code = sender.code()
        receiver = hosts.receive(code, "--json", "--wait", "3s", stun=server.stun_url)
        sender.type(receiver.code() + "\n")
        sent, received = failure(sender.ended()), failure(receiver.ended())
        assert server.turn_url not in hosts.explained(code)
    for told, own, peer in ((sent, "203.0.113.101", "198.51.100.102"), (received, "198.51.100.102", "203.0.113.101")):
        ((url, outcome, ok),) = rows(told, "stun")
        assert (url, ok) == (server.stun_url, True)
        assert outcome.startswith("answered in ")
        assert rows(told, "turn") == []
        assert (own, "how a STUN server sees this machine", True) in rows(told, "own")
        checked = {what: outcome for what, outcome, ok in rows(told, "peer") if not ok}
        assert checked[peer].startswith("no answer to ")
    assert "both codes are known" in sent["message"]
    assert "symmetric" in sent["message"]
    assert "leave out --relay never" in sent["hint"]
    assert "--turn" in received["hint"]


@in_the_lab
@with_servers
def test_udp_is_blocked(tmp_path: Path) -> None:
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.UDP_BLOCKED, Nat.NONE)))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", "--wait", "3s", stun=server.stun_url)
        receiver = hosts.receive(sender.code(), "--json", "--wait", "2s", stun=server.stun_url)
        sent, received = sender.ended(), failure(receiver.ended())
    assert "no STUN server answers" in sent.told("warning")["message"]
    told = failure(sent)
    ((url, outcome, ok),) = rows(told, "stun")
    assert (url, ok) == (server.stun_url, False)
    assert outcome.startswith("no answer")
    assert "UDP is blocked here" in told["message"]
    assert "--turn turns:" in told["hint"]
    assert "addresses of its own network only" in received["message"]


@in_the_lab
def test_the_process_that_made_the_code_is_gone(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.LAN), tmp_path) as hosts:
        sender = hosts.send("file")
        code = sender.code()
        sender.kill()
        receiver = hosts.receive(code, "--json", "--wait", "5s")
        receiver.out.wait_for(NOBODY_THERE.encode())
        told = failure(receiver.ended())
    assert "does not run there any more" in told["message"]
    assert rows(told, "peer") == [("10.77.0.2", "nobody listens there", False)]


# Relays that do not work


WRONG = {
    "password": ("turn_url", "", {"P2PCOPY_TURN_PASSWORD": "wrong"}, "password"),
    "user": ("turns_url", "", {"P2PCOPY_TURN_USER": "nobody"}, "user name"),
    "secret": ("turn_tcp_url", SECRET, {"P2PCOPY_TURN_SECRET": "wrong"}, "shared secret was not accepted"),
}


@in_the_lab
@with_servers
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_credential_ends_it_at_once(tmp_path: Path, wrong: str) -> None:
    url, secret, environment, reason = WRONG[wrong]
    server = Coturn(Lab.SERVER, lab=(lab := Lab(Topology.PUBLIC)), secret=secret)
    with hosts_in(lab, tmp_path, server) as hosts:
        began = time.monotonic()
        ended = hosts.send("file", "--json", turn=getattr(server, url), environment=environment).ended()
        assert time.monotonic() - began < AT_ONCE_S + SLACK_S
    told = failure(ended)
    assert [each["event"] for each in ended.events] == ["error"], "no code is shown"
    assert f"{getattr(server, url)} does not accept the credential: " in told["message"]
    assert reason in told["message"]
    ((what, outcome, ok),) = rows(told, "turn")
    assert (what, ok) == (getattr(server, url), False)
    assert reason in outcome


@in_the_lab
@with_servers
def test_a_wrong_credential_of_one_server_is_a_warning_when_another_works(tmp_path: Path) -> None:
    lab = Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)
    server = Coturn(Lab.SERVER, lab=lab, secret=SECRET)
    with hosts_in(lab, tmp_path, server) as hosts, Coturn(Lab.SERVER_2, lab=lab, secret="another") as other:
        sender = hosts.send("file", "--json", "--turn", other.turn_url, turn=server.turn_url)
        assert other.turn_url not in hosts.explained(sender.code())
        receiver = hosts.receive(sender.code(), "--json")
        ends = succeeded(sender, receiver)
    assert f"{other.turn_url} cannot be used: " in ends[0].told("warning")["message"]
    assert copied(tmp_path / "file", tmp_path / "out")


def only_over_tls(hosts_work: Path, lab: Lab, server: Coturn, *options: str) -> Ended:
    """A sender that has nothing but a TURN server over TLS, and does not know who vouches for it."""
    with Processes(hosts_work) as start:
        process = start.start(
            "send", "file", "--no-stun", "--relay", "only", "--turn", server.turns_url, "--json", "--wait", "1s", *options,
            place=lab.command("a"),
            environment={"P2PCOPY_TURN_USER": USERNAME, "P2PCOPY_TURN_PASSWORD": PASSWORD},
        )  # fmt: skip
        return process.ended()


@in_the_lab
@with_servers
def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    with Lab(Topology.PUBLIC) as lab, Coturn(Lab.SERVER, lab=lab) as server:
        refused = failure(only_over_tls(tmp_path, lab, server))
        insecure = only_over_tls(tmp_path, lab, server, "--turn-insecure")
    ((url, outcome, ok),) = rows(refused, "turn")
    assert (url, ok) == (server.turns_url, False)
    assert outcome.startswith("its certificate is not accepted: ")
    assert server.turns_url in refused["message"]
    assert outcome in refused["message"]
    warnings = [each["message"] for each in insecure.events if each["event"] == "warning"]
    assert [each for each in warnings if "--turn-insecure" in each]
    assert [each["kind"] for each in insecure.events if each["event"] == "code"] == ["offer"]
    ((url, outcome, ok),) = rows(failure(insecure), "turn")
    assert ok, outcome


@in_the_lab
@with_servers
def test_a_certificate_for_somebody_else_is_a_warning_where_there_is_another_way(tmp_path: Path) -> None:
    server = Coturn(Lab.SERVER, lab=(lab := Lab(Topology.PUBLIC)), certified=("turn.example",))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", turn=server.turns_url)
        receiver = hosts.receive(sender.code(), "--json")
        for each in (sender, receiver):
            each.out.wait_for(CONNECTED)
        ends = succeeded(sender, receiver)
    assert f"{server.turns_url} cannot be used: its certificate is not accepted" in ends[0].told("warning")["message"]
    assert ends[0].told("done")["path"]["kind"] == "direct"
