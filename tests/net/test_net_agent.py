"""The agent of both sides on a network with a virtual clock: meeting, choosing, healing, and who is turned away."""

from __future__ import annotations

import itertools

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_network import SECRET, End, Gone, NatKind, Selected, Silent, World, keys

from p2pcopy.net import agent as agent_module
from p2pcopy.net import checks, pairs
from p2pcopy.net.checklist import MAX_FORBIDDEN
from p2pcopy.net.news import Abandoned, Confirmed, TurnedAway
from p2pcopy.signaling.candidates import Candidate

KINDS: tuple[NatKind, ...] = ("none", "full-cone", "port-restricted", "symmetric")
DIRECT = {
    (a, b): {a, b} not in ({"symmetric"}, {"symmetric", "port-restricted"})
    for a, b in itertools.product(KINDS, repeat=2)
}


def both_alive(world: World) -> bool:
    return all(host.agent.selected is not None and not host.agent.stalled for host in (world.a, world.b))


def relays(world: World) -> None:
    """Both have an allocation on one server, which permits its own address."""
    world.relay(world.a, ("192.0.2.7", 50001), {"192.0.2.7"})
    world.relay(world.b, ("192.0.2.7", 50002), {"192.0.2.7"})


def selected_relayed(world: World) -> tuple[bool, bool]:
    a, b = world.a.agent.selected, world.b.agent.selected
    assert a is not None
    assert b is not None
    return a.is_relayed, b.is_relayed


# Meeting


@pytest.mark.parametrize(("nats", "possible"), DIRECT.items())
def test_two_pastes_connect_what_can_be_connected(nats: tuple[NatKind, NatKind], possible: bool) -> None:
    world = World(*nats)
    assert world.meet() is possible


@pytest.mark.parametrize(("nat", "possible"), [("none", True), ("full-cone", True), ("port-restricted", False)])
def test_one_paste_is_enough_where_the_offering_side_can_be_reached(nat: NatKind, possible: bool) -> None:
    assert World(nat, "symmetric").meet(pastes=1) is possible


@pytest.mark.parametrize("nats", DIRECT)
def test_one_paste_over_a_common_relay_then_direct_where_that_is_possible(nats: tuple[NatKind, NatKind]) -> None:
    world = World(*nats)
    relays(world)
    started = world.now
    assert world.meet(pastes=1)
    assert world.now - started < 2.5
    world.paste(world.b, world.a)  # in-band
    world.paste(world.a, world.b)
    world.run(3)
    assert both_alive(world)
    assert selected_relayed(world) == (not DIRECT[nats],) * 2
    assert not world.a.happened(Silent)
    assert not world.b.happened(Silent)


@pytest.mark.parametrize("late_s", [10, 60, 300, 1200, 3500])
def test_an_answer_may_come_late(late_s: float) -> None:
    world = World("port-restricted", "port-restricted")
    world.paste(world.a, world.b)
    world.run(late_s)
    pasted = world.now
    world.paste(world.b, world.a)
    assert world.until(lambda: both_alive(world), 5)
    assert world.now - pasted < 0.5


def test_waiting_costs_next_to_nothing() -> None:
    world = World("port-restricted", "port-restricted")
    world.paste(world.a, world.b)
    world.run(60)
    sent, ticks = world.b.sent, world.b.ticks
    world.run(3540)
    assert world.b.sent - sent < 3540 / 5 * 2 * 1.2
    assert world.b.ticks - ticks < 2 * (world.b.sent - sent)
    assert world.a.sent == world.a.ticks == 0


def test_direct_is_preferred_over_a_relay_that_answers_first() -> None:
    world = World("port-restricted", "port-restricted", delay=0.3)
    relays(world)
    assert world.meet()
    assert selected_relayed(world) == (False, False)


def test_with_relays_only_nothing_is_waited_for() -> None:
    world = World()
    for host in (world.a, world.b):
        world.remove_end(host, host.ends[0])
    relays(world)
    world.paste(world.a, world.b)
    assert world.until(lambda: both_alive(world), 1.0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), loss=st.floats(0, 0.4), delay=st.floats(0.001, 0.4),
    nats=st.sampled_from([pair for pair, possible in DIRECT.items() if possible]),
)  # fmt: skip
def test_loss_and_delay_only_make_it_slower_and_both_end_on_one_path(
    seed: int, loss: float, delay: float, nats: tuple[NatKind, NatKind]
) -> None:
    world = World(*nats, seed=seed, loss=loss, delay=delay)
    assert world.meet(limit=60)
    world.loss = 0.0
    world.run(10)
    a, b = world.a.agent.selected, world.b.agent.selected
    assert both_alive(world)
    assert a is not None
    assert b is not None
    assert a.mapped == b.remote.address
    assert b.mapped == a.remote.address


