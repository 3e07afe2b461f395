"""The congestion controller: by itself, and with flows of TCP and of its own kind at a simulated bottleneck."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_bottleneck import Case

from p2pcopy.net.congestion import BETA, INITIAL_WINDOW, MIN_WINDOW, Controller

RTT = 0.05


class Driver:
    """Acknowledges whole windows, a quarter at a time. queue_s: on top of RTT; lost: packets in each round."""

    def __init__(self) -> None:
        self.now = 0.0
        self.controller = Controller(0.0)
        self.delivered = 0

    def round(self, queue_s: float = 0.0, lost: int = 0, *, share: float = 1.0, limited: bool = False) -> None:
        controller, prior = self.controller, self.delivered
        steps = 16
        for step in range(steps):
            self.now += (RTT + queue_s) / steps
            newly = max(1, int(controller.window * share / steps))
            self.delivered += newly
            if lost and step == steps // 2:
                controller.lost(self.now, lost)
            controller.acknowledged(
                self.now,
                newly=newly,
                in_flight=int(controller.window * share) - newly,
                rtt=RTT + queue_s,
                rate=None,
                delivered=self.delivered,
                prior=prior,
                limited=limited,
            )

    def rounds(self, count: int, queue_s: float = 0.0, lost: int = 0) -> None:
        for _ in range(count):
            self.round(queue_s, lost)

    def avoiding(self, window: float = 1000.0) -> Controller:
        """After slow start."""
        self.rounds(3)
        self.controller.window = window
        self.round(lost=int(window))
        self.rounds(2)
        self.controller.window = window
        return self.controller


def test_the_window_doubles_each_round_to_begin_with() -> None:
    driver = Driver()
    assert driver.controller.window == INITIAL_WINDOW
    assert driver.controller.rate == 0
    driver.rounds(4)
    assert driver.controller.window > 10 * INITIAL_WINDOW
    assert driver.controller.rate == pytest.approx(2 * driver.controller.window / RTT, rel=0.1)


def test_a_queue_ends_the_doubling_without_a_loss() -> None:
    driver = Driver()
    for _ in range(12):
        driver.round(queue_s=max(0.0, driver.controller.window / 1000 - 1) * RTT)
    assert 500 < driver.controller.window < 1500


def test_until_the_first_reduction_there_may_be_more() -> None:
    """As Linux's TCP, which would else take a long queue before we are there."""
    driver = Driver()
    controller = driver.controller
    for _ in range(20):
        driver.round(queue_s=max(0.0, controller.window / 1000 - 1) * RTT)
    before = controller.window
    driver.rounds(10, queue_s=0.06)
    assert controller.window > 1.4 * before
    driver.round(queue_s=0.06, lost=5)
    before = controller.window
    driver.rounds(3, queue_s=0.06)
    assert controller.window < 1.1 * before


def test_a_queue_of_others_is_no_reason_to_stop() -> None:
    """It does not go when our window is small; with a queue that is longer still, ours is enough."""
    driver = Driver()
    driver.rounds(5)
    driver.rounds(8, queue_s=0.03)
    before = driver.controller.window
    driver.rounds(4, queue_s=0.03)
    assert driver.controller.window > 1.3 * before
    driver.rounds(2, queue_s=0.15)
    before = driver.controller.window
    driver.rounds(2, queue_s=0.15)
    assert driver.controller.window < 1.3 * before


def test_too_few_samples_to_judge_a_queue() -> None:
    driver = Driver()
    driver.rounds(5)
    driver.round(queue_s=0.03)
    before = driver.controller.window
    for _ in range(4):
        driver.now += RTT
        driver.delivered += 10
        driver.controller.acknowledged(
            driver.now,
            newly=10,
            in_flight=10,
            rtt=RTT + 0.03,
            rate=None,
            delivered=driver.delivered,
            prior=driver.delivered,
            limited=False,
        )
    assert driver.controller.window <= before + 40


def test_losses_without_a_queue_change_nothing() -> None:
    driver = Driver()
    controller = driver.avoiding()
    driver.rounds(20, lost=8)
    assert controller.window > 900


def test_losses_with_a_queue_reduce_the_window() -> None:
    driver = Driver()
    controller = driver.avoiding()
    driver.round(queue_s=0.02)
    before = controller.window
    driver.round(queue_s=0.02, lost=5)
    assert controller.window <= BETA * before * 1.1


def test_reductions_for_what_turns_out_to_be_usual_do_not_last() -> None:
    """A single loss when the round-trip time was longer by chance; then it shows that this path loses packets all the time."""
    driver = Driver()
    controller = driver.avoiding()
    driver.round(queue_s=0.02)
    before = controller.window
    driver.round(queue_s=0.02, lost=1)
    reduced = controller.window
    assert reduced < 0.8 * before
    driver.rounds(12, lost=3)
    assert controller.window > 0.95 * before
    driver.round(queue_s=0.02, lost=1)
    assert controller.window > 0.95 * before


def test_who_has_grown_meanwhile_need_not_go_back() -> None:
    driver = Driver()
    controller = driver.avoiding()
    driver.round(queue_s=0.02)
    driver.round(queue_s=0.02, lost=1)
    driver.rounds(4)
    controller.window = grown = 1500.0
    driver.rounds(8, lost=3)
    assert controller.window == pytest.approx(grown, rel=0.1)


def test_many_losses_reduce_the_window_queue_or_not() -> None:
    driver = Driver()
    controller = driver.avoiding()
    driver.round(lost=300)
    assert controller.window < 800


