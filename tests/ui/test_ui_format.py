"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy import events
from p2pcopy.ui import format as fmt

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (KIB, "1.0 KiB"),
        (GIB * 3 // 2, "1.5 GiB"),
        (MIB - 1, "1.0 MiB"),
        (1024**7 * 5, "5120.0 EiB"),
    ],
)
def test_size(number: int, text: str) -> None:
    assert fmt.size(number) == text


@given(st.integers(0, 2**70))
def test_size_is_short_and_near(number: int) -> None:
    value, unit = fmt.size(number).split(" ")
    power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit)
    assert abs(float(value) * 1024**power - number) <= 0.06 * 1024**power


def test_rate() -> None:
    assert fmt.rate(23.1 * MIB) == "23.1 MiB/s"
    assert fmt.rate(0.0) == "0 B/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (86400 * 3 + 4 * 3600, "3 d 04 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (121, "3 min"),
        (3540, "59 min"),
        (3600, "60 min"),
        (3601, "1 h 01 min"),
    ],
)
def test_left_rounds_up(seconds: float, text: str) -> None:
    assert fmt.left(seconds) == text


def test_percent_is_100_only_when_all_is_there() -> None:
    assert fmt.percent(999_999, 1_000_000) == "99%"
    assert fmt.percent(5, 5) == "100%"
    assert fmt.percent(0, 0) == "100%"


def test_count() -> None:
    assert fmt.count(1, "file") == "1 file"
    assert fmt.count(5000, "file") == "5,000 files"
    assert fmt.count(2, "directory", "directories") == "2 directories"


class TestRateMeter:
    def test_knows_nothing_at_first(self) -> None:
        meter = fmt.RateMeter()
        assert meter.rate(1.0) == 0.0
        assert meter.eta(1.0, 10) is None
        meter.add(1.0, 100)
        assert meter.rate(1.0) == 0.0

    def test_steady(self) -> None:
        meter = fmt.RateMeter()
        for tick in range(100):
            meter.add(tick * 0.1, tick * 10)
        assert meter.rate(9.9) == pytest.approx(100.0)
        assert meter.eta(9.9, 500) == pytest.approx(5.0)

    def test_forgets_what_is_older_than_3_s(self) -> None:
        meter = fmt.RateMeter()
        meter.add(0.0, 0)
        meter.add(10.0, 10_000)
        for tick in range(1, 31):
            meter.add(10.0 + tick * 0.1, 10_000 + tick)
        assert meter.rate(13.0) == pytest.approx(10.0)

    def test_falls_to_nothing_in_a_stall(self) -> None:
        meter = fmt.RateMeter()
        for tick in range(31):
            meter.add(tick * 0.1, tick * 100)
        rates = [meter.rate(now) for now in (3.0, 4.0, 5.0, 6.5)]
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] == 0.0

    def test_a_total_that_shrinks_is_no_negative_rate(self) -> None:
        meter = fmt.RateMeter()
        meter.add(0.0, 100)
        meter.add(1.0, 0)
        assert meter.rate(1.0) == 0.0

    @given(st.lists(st.tuples(st.floats(0, 1, allow_nan=False), st.integers(0, 10**9)), max_size=60))
    def test_never_negative_and_small(self, steps: list[tuple[float, int]]) -> None:
        meter, now, total = fmt.RateMeter(), 0.0, 0
        for time, moved in steps:
            now, total = now + time, total + moved
            meter.add(now, total)
            assert meter.rate(now) >= 0.0
        assert len(meter._samples) <= 2 * fmt.WINDOW_S / fmt.SPACING_S + 3


def test_rated_fills_what_is_missing() -> None:
    meter = fmt.RateMeter()
    fmt.rated(events.Progress(0, 1000, 0, 1), meter, 0.0)
    filled = fmt.rated(events.Progress(100, 1000, 0, 1), meter, 1.0)
    assert (filled.rate_bytes_per_s, filled.eta_s) == (100.0, 9.0)
    assert fmt.rated(events.Progress(100, None, 0, None), meter, 1.0).eta_s is None


def test_rated_keeps_what_the_event_knows() -> None:
    known = events.Progress(1, 2, 0, 1, rate_bytes_per_s=7.0, eta_s=3.0)
    assert fmt.rated(known, fmt.RateMeter(), 0.0) is known