def test_an_address_is_checked_before_connect_once_it_is_asked_to() -> None:
    world = World()
    world.a.agent.hold_nominations(True, world.now)
    assert not world.meet(limit=5)
    assert world.b.agent.selected is None
    world.a.agent.hold_nominations(False, world.now)
    assert world.until(lambda: both_alive(world), 5)


def test_another_path_is_tried_when_no_session_came_about() -> None:
    world = World("full-cone", "none")
    second = world.add_end(world.b, End(("198.51.100.1", 6002)))
    world.paste(world.a, world.b)
    world.until(lambda: both_alive(world), 5)
    first = world.a.agent.selected
    world.a.agent.reject(world.now)
    world.b.agent.reject(world.now)
    assert world.until(lambda: both_alive(world), 5)
    assert first is not None
    assert world.a.agent.selected is not first
    assert second in world.b.ends


def test_relays_of_the_peer_that_are_not_allowed_are_not_used() -> None:
    world = World("port-restricted", "port-restricted")
    relay = world.relay(world.b, ("192.0.2.7", 50002), {"203.0.113.1"})
    world.a.agent.add_remote([Candidate("relay", *relay.address)], world.now, relays_allowed=False)
    world.paste(world.a, world.b)
    world.run(10)
    assert world.a.agent.selected is None


def test_a_peer_cannot_name_relays_until_the_memory_is_full() -> None:
    world = World()
    agent = world.a.agent
    for port in range(1024, 1024 + 3 * MAX_FORBIDDEN):
        agent.add_remote([Candidate("relay", "192.0.2.9", port)], world.now, relays_allowed=False)
    assert len(agent._list._forbidden) == MAX_FORBIDDEN
    assert agent._list.heard(world.a.ends[0], ("192.0.2.9", port), 1, world.now, is_peer=True) is None


# Healing


@pytest.mark.parametrize("gap_s", [5, 30, 120, 400, 590])
def test_a_cut_is_told_within_3_s_and_healed_at_once(gap_s: float) -> None:
    world = World("port-restricted", "symmetric")
    relays(world)
    assert world.meet()
    world.run(5)
    cut = world.now
    world.a.is_cut = True
    world.run(gap_s)
    for host in (world.a, world.b):
        assert host.happened(Silent)[0] - cut < 3
    world.a.is_cut = False
    mended = world.now
    assert world.until(lambda: both_alive(world), 3)
    assert world.now - mended < 1.5
    for host in (world.a, world.b):
        assert host.gaps()[0] == pytest.approx(gap_s, abs=2.5)


def test_a_path_that_does_not_come_back_is_given_up() -> None:
    world = World()
    assert world.meet()
    world.a.is_cut = True
    world.run(700)
    for host in (world.a, world.b):
        ((_, gone),) = [(time, news) for time, news in host.news if isinstance(news, Gone)]
        assert isinstance(gone, Gone)
        assert not gone.refused
        assert gone.silent_s == pytest.approx(600, abs=3)
        assert host.agent.next_due() is None


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("nats", [("port-restricted", "none"), ("none", "port-restricted"), ("full-cone", "full-cone")])
def test_a_nat_that_forgets_its_mappings_is_followed(nats: tuple[NatKind, NatKind], side: str) -> None:
    world = World(*nats)
    assert world.meet()
    world.run(5)
    host = world.a if side == "a" else world.b
    host.nat.forget()
    flushed = world.now
    world.run(8)
    assert both_alive(world)
    for gap in [*world.a.gaps(), *world.b.gaps()]:
        assert gap < 5
    assert all(time - flushed < 4.5 for each in (world.a, world.b) for time in each.happened(Silent, flushed))


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_new_local_address_is_used_when_the_old_one_vanishes(side: str) -> None:
    world = World("none", "full-cone")
    assert world.meet()
    world.run(5)
    host = world.a if side == "a" else world.b
    world.remove_end(host, host.ends[0])
    world.add_end(host, End(("198.51.100.77" if side == "a" else "10.2.0.77", 7777)))
    if side == "a":
        host.nat.public = "198.51.100.77"
    world.run(6)
    assert both_alive(world)
    for each in (world.a, world.b):
        assert all(gap < 5 for gap in each.gaps())


