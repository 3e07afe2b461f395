"""What is on the way: SACKs against a model with a dict and loops, losses, reordering, samples, hostile peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_path import SimulatedPath

from p2pcopy.net.flight import FIRST_RTT_S, MAX_REMEMBERED, MIN_WAIT_S, Acknowledged, Flight
from p2pcopy.net.reordering import MAX_PATIENCE, MAX_THRESHOLD, MIN_PATIENCE, MIN_THRESHOLD, Reordering
from p2pcopy.net.tsn import plus

FIRST_TSN = 0xFFFFFFF0  # wraps soon
RTT = 0.1


def flight_of(count: int, now: float = 0.0) -> Flight:
    flight = Flight(FIRST_TSN, now)
    flight.sent(count, now, False)
    return flight


def sack(
    flight: Flight, cumulative: int, gaps: tuple[int, ...] = (), now: float = RTT, duplicates: tuple[int, ...] = ()
) -> Acknowledged:
    """Numbers instead of TSNs: everything up to cumulative, and gaps from first to last."""
    told = flight.acknowledge(
        flight.tsn(cumulative),
        [number - cumulative for number in gaps],
        [flight.tsn(number) for number in duplicates],
        now,
    )
    assert told is not None
    return told


def overdue_at(flight: Flight) -> float:
    when = flight.overdue_at()
    assert when is not None
    return when


# What SACKs say


@dataclass
class Model:
    """The same rules without time: no sample, no patience."""

    oldest: int = 0
    status: list[str] = field(default_factory=list)
    highest: int = -1
    threshold: int = MIN_THRESHOLD
    again: list[tuple[int, int, int]] = field(default_factory=list)  # number, next then, order
    orders: int = 0
    order_arrived: int = -1
    suspects: set[int] = field(default_factory=set)

    def having(self, *statuses: str) -> list[int]:
        return [number for number in range(self.oldest, len(self.status)) if self.status[number] in statuses]

    def take_lost(self, limit: int) -> list[int]:
        taken = self.having("lost")[:limit]
        for number in taken:
            self.status[number] = "again"
            self.again.append((number, len(self.status), self.orders))
            self.orders += 1
        return taken

    def acknowledge(self, cumulative: int, gaps: list[tuple[int, int]]) -> tuple[int, int, int] | None:
        """newly, lost, spurious"""
        if not self.oldest - 1 <= cumulative < len(self.status):
            return None
        told = set(range(self.oldest, cumulative + 1))
        for first, last in gaps:
            if first > cumulative + 1:
                told |= set(range(first, min(last + 1, len(self.status))))
        fresh = {number for number in told if self.status[number] != "arrived"}
        self.highest = max([self.highest, *told])
        late = {number for number in fresh & self.suspects if self.status[number] == "lost"}
        self.order_arrived = max([self.order_arrived, *(order for number, _, order in self.again if number in fresh)])
        self.again = [entry for entry in self.again if entry[0] not in fresh]
        self.suspects -= fresh
        for number in late:
            wanted = min(self.highest - number + 1, max(MAX_THRESHOLD, (len(self.status) - self.oldest) // 2))
            self.threshold = max(self.threshold, wanted)
        for number in told:
            self.status[number] = "arrived"
        if cumulative >= self.oldest:
            self.oldest = cumulative + 1
            for number in range(self.oldest, len(self.status)):
                if self.status[number] != "arrived":
                    break
                self.status[number] = "lost"  # the peer dropped it
        return len(fresh), self.search(), len(late)

    def search(self) -> int:
        lost = [number for number in self.having("out") if self.highest - number >= self.threshold]
        while self.again:
            number, following, order = self.again[0]
            if max(self.highest - following + 1, self.order_arrived - order) < self.threshold:
                break
            del self.again[0]
            lost.append(number)
        for number in lost:
            self.status[number] = "lost"
        self.suspects |= set(lost)
        return len(lost)

    def time_out(self, numbers: list[int]) -> None:
        for number in numbers:
            self.status[number] = "lost"
        self.suspects -= set(numbers)
        self.again = [entry for entry in self.again if entry[0] not in numbers]


ratio = st.integers(0, 100)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 20)),
        st.tuples(st.just("resend"), st.integers(0, 10)),
        st.tuples(st.just("sack"), st.integers(-3, 12), st.lists(st.integers(1, 9), max_size=8)),
        st.tuples(st.just("probe")),
        st.tuples(st.just("time out")),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_it_agrees_with_the_model(steps: list[tuple[str] | tuple[str, int] | tuple[str, int, list[int]]]) -> None:
    flight, model = Flight(FIRST_TSN, 0.0), Model()
    delivered = 0
    for step in steps:
        match step:
            case ("send", int(count)):
                flight.sent(count, 0.0, False)
                model.status += ["out"] * count
            case ("resend", int(limit)):
                assert flight.take_lost(limit, 0.0) == model.take_lost(limit)
            case ("sack", int(advance), list(lengths)):
                cumulative = model.oldest - 1 + advance
                gaps, at = [], cumulative + 1
                for missing, present in zip(lengths[::2], lengths[1::2], strict=False):
                    gaps.append((at + missing, at + missing + present - 1))
                    at += missing + present
                offsets = [number - cumulative for gap in gaps for number in gap]
                told = flight.acknowledge(flight.tsn(cumulative), offsets, (), 0.0)
                expected = model.acknowledge(cumulative, gaps)
                assert (told and (told.newly, told.lost, told.spurious)) == expected
                delivered += told.newly if told else 0
            case ("probe",):
                out = model.having("out", "again")
                chosen = sorted({out[0], out[-1]}) if out else []
                assert flight.timed_out_once() == len(chosen)
                model.time_out(chosen)
            case ("time out",):
                assert flight.timed_out() == len(model.having("out", "again"))
                model.time_out(model.having("out", "again"))
                model.suspects.clear()
        assert (flight.oldest, flight.next, flight.delivered) == (model.oldest, len(model.status), delivered)
        assert flight.in_flight == len(model.having("out", "again"))
        assert flight.lost == len(model.having("lost"))
        assert flight.has_lost == bool(model.having("lost"))


OFFSET = st.integers(0, 70) | st.integers(0, 65535)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(0, 2**32 - 1) | st.integers(0xFFFFFFE0, 0x10000006F).map(lambda tsn: tsn & 0xFFFFFFFF),
            st.lists(OFFSET, max_size=12),
            st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 90), max_size=5),
            st.integers(0, 20),
            st.floats(0, 3),
        ),
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_a_peer_sends_the_counts_are_right(
    steps: list[tuple[int, int, list[int], list[int], int, float]],
) -> None:
    flight, now = Flight(FIRST_TSN, 0.0), 0.0
    for count, cumulative, gaps, duplicates, again, later in steps:
        flight.sent(count, now, False)
        for number in flight.take_lost(again, now):
            assert flight.oldest <= number < flight.next
        now += later
        before = flight.in_flight + flight.lost
        told = flight.acknowledge(cumulative, gaps, duplicates, now)
        assert 0 <= flight.in_flight + flight.lost <= flight.next - flight.oldest
        if told is None:
            assert flight.in_flight + flight.lost == before
        else:
            assert 0 <= told.newly <= before
        due = flight.overdue_at()
        if due is not None and due > now:
            now = due
            assert flight.overdue(now) > 0
    flight.timed_out()
    everything = flight.take_lost(10**6, now)
    assert [*everything] == sorted(set(everything))
    assert flight.lost == 0
    flight.acknowledge(flight.tsn(flight.next - 1), (), (), now)
    assert (flight.oldest, flight.in_flight, flight.lost) == (flight.next, 0, 0)


def test_old_sacks_and_those_for_what_was_never_sent_are_refused() -> None:
    flight = flight_of(10)
    sack(flight, 4)
    for cumulative in (3, 10, 2**31, 2**31 + 5):
        assert flight.acknowledge(flight.tsn(cumulative), (), (), RTT) is None
    assert (flight.oldest, flight.in_flight, flight.delivered) == (5, 5, 5)
    assert sack(flight, 4).newly == 0


@pytest.mark.parametrize("gaps", [(1, 1), (0, 5), (7, 3), (30, 40), (3,), (65535, 65535)])
def test_blocks_that_make_no_sense_are_ignored(gaps: tuple[int, ...]) -> None:
    flight = flight_of(10)
    told = flight.acknowledge(flight.tsn(-1), gaps, (), RTT)
    assert told is not None
    assert (told.newly, told.lost, flight.in_flight) == (0, 0, 10)


def test_a_block_is_cut_at_what_was_sent() -> None:
    flight = flight_of(10)
    assert sack(flight, -1, (8, 60000)).newly == 2


def test_blocks_may_be_unsorted_but_not_longer_than_all_that_is_on_the_way() -> None:
    flight = flight_of(100)
    assert sack(flight, -1, (60, 69, 20, 29)).newly == 20
    assert sack(flight, -1, (2, 99, 1, 3)).newly == 78  # 101 packets in all: the second block is left out
    assert sack(flight, -1, (1, 3)).newly == 1


def test_what_the_peer_has_dropped_again_is_sent_again() -> None:
    flight = flight_of(20)
    sack(flight, -1, (5, 9, 15, 15))
    assert sorted(flight.take_lost(99, RTT)) == [*range(5), *range(10, 13)]  # too far below 15
    assert sack(flight, 4, (15, 15)).newly == 5  # 5 to 9 are not there any more
    assert flight.take_lost(99, RTT) == [5, 6, 7, 8, 9]
    sack(flight, 19, (), 2 * RTT)
    assert (flight.in_flight, flight.lost) == (0, 0)


def test_what_is_remembered_of_overtaken_packets_is_no_more_than_what_is_on_the_way() -> None:
    """A peer that always leaves a packet out, and slowly, so that nothing is overdue."""
    flight = flight_of(2)
    for number in range(0, 2000, 2):
        flight.sent(2, 0.0, False)
        sack(flight, number - 1, (number + 1, number + 1), now=0.0)
        assert len(flight._overtaken) <= flight.next - flight.oldest
        sack(flight, number + 1, (number + 3, number + 3), now=0.0)


# Losses


def test_the_third_later_packet_shows_a_loss() -> None:
    flight = flight_of(10)
    assert sack(flight, -1, (1, 2)).lost == 0
    assert sack(flight, -1, (1, 3)).lost == 1
    assert flight.take_lost(5, RTT) == [0]
    assert flight.in_flight == 7


def test_a_packet_that_was_sent_again_is_lost_again_when_three_new_ones_have_arrived() -> None:
    flight = flight_of(4)
    sack(flight, -1, (1, 3))
    assert flight.take_lost(5, RTT) == [0]
    flight.sent(5, RTT, False)
    assert sack(flight, -1, (1, 5), RTT + 0.09).lost == 0
    assert sack(flight, -1, (1, 6), RTT + 0.09).lost == 1


def test_a_packet_that_was_sent_again_is_lost_again_when_three_sent_again_later_have_arrived() -> None:
    flight = flight_of(9)
    sack(flight, -1, (4, 4, 6, 8))
    assert flight.take_lost(9, RTT) == [0, 1, 2, 3, 5]
    assert sack(flight, -1, (1, 2, 4, 4, 6, 8), RTT + 0.09).lost == 0
    assert sack(flight, -1, (1, 4, 6, 8), RTT + 0.09).lost == 1
    assert flight.take_lost(9, RTT) == [0]


def test_a_packet_that_was_overtaken_for_a_quarter_of_a_round_trip_is_lost() -> None:
    flight = flight_of(5)
    assert sack(flight, 2, (4, 4), RTT).lost == 0  # 3 is missing, and only one packet came after it
    due = overdue_at(flight)
    assert due == pytest.approx(RTT * 1.25)
    assert flight.overdue(due - 0.001) == 0
    assert flight.overdue(due) == 1
    assert flight.overdue_at() is None
    assert flight.take_lost(9, due) == [3]
    assert flight.overdue_at() is None  # nothing that was sent later has arrived


def test_a_sack_looks_for_what_is_overdue_as_well() -> None:
    flight = flight_of(6)
    sack(flight, 2, (4, 4), RTT)
    assert sack(flight, 2, (4, 4), RTT * 1.3).lost == 1


def test_a_packet_that_was_sent_again_is_overdue_when_its_answer_is() -> None:
    flight = flight_of(5)
    sack(flight, 0, (2, 4), RTT)
    assert flight.take_lost(1, RTT) == [1]
    flight.sent(1, RTT, False)
    sack(flight, 0, (2, 5), 2 * RTT)
    due = overdue_at(flight)
    assert due == pytest.approx(2.25 * RTT)
    assert flight.overdue(due) == 1
    assert flight.take_lost(1, due) == [1]


def test_nothing_is_overdue_within_a_millisecond() -> None:
    flight = flight_of(5)
    sack(flight, 2, (4, 4), 0.0001)
    assert flight.overdue_at() == pytest.approx(0.0001 + MIN_WAIT_S)


def test_before_the_first_sample_half_a_second_is_waited() -> None:
    flight = flight_of(6)
    flight.forget_samples(0.1)
    sack(flight, 0, (2, 2), 0.2)
    assert flight.round_trip.smoothed is None
    assert flight.overdue_at() == pytest.approx(0.2 + FIRST_RTT_S / 4)


def test_nothing_is_overdue_in_order() -> None:
    flight = flight_of(5)
    assert flight.overdue_at() is None
    assert flight.overdue(1e9) == 0
    sack(flight, 2)
    assert flight.overdue_at() is None


def test_a_timeout_first_asks_with_two_packets_and_then_takes_all_for_lost() -> None:
    flight = flight_of(10)
    sack(flight, 1, (4, 4))
    assert flight.timed_out_once() == 2
    assert flight.take_lost(99, 1.0) == [2, 9]
    assert flight.timed_out_once() == 2  # those that were sent again
    assert flight.take_lost(99, 2.0) == [2, 9]
    assert flight.timed_out() == 7
    assert (flight.in_flight, flight.lost) == (0, 7)
    assert flight.timed_out_once() == 0
    assert flight.take_lost(3, 3.0) == [2, 3, 5]
    assert flight.in_flight == 3
    assert sack(flight, 4, (), 3.1).lost == 0


def test_one_packet_is_probed_for_once() -> None:
    assert flight_of(1).timed_out_once() == 1


# Reordering


def test_a_packet_that_comes_before_it_is_sent_again_was_only_late() -> None:
    flight = flight_of(40)
    assert sack(flight, -1, (1, 9)).lost == 1
    told = sack(flight, 10)
    assert (told.newly, told.lost, told.spurious) == (2, 0, 1)
    assert not flight.has_lost
    assert sack(flight, 10, (12, 21)).lost == 0  # it has learned: eleven are too few now
    assert sack(flight, 10, (12, 22)).lost == 1


def test_an_answer_sooner_than_half_a_round_trip_is_for_the_original() -> None:
    flight = flight_of(40)
    sack(flight, -1, (1, 3))
    flight.take_lost(1, RTT)
    assert sack(flight, 9, (), RTT + 0.04).spurious == 1


def test_a_duplicate_tells_that_a_rather_soon_answer_was_for_the_original() -> None:
    flight = flight_of(40)
    sack(flight, -1, (1, 3))
    flight.take_lost(1, RTT)
    assert sack(flight, 3, (), RTT + 0.06).spurious == 0
    assert sack(flight, 4, (), RTT + 0.09, (0, 1, 2**31)).spurious == 1
    assert sack(flight, 4, (), RTT + 0.09, (0,)).spurious == 0


def test_a_duplicate_alone_tells_nothing() -> None:
    flight = flight_of(40)
    sack(flight, -1, (1, 3))
    flight.take_lost(1, RTT)
    assert sack(flight, 3, (), 2 * RTT).spurious == 0
    assert sack(flight, 4, (), 2 * RTT, (0,)).spurious == 0


def test_what_is_remembered_for_duplicates_is_bounded() -> None:
    count = MAX_REMEMBERED + 4
    flight = flight_of(count + 3)
    sack(flight, -1, (count, count + 2))
    assert len(flight.take_lost(count, RTT)) == count
    sack(flight, count + 2, (), RTT + 0.06)
    assert [sack(flight, count + 2, (), RTT, (number,)).spurious for number in (0, 3, 4, count - 1)] == [0, 0, 1, 1]


def test_packets_sent_again_after_a_timeout_were_not_late() -> None:
    flight = flight_of(40)
    sack(flight, 0)
    flight.timed_out()
    flight.take_lost(10, RTT)
    assert sack(flight, 20, (), RTT + 0.01).spurious == 0


def test_patience_grows_when_the_time_was_too_short() -> None:
    flight = flight_of(5)
    sack(flight, 2, (4, 4), RTT)
    flight.overdue(RTT * 1.3)
    assert sack(flight, 4, (), RTT * 1.4).spurious == 1
    flight.sent(2, 1.0, False)
    sack(flight, 4, (6, 6), 1.0 + RTT)
    assert flight.overdue_at() == pytest.approx(1.0 + 1.5 * RTT)


def test_what_was_learned_is_forgotten_on_another_path() -> None:
    flight = flight_of(40)
    sack(flight, -1, (1, 20))
    sack(flight, 20)
    assert sack(flight, 20, (22, 30)).lost == 0
    flight.new_path(5.0)
    assert sack(flight, 20, (22, 30), 5.0).lost == 1


def test_what_was_learned_is_forgotten_by_and_by() -> None:
    reordering = Reordering()
    reordering.was_late(43, 100, 1.0)
    reordering.was_late(20, 100, 1.0)
    assert (reordering.threshold, reordering.patience) == (44, 0.5)
    reordering.calm_down(3.0, 0.1)
    assert reordering.threshold == 44
    reordering.calm_down(3.1, 0.1)
    assert (reordering.threshold, reordering.patience) == (38, 0.25)
    reordering.calm_down(9.0, 1.0)  # not yet: less than 16 round trips
    assert reordering.threshold == 38
    reordering.seen(19, 10.0)  # half of it is still seen
    reordering.calm_down(12.0, 0.1)
    assert reordering.threshold == 38
    reordering.seen(18, 12.0)
    for second in range(13, 90, 3):
        reordering.calm_down(second, 0.1)
    assert (reordering.threshold, reordering.patience) == (MIN_THRESHOLD, 0.25)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5000), st.integers(0, 10000), st.floats(0, 1000))))
def test_what_is_learned_is_bounded(late: list[tuple[int, int, float]]) -> None:
    reordering, most = Reordering(), MAX_THRESHOLD
    for distance, window, now in late:
        most = max(most, window // 2)
        reordering.was_late(distance, window, now)
        assert MIN_THRESHOLD <= reordering.threshold <= most
        assert MIN_PATIENCE <= reordering.patience <= MAX_PATIENCE


def test_what_was_learned_is_kept_while_it_is_of_use() -> None:
    flight = flight_of(40)
    sack(flight, -1, (1, 20))
    sack(flight, 20)
    now = 0.0
    for _ in range(100):
        now += 1.0
        flight.sent(20, now, False)
        late = flight.oldest
        assert sack(flight, late - 1, (late + 1, late + 19), now).lost == 0
        assert sack(flight, late + 19, (), now).newly == 1


# Samples


def test_round_trip_and_rate_of_a_steady_path() -> None:
    flight, rates = Flight(FIRST_TSN, 0.0), []
    for tick in range(200):
        now = tick * 0.01
        flight.sent(10, now, False)
        if tick >= 10:
            told = sack(flight, (tick - 10) * 10 + 9, (), now)
            assert told.rtt == pytest.approx(RTT)
            assert told.prior == (0 if tick < 21 else (tick - 20) * 10)
            rates.append(told.rate)
    assert rates[20:] == [pytest.approx(1000)] * 170
    assert flight.round_trip.smoothed == pytest.approx(RTT)


def test_packets_that_were_sent_again_give_a_rate_and_no_round_trip() -> None:
    flight = flight_of(4)
    flight.timed_out()
    flight.take_lost(9, 1.0)
    told = sack(flight, 3, (), 1.2)
    assert told.rtt is None
    assert told.rate == pytest.approx(20)
    assert told.prior == 0


def test_the_newest_burst_counts_whether_it_is_sent_again_or_not() -> None:
    flight = flight_of(10)
    sack(flight, -1, (1, 3), 0.1)
    flight.sent(1, 0.15, True)
    flight.take_lost(1, 0.2)
    told = sack(flight, 9, (), 0.31)
    assert told.prior == 3
    assert told.rtt == pytest.approx(0.31)  # of 9, which was sent once
    flight.sent(1, 0.35, False)
    told = sack(flight, 11, (), 0.5)
    assert told.prior == 10
    assert told.rtt == pytest.approx(0.15)


def test_a_rate_over_less_than_the_smallest_round_trip_is_none() -> None:
    flight = flight_of(10)
    assert sack(flight, 4, (), 0.1).rate == pytest.approx(50)
    flight = Flight(FIRST_TSN, 0.0)
    flight.sent(5, 0.0, False)
    assert sack(flight, 4, (), 0.0).rate is None


def test_late_packets_of_old_bursts_give_no_samples() -> None:
    flight = flight_of(10)
    sack(flight, 0, (2, 3))
    told = sack(flight, 3, (), 0.11)
    assert (told.newly, told.rtt, told.rate, told.prior) == (1, None, None, None)


@pytest.mark.parametrize("limited", [True, False])
def test_the_sample_tells_whether_the_application_had_no_more(limited: bool) -> None:
    flight = Flight(FIRST_TSN, 0.0)
    flight.sent(3, 0.0, limited)
    assert sack(flight, 1).limited is limited
    flight.timed_out()
    flight.take_lost(1, 1.0)
    assert sack(flight, 2, (), 2.0).limited is limited


def test_samples_from_before_an_outage_are_void() -> None:
    flight = flight_of(10)
    sack(flight, -1, (1, 3))
    flight.take_lost(1, 0.15)
    flight.forget_samples(60.0)
    told = sack(flight, 9, (), 60.1)
    assert (told.newly, told.rtt, told.rate) == (7, None, None)
    flight.sent(10, 60.1, False)
    assert sack(flight, 19, (), 60.2).rate == pytest.approx(100)


def test_a_new_path_has_its_own_round_trip_time() -> None:
    flight = flight_of(10)
    sack(flight, 4)
    flight.new_path(1.0)
    assert flight.round_trip.smoothed is None
    assert flight.round_trip.timeout(0) == pytest.approx(1.05)


# Whole transfers


def steady(rtt: float) -> Callable[[Random], float]:
    return lambda random: rtt / 2


def reordered(rtt: float, share: float, by: float) -> Callable[[Random], float]:
    return lambda random: rtt / 2 + (random.random() * by if random.random() < share else 0.0)


@pytest.mark.parametrize(("rtt", "loss", "repeat"), [(0.002, 0.03, 0.0), (0.02, 0.01, 0.05), (0.1, 0.03, 0.0)])
def test_without_reordering_what_is_lost_is_sent_again_and_nothing_else(rtt: float, loss: float, repeat: float) -> None:
    path = SimulatedPath(4000, max(64, int(rtt * 10000)), rtt, steady(rtt), loss=loss, repeat=repeat, gap=1e-4)
    path.run()
    assert path.delivered == list(range(4000))
    assert path.spurious == 0
    assert path.sent_again == path.lost > 0
    assert path.now < 0.4 + 8 * rtt + 0.3 * (path.timeouts + 1)


@pytest.mark.parametrize("by", [0.1, 0.3, 0.8])
def test_reordering_is_learned(by: float) -> None:
    rtt = 0.02
    path = SimulatedPath(8000, 200, rtt, reordered(rtt, 0.05, by * rtt), gap=1e-4)
    path.run()
    assert path.delivered == list(range(8000))
    assert path.sent_again < 20  # of four hundred that came late


def test_losses_are_found_in_reordering() -> None:
    rtt = 0.02
    path = SimulatedPath(5000, 200, rtt, reordered(rtt, 0.05, 0.3 * rtt), loss=0.01, gap=1e-4)
    path.run()
    assert path.delivered == list(range(5000))
    assert path.sent_again < path.lost + 10
    assert path.now < 1.0


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.sampled_from([0.0, 0.3]),
    st.floats(0.0, 0.05),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_everything_arrives_in_order_on_any_path(
    seed: int, loss: float, repeat: float, by: float, first_tsn: int
) -> None:
    path = SimulatedPath(
        300, 50, 0.02, reordered(0.02, 0.2, by), loss=loss, repeat=repeat, seed=seed, gap=1e-4, first_tsn=first_tsn
    )
    path.run()
    assert path.delivered == list(range(300))
    assert all(before < after for before, after in pairwise(path.delivered))
    assert plus(first_tsn, 299) == path.arrivals.cumulative


# Packets that left together


def test_what_left_together_is_lost_once_and_late_once() -> None:
    flight = Flight(FIRST_TSN, 0.0)
    flight.sent(44, 0.0, False, 11)
    flight.sent(20, 0.0, False)
    told = sack(flight, 10, (22, 63))  # the second of four is missing
    assert (told.newly, told.lost, flight.lost) == (53, 1, 11)
    told = sack(flight, 63, now=RTT * 1.1)
    assert (told.newly, told.spurious, flight.lost) == (11, 1, 0)


def test_what_left_by_itself_counts_by_itself() -> None:
    flight = flight_of(64)
    told = sack(flight, 10, (22, 63))
    assert (told.lost, flight.lost) == (11, 11)
    assert sack(flight, 63, now=RTT * 1.1).spurious == 11
