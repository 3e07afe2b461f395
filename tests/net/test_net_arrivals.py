"""What has arrived out of order, against a model with a set of numbers; sequence numbers at the wrap-around."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcopy.net.arrivals import MAX_DUPLICATES, MAX_OFFSET, MAX_RANGES, MIN_COST, Arrivals
from p2pcopy.net.tsn import distance, plus

SIZE = 1000
PLENTY = 1 << 30
TSN = st.integers(0, 2**32 - 1)


@given(TSN, st.integers(-(2**31), 2**31 - 1))
def test_distance_is_the_opposite_of_plus(tsn: int, count: int) -> None:
    there = plus(tsn, count)
    assert 0 <= there < 2**32
    assert distance(there, tsn) == count
    assert distance(tsn, there) == (-count if count > -(2**31) else count)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_distance_of_numbers_that_do_not_wrap(one: int, other: int) -> None:
    expected = one - other
    if abs(expected) < 2**31:
        assert distance(one % 2**32, other % 2**32) == expected


@dataclass
class Model:
    """Numbers from 0 on; number 0 has the first TSN."""

    first_tsn: int
    cumulative: int = -1
    held: dict[int, int] = field(default_factory=dict)
    delivered: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)

    def take(self, number: int) -> bool:
        if number <= self.cumulative or number in self.held:
            self.duplicates.append(plus(self.first_tsn, number))
            return False
        self.held[number] = SIZE + number % 7
        return True

    def drain(self) -> None:
        while self.cumulative + 1 in self.held:
            self.cumulative += 1
            del self.held[self.cumulative]
            self.delivered.append(self.cumulative)

    def forward(self, number: int) -> None:
        for known in sorted(self.held):
            if known <= number:
                del self.held[known]
                self.delivered.append(known)
        self.cumulative = max(self.cumulative, number)
        self.drain()

    def gaps(self, room: int) -> list[int]:
        blocks: list[list[int]] = []
        for number in sorted(self.held):
            offset = number - self.cumulative
            if blocks and blocks[-1][1] == offset - 1:
                blocks[-1][1] = offset
            else:
                blocks.append([offset, offset])
        return [offset for block in blocks[:room] for offset in block]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("packet"), st.integers(-4, 24)),
        st.tuples(st.just("next"), st.integers(1, 4)),
        st.tuples(st.just("forward"), st.integers(-4, 24)),
        st.tuples(st.just("sack"), st.integers(0, 5)),
    ),
    max_size=80,
)


@given(st.integers(0xFFFFFFC0, 0xFFFFFFFF) | TSN, STEPS)
@settings(max_examples=300, deadline=None)
def test_it_agrees_with_the_model(first_tsn: int, steps: list[tuple[str, int]]) -> None:
    arrivals: Arrivals[int] = Arrivals(plus(first_tsn, -1), PLENTY)
    model, delivered = Model(first_tsn), []

    def packet(number: int) -> None:
        tsn = plus(first_tsn, number)
        if number == model.cumulative + 1:  # as the reader of packets does it
            arrivals.cumulative = tsn
            model.cumulative = number
            model.delivered.append(number)
            delivered.append(number)
            if arrivals.has_gaps:
                delivered.extend(arrivals.advance_run())
            model.drain()
        else:
            assert arrivals.take(tsn, number, SIZE + number % 7) is model.take(number)

    for kind, value in steps:
        if kind == "packet":
            packet(model.cumulative + value)
        elif kind == "next":
            for _ in range(value):
                packet(model.cumulative + 1)
        elif kind == "forward":
            number = model.cumulative + value
            found = arrivals.forward(plus(first_tsn, number))
            assert [tsn for tsn, _ in found] == [plus(first_tsn, item) for _, item in found]
            delivered += [item for _, item in found] + arrivals.advance_run()
            model.forward(number)
        else:
            assert arrivals.gaps(value) == model.gaps(value)
            assert arrivals.take_duplicates(value) == model.duplicates[:MAX_DUPLICATES][:value]
            model.duplicates.clear()
        assert arrivals.cumulative == plus(first_tsn, model.cumulative)
        assert arrivals.held_bytes == sum(model.held.values())
        assert arrivals.has_gaps == bool(model.held)
        assert arrivals.gaps(1000) == model.gaps(1000)
        assert delivered == model.delivered


@given(st.lists(st.tuples(TSN | st.integers(0, 40), st.integers(1, 3000), st.sampled_from(["take", "forward"]))))
@settings(deadline=None)
def test_whatever_a_peer_sends_what_is_held_is_bounded(steps: list[tuple[int, int, str]]) -> None:
    arrivals: Arrivals[int] = Arrivals(0xFFFFFFFF, 8192)
    for tsn, size, kind in steps:
        if kind == "take":
            if tsn != plus(arrivals.cumulative, 1):
                arrivals.take(tsn, size, size)
        else:
            arrivals.forward(tsn)
            arrivals.advance_run()
        assert 0 <= arrivals.held_bytes <= 8192
        gaps = arrivals.gaps(100)
        assert gaps == sorted(gaps)
        assert all(2 <= offset <= MAX_OFFSET for offset in gaps)
        assert arrivals.has_gaps is bool(gaps)


def test_forward_gives_up_what_is_missing() -> None:
    arrivals: Arrivals[str] = Arrivals(0xFFFFFFFE, PLENTY)
    for tsn, item in ((0, "a"), (1, "b"), (3, "d"), (6, "g")):
        arrivals.take(tsn, item, SIZE)
    assert arrivals.forward(0xFFFFFFFE) == arrivals.forward(0xFFFFFFF0) == []
    assert arrivals.forward(4) == [(0, "a"), (1, "b"), (3, "d")]
    assert arrivals.advance_run() == []
    assert arrivals.forward(5) == []
    assert arrivals.advance_run() == ["g"]
    assert (arrivals.cumulative, arrivals.held_bytes, arrivals.has_gaps) == (6, 0, False)


def test_forward_may_end_within_a_range() -> None:
    arrivals: Arrivals[str] = Arrivals(0, PLENTY)
    for tsn, item in ((3, "c"), (4, "d"), (5, "e"), (8, "h")):
        arrivals.take(tsn, item, SIZE)
    assert arrivals.forward(4) == [(3, "c"), (4, "d")]
    assert arrivals.gaps(9) == [1, 1, 4, 4]
    assert arrivals.advance_run() == ["e"]
    assert (arrivals.cumulative, arrivals.held_bytes) == (5, SIZE)


def test_there_is_no_room_for_more_bytes_than_the_limit() -> None:
    arrivals: Arrivals[str] = Arrivals(9, 2048)
    assert arrivals.take(11, "a", 1000)
    assert arrivals.take(13, "b", 1048)
    assert not arrivals.take(15, "c", 1)
    assert arrivals.take_duplicates(9) == []
    arrivals.cumulative = 10
    assert arrivals.advance_run() == ["a"]
    assert arrivals.held_bytes == 1048
    assert arrivals.take(15, "c", 1)


def test_small_packets_do_not_come_cheap() -> None:
    arrivals: Arrivals[int] = Arrivals(0, 10 * MIN_COST)
    taken = [arrivals.take(2 + number, number, 1) for number in range(20)]
    assert taken == [True] * 10 + [False] * 10
    assert arrivals.gaps(9) == [2, 11]


def test_every_other_packet_missing_is_bounded_too() -> None:
    arrivals: Arrivals[int] = Arrivals(0, PLENTY)
    taken = [arrivals.take(2 * number, number, 1) for number in range(1, MAX_RANGES + 3)]
    assert sum(taken) == MAX_RANGES
    assert arrivals.held_bytes == MAX_RANGES
    assert arrivals.take(3, 0, 1)  # closes a gap: there is one range fewer
    assert len(arrivals.gaps(10**6)) == 2 * (MAX_RANGES - 1)


@pytest.mark.parametrize(
    ("offset", "is_held"), [(2, True), (MAX_OFFSET, True), (MAX_OFFSET + 1, False), (2**31 - 1, False)]
)
def test_what_cannot_be_acknowledged_is_not_held(offset: int, is_held: bool) -> None:
    arrivals: Arrivals[int] = Arrivals(0xFFFFFFF0, PLENTY)
    assert arrivals.take(plus(0xFFFFFFF0, offset), 0, 1) is is_held
    assert arrivals.take_duplicates(9) == []
    assert arrivals.gaps(9) == ([offset, offset] if is_held else [])


@pytest.mark.parametrize("offset", [0, -1, -(2**31) + 1, -(2**31)])
def test_what_lies_behind_has_come_twice(offset: int) -> None:
    arrivals: Arrivals[int] = Arrivals(5, PLENTY)
    assert not arrivals.take(plus(5, offset), 0, 1)
    assert arrivals.take_duplicates(9) == [plus(5, offset)]
    assert arrivals.take_duplicates(9) == []


def test_duplicates_that_wait_are_bounded() -> None:
    arrivals: Arrivals[int] = Arrivals(5, PLENTY)
    for _ in range(10 * MAX_DUPLICATES):
        arrivals.take(5, 0, 1)
    assert len(arrivals.take_duplicates(10**6)) == MAX_DUPLICATES
    arrivals.take(5, 0, 1)
    assert arrivals.take_duplicates(-1) == []


def test_no_room_for_blocks() -> None:
    arrivals: Arrivals[int] = Arrivals(5, PLENTY)
    arrivals.take(8, 0, 1)
    arrivals.take(10, 0, 1)
    assert arrivals.gaps(-1) == arrivals.gaps(0) == []
    assert arrivals.gaps(1) == [3, 3]