def test_a_direct_path_that_breaks_is_replaced_by_a_relay_and_taken_again_later() -> None:
    world = World("none", "none")
    relays(world)
    assert world.meet()
    world.paste(world.b, world.a)
    world.run(5)
    assert selected_relayed(world) == (False, False)
    end = world.a.ends[0]
    world.a.ends.remove(end)  # packets vanish, and nobody is told
    world.run(6)
    assert both_alive(world)
    assert selected_relayed(world) == (True, True)
    world.a.ends.append(end)
    healed = world.now
    world.run(12)
    assert selected_relayed(world) == (False, False)
    assert not world.a.happened(Silent, healed + 1)


@pytest.mark.parametrize("stopped", ["a", "b"])
@pytest.mark.parametrize("slept_s", [60, 900])
def test_a_process_that_was_stopped_goes_on(stopped: str, slept_s: float) -> None:
    world = World("port-restricted", "port-restricted")
    assert world.meet()
    world.run(5)
    host = world.a if stopped == "a" else world.b
    other = world.b if stopped == "a" else world.a
    if slept_s > 600:  # a whole machine: nothing arrives, and the other one waits longer than that
        world.stop(other)
    world.stop(host)
    world.run(slept_s)
    for each in (host, other):
        each.mailbox.clear() if slept_s > 600 else None
        if each.is_stopped:
            world.go_on(each)
    assert world.until(lambda: both_alive(world), 4)
    assert not host.happened(Gone)
    assert not other.happened(Gone)


@pytest.mark.parametrize("killed", ["a", "b"])
def test_a_peer_whose_machine_refuses_is_gone(killed: str) -> None:
    world = World()
    assert world.meet()
    world.run(5)
    host, other = (world.a, world.b) if killed == "a" else (world.b, world.a)
    host.is_dead = True
    killed_at = world.now
    world.run(15)
    (gone_at,) = other.happened(Gone)
    assert 6 < gone_at - killed_at < 12
    assert other.agent.stalled


@pytest.mark.parametrize("is_relayed", [False, True], ids=["its NAT", "its relay"])
def test_only_the_peers_own_machine_can_say_that_it_is_gone(is_relayed: bool) -> None:
    """A NAT that has forgotten the mapping and a TURN server that has started again refuse packets, too."""
    world = World("symmetric", "symmetric") if is_relayed else World("port-restricted", "port-restricted")
    relays(world)
    assert world.meet()
    world.run(5)
    assert selected_relayed(world) == (is_relayed,) * 2
    world.b.is_cut = True
    for _ in range(60):
        assert world.a.agent.selected is not None
        world.a.agent.refused(world.a.agent.selected.remote.address, world.now)
        world.run(0.5)
    assert world.a.happened(Silent)
    assert not world.a.happened(Gone)
    world.b.is_cut = False
    assert world.until(lambda: both_alive(world), 4)


def test_a_peer_that_is_killed_before_it_names_its_addresses() -> None:
    world = World()
    assert world.meet(pastes=1)
    assert world.a.agent.selected is not None
    assert world.a.agent.selected.remote.type == "prflx"
    world.b.is_dead = True
    killed_at = world.now
    world.run(15)
    (gone_at,) = world.a.happened(Gone)
    assert 6 < gone_at - killed_at < 12


def test_forged_refusals_do_nothing_while_the_peer_answers() -> None:
    world = World()
    assert world.meet()
    for _ in range(40):
        world.b.agent.refused(world.a.ends[0].address, world.now)
        world.b.agent.refused(("192.0.2.99", 9), world.now)
        world.run(0.5)
    assert both_alive(world)
    assert not world.b.happened(Silent)


def test_data_counts_as_a_sign_of_life_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    assert world.meet()
    world.run(3)
    silent_from = world.now
    monkeypatch.setattr(agent_module.Agent, "_take_answer", lambda *_: None)
    while not world.a.happened(Silent):
        world.a.agent.heard_data(world.now)
        world.run(0.2)
        assert world.now < silent_from + 20
    assert world.now - silent_from > 5


# Others who hold the code


