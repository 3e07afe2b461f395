"""The doctor's report: text for people, one line of JSON for programs, and the page that documents it."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from p2pcopy.net.findings import (
    Abilities,
    Ability,
    Check,
    Diagnosis,
    FamilyFinding,
    Library,
    Network,
    OwnAddress,
    ServerFinding,
    Software,
    Udp,
    Verdict,
)
from p2pcopy.net.natkind import Filtering, Kind, Mapping, Nat
from p2pcopy.ui.report import as_json, as_text

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
NAT = Nat(Kind.PORT_RESTRICTED, Mapping.INDEPENDENT, Filtering.ADDRESS_AND_PORT, "203.0.113.7", True, False)
UDP = Check("udp", "192.0.2.1:3478", True, True, True, "", None, 12.345678, "")
TCP = replace(UDP, transport="tcp", used=False)
ALLOCATED = replace(UDP, credential="accepted", lent="192.0.2.1")
WORKS = Ability(works=True)
FAST = Abilities(fast=True, reasons=(), gso=WORKS, gro=WORKS, batch=WORKS, path_mtu=WORKS)
DIAGNOSIS = Diagnosis(
    Verdict(True, "It works.", ("Do this.",)),
    Network(
        (
            OwnAddress("127.0.0.1", "host", "lo", in_code=False, reason="it leads to this machine only"),
            OwnAddress("10.0.0.2", "host", "eth0", in_code=True, reason=""),
            OwnAddress("172.17.0.1", "host", "docker0\x1b[31m", in_code=False, reason="it is virtual"),
            OwnAddress("203.0.113.7", "srflx", "", in_code=True, reason=""),
            OwnAddress("192.0.2.1", "relay", "", in_code=True, reason=""),
        ),
        (
            ServerFinding("stun:one", "stun", True, "", True, (UDP, TCP)),
            ServerFinding("stun:none", "stun", False, "its name cannot be resolved", False, ()),
            ServerFinding("turn:two", "turn", True, "", False, (ALLOCATED, replace(ALLOCATED, ok=False, reason="no"))),
        ),
        FamilyFinding("10.0.0.2", Udp.WORKS, NAT),
        FamilyFinding("", Udp.NO_ADDRESS, None),
        1.5,
    ),
    FAST,
    Software("1.2", "3.11.4", "Linux-6", (Library("aiortc", "1.16.0", True), Library("aioice", "9", False)), "", ""),
)
TEXT = """\
Addresses
  10.0.0.2     eth0                         goes into a code
  172.17.0.1   docker0\\x1b[31m              left out: it is virtual
  203.0.113.7  as servers see this machine  goes into a code
  192.0.2.1    lent by a TURN server        goes into a code

Servers
  stun:one   udp  ok, 12 ms
             tcp  ok, 12 ms, not used
  stun:none       its name cannot be resolved
  turn:two   udp  ok, 12 ms, credential accepted
             udp  no

Network
  IPv4  port-restricted cone NAT; UDP works
        mapping endpoint-independent
        filtering address- and port-dependent
        port preserved
        no hairpinning
  IPv6  no address that could be used

Data path
  association         fast
  GSO                 works
  GRO                 works
  batch reads         works
  path-MTU discovery  works

Software
  p2pcopy 1.2, Python 3.11.4, Linux-6
  aiortc 1.16.0, tested
  aioice 9, NOT tested with p2pcopy

It works.
- Do this.
"""


def test_the_text() -> None:
    assert as_text(DIAGNOSIS) == TEXT


def test_verbose_says_more() -> None:
    text = as_text(DIAGNOSIS, verbose=True)
    assert "127.0.0.1" in text
    assert "udp 192.0.2.1:3478  ok, 12 ms" in text
    assert "offers tests of NATs (RFC 5780)" in text


@pytest.mark.parametrize(
    ("nat", "line"),
    [
        (Nat(Kind.OPEN, Mapping.NONE, Filtering.INDEPENDENT), "no NAT; UDP works"),
        (Nat(Kind.FIREWALL, Mapping.NONE, Filtering.ADDRESS), "firewall without NAT; UDP works"),
        (Nat(Kind.SYMMETRIC, Mapping.DEPENDENT, Filtering.UNKNOWN, hairpinning=True), "symmetric NAT; UDP works"),
        (Nat(Kind.UNKNOWN, Mapping.UNKNOWN, Filtering.UNKNOWN), "kind of NAT not known; UDP works"),
    ],
)
def test_kinds_of_nat(nat: Nat, line: str) -> None:
    network = replace(DIAGNOSIS.network, ipv4=FamilyFinding("10.0.0.2", Udp.WORKS, nat))
    text = as_text(replace(DIAGNOSIS, network=network))
    assert f"  IPv4  {line}\n" in text
    assert ("mapping" in text) is (nat.mapping is not Mapping.NONE)


def test_nothing_at_all() -> None:
    nothing = FamilyFinding("10.0.0.2", Udp.BLOCKED, Nat(Kind.UDP_BLOCKED, Mapping.UNKNOWN, Filtering.UNKNOWN))
    text = as_text(replace(DIAGNOSIS, network=Network((), (), nothing, nothing, 0.0)))
    assert "Addresses\n  none\n" in text
    assert "Servers\n  none was asked\n" in text
    assert "  IPv4  UDP blocked\n  IPv6  UDP blocked\n" in text


def test_what_is_missing_of_the_fast_data_path() -> None:
    abilities = Abilities(
        fast=False,
        reasons=("there is no a.b", "c 9 is not tested"),
        gso=WORKS,
        gro=Ability(False, "not in this kernel\n", "each packet costs a call"),
        batch=WORKS,
        path_mtu=Ability(False, "only on Linux", "packets stay small"),
    )
    diagnosis = replace(DIAGNOSIS, data_path=abilities)
    assert """
Data path
  association         stock: there is no a.b; c 9 is not tested; aiortc by itself moves data more slowly
  GSO                 works
  GRO                 no: not in this kernel\\n; each packet costs a call
  batch reads         works
  path-MTU discovery  no: only on Linux; packets stay small
""" in as_text(diagnosis)
    told = json.loads(as_json(diagnosis))["data_path"]
    assert (told["fast"], told["reasons"]) == (False, ["there is no a.b", "c 9 is not tested"])
    assert told["gso"] == {"works": True, "reason": "", "meaning": ""}
    assert told["path_mtu"] == {"works": False, "reason": "only on Linux", "meaning": "packets stay small"}


def test_json_is_one_line() -> None:
    line = as_json(DIAGNOSIS)
    assert line.count("\n") == 1
    told = json.loads(line)
    assert (told["event"], told["v"]) == ("doctor", 1)
    assert told["verdict"] == {"possible": True, "meaning": "It works.", "advice": ["Do this."]}
    assert told["network"]["ipv4"]["nat"]["kind"] == "port-restricted cone"
    assert told["network"]["ipv6"] == {"local": "", "udp": "no address", "nat": None}
    assert told["network"]["servers"][0]["checks"][0]["time_ms"] == 12.346


DOCUMENTED: dict[str, Any] = {
    "doctor": Diagnosis,
    "verdict": Verdict,
    "network": Network,
    "addresses": OwnAddress,
    "servers": ServerFinding,
    "checks": Check,
    "ipv4, ipv6": FamilyFinding,
    "nat": Nat,
    "data_path": Abilities,
    "gso, gro, batch, path_mtu": Ability,
    "software": Software,
    "libraries": Library,
}


def test_the_page_lists_every_field() -> None:
    sections = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    listed = {each.splitlines()[0].strip(): re.findall(r"^\| `(\w+)` \|", each, re.MULTILINE) for each in sections}
    assert listed == {name: [field.name for field in fields(cls)] for name, cls in DOCUMENTED.items()}


def test_the_page_lists_every_value() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for values in (Kind, Mapping, Filtering, Udp):
        assert [each.value for each in values if f"`{each.value}`" not in page] == []
