"""The data path through TURN servers, from there to direct paths and back, and with a stock association on one side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flows import ENOUGH_S, Batches, Flow, outbound
from lab import PASSWORD, USERNAME, Coturn, Lab, Topology
from lab.tied import shell
from rooms import Pair, Rooms, Side

from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.events import PathKind
from p2pcopy.net import agent

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

BOTH_RELAYED = (PathKind.RELAYED, PathKind.RELAYED)
BOTH_DIRECT = (PathKind.DIRECT, PathKind.DIRECT)
# Datagrams at a time: one by one would be 1. A slow machine paces few at a time.
MANY = 1.5
PATIENCE_S = 20.0


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    with Rooms(Topology.TWO_NATS) as rooms:
        yield rooms


@pytest.fixture
def coturn(rooms: Rooms) -> Iterator[Coturn]:
    with Coturn(Lab.SERVER, lab=rooms.lab) as server:
        yield server
        rooms.clean_up()


def over(coturn: Coturn, transport: str, relay: Relay = Relay.AUTO) -> NetSettings:
    """transport: to the TURN server, "" for none."""
    stun = NetSettings(stun=(IceServer(coturn.stun_url),), turn_insecure=True, share_relay=False)
    turn = IceServer(coturn.url_over(transport), USERNAME, PASSWORD) if transport else None
    return replace(stun, turn=(turn,), relay=relay) if turn else stun


def connected(rooms: Rooms, a: NetSettings, b: NetSettings) -> Pair:
    pair = rooms.pair(a, b)
    pair.a.told(pair.answer)
    pair.connected()
    return pair


def until(pair: Pair, kinds: tuple[PathKind, PathKind]) -> None:
    async def until(side: Side, kind: PathKind) -> None:
        while side.peer.path().kind is not kind:
            await side.next_news()

    for side, kind in zip((pair.a, pair.b), kinds, strict=True):
        side.place.run(until(side, kind), ENOUGH_S)


@pytest.mark.parametrize(
    ("a", "b"), [("udp", "udp"), ("tcp", "tcp"), ("tls", "tls"), ("udp", ""), ("", "tcp"), ("tls", "udp")]
)
def test_relayed_data_goes_in_batches_both_ways(rooms: Rooms, coturn: Coturn, a: str, b: str) -> None:
    pair = connected(rooms, over(coturn, a, Relay.ONLY), over(coturn, b, Relay.ONLY if b else Relay.AUTO))
    assert pair.kinds() == BOTH_RELAYED
    for source, sink in ((pair.a, pair.b), (pair.b, pair.a)):
        batches = Batches(source, sink)
        flow = Flow(source, sink)
        flow.more(20)
        flow.finish()
        assert batches.sent > MANY
        assert batches.received > MANY
        told = source.data_paths[-1]
        size = {"udp": 1468, "": 1472}.get(a if source is pair.a else b, 1225)
        assert (told.fast, told.packet_bytes) == (True, size)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_from_a_direct_path_to_a_relay_and_back(
    rooms: Rooms, coturn: Coturn, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "IDLE_S", 1.0)
    pair = connected(rooms, over(coturn, transport), over(coturn, transport))
    until(pair, BOTH_DIRECT)
    flow = Flow(pair.a, pair.b)
    flow.more(20)
    place = rooms.lab.namespace("m")
    size = 1468 if transport == "udp" else 1225
    for rules, kinds, packet_bytes in (
        ("add table inet apart; add chain inet apart each { type filter hook forward priority 0; policy drop; }",
         BOTH_RELAYED, size),
        ("delete table inet apart", BOTH_DIRECT, 1472),
    ):  # fmt: skip
        controller = outbound(pair.a).controller
        before = flow.arrivals.times[-1]
        shell([f"ip netns exec {place} nft '{rules}'"])
        until(pair, kinds)
        pair.a.place.run(pair.a.until_packets_of(packet_bytes), ENOUGH_S)
        flow.more(20)
        assert flow.gap(before) < PATIENCE_S
        assert outbound(pair.a).controller is not controller
    flow.finish()


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_nat_that_gives_other_ports(rooms: Rooms, coturn: Coturn, side: str) -> None:
    pair = connected(rooms, over(coturn, "udp"), over(coturn, "udp"))
    until(pair, BOTH_DIRECT)
    flow = Flow(pair.a, pair.b)
    flow.more(20)
    before = flow.arrivals.times[-1]
    rooms.lab.rebind(side)
    flow.more(20)
    assert flow.gap(before) < PATIENCE_S
    flow.finish()


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_a_turn_server_that_answers_nothing_for_a_while(rooms: Rooms, coturn: Coturn, transport: str) -> None:
    only = over(coturn, transport, Relay.ONLY)
    pair = connected(rooms, only, only)
    flow = Flow(pair.a, pair.b)
    flow.more(10)
    before = flow.arrivals.times[-1]
    coturn.freeze()
    time.sleep(2.5)
    coturn.thaw()
    flow.more(10)
    assert 2 < flow.gap(before) < 2 + PATIENCE_S
    flow.finish()


@pytest.mark.parametrize("transport", ["", "udp", "tcp"])
def test_a_stock_association_on_one_side(rooms: Rooms, coturn: Coturn, transport: str) -> None:
    settings = over(coturn, transport, Relay.ONLY if transport else Relay.AUTO)
    pair = connected(rooms, replace(settings, fast_path=False), settings)
    for source, sink in ((pair.a, pair.b), (pair.b, pair.a)):
        flow = Flow(source, sink)
        flow.more(5)
        flow.finish()
    assert not pair.a.data_paths[-1].fast
    assert (pair.b.data_paths[-1].fast, pair.b.data_paths[-1].peer_fast) == (True, False)
