"""Which addresses go into a code: chosen by the user, of one family, and others than before."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hosts import hosts_in, succeeded
from lab import Coturn, Family, Lab, Nat, Topology
from processes import Running
from trees import copied, make

from p2pcopy.signaling import code

pytestmark = pytest.mark.lab

CHANGE_SHOWN_IN_S = 20.0
SLACK_S = 10.0  # less than the time between two looks at everything, which is 15 s


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    make(tmp_path / "file", b"content")


def addresses(process: Running, number: int = 0) -> list[str]:
    """Those in its code, without ports."""
    return [each.host for each in code.parse_any(process.code(number)).candidates]


def test_one_interface_only(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.LAN), tmp_path) as hosts:
        sender = hosts.send("file", "--interface", "eth0", "--json")
        assert addresses(sender) == ["10.77.0.2"]
        assert addresses(hosts.send("file", "--interface", "lo")) == ["127.0.0.1"]
        receiver = hosts.receive(sender.code(), "--interface", "eth0")
        wrong = hosts.send("file", "--interface", "wlan7").ended()
        succeeded(sender, receiver)
    assert wrong.exit_code == 2
    assert "wlan7" in wrong.err
    assert "eth0" in wrong.err, "which there are"


def test_one_family_only(tmp_path: Path) -> None:
    with hosts_in(Lab.together(Nat.NONE, Family.DUAL), tmp_path) as hosts:
        assert len(addresses(hosts.send("file"))) == 2
        assert addresses(hosts.send("file", "--ipv4")) == ["10.77.0.2"]
        sender = hosts.send("file", "--ipv6", "--json")
        assert addresses(sender) == ["2001:db8:77::2"]
        mixed = hosts.receive(sender.code(), "--ipv4", "--json", "--wait", "1s").ended()
        succeeded(sender, hosts.receive(sender.code()))
        neither = hosts.send("file", "--ipv4", "--ipv6").ended()
    assert mixed.exit_code == 5
    told = mixed.events[-1]
    assert "this side has IPv4 only, and the other side IPv6 only" in told["message"]
    assert "--ipv4" in told["hint"]
    assert [each["outcome"] for each in told["tried"] if each["kind"] == "peer"] == [
        "this machine has no address of its kind"
    ]
    assert neither.exit_code == 2


def test_a_family_that_this_machine_does_not_have(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.LAN), tmp_path) as hosts:
        ended = hosts.send("file", "--ipv6").ended()
    assert ended.exit_code == 5
    assert "Leave out --interface, --ipv4 or --ipv6." in ended.err


def test_two_that_have_nothing_but_ipv6(tmp_path: Path) -> None:
    with hosts_in(Lab.between(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED, Family.IPV6), tmp_path) as hosts:
        sender = hosts.send("file", "--json", keyboard=True)
        receiver = hosts.receive(sender.code(), "--json")
        sender.type(receiver.code() + "\n")
        ends = succeeded(sender, receiver)
    path = ends[0].told("done")["path"]
    assert path["kind"] == "direct"
    assert [path[side].rpartition(":")[0] for side in ("local", "remote")] == ["[2001:db8:1:2::2]", "[2001:db8:2:2::2]"]
    assert copied(tmp_path / "file", tmp_path / "out")


@pytest.mark.coturn
def test_a_relay_over_ipv6_for_two_that_have_nothing_else(tmp_path: Path) -> None:
    lab = Lab.between(Nat.UDP_BLOCKED, Nat.PORT_RESTRICTED, Family.IPV6)
    server = Coturn(Lab.SERVER6, lab=lab, secret="shared")
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", turn=server.turns_url)
        ends = succeeded(hosts.receive(sender.code(), "--json"), sender)
    assert ends[0].told("done")["path"]["kind"] == "relayed"
    assert ends[0].told("done")["path"]["relay"] == server.turns_url


# Other addresses than before, while the code is out


@pytest.mark.coturn
def test_the_public_address_changes_while_the_code_is_out(tmp_path: Path) -> None:
    """The first code still works with an answer: the receiver's NAT cares about the address only, not about the port."""
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.PORT_RESTRICTED, Nat.ADDRESS_RESTRICTED)))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", stun=server.stun_url, keyboard=True)
        first = sender.code()
        hosts.lab.rebind("a")
        began = time.monotonic()
        second = sender.code(1)
        assert time.monotonic() - began < CHANGE_SHOWN_IN_S + SLACK_S
        old, new = code.parse_any(first), code.parse_any(second)
        assert isinstance(old, code.Offer)
        assert isinstance(new, code.Offer)
        assert (old.secret, old.pin) == (new.secret, new.pin)
        assert set(new.candidates) - set(old.candidates), "another port"
        receiver = hosts.receive(first, "--json", stun=server.stun_url)
        sender.type(receiver.code() + "\n")
        ends = succeeded(sender, receiver)
    assert "changed: here is a fresh code" in ends[0].told("warning")["message"]
    assert ends[0].told("done")["path"]["kind"] == "direct"


def test_the_machine_moves_while_the_code_is_out(tmp_path: Path) -> None:
    with hosts_in(Lab(Topology.PUBLIC), tmp_path) as hosts:
        sender = hosts.send("file", "--json")
        assert addresses(sender) == ["203.0.113.101"]
        hosts.lab.roam("a")
        began = time.monotonic()
        assert addresses(sender, 1) == [hosts.lab.link("a").public]
        assert time.monotonic() - began < SLACK_S
        ends = succeeded(sender, hosts.receive(sender.code(1)))
    told = [each for each in ends[0].events if each["event"] == "code"]
    assert [each["kind"] for each in told] == ["offer", "offer"]
    assert told[1]["expires_in_s"] < told[0]["expires_in_s"], "it is good for no longer than the first"
