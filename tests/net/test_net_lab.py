"""Two peers in two network namespaces: a LAN, the open internet, and two port-restricted NATs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from lab import Coturn, Lab, Topology
from rooms import ALONE, PATIENCE_S, PATIENT, Rooms, with_stun, with_turn

from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.events import PathChanged, PathKind, Recovered, Stalled
from p2pcopy.net import agent

pytestmark = pytest.mark.lab


@pytest.fixture
def rooms(request: pytest.FixtureRequest) -> Iterator[Rooms]:
    with Rooms(request.param) as rooms:
        yield rooms


lan = pytest.mark.parametrize("rooms", [Topology.LAN], indirect=True)
public = pytest.mark.parametrize("rooms", [Topology.PUBLIC], indirect=True)
two_nats = pytest.mark.parametrize("rooms", [Topology.TWO_NATS], indirect=True)


@pytest.fixture
def coturn(rooms: Rooms) -> Iterator[Coturn]:
    with Coturn(Lab.SERVER, lab=rooms.lab) as server:
        yield server
        rooms.clean_up()


@lan
def test_one_paste_in_a_lan(rooms: Rooms) -> None:
    pair = rooms.pair(ALONE, ALONE)
    pair.connected()
    assert pair.kinds() == (PathKind.LOCAL, PathKind.LOCAL)
    assert pair.a.peer.path().remote.startswith("10.77.0.3:")
    assert pair.b.peer.path().remote.startswith("10.77.0.2:")


@public
def test_one_paste_between_public_addresses(rooms: Rooms) -> None:
    pair = rooms.pair(ALONE, ALONE)
    pair.connected()
    assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
    assert pair.a.peer.path().local_type == pair.b.peer.path().local_type == "host"


@two_nats
@pytest.mark.coturn
def test_two_pastes_through_two_nats_however_late_the_answer_is(
    rooms: Rooms, coturn: Coturn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "IDLE_S", 1.0)
    pair = rooms.pair(with_stun(coturn), with_stun(coturn), replace(PATIENT, recheck_s=0.1))
    with pytest.raises(TimeoutError):  # every pair has failed several times by then
        pair.connected(4)
    pasted = time.monotonic()
    pair.a.told(pair.answer)
    pair.connected()
    assert time.monotonic() - pasted < 10
    assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
    path = pair.a.peer.path()
    assert (path.local_type, path.remote_type) == ("srflx", "srflx")
    assert path.local.startswith("203.0.113.101:")
    assert path.remote.startswith("198.51.100.102:")


@two_nats
@pytest.mark.coturn
def test_one_paste_when_both_use_the_same_relay(rooms: Rooms, coturn: Coturn) -> None:
    pair = rooms.pair(with_turn(coturn), with_turn(coturn))
    pair.connected()
    first = (pair.a.first_path, pair.b.first_path)
    assert [path.kind for path in first] == [PathKind.RELAYED, PathKind.RELAYED]
    # One relay is enough once both know each other's addresses: then the other side has none of its own.
    relays = {path.relay for path in first}
    assert coturn.turn_url in relays
    assert relays <= {coturn.turn_url, ""}


@two_nats
@pytest.mark.coturn
def test_nothing_is_relayed_that_can_be_direct(rooms: Rooms, coturn: Coturn) -> None:
    pair = rooms.pair(with_turn(coturn), with_turn(coturn), replace(PATIENT, relay_delay_s=PATIENCE_S))
    pair.a.told(pair.answer)
    pair.connected()
    assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)


@two_nats
@pytest.mark.coturn
def test_relay_only(rooms: Rooms, coturn: Coturn) -> None:
    only = with_turn(coturn, Relay.ONLY)
    pair = rooms.pair(only, only)
    assert {each.type for each in pair.answer} == {"relay"}
    left, _ = pair.connected()
    assert pair.kinds() == (PathKind.RELAYED, PathKind.RELAYED)

    async def send() -> None:
        left.send_control(b"through the relay")
        await left.acknowledged()

    pair.a.place.run(send())
    pair.b.place.run(pair.b.inbox.until(control=1))


@two_nats
@pytest.mark.coturn
def test_a_relayed_session_moves_to_a_direct_path_without_a_gap(rooms: Rooms, coturn: Coturn) -> None:
    pair = rooms.pair(with_turn(coturn), with_turn(coturn))
    pair.connected()
    pair.flow()
    pair.until_news(PathChanged)
    assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
    pair.flow()
    assert {type(news) for side in (pair.a, pair.b) for news in side.news} == {PathChanged}


@lan
def test_a_break_is_told_and_survived_and_one_that_lasts_ends_it(rooms: Rooms) -> None:
    settings = NetSettings(stun=(), stall_limit_s=8.0)
    pair = rooms.pair(settings, settings)
    pair.connected()
    rooms.lab.cut("a")
    pair.until_news(Stalled)
    for side in (pair.a, pair.b):
        stalled = side.news[0]
        assert isinstance(stalled, Stalled)
        assert 2.5 <= stalled.silent_s < 7
    pair.a.place.run(pair.a.say(b"during the break"))
    assert pair.b.inbox.control == []
    rooms.lab.mend("a")
    mended = time.monotonic()
    pair.until_news(Recovered)
    assert time.monotonic() - mended < 7
    pair.b.place.run(pair.b.inbox.until(control=1), PATIENCE_S)
    pair.flow()
    rooms.lab.cut("b")
    for side in (pair.a, pair.b):
        side.place.run(side.inbox.until(closed=1))
        assert "nothing was heard" in str(side.channel.failure)


@two_nats
@pytest.mark.coturn
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_nat_that_starts_again_is_no_end(rooms: Rooms, coturn: Coturn, side: str) -> None:
    pair = rooms.pair(with_stun(coturn), with_stun(coturn))
    pair.a.told(pair.answer)
    pair.connected()
    rooms.lab.forget_mappings(side)
    for _ in range(3):
        pair.flow()
    assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)


@two_nats
@pytest.mark.coturn
def test_a_turn_server_that_starts_again_is_no_end(rooms: Rooms, coturn: Coturn) -> None:
    only = with_turn(coturn, Relay.ONLY)
    pair = rooms.pair(only, only)
    pair.connected()
    coturn.stop()
    pair.until_news(Stalled)
    coturn.start()
    pair.until_news(Recovered)
    pair.flow()
    assert pair.kinds() == (PathKind.RELAYED, PathKind.RELAYED)


@public
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_peer_that_roams_is_followed(rooms: Rooms, side: str) -> None:
    pair = rooms.pair(ALONE, ALONE)
    pair.connected()
    before = pair.b.peer.path() if side == "a" else pair.a.peer.path()
    rooms.lab.roam(side)
    for _ in range(2):
        pair.flow()
    after = pair.b.peer.path() if side == "a" else pair.a.peer.path()
    assert after.remote.rpartition(":")[0] != before.remote.rpartition(":")[0]
    assert after.kind is PathKind.DIRECT


@two_nats
@pytest.mark.coturn
def test_a_server_with_a_secret_is_lent_for_the_session(rooms: Rooms) -> None:
    with Coturn(Lab.SERVER, lab=rooms.lab, secret="winter") as server:
        ours = NetSettings(
            stun=(IceServer(server.stun_url),), turn=(IceServer(server.turn_url, secret="winter"),), stall_limit_s=60
        )
        pair = rooms.pair(ours, NetSettings(stun=(IceServer(server.stun_url),)), replace(PATIENT, keepalive_s=0.1))
        pair.a.told(pair.answer)
        pair.connected()
        gathering = pair.b.peer._gathering

        async def until(condition: Callable[[], object]) -> None:
            while not condition():
                await asyncio.sleep(0.05)

        def has_relay() -> bool:
            return any(each.type == "relay" for each in pair.b.peer.candidates)

        pair.b.place.run(until(lambda: gathering._relays.sources))
        pair.b.place.run(asyncio.sleep(1))  # many looks, none of which asks: there is a direct path
        assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
        assert not gathering._relays._has_had_one
        rooms.lab.cut("a")
        pair.b.place.run(until(has_relay), PATIENCE_S)
        assert any(isinstance(news, Stalled) for news in pair.b.news)
        rooms.clean_up()
