"""A TURN server that only the offering side knows travels in the code: one paste is enough behind any two NATs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hosts import CONNECTED, Hosts, hosts_in, succeeded
from lab import PASSWORD, Coturn, Lab, Nat
from lab.turn import SECRET
from processes import Running
from trees import copied, make

from p2pcopy.signaling import code

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

CONNECTS_IN_S = 4.0
SLACK_S = 8.0  # on a busy machine
HOURS_AGO = "import time\nnow = time.time\ntime.time = lambda: now() - 7200\n"
PATH_NEWS = rb'"event": "path"[^\n]*"kind": "(\w+)"'


def connects(began: float, *processes: Running) -> None:
    for each in processes:
        each.out.wait_for(CONNECTED)
    assert time.monotonic() - began < CONNECTS_IN_S + SLACK_S


def one_paste(hosts: Hosts, sender: Running) -> None:
    """The receiver knows no TURN server, and its answer is not pasted anywhere."""
    receiver = hosts.receive(sender.code(), "--json")
    receiver.out.wait_for(b'"event": "connecting"')
    connects(time.monotonic(), sender, receiver)
    for ended in succeeded(sender, receiver):
        assert ended.told("done")["path"]["kind"] == "relayed"


@pytest.mark.parametrize(
    ("kind", "url"),
    [(Nat.SYMMETRIC, "turn_url"), (Nat.UDP_BLOCKED, "turn_tcp_url"), (Nat.UDP_BLOCKED, "turns_url")],
    ids=["udp", "tcp", "tls"],
)
def test_with_a_shared_secret_it_does_so_by_itself(tmp_path: Path, kind: Nat, url: str) -> None:
    make(tmp_path / "file", b"content")
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, kind)), secret=SECRET)
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", turn=getattr(server, url))
        one_paste(hosts, sender)
    assert b"warning" not in sender.out.content
    assert copied(tmp_path / "file", tmp_path / "out")


def test_a_password_travels_when_the_user_says_so(tmp_path: Path) -> None:
    make(tmp_path / "file", b"content")
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--share-relay", "--json", turn=server.turn_url)
        explained = hosts.explained(sender.code())
        one_paste(hosts, sender)
    assert f"{server.turn_url}  with a user name and password" in explained
    assert PASSWORD not in explained
    assert f"the password for {server.turn_url} is in the code" in sender.ended().told("warning")["message"]


def test_a_password_does_not_travel_otherwise_and_both_codes_are_needed(tmp_path: Path) -> None:
    make(tmp_path / "file", b"content")
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--json", turn=server.turn_url, keyboard=True)
        assert "TURN server" not in hosts.explained(sender.code())
        receiver = hosts.receive(sender.code(), "--json", stun=server.stun_url)
        answer = receiver.code()
        with pytest.raises(AssertionError, match="passed before"):
            receiver.out.wait_for(CONNECTED, timeout=1)
        began = time.monotonic()
        sender.type(answer + "\n")
        connects(began, sender, receiver)
        ends = succeeded(sender, receiver)
    assert [each.told("done")["path"]["kind"] for each in ends] == ["relayed", "relayed"]
    assert copied(tmp_path / "file", tmp_path / "out")


def test_the_credential_ends_with_the_code(tmp_path: Path) -> None:
    make(tmp_path / "file", b"content")
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)), secret=SECRET)
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.send("file", "--wait", "10m", turn=server.turn_url, before=HOURS_AGO)
        now_s = time.time() - 7200
        offer = code.parse_offer(sender.code(), now_s=now_s, expecting=code.Starter.SENDER)
        (lent,) = offer.relays
        explained = hosts.explained(sender.code())
        assert f"{server.turn_url}  with a credential that ends by itself" in explained
        assert not [each for each in (SECRET, lent.password) if each in explained]
        lasts_s = int(lent.username) - now_s
        assert 20 * 60 - 60 < lasts_s <= 21 * 60 + 60, (
            "10 minutes, as many of grace, to the next minute; and how long this took"
        )
        receiver = hosts.receive(sender.code(), "--wait", "2s", before=HOURS_AGO).ended()
    assert receiver.exit_code == 5
    assert f"warning: {server.turn_url}" in receiver.err
    assert "from the code, cannot be used: " in receiver.err
    assert f"tried: TURN {server.turn_url}" in receiver.err


def test_a_common_relay_and_then_a_direct_path(tmp_path: Path) -> None:
    server = Coturn(Lab.SERVER, lab=(lab := Lab.between(Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED)))
    with hosts_in(lab, tmp_path, server) as hosts:
        sender = hosts.run(
            "a", "send", "-", "--name", "stream", "--json", turn=server.turn_url, stun=server.stun_url, keyboard=True
        )
        receiver = hosts.receive(sender.code(), "--json", turn=server.turn_url, stun=server.stun_url)
        sender.type(b"over the relay")
        for each in (sender, receiver):
            assert each.out.wait_for(PATH_NEWS)[1] == b"direct"
        sender.type(b", and directly")
        sender.close_input()
        ends = succeeded(sender, receiver)
    for ended in ends:
        assert [each["path"]["kind"] for each in ended.events if each["event"] == "connected"] == ["relayed"]
        assert ended.told("done")["path"]["kind"] == "direct"
        assert not [each for each in ended.events if each["event"] in ("stalled", "back")]
    assert (tmp_path / "out" / "stream").read_bytes() == b"over the relay, and directly"
