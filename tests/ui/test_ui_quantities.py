"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy import events, quantities
from p2pcopy.ui.meter import SPACING_S, WINDOW_S, Pace, RateMeter

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
    assert quantities.size(number) == text


@pytest.mark.parametrize(
    ("one", "other", "texts"),
    [
        (GIB, 2 * GIB, ("1.0 GiB", "2.0 GiB")),
        (GIB + 1, GIB, ("1,073,741,825 B", "1,073,741,824 B")),
        (GIB, GIB, ("1.0 GiB", "1.0 GiB")),
        (1, 2, ("1 B", "2 B")),
    ],
)
def test_sizes_that_differ_look_different(one: int, other: int, texts: tuple[str, str]) -> None:
    assert quantities.sizes(one, other) == texts


@given(st.integers(0, 2**70))
def test_size_is_short_and_near(number: int) -> None:
    value, unit = quantities.size(number).split(" ")
    power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit)
    assert abs(float(value) * 1024**power - number) <= 0.06 * 1024**power


def test_rate() -> None:
    assert quantities.rate(23.1 * MIB) == "23.1 MiB/s"
    assert quantities.rate(0.0) == "0 B/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (3.21, "3.2 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (125, "2 min 05 s"),
        (3600, "1 h"),
        (3720, "1 h 02 min"),
        (86400 * 3 + 4 * 3600, "3 d 04 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert quantities.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0 s"), (0.1, "0.1 s"), (0.999, "1 s"), (1, "1 s"), (3600, "1 h")])
def test_limit(seconds: float, text: str) -> None:
    assert quantities.limit(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (119, "1 min 59 s"),
        (120, "2 min"),
        (121, "3 min"),
        (3540, "59 min"),
        (3541, "1 h"),
        (3601, "1 h 01 min"),
        (86400, "1 d"),
    ],
)
def test_left_rounds_up(seconds: float, text: str) -> None:
    assert quantities.left(seconds) == text


def test_share() -> None:
    assert quantities.share(MIB, 2 * MIB) == "1.0 of 2.0 MiB"
    assert quantities.share(512, 2 * GIB) == "512 B of 2.0 GiB"


def test_percent_is_100_only_when_all_is_there() -> None:
    assert quantities.percent(999_999, 1_000_000) == "99%"
    assert quantities.percent(5, 5) == "100%"
    assert quantities.percent(0, 0) == "100%"


def test_count() -> None:
    assert quantities.count(1, "file") == "1 file"
    assert quantities.count(5000, "file") == "5,000 files"
    assert quantities.count(2, "directory", "directories") == "2 directories"


class TestRateMeter:
    def test_knows_nothing_at_first(self) -> None:
        rates = RateMeter()
        assert rates.rate(1.0) == 0.0
        assert rates.eta(1.0, 10) is None
        rates.add(1.0, 100)
        assert rates.rate(1.0) == 0.0

    def test_steady(self) -> None:
        rates = RateMeter()
        for tick in range(100):
            rates.add(tick * 0.1, tick * 10)
        assert rates.rate(9.9) == pytest.approx(100.0)
        assert rates.eta(9.9, 500) == pytest.approx(5.0)

    def test_forgets_what_is_older_than_3_s(self) -> None:
        rates = RateMeter()
        rates.add(0.0, 0)
        rates.add(10.0, 10_000)
        for tick in range(1, 31):
            rates.add(10.0 + tick * 0.1, 10_000 + tick)
        assert rates.rate(13.0) == pytest.approx(10.0)

    def test_falls_to_nothing_in_a_stall(self) -> None:
        rates = RateMeter()
        for tick in range(31):
            rates.add(tick * 0.1, tick * 100)
        seen = [rates.rate(now) for now in (3.0, 4.0, 5.0, 6.5)]
        assert seen == sorted(seen, reverse=True)
        assert seen[-1] == 0.0

    def test_a_total_that_shrinks_is_no_negative_rate(self) -> None:
        rates = RateMeter()
        rates.add(0.0, 100)
        rates.add(1.0, 0)
        assert rates.rate(1.0) == 0.0

    @given(st.lists(st.tuples(st.floats(0, 1, allow_nan=False), st.integers(0, 10**9)), max_size=60))
    def test_never_negative_and_small(self, steps: list[tuple[float, int]]) -> None:
        rates, now, total = RateMeter(), 0.0, 0
        for time, moved in steps:
            now, total = now + time, total + moved
            rates.add(now, total)
            assert rates.rate(now) >= 0.0
        assert len(rates._samples) <= 2 * WINDOW_S / SPACING_S + 3


def test_what_is_missing_is_filled_in() -> None:
    pace = Pace()
    pace.rated(events.Progress(0, 1000, 1, 1), 0.0)
    early = pace.rated(events.Progress(50, 1000, 1, 1), 0.5)
    assert (early.rate_bytes_per_s, early.eta_s) == (100.0, None)
    filled = pace.rated(events.Progress(100, 1000, 1, 1), 1.0)
    assert (filled.rate_bytes_per_s, filled.eta_s) == (100.0, 9.0)
    assert pace.rated(events.Progress(100, None, 1, None), 1.0).eta_s is None


def test_what_the_event_knows_is_kept() -> None:
    known = events.Progress(1, 2, 0, 1, rate_bytes_per_s=7.0, eta_s=3.0)
    assert Pace().rated(known, 0.0) is known


def test_many_small_files_before_a_large_one_do_not_make_it_look_endless() -> None:
    small, large = 1000, 100 * MIB
    pace = Pace()
    for second in range(3):
        told = pace.rated(events.Progress(1024 * 500 * second, small * 1024 + large, 500 * second, small + 1), second)
    by_bytes = (small * 1024 + large) / told.rate_bytes_per_s
    assert told.eta_s is not None
    assert told.eta_s < by_bytes / 10


def test_a_pause_starts_anew() -> None:
    pace = Pace()
    for second in range(3):
        pace.rated(events.Progress(100 * second, 1000, 0, 1), second)
    pace.pause()
    assert pace.rated(events.Progress(300, 1000, 0, 1), 3.0).eta_s is None
    pace.resume()
    assert pace.rated(events.Progress(300, 1000, 0, 1), 4.0).rate_bytes_per_s == 0.0
