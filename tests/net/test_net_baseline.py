"""The smallest round-trip time of a path, and what it loses without a queue."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.baseline import FEW_LOSSES, FLOOR_S, MEMORY, LossLevel, RttFloor


def test_the_smallest_one_counts_until_it_is_old() -> None:
    floor = RttFloor()
    assert floor.value == math.inf
    floor.add(0, 0.05)
    floor.add(1, 0.02)
    floor.add(2, 0.08)
    assert floor.value == 0.02
    floor.add(FLOOR_S + 3, 0.08)
    assert floor.value == 0.02
    floor.add(2 * FLOOR_S + 4, 0.07)
    assert floor.value == pytest.approx(0.07)


def test_after_a_long_silence_only_what_is_new_counts() -> None:
    floor = RttFloor()
    floor.add(0, 0.02)
    floor.add(3 * FLOOR_S, 0.09)
    assert floor.value == 0.09


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(1e-6, 10)), min_size=1))
def test_no_sample_of_the_last_seconds_is_smaller(samples: list[tuple[float, float]]) -> None:
    floor, now, seen = RttFloor(), 0.0, []
    for later, rtt in samples:
        now += later
        seen.append((now, rtt))
        floor.add(now, rtt)
        assert floor.value <= min(rtt for when, rtt in seen if when > now - FLOOR_S)
        assert floor.value in [rtt for when, rtt in seen if when >= now - 3 * FLOOR_S]


def test_while_nothing_is_known_no_loss_is_explained() -> None:
    level = LossLevel()
    assert level.explains(0, 1000)
    assert not level.explains(1, 1000)
    level.add(100, FEW_LOSSES - 1)
    assert not level.explains(1, 1000)


def test_what_is_usual_is_explained_and_more_is_not() -> None:
    level = LossLevel()
    level.add(10_000, 100)
    assert level.share == 0.01
    assert level.explains(10, 1000)
    assert level.explains(1, 10)
    assert not level.explains(40, 1000)


def test_very_few_losses_are_nothing_to_get_used_to() -> None:
    level = LossLevel()
    level.add(90_000, 20)
    assert not level.explains(1, 1000)


def test_what_was_long_ago_is_forgotten() -> None:
    level = LossLevel()
    level.add(10_000, 1000)
    for _ in range(20):
        level.add(int(MEMORY / 4), 0)
    assert level.share == 0
