"""The search for the size of packets, against paths that take a certain size and lose some probes."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcopy.net.pathmtu import HOLE_S, LINK_MTUS, MAX_TRIES, MIN_WAIT_S, RAISE_S, PathMtuSearch

BASE = 1225
IPV4 = 1472
CANDIDATES = sorted(size for size in (IPV4 - 1500 + mtu for mtu in LINK_MTUS) if size > BASE)


def search_on(
    search: PathMtuSearch, fits: int, now: float, *, rtt: float = 0.02, lost: int = 0
) -> tuple[list[int], float]:
    """Probe until the search rests. lost: the first so many probes of every size are lost. Returns the probes and when it rests."""
    probes: list[int] = []
    while search.due() < now + HOLE_S:
        now = max(now, search.due())
        size = search.next_probe(now, rtt)
        if size is not None:
            probes.append(size)
            if size <= fits and probes.count(size) > lost:
                search.confirmed(size)
    return probes, now


def test_the_largest_size_is_asked_first() -> None:
    search = PathMtuSearch(BASE, IPV4, 5.0)
    assert search.due() == 5.0
    assert search.next_probe(4.9, 0.02) is None
    assert search.next_probe(5.0, 0.02) == IPV4
    assert search.next_probe(5.1, 0.02) is None
    assert search.size == BASE
    search.confirmed(IPV4)
    assert search.size == IPV4
    assert search.next_probe(search.due(), 0.02) is None
    assert search.next_probe(5.2, 0.02) is None
    assert search.due() == inf


@settings(deadline=None)
@given(
    st.integers(BASE, 1500),
    st.integers(0, MAX_TRIES - 1),
    st.sampled_from([IPV4, IPV4 - 4, 1452]),
    st.none() | st.floats(0, 0.5),
)
def test_the_largest_candidate_that_fits_is_found(fits: int, lost: int, largest: int, rtt: float | None) -> None:
    search = PathMtuSearch(BASE, largest, 0.0)
    probes, now = search_on(search, fits, 0.0, rtt=0.1 if rtt is None else rtt, lost=lost)
    candidates = [size - IPV4 + largest for size in CANDIDATES]
    assert search.size == max((size for size in candidates if BASE < size <= fits), default=BASE)
    assert max(probes.count(size) for size in probes) <= MAX_TRIES
    assert len(set(probes)) <= 5
    assert now <= 5 * MAX_TRIES * max(MIN_WAIT_S, 3 * (rtt or 0.1))


def test_a_probe_is_waited_for_three_round_trips() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    search.next_probe(0.0, 0.2)
    assert search.due() == pytest.approx(0.6)
    search.next_probe(1.0, None)
    assert search.due() == pytest.approx(1.0 + MIN_WAIT_S)


@pytest.mark.parametrize("largest", [0, BASE - 1, BASE])
def test_where_nothing_larger_can_be_tried_nothing_is(largest: int) -> None:
    search = PathMtuSearch(BASE, largest, 0.0)
    assert search.due() == inf
    assert search.next_probe(1e9, 0.02) is None
    search.confirmed(IPV4)
    search.black_hole(1.0)
    assert (search.size, search.due()) == (BASE, inf)


def test_larger_sizes_are_tried_again_after_ten_minutes() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    _, now = search_on(search, 1400, 0.0)
    assert search.size == 1392
    assert search.due() == pytest.approx(now + RAISE_S)
    again = search.due()
    probes, later = search_on(search, 1400, again)
    assert probes == [1412] * 3  # nothing but the next one
    assert search.due() == pytest.approx(later + RAISE_S)
    probes, _ = search_on(search, 1472, search.due())
    assert probes == [1412, 1432, 1452, 1464, 1472]
    assert (search.size, search.due()) == (IPV4, inf)


def probe_until(search: PathMtuSearch, size: int) -> float:
    """Nothing is answered until this size is asked for."""
    while search.next_probe(search.due(), 0.02) != size:
        pass
    return search.due()


def test_an_answer_that_comes_late_counts() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    now = probe_until(search, 1392)
    search.confirmed(IPV4)
    assert (search.size, search.due()) == (IPV4, -inf)
    assert search.next_probe(now, 0.02) is None
    assert search.due() == inf


def test_a_late_answer_does_not_disturb_the_probe_of_a_larger_size() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    search_on(search, 1252, 0.0)
    assert search.size == 1252
    probe_until(search, 1292)
    search.confirmed(1292)
    now = probe_until(search, 1332)
    search.confirmed(1292)
    assert (search.size, search.due()) == (1292, now)


def test_a_size_that_was_given_up_may_turn_out_good() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    now = probe_until(search, 1292)
    search.confirmed(1392)
    assert search.size == 1392
    assert search_on(search, 1440, now)[0] == [IPV4, IPV4, IPV4, 1432, 1452, 1452, 1452]
    assert search.size == 1432


@pytest.mark.parametrize("size", [0, BASE, 1300, 1392, 9000])
def test_what_was_not_asked_is_not_confirmed(size: int) -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    search.next_probe(0.0, 0.02)
    search.confirmed(size)
    assert search.size == BASE


def test_a_black_hole_leads_back_to_the_base_and_up_step_by_step() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    search_on(search, IPV4, 0.0)
    search.black_hole(100.0)
    assert (search.size, search.due()) == (BASE, 100.0 + HOLE_S)
    assert search.next_probe(100.0 + HOLE_S - 1, 0.02) is None
    search.confirmed(IPV4)  # of a probe from before
    assert search.size == BASE
    probes, _ = search_on(search, 1400, search.due())
    assert probes == [1252, 1292, 1332, 1372, 1392, 1412, 1412, 1412]
    assert search.size == 1392


def test_black_holes_are_tested_less_and_less_often() -> None:
    search = PathMtuSearch(BASE, IPV4, 0.0)
    waits = []
    for hole in range(20):
        search.black_hole(1000.0 * hole)
        waits.append(search.due() - 1000.0 * hole)
    assert waits[:6] == [5, 10, 20, 40, 80, 160]
    assert waits[-1] == RAISE_S


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["probe", "confirm", "hole"]),
            st.sampled_from(CANDIDATES) | st.integers(0, 2000),
            st.floats(0, 700),
        )
    )
)
def test_the_size_is_always_one_that_was_asked_for(steps: list[tuple[str, int, float]]) -> None:
    search, now, asked = PathMtuSearch(BASE, IPV4, 0.0), 0.0, {BASE}
    for kind, size, later in steps:
        now += later
        if kind == "probe":
            due = search.due()
            probe = search.next_probe(now, later / 1000)
            assert probe is None or due <= now
            asked |= {probe or BASE}
        elif kind == "confirm":
            search.confirmed(size)
        else:
            search.black_hole(now)
            assert search.size == BASE
        assert search.size in asked