def test_losses_that_were_none_are_taken_back() -> None:
    driver = Driver()
    controller = driver.avoiding()
    driver.round(queue_s=0.02)
    before = controller.window
    driver.round(queue_s=0.02, lost=5)
    controller.spurious(2)
    assert controller.window < before
    controller.spurious(3)
    assert controller.window >= before
    controller.spurious(1)
    assert controller.window >= before


def test_who_has_nothing_to_send_gets_no_larger_window() -> None:
    driver = Driver()
    for _ in range(30):
        driver.round(limited=True)
    assert driver.controller.window == INITIAL_WINDOW
    for _ in range(30):
        driver.round(share=0.2)
    assert driver.controller.window < 2 * INITIAL_WINDOW
    driver = Driver()
    controller = driver.avoiding()
    for _ in range(30):
        driver.round(share=0.2)
    assert controller.window < 1100


def test_losses_that_end_with_a_reduction_were_our_doing() -> None:
    """A policer: no queue, and nothing is lost below its rate. Afterwards fewer losses are enough."""
    driver = Driver()
    controller = driver.avoiding()
    driver.round(lost=200)
    driver.rounds(3)
    before = controller.window
    driver.round(lost=int(0.05 * before))
    assert controller.window < 0.9 * before


def test_timeouts_and_the_way_back() -> None:
    driver = Driver()
    controller = driver.avoiding()
    controller.timed_out(driver.now)
    assert controller.window == MIN_WINDOW
    controller.timed_out(driver.now + 1)
    controller.restart(driver.now + 2)
    assert 400 <= controller.window <= 500
    driver.now += 2
    driver.rounds(3)
    assert 500 < controller.window <= 1000


def test_a_second_outage_before_anything_came_back_changes_nothing() -> None:
    driver = Driver()
    controller = driver.avoiding()
    controller.restart(driver.now)
    once = controller.window
    controller.restart(driver.now + 1)
    assert controller.window == once


def test_an_outage_in_slow_start_does_not_end_it() -> None:
    driver = Driver()
    driver.rounds(2)
    driver.controller.restart(driver.now)
    driver.rounds(8)
    assert driver.controller.window > 3000


def test_samples_of_before_an_outage_are_void() -> None:
    driver = Driver()
    controller = driver.avoiding()
    rate = controller.rate
    controller.restart(driver.now)
    controller.acknowledged(
        driver.now + 0.01,
        newly=1,
        in_flight=1,
        rtt=5.0,
        rate=None,
        delivered=driver.delivered,
        prior=None,
        limited=False,
    )
    assert controller.rate >= rate / 2


NUMBERS = st.integers(0, 100_000)
ACK = st.tuples(
    st.just("ack"), NUMBERS, NUMBERS, st.none() | st.floats(0, 10), st.none() | NUMBERS, st.booleans(), st.floats(0, 5)
)
OTHER = st.tuples(st.sampled_from(["lost", "spurious", "timed_out", "restart"]), NUMBERS)


@given(st.lists(ACK | OTHER, max_size=60))
@settings(deadline=None)
def test_whatever_happens_the_window_is_a_number(calls: list[tuple[object, ...]]) -> None:
    now = 0.0
    delivered = 0
    controller = Controller(now)
    for call in calls:
        match call:
            case ("ack", int() as newly, int() as in_flight, rtt, prior, bool() as limited, float() as later):
                assert rtt is None or isinstance(rtt, float)
                assert prior is None or isinstance(prior, int)
                now += later
                delivered += newly
                before = controller.window
                controller.acknowledged(
                    now,
                    newly=newly,
                    in_flight=in_flight,
                    rtt=rtt,
                    rate=None,
                    delivered=delivered,
                    prior=prior,
                    limited=limited,
                )
                assert controller.window <= before + 2 * newly + 1
            case ("lost", int() as packets):
                controller.lost(now, packets)
            case ("spurious", int() as packets):
                controller.spurious(packets)
            case ("timed_out", _):
                controller.timed_out(now)
            case _:
                controller.restart(now)
        assert MIN_WINDOW <= controller.window < math.inf
        assert 0 <= controller.rate < math.inf


@pytest.mark.parametrize(("rtt", "queue"), [(0.01, 0.005), (0.01, 0.2), (0.04, 0.005), (0.04, 0.05), (0.1, 0.2)])
def test_a_bottleneck_is_shared_with_tcp(rtt: float, queue: float) -> None:
    outcome = Case("ours, TCP", ("tcp", "ours"), rtt, queue, mbit=50, seconds=20).run()
    assert 0.3 < outcome.share < 0.7
    assert outcome.used > 0.85


@pytest.mark.parametrize(("rtt", "queue"), [(0.01, 0.005), (0.04, 0.05), (0.1, 0.2)])
def test_two_of_ours_share_alike(rtt: float, queue: float) -> None:
    outcome = Case("two of ours", ("ours", "ours"), rtt, queue, mbit=50, seconds=20).run()
    assert 0.36 < outcome.share < 0.64


def test_alone_all_of_it_is_used() -> None:
    outcome = Case("alone", ("ours",), 0.04, 0.05, mbit=50, packets=40_000).run()
    assert outcome.used > 0.93
    assert outcome.resent < 0.03


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.03])
def test_random_loss_far_away(loss: float) -> None:
    outcome = Case("lossy", ("ours",), 0.1, 0.05, mbit=100, loss=loss, seconds=8).run()
    assert outcome.used > 0.5
