"""When a path is calm enough for long records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.net.calm import LEAST, MOST, Calm

END = 88  # number of the first packet behind a trial, which has arrived


def until_calm(calm: Calm) -> int:
    """Packets that have to arrive before."""
    count = 0
    while not calm.allows(END):
        calm.acknowledged(100, 0)
        count += 100
    return count


def test_a_path_is_calm_when_enough_has_arrived_without_a_loss() -> None:
    calm = Calm()
    for _ in range(5):
        calm.acknowledged(LEAST - 1, 0)
        assert not calm.allows(END)
        calm.acknowledged(500, 1)
    assert until_calm(calm) == LEAST


def test_a_loss_while_calm_doubles_the_wait_up_to_a_bound() -> None:
    calm, waits = Calm(), []
    for _ in range(10):
        waits.append(until_calm(calm))
        calm.used(END)
        calm.acknowledged(10, 3)
        assert not calm.allows(END)
    assert waits == [min(LEAST << at, MOST) for at in range(10)]
    calm.acknowledged(0, 1)  # what was lost with it
    assert until_calm(calm) == MOST


def test_a_loss_after_a_long_calm_is_chance() -> None:
    calm = Calm()
    for lasting, wait in ((LEAST - 1, 2 * LEAST), (2 * LEAST - 1, 4 * LEAST), (4 * LEAST, LEAST)):
        until_calm(calm)
        calm.used(END)
        calm.acknowledged(lasting, 0)
        calm.used(END)
        calm.acknowledged(0, 1)
        assert until_calm(calm) == wait


def test_a_loss_where_none_were_used_says_nothing_of_them() -> None:
    calm = Calm()
    for _ in range(3):
        assert until_calm(calm) == LEAST
        calm.acknowledged(0, 1)


def test_after_a_silence_it_is_waited_for_as_long_as_before() -> None:
    calm = Calm()
    until_calm(calm)
    calm.over()
    assert not calm.allows(END)
    assert until_calm(calm) == LEAST


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.sampled_from([0, 0, 0, 1, 44]))))
def test_the_wait_stays_in_its_bounds(told: list[tuple[int, int]]) -> None:
    calm = Calm()
    for arrived, lost in told:
        if calm.allows(END) and arrived % 2:
            calm.used(END)
        calm.acknowledged(arrived, lost)
        assert not (lost and calm.allows(END))
        assert LEAST <= calm._wanted <= MOST


def test_the_first_long_records_have_to_arrive_before_there_are_more() -> None:
    calm = Calm()
    calm.acknowledged(LEAST, 0)
    for end in (END, END + 88):
        assert calm.allows(0)
        calm.used(end)
        calm.used(end + 1000)
        assert not calm.allows(end - 1)
        assert calm.allows(end)
        calm.acknowledged(0, 1)
        calm.acknowledged(8 * LEAST, 0)
