"""The data path over real networks: packet sizes, black holes, paths that change or break, and ends, with data flowing."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flows import ENOUGH_S, Flow, outbound
from lab import Coturn, Family, Lab, Layout, Nat, Site, Topology
from lab.tied import shell
from rooms import ALONE, Pair, Rooms, Side, with_stun

from p2pcopy.config import NetSettings
from p2pcopy.errors import ConnectionLost
from p2pcopy.events import PathKind, Recovered, Stalled

pytestmark = pytest.mark.lab

LARGEST = {Family.IPV4: 1472, Family.IPV6: 1452}
BASE = 1225
# What ICE needs to find another path, and a machine that is busy with other tests.
PATIENCE_S = 20.0


def between(family: Family = Family.IPV4, nat: Nat = Nat.NONE) -> Layout:
    return Layout(Site(nat, family), Site(nat, family))


@pytest.fixture
def rooms(request: pytest.FixtureRequest) -> Iterator[Rooms]:
    with Rooms(request.param) as rooms:
        yield rooms


public = pytest.mark.parametrize("rooms", [Topology.PUBLIC], indirect=True)


def connected(rooms: Rooms, settings: NetSettings = ALONE) -> Pair:
    pair = rooms.pair(settings, settings)
    pair.connected()
    return pair


def narrow(lab: Lab, host: str, mtu: int) -> None:
    """What is sent to a host is at most so long from now on."""
    link = lab.link(host)
    shell([f"ip -n {lab.namespace(link.where)} link set {link.bridge} mtu {mtu}"])


def say_nothing(lab: Lab) -> None:
    """From now on nobody is told of packets that are too long."""
    rules = (
        "add table inet silence; add chain inet silence out { type filter hook output priority 0; }; "
        "add rule inet silence out icmp type destination-unreachable drop; "
        "add rule inet silence out icmpv6 type packet-too-big drop"
    )
    shell([f"ip netns exec {lab.namespace('m')} nft '{rules}'"])


def drop_fragments(lab: Lab, host: str) -> None:
    """As many firewalls do, with those of IPv4; no router makes any of IPv6."""
    rules = (
        "add table ip fragments; add chain ip fragments in { type filter hook prerouting priority -450; }; "
        "add rule ip fragments in ip frag-off & 0x3fff != 0 drop"
    )
    shell([f"ip netns exec {lab.namespace(host)} nft '{rules}'"])


def until_packets_of(side: Side, size: int) -> None:
    side.place.run(side.until_packets_of(size), ENOUGH_S)


# The size of packets


@pytest.mark.parametrize(
    ("rooms", "mtu", "size"),
    [
        (between(), 1500, 1472),
        (between(), 1400, 1372),
        (between(), 1300, 1252),
        (between(Family.IPV6), 1500, 1452),
        (between(Family.IPV6), 1400, 1352),
    ],
    indirect=["rooms"],
    ids=str,
)
def test_packets_are_as_large_as_the_path_takes(rooms: Rooms, mtu: int, size: int) -> None:
    say_nothing(rooms.lab)
    narrow(rooms.lab, "b", mtu)
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)
    until_packets_of(pair.a, size)
    until_packets_of(pair.b, LARGEST[rooms.lab.layout.a.family])
    flow.more(20)
    flow.finish()


def flowing_in_silence(rooms: Rooms) -> tuple[Pair, Flow]:
    """Large packets are on their way, and nobody tells what becomes of those that are too large."""
    pair = connected(rooms)
    until_packets_of(pair.a, LARGEST[rooms.lab.layout.a.family])
    flow = Flow(pair.a, pair.b)
    flow.more(20)
    say_nothing(rooms.lab)
    drop_fragments(rooms.lab, "b")
    return pair, flow


@pytest.mark.parametrize("rooms", [between(), between(Family.IPV6)], indirect=True, ids=str)
def test_a_path_that_gets_narrow_in_silence(rooms: Rooms) -> None:
    pair, flow = flowing_in_silence(rooms)
    narrow(rooms.lab, "b", 1300)
    now = time.monotonic()
    until_packets_of(pair.a, BASE)
    flow.more(20)
    assert flow.gap(now) < PATIENCE_S
    assert not pair.a.news
    flow.finish()


@pytest.mark.parametrize("rooms", [between(), between(Family.IPV6)], indirect=True, ids=str)
def test_another_path_that_is_narrower_in_silence(rooms: Rooms) -> None:
    pair, flow = flowing_in_silence(rooms)
    narrow(rooms.lab, "b", 1400)
    now = time.monotonic()
    rooms.lab.roam("a")
    until_packets_of(pair.a, LARGEST[rooms.lab.layout.a.family] - 100)
    flow.more(10)
    assert flow.gap(now) < PATIENCE_S
    flow.finish()


# Paths that change or break


def changed(change: Callable[[], None], *, flow: Flow, source: Side) -> float:
    """The time in s in which nothing came because of it; what is sent twice is little more than what was on the way."""
    flow.more(10)
    sending = outbound(source)
    on_the_way, again = sending.flight.next - sending.flight.oldest, sending.sent_again
    now = time.monotonic()
    change()
    flow.more(20)
    assert sending.sent_again - again < 3 * on_the_way + 3000
    return flow.gap(now)


@public
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_side_that_moves(rooms: Rooms, side: str) -> None:
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)
    until_packets_of(pair.a, 1472)
    controller = outbound(pair.a).controller
    assert changed(lambda: rooms.lab.roam(side), flow=flow, source=pair.a) < PATIENCE_S
    assert outbound(pair.a).controller is not controller
    assert outbound(pair.a).round_trip.smallest is not None
    flow.finish()


@pytest.mark.coturn
@pytest.mark.parametrize("rooms", [Topology.TWO_NATS], indirect=True)
def test_nats_that_start_again(rooms: Rooms) -> None:
    with Coturn(Lab.SERVER, lab=rooms.lab) as server:
        pair = rooms.pair(with_stun(server), with_stun(server))
        pair.a.told(pair.answer)
        pair.connected()
        flow = Flow(pair.b, pair.a)
        for side in ("a", "b"):
            forget = partial(rooms.lab.forget_mappings, side)
            assert changed(forget, flow=flow, source=pair.b) < PATIENCE_S
        assert pair.kinds() == (PathKind.DIRECT, PathKind.DIRECT)
        flow.finish()
        rooms.clean_up()


@public
@pytest.mark.parametrize("cut_s", [1.0, 4.0])
def test_a_cut(rooms: Rooms, cut_s: float) -> None:
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)

    def cut() -> None:
        rooms.lab.cut("b")
        time.sleep(cut_s)
        rooms.lab.mend("b")

    # What had arrived before the cut may be taken after it has begun.
    assert cut_s / 2 < changed(cut, flow=flow, source=pair.a) < cut_s + PATIENCE_S
    flow.finish()


@public
@pytest.mark.parametrize("stopped", ["sender", "receiver"])
def test_a_process_that_is_stopped_for_a_while(rooms: Rooms, stopped: str) -> None:
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)
    side, other = (pair.a, pair.b) if stopped == "sender" else (pair.b, pair.a)

    async def stop() -> None:
        time.sleep(4)

    assert 3 < changed(lambda: side.place.run(stop()), flow=flow, source=pair.a) < 4 + PATIENCE_S
    other.place.run(other.until_news(Recovered))
    assert {type(news) for news in other.news} == {Stalled, Recovered}
    flow.finish()


# Without help of the kernel


@public
@pytest.mark.parametrize(("gso", "gro"), [(False, True), (True, False), (False, False)])
def test_no_segments(rooms: Rooms, gso: bool, gro: bool) -> None:
    pair = rooms.pair(NetSettings(stun=(), gso=gso, gro=gro), ALONE)
    pair.connected()
    for source, sink in ((pair.a, pair.b), (pair.b, pair.a)):
        flow = Flow(source, sink)
        flow.more(10)
        flow.finish()
    told = pair.a.data_paths[-1]
    assert (told.fast, told.gso, told.gro) == (True, gso, gro)


# The end


async def left_behind() -> tuple[list[Any], int]:
    """Timers and sockets of the loop, but for its own."""
    await asyncio.sleep(0.05)
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()], len(loop._selector.get_map()) - 1


def has_ended(side: Side) -> bool:
    """The association neither gets nor sends anything any more."""
    sctp: Any = side.peer._sctp
    timers = (sctp._pump._next, sctp._pump._timer, sctp._mtu._timer, sctp._sack_timer._timer)
    return side.peer._ice._sink is None and timers == (None,) * 4


@public
@pytest.mark.parametrize("leaves", ["sender", "receiver"])
def test_a_side_that_leaves_in_the_middle(rooms: Rooms, leaves: str) -> None:
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)
    flow.more(10)
    gone, other = (pair.a, pair.b) if leaves == "sender" else (pair.b, pair.a)
    gone.close()
    other.place.run(other.inbox.until(closed=1), ENOUGH_S)
    assert isinstance(flow.broken(), ConnectionLost)
    assert not flow.arrivals.wrong
    assert has_ended(other)
    assert gone.place.run(left_behind()) == ([], 0)
    other.close()
    assert other.place.run(left_behind()) == ([], 0)


@public
def test_a_side_that_disappears_and_nothing_is_left_of_it(rooms: Rooms) -> None:
    pair = connected(rooms, NetSettings(stun=(), stall_limit_s=3.0))
    flow = Flow(pair.a, pair.b)
    flow.more(10)
    rooms.lab.cut("b")
    for side in (pair.a, pair.b):
        side.place.run(side.inbox.until(closed=1), ENOUGH_S)
        assert has_ended(side)
    assert "nothing was heard" in str(flow.broken())
    associations = [weakref.ref(side.peer._sctp) for side in (pair.a, pair.b)]
    for side in (pair.a, pair.b):
        side.close()
        assert side.place.run(left_behind()) == ([], 0)
    rooms.clean_up()
    del pair, flow, side
    gc.collect()
    assert [association() for association in associations] == [None, None]


@public
def test_closing_while_nothing_gets_through(rooms: Rooms) -> None:
    pair = connected(rooms)
    flow = Flow(pair.a, pair.b)
    flow.more(10)
    rooms.lab.cut("b")
    time.sleep(0.5)
    now = time.monotonic()
    for side in (pair.a, pair.b):
        side.close()
        assert side.place.run(left_behind()) == ([], 0)
    assert time.monotonic() - now < PATIENCE_S
    assert isinstance(flow.broken(), ConnectionLost)