def test_a_second_receiver_is_turned_away_and_changes_nothing() -> None:
    world = World()
    assert world.meet(pastes=1)
    world.run(3)
    before = world.a.agent.selected
    second = world.intruder(("192.0.2.50", 5050), offering=False)
    world.paste(world.a, second)
    world.run(5)
    assert second.happened(TurnedAway)
    assert second.agent.selected is None
    assert world.a.agent.selected is before
    assert both_alive(world)
    assert not world.a.happened(Silent)


def test_of_two_receivers_one_gets_the_session() -> None:
    world = World()
    second = world.intruder(("192.0.2.50", 5050), offering=False)
    world.paste(world.a, world.b)
    world.paste(world.a, second)
    world.until(lambda: world.a.agent.selected is not None, 5)
    chosen = world.a.agent.selected
    assert chosen is not None
    winner, loser = (world.b, second) if chosen.remote.address == world.b.ends[0].address else (second, world.b)
    world.until(lambda: winner.agent.selected is not None, 2)
    world.a.agent.begin_session(keys(b"session" * 4, offering=True), world.now)
    winner.agent.begin_session(keys(b"session" * 4, offering=False), world.now)
    world.run(10)
    assert world.a.agent.selected is chosen
    assert not world.a.agent.stalled
    assert loser.happened(TurnedAway)
    assert loser.agent.selected is None


def test_somebody_who_plays_the_offering_side_does_not_move_a_session() -> None:
    world = World()
    assert world.meet()
    world.run(3)
    before = world.b.agent.selected
    second = world.intruder(("192.0.2.50", 5050), offering=True)
    world.paste(world.b, second)
    world.run(20)
    assert world.b.agent.selected is before
    assert both_alive(world)
    assert second.agent.selected is None


def test_who_comes_too_late_is_answered_at_a_bounded_rate() -> None:
    world = World()
    assert world.meet()
    world.run(3)
    second = world.intruder(("192.0.2.50", 5050), offering=False)
    pair = pairs.Pair(second.ends[0], pairs.Remote(world.a.ends[0].address, "host", 1), 0.0, 0.3, 0.0)
    world.a.sent = 0
    for _ in range(500):
        message = checks.request(pair, keys(SECRET, offering=False), 7, controlling=False, nominate=False)
        world.a.agent.stun_received(message, second.ends[0].address, world.a.ends[0], world.now)
    assert len(world.a.agent.outgoing()) <= agent_module.REFUSALS_PER_S


def test_checks_without_proof_are_ignored() -> None:
    world = World()
    world.paste(world.a, world.b)
    end, other = world.a.ends[0], world.b.ends[0]
    pair = pairs.Pair(other, pairs.Remote(end.address, "host", 1), 0.0, 0.3, 0.0)
    wrong = keys(b"\1" * 16, offering=False)
    right = keys(SECRET, offering=False)
    forged = checks.request(pair, checks.Keys(right.local, wrong.remote), 7, controlling=False, nominate=True)
    foreign = checks.request(pair, wrong, 7, controlling=False, nominate=True)
    bare = checks.request(pair, right, 7, controlling=False, nominate=False)
    del bare.attributes["PRIORITY"]
    bare.add_message_integrity(right.remote_key)
    unsigned = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    unsigned.attributes["USERNAME"] = right.outgoing
    allocate = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
    indication = stun.Message(stun.Method.BINDING, stun.Class.INDICATION)
    for message in (forged, foreign, bare, unsigned, allocate, indication):
        world.a.agent.stun_received(message, other.address, end, world.now)
        assert world.a.agent.outgoing() == []
    assert world.a.agent.remotes == ()


def test_a_flood_of_addresses_leaves_room_for_the_peer() -> None:
    world = World("none", "port-restricted")
    end = world.a.ends[0]
    right = keys(SECRET, offering=False)
    for number in range(300):
        source = ("192.0.2.9", 10000 + number)
        pair = pairs.Pair(End(source), pairs.Remote(end.address, "host", 1), 0.0, 0.3, 0.0)
        message = checks.request(pair, right, 7, controlling=False, nominate=False)
        world.a.agent.stun_received(message, source, end, world.now)
    assert len(world.a.agent.remotes) <= 64
    world.run(31)
    assert world.meet(pastes=1)


