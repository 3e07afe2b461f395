"""Settings: durations, sizes and precedence."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import DEFAULT_STUN, IceServer, NetSettings, parse_duration, parse_size, parse_switch
from p2pcopy.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        (" 2D ", 172_800),
        ("0.5s", 0.5),
        ("1m30", 90),
        ("30d", 2_592_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "s", "m5", "5x", "-5", "1..5s", ".", ".s", "1h 5m", "31d", "1e3", "٣s", "9" * 400, "inf"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10k", 10_240),
        ("10KiB", 10_240),
        ("10kb", 10_240),
        ("1.5M", 1_572_864),
        (" 2GiB ", 2 << 30),
        ("1t", 1 << 40),
        ("512b", 512),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "b", ".", "1.2.3", "-1", "10x", "1 k", "²", "9" * 400, "nan", "kk"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        ("on", True),
        ("Yes", True),
        (" true ", True),
        ("1", True),
        ("off", False),
        ("NO", False),
        ("false", False),
        ("0", False),
    ],
)
def test_switches(text: str, is_on: bool) -> None:
    assert parse_switch(text) is is_on


@pytest.mark.parametrize("text", ["", "2", "maybe", "onoff", "o n", "\u0661"])
def test_what_is_no_switch(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_switch(text)
    assert repr(text) in caught.value.message
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_switch):
        with suppress(UsageError):
            assert parse(text) >= 0


@given(st.integers(1, 30 * 86400))
def test_a_whole_number_of_seconds_is_that_many(seconds: int) -> None:
    assert parse_duration(str(seconds)) == parse_duration(f"{seconds}s") == seconds


def test_the_default_servers() -> None:
    assert NetSettings().stun == tuple(IceServer(url) for url in DEFAULT_STUN)
