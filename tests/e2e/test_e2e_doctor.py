"""p2pcopy doctor as people run it: behind each kind of NAT, with servers that help and servers that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab import PASSWORD, USERNAME, Coturn, Family, Lab, Nat
from processes import Ended, Processes

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

KINDS = {
    Nat.NONE: ("no NAT", "no translation", "endpoint-independent"),
    Nat.FULL_CONE: ("full cone", "endpoint-independent", "endpoint-independent"),
    Nat.ADDRESS_RESTRICTED: ("address-restricted cone", "endpoint-independent", "address-dependent"),
    Nat.PORT_RESTRICTED: ("port-restricted cone", "endpoint-independent", "address- and port-dependent"),
    Nat.SYMMETRIC: ("symmetric", "address- and port-dependent", "address- and port-dependent"),
    Nat.UDP_BLOCKED: ("UDP blocked", "unknown", "unknown"),
}
ALL_ADDRESSES = (Lab.SERVER_2, Lab.SERVER6, Lab.SERVER6_2)
BOUND_S = 10.0  # its own limits add up to 4 s, and a busy machine is late
# For before=: where all servers answer. On a busy machine an answer may take longer than people would wait for it.
PATIENT = """
from p2pcopy.net import survey
survey.survey.__defaults__ = (survey.SurveyTimes(answer_s=20.0, allocate_s=20.0, test_s=2.0),)
"""


def doctor(work: Path, lab: Lab, *arguments: str, before: str = "", **environment: str) -> Ended:
    credential = {"P2PCOPY_TURN_USER": USERNAME, "P2PCOPY_TURN_PASSWORD": PASSWORD}
    with Processes(work) as start:
        place, variables = lab.command("a"), credential | environment
        return start.start("doctor", *arguments, place=place, environment=variables, before=before).ended()


def network(ended: Ended) -> dict[str, Any]:
    """Of the one JSON object that it writes."""
    (told,) = ended.events
    assert (told["event"], told["v"]) == ("doctor", 1)
    found: dict[str, Any] = told["network"]
    return found


@pytest.mark.parametrize("nat", Nat)
def test_the_kind_of_nat_is_named(nat: Nat, tmp_path: Path) -> None:
    blocked = nat is Nat.UDP_BLOCKED
    with Lab.between(nat, Nat.NONE, Family.DUAL) as lab, Coturn(Lab.SERVER, also=ALL_ADDRESSES, lab=lab) as server:
        servers = ("--stun", server.stun_url, "--stun", server.url("stun", address=Lab.SERVER6))
        ended = doctor(tmp_path, lab, "--json", *servers, before="" if blocked else PATIENT)
    assert ended.exit_code == (5 if blocked else 0), ended.err
    found = network(ended)
    assert found["seconds"] < BOUND_S
    for server_found in found["servers"]:
        assert {check["transport"]: check["ok"] for check in server_found["checks"]} == {
            "udp": not blocked,
            "tcp": True,
        }
        assert server_found["behaviour_tests"] is not blocked
    kind, mapping, filtering = KINDS[nat]
    ipv4, ipv6 = found["ipv4"]["nat"], found["ipv6"]["nat"]
    assert (ipv4["kind"], ipv4["mapping"], ipv4["filtering"]) == (kind, mapping, filtering)
    assert found["ipv4"]["udp"] == found["ipv6"]["udp"] == ("blocked" if blocked else "works")
    public = {each["address"] for each in found["addresses"] if each["type"] == "srflx" and each["in_code"]}
    if nat in (Nat.NONE, Nat.UDP_BLOCKED):
        assert public == set()
        assert ipv6["kind"] == kind
    else:
        assert public == {ipv4["public"]} == {"203.0.113.101"}
        assert ipv4["port_preserved"] is (nat is not Nat.SYMMETRIC)
        assert ipv4["hairpinning"] is False
        assert (ipv6["kind"], ipv6["mapping"]) == ("firewall without NAT", "no translation")


@pytest.mark.parametrize(("nat", "kind"), [(Nat.PORT_RESTRICTED, "cone"), (Nat.SYMMETRIC, "symmetric")])
def test_two_servers_are_compared_where_none_offers_tests(nat: Nat, kind: str, tmp_path: Path) -> None:
    with (
        Lab.isolated(nat) as lab,
        Coturn(Lab.SERVER, lab=lab) as one,
        Coturn(Lab.SERVER_2, lab=lab) as two,
    ):
        ended = doctor(tmp_path, lab, "--json", "--stun", one.stun_url, "--turn", two.turn_url, before=PATIENT)
    assert ended.exit_code == 0
    found = network(ended)
    assert [each["behaviour_tests"] for each in found["servers"]] == [False, False]
    assert (found["ipv4"]["nat"]["kind"], found["ipv4"]["nat"]["filtering"]) == (kind, "unknown")


def test_what_people_read(tmp_path: Path) -> None:
    with Lab.between(Nat.PORT_RESTRICTED, Nat.NONE) as lab, Coturn(Lab.SERVER, also=ALL_ADDRESSES, lab=lab) as server:
        ended = doctor(tmp_path, lab, "--stun", server.stun_url, before=PATIENT)
    assert ended.exit_code == 0
    text = ended.out.decode()
    assert "port-restricted cone NAT" in text
    assert (
        "\nDirect connections will work with most peers; without TURN not with those behind symmetric NATs.\n" in text
    )
    assert "- Name a TURN server with --turn" in text
    assert ended.err == ""


def test_a_relay_is_a_way_out_where_udp_is_blocked(tmp_path: Path) -> None:
    with Lab.between(Nat.UDP_BLOCKED, Nat.NONE) as lab, Coturn(Lab.SERVER, lab=lab) as server:
        servers = ("--stun", server.stun_url, "--turn", server.turns_url)
        ended = doctor(tmp_path, lab, *servers, SSL_CERT_FILE=str(server.ca_file))
        assert ended.exit_code == 0
        assert b"UDP is blocked: beyond the local network every connection goes over the TURN relay." in ended.out
        ended = doctor(tmp_path, lab, *servers)
    assert ended.exit_code == 5
    assert b"its certificate is not accepted" in ended.out


def test_dead_servers_cost_little(tmp_path: Path) -> None:
    dead = ("--stun", "stun:203.0.113.99", "--turn", "turn:203.0.113.98", "--turn", "turns:203.0.113.97")
    with Lab.between(Nat.FULL_CONE, Nat.NONE) as lab, Coturn(Lab.SERVER, also=ALL_ADDRESSES, lab=lab) as server:
        ended = doctor(tmp_path, lab, "--json", "--stun", server.stun_url, *dead)
    assert ended.exit_code == 0
    found = network(ended)
    assert found["ipv4"]["nat"]["kind"] == "full cone"
    assert [each["ok"] for each in found["servers"]] == [True, False, False, False]
    assert found["seconds"] < BOUND_S