def test_answers_that_were_not_asked_for_or_come_from_elsewhere_count_for_nothing() -> None:
    world = World()
    end, other = world.a.ends[0], world.b.ends[0]
    world.paste(world.b, world.a)
    world.a.agent.tick(world.now)
    ((_, data, _),) = world.a.agent.outgoing()
    asked = stun.parse_message(data)
    theirs = keys(SECRET, offering=False)
    good = stun.parse_message(checks.answer(asked, end.address, theirs))
    world.a.agent.stun_received(good, ("192.0.2.1", 1), end, world.now)
    unasked = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE)
    world.a.agent.stun_received(unasked, other.address, end, world.now)
    forged = stun.parse_message(checks.answer(asked, end.address, keys(b"\1" * 16, offering=False)))
    world.a.agent.stun_received(forged, other.address, end, world.now)
    assert world.a.agent.remotes[0][1].answered == 0
    world.a.agent.stun_received(good, other.address, end, world.now)
    assert world.a.agent.remotes[0][1].answered == 1
    assert not world.a.happened(Selected)


# Into the session and out of it


def test_both_sides_confirm_the_session_to_each_other() -> None:
    world = World("port-restricted", "port-restricted")
    assert world.meet()
    world.run(1)
    assert world.a.happened(Confirmed)
    assert world.b.happened(Confirmed)


@pytest.mark.parametrize("ahead", ["a", "b"])
def test_a_side_that_is_alone_in_the_session_is_told_so_and_meets_the_other_again(ahead: str) -> None:
    world = World("port-restricted", "port-restricted")
    world.paste(world.a, world.b)
    world.paste(world.b, world.a)
    assert world.until(lambda: both_alive(world), 5)
    first, other = (world.a, world.b) if ahead == "a" else (world.b, world.a)
    first.agent.begin_session(keys(b"1" * 32, offering=ahead == "a"), world.now)
    first.is_cut = True
    world.run(10)
    other.agent.reject(world.now)
    first.is_cut = False
    assert world.until(lambda: bool(first.happened(Abandoned)), 30)
    assert not first.happened(Confirmed)
    assert not other.happened(TurnedAway)
    first.agent.reject(world.now)
    assert world.until(lambda: both_alive(world), 30)
    world.begin_session()
    world.run(1)
    assert first.happened(Confirmed)
    assert other.happened(Confirmed)


def test_an_address_that_two_of_ours_hear_of_stays_when_the_session_begins() -> None:
    world = World()
    world.add_end(world.a, End(("203.0.113.1", 6001)))
    assert world.meet(pastes=1)
    assert world.a.agent.selected is not None
    selected = world.a.agent.selected
    world.run(5)
    assert world.a.agent.selected is selected
    assert [type(news) for _, news in world.a.news] == [Selected, Confirmed]


def test_a_peer_that_moves_again_and_again_is_still_known() -> None:
    world = World("none", "full-cone")
    assert world.meet()
    for number in range(24):
        world.remove_end(world.b, world.b.ends[0])
        for port in range(3):
            world.add_end(world.b, End(("10.2.0.2", 7000 + 10 * number + port)))
        world.run(8)
        assert both_alive(world), number
        world.paste(world.b, world.a)
        for end in world.b.ends[1:]:
            world.remove_end(world.b, end)
    assert len(world.a.agent.remotes) <= 64


def test_a_late_nomination_does_not_bring_the_relay_back() -> None:
    world = World("none", "none")
    relays(world)
    assert world.meet(pastes=1)
    end, relay = world.b.ends[0], world.b.ends[1]
    direct = next(pair for pair in world.b.agent._list if pair.local is end)
    world.b.agent._select(direct, world.now)
    late = pairs.Pair(world.a.ends[1], pairs.Remote(relay.address, "relay", 1), 0.0, 0.3, 0.0)
    session = keys(bytes(range(100, 132)), offering=True)
    message = checks.request(late, session, 7, controlling=True, nominate=True)
    world.b.agent.stun_received(message, world.a.ends[1].address, relay, world.now + 0.1)
    assert world.b.agent.selected is direct


def test_the_newest_list_of_addresses_is_the_one_that_counts() -> None:
    world = World()
    assert world.meet()
    world.a.agent.add_remote([Candidate("host", "192.0.2.9", 9)], world.now)
    world.a.agent.add_remote([Candidate("host", "192.0.2.10", 9)], world.now)
    known = {remote.address for remote, _ in world.a.agent.remotes}
    assert ("192.0.2.9", 9) not in known
    assert ("192.0.2.10", 9) in known
    assert world.a.agent.selected is not None
    assert world.a.agent.selected.remote.address in known
