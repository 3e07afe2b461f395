"""What is away for a moment and comes back: an address of this machine, and a host behind a NAT that refuses what it forgot."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator

import pytest
from lab import Coturn, Family, Lab, Layout, Nat, Site, Topology
from rooms import ALONE, PATIENCE_S, Rooms, Side, with_stun

from p2pcopy.events import PathKind, Recovered, Stalled
from p2pcopy.net import liveness
from p2pcopy.signaling.candidates import Candidate

pytestmark = pytest.mark.lab

AWAY_S = 3.0
GONE_S = 2.0
REFUSED_S = GONE_S + 4


@pytest.fixture
def rooms(request: pytest.FixtureRequest) -> Iterator[Rooms]:
    with Rooms(request.param) as rooms:
        yield rooms


lan = pytest.mark.parametrize("rooms", [Topology.LAN], indirect=True)
two_nats = pytest.mark.parametrize("rooms", [Topology.TWO_NATS], indirect=True)


class Blip:
    """The only address of a host goes away, and comes back with the way out."""

    def __init__(self, lab: Lab, host: str) -> None:
        self._host = ["ip", "-n", lab.namespace(host)]
        self._link = lab.link(host)
        self._address = f"{self._link.segment.host}/{self._link.segment.length}"

    def away(self) -> None:
        self._ip("addr", "del", self._address, "dev", self._link.host_device)

    def back(self) -> None:
        self._ip("addr", "add", self._address, "dev", self._link.host_device)
        self._ip("route", "replace", "default", "via", self._link.segment.router)

    def _ip(self, *words: str) -> None:
        subprocess.run([*self._host, *words], check=True)


@two_nats
@pytest.mark.coturn
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_session_goes_on_at_the_same_addresses(rooms: Rooms, side: str) -> None:
    with Coturn(Lab.SERVER, lab=rooms.lab) as server:
        pair = rooms.pair(with_stun(server), with_stun(server))
        pair.a.told(pair.answer)
        pair.connected()
        pair.flow()
        before = [(each.peer.path(), each.peer.candidates) for each in (pair.a, pair.b)]
        blip = Blip(rooms.lab, side)
        blip.away()
        pair.until_news(Stalled)
        time.sleep(AWAY_S)
        until_addresses({"a": pair.a, "b": pair.b}[side], ())
        blip.back()
        came_back = time.monotonic()
        pair.until_news(Recovered)
        assert time.monotonic() - came_back < 10
        pair.flow()
        for each, (path, candidates) in zip((pair.a, pair.b), before, strict=True):
            assert (each.peer.path().local, each.peer.path().remote) == (path.local, path.remote)
            until_addresses(each, candidates)
        assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
        rooms.clean_up()


def until_addresses(side: Side, candidates: tuple[Candidate, ...]) -> None:
    """Until these are what it may be reached at."""

    async def until() -> None:
        while side.peer.candidates != candidates:
            await asyncio.sleep(0.05)

    side.place.run(until(), PATIENCE_S)


@lan
def test_a_code_that_was_handed_out_before_is_still_good(rooms: Rooms) -> None:
    waiting = rooms.side("a")
    told: list[tuple[Candidate, ...]] = []
    secret = bytes(16)
    offer = waiting.begin(ALONE, secret)
    waiting.peer.on_candidates = told.append
    left = waiting.connect()
    blip = Blip(rooms.lab, "a")
    blip.away()
    until_addresses(waiting, ())
    time.sleep(AWAY_S)
    blip.back()
    joining = rooms.side("b")
    joining.begin(ALONE, secret, pin=waiting.peer.pin)
    joining.told(offer)
    right = joining.connect()
    left.result(PATIENCE_S)
    right.result(PATIENCE_S)
    assert told == []
    assert waiting.peer.candidates == offer


@pytest.mark.coturn
def test_a_nat_that_forgets_and_refuses_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "GONE_S", GONE_S)
    with Rooms(Topology.TWO_NATS, refuses=True) as rooms, Coturn(Lab.SERVER, lab=rooms.lab) as server:
        pair = rooms.pair(with_stun(server), with_stun(server))
        pair.a.told(pair.answer)
        pair.connected()
        pair.flow()
        silence = rooms.lab.command(
            "b",
            "nft",
            "add table ip silence; add chain ip silence out { type filter hook output priority 0; policy drop; }",
        )
        subprocess.run(silence, check=True)
        rooms.lab.forget_mappings("b")
        time.sleep(REFUSED_S)
        assert [each.refused for each in pair.a.peer.trial().remote if each.candidate.type == "srflx"] == [True]
        subprocess.run(rooms.lab.command("b", "nft", "delete table ip silence"), check=True)
        pair.until_news(Recovered)
        pair.flow()
        assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
        rooms.clean_up()


def test_a_firewall_that_forgets_and_refuses_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "GONE_S", GONE_S)
    site = Site(Nat.PORT_RESTRICTED, Family.IPV6)
    with Rooms(Layout(site, site), refuses=True) as rooms:
        pair = rooms.pair(ALONE, ALONE)
        pair.a.told(pair.answer)
        pair.connected()
        pair.flow()
        table = "table ip6 silence"
        silence = f"add {table}; add chain ip6 silence out {{ type filter hook output priority 0; policy drop; }}"
        subprocess.run(rooms.lab.command("b", "nft", silence), check=True)
        rooms.lab.forget_mappings("b")
        time.sleep(REFUSED_S)
        subprocess.run(rooms.lab.command("b", "nft", f"delete {table}"), check=True)
        pair.until_news(Recovered)
        pair.flow()
