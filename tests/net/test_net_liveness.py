"""Signs of life and the lack of them, on a clock that is passed in."""

from __future__ import annotations

import pytest

from p2pcopy.net.liveness import Gone, Liveness, Silent


def looks(life: Liveness, start: float, end: float, *, step: float = 0.5) -> list[tuple[float, Silent | Gone]]:
    found = []
    for number in range(round((end - start) / step) + 1):
        now = start + number * step
        said = life.look(now)
        if said is not None:
            found.append((now, said))
    return found


def test_silence_is_told_after_two_and_a_half_seconds_and_again_every_second() -> None:
    life = Liveness(600, 100.0)
    assert life.due == 102.5
    told = looks(life, 100.0, 106.0)
    assert [now for now, _ in told] == [102.5, 103.5, 104.5, 105.5]
    assert told[0][1] == Silent(2.5, 597.5)
    assert told[-1][1] == Silent(5.5, 594.5)
    assert life.stalled


def test_an_answer_ends_the_silence_and_says_how_long_it_was() -> None:
    life = Liveness(600, 100.0)
    assert life.answered(101.0) == 0.0
    looks(life, 101.5, 110.0)
    assert life.answered(110.0) == 9.0
    assert not life.stalled
    assert life.look(112.0) is None


def test_it_gives_up_at_the_limit() -> None:
    life = Liveness(5, 100.0)
    assert looks(life, 100.0, 110.0)[3] == (105.5, Gone(5.5, False))


def test_data_counts_while_answers_are_not_too_old() -> None:
    life = Liveness(600, 100.0)
    for tenth in range(60):
        life.heard_data(100.0 + tenth / 10)
        assert life.look(100.0 + tenth / 10) is None
    life.heard_data(107.0)
    assert life.due == pytest.approx(108.4)
    looks(life, 107.0, 109.0)
    life.heard_data(109.0)
    assert life.stalled


def test_a_lost_path_is_a_stall_at_once() -> None:
    life = Liveness(600, 100.0)
    life.answered(101.0)
    life.lost_path(101.2)
    said = life.look(101.2)
    assert isinstance(said, Silent)
    assert said.silent_s == pytest.approx(0.2)
    assert said.left_s == pytest.approx(597.5)
    assert life.answered(101.5) == 0.5


def test_an_overdue_answer_is_doubtful() -> None:
    life = Liveness(600, 100.0)
    assert not life.is_doubtful(101.0)
    assert life.is_doubtful(101.5)


def test_refusals_end_it_when_they_go_on_for_a_while() -> None:
    life = Liveness(600, 100.0)
    said: list[Silent | Gone | None] = []
    for second in range(1, 12):
        life.refused(100.0 + second)
        said.append(life.look(100.0 + second))
    assert Gone(8.0, True) in said
    assert said.index(Gone(8.0, True)) == 7


def test_refusals_that_come_only_now_and_then_end_it_too() -> None:
    """Linux refuses once a second, whichever of several sides asks."""
    life = Liveness(600, 100.0)
    for now in (103.0, 107.0):
        life.refused(now)
        assert isinstance(life.look(now), Silent)
    assert life.look(109.5) == Gone(9.5, True)


def test_one_refusal_is_not_enough_nor_are_old_ones() -> None:
    life = Liveness(600, 100.0)
    life.refused(101.0)
    assert all(isinstance(said, Silent) for _, said in looks(life, 101.0, 130.0))
    life.answered(130.0)
    life.refused(130.5)
    life.answered(131.0)
    assert all(isinstance(said, Silent) for _, said in looks(life, 131.0, 140.0))


def test_the_time_that_this_machine_sleeps_does_not_count() -> None:
    life = Liveness(10, 100.0)
    looks(life, 100.0, 105.0)
    told = looks(life, 1105.0, 1120.0)
    assert isinstance(told[0][1], Silent)
    assert told[0][1].silent_s == 1005.0
    assert told[0][1].left_s == pytest.approx(5)
    assert next(now for now, said in told if isinstance(said, Gone)) == pytest.approx(1110.0, abs=1)
