"""Round-trip times, timeouts and delivery rates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pcopy.net.deliveryrate import DeliveryRate
from p2pcopy.net.roundtrip import MIN_TIMEOUT_S, SMALLEST_FOR_S, RoundTrip


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0001, 5), st.floats(0, 40)), min_size=1))
def test_the_smallest_is_one_of_the_last_minute(samples: list[tuple[float, float]]) -> None:
    path, now, seen = RoundTrip(0.05), 0.0, []
    for rtt, later in samples:
        now += later
        path.sample(rtt, now)
        seen.append((now, rtt))
        assert path.smallest is not None
        assert path.latest == rtt
        assert path.smallest <= min(rtt for at, rtt in seen if at >= now - SMALLEST_FOR_S)
        assert path.smallest in [rtt for _, rtt in seen]


def test_a_path_that_has_become_slower_is_believed_after_a_while() -> None:
    path = RoundTrip(0.05)
    for second in range(100):
        path.sample(0.01 if second < 10 else 0.03, second)
        assert path.smallest == (0.01 if second < 62 else 0.03)
    path.sample(0.02, 100)
    assert path.smallest == 0.02


@settings(deadline=None)
@given(st.lists(st.floats(0.0001, 5), min_size=1), st.sampled_from([0.05, 0.25]))
def test_the_timeout_is_that_of_the_rfc_and_the_peers_delay(samples: list[float], ack_delay: float) -> None:
    path = RoundTrip(ack_delay)
    smoothed, variation = samples[0], samples[0] / 2
    path.sample(samples[0], 0.0)
    for rtt in samples[1:]:
        variation = 0.75 * variation + 0.25 * abs(smoothed - rtt)
        smoothed = 0.875 * smoothed + 0.125 * rtt
        path.sample(rtt, 0.0)
    assert path.smoothed == pytest.approx(smoothed)
    assert path.variation == pytest.approx(variation)
    assert path.timeout(0) == pytest.approx(max(MIN_TIMEOUT_S, smoothed + 4 * variation + ack_delay))


@given(st.none() | st.floats(0.0001, 5), st.integers(0, 100))
def test_timeouts_double_up_to_two_seconds_or_twice(rtt: float | None, expired: int) -> None:
    path = RoundTrip(0.05)
    if rtt is not None:
        path.sample(rtt, 0.0)
    first = path.timeout(0)
    assert path.timeout(expired) <= path.timeout(expired + 1) <= 2 * path.timeout(expired)
    assert first <= path.timeout(expired) <= max(2.0, 2 * first)
    assert path.timeout(6) == path.timeout(60)


def test_before_the_first_sample_a_second_is_waited() -> None:
    assert RoundTrip(0.25).timeout(0) == 1.25


def test_the_rate_is_that_of_the_slower_of_sending_and_acknowledging() -> None:
    rate = DeliveryRate(0.0)
    for number in range(10):  # sent 10 at once, acknowledged one every 10 ms
        rate.sent(number + 1, 0.0, not number, False)
    samples = [rate.arrived(1, rate.burst_of(number), 0.1 + 0.01 * number, 0.1) for number in range(10)]
    assert samples[-1] == pytest.approx(10 / 0.19)
    rate = DeliveryRate(0.0)
    for number in range(10):  # sent one every 10 ms, acknowledged 10 at once, a second later
        rate.sent(number + 1, 0.01 * number, not number, False)
    assert rate.arrived(10, rate.burst_of(9), 1.09, 0.1) == pytest.approx(10 / 1.09)
    rate.sent(20, 1.2, True, False)
    rate.sent(30, 1.3, False, False)
    assert rate.arrived(20, rate.burst_of(29), 1.35, 0.05) == pytest.approx(20 / 0.15)


def test_what_an_idle_time_delivers_is_not_slow() -> None:
    rate = DeliveryRate(0.0)
    rate.sent(10, 0.0, True, False)
    rate.arrived(10, rate.burst_of(9), 0.1, None)
    rate.sent(20, 60.0, True, False)
    assert rate.arrived(10, rate.burst_of(19), 60.1, 0.05) == pytest.approx(100)
    sample = rate.sent_again(120.0, True)
    assert rate.arrived(10, sample, 120.1, 0.05) == pytest.approx(100)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0.001, 1)), min_size=1))
def test_a_rate_is_never_more_than_what_arrived_over_the_smallest_round_trip(steps: list[tuple[int, float]]) -> None:
    rate, now, number, smallest = DeliveryRate(0.0), 0.0, 0, 0.05
    for count, later in steps:
        number += count
        rate.sent(number, now, True, False)
        now += later
        burst = rate.burst_of(number - 1)
        assert burst is not None
        told = rate.arrived(count, burst, now, smallest)
        assert (told is None) == (later < smallest) or now - burst.at == pytest.approx(later)
        assert told is None or told <= count / smallest + 1e-9
    assert rate.delivered == number
