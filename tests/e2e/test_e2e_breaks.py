"""What breaks during a transfer, and heals: a few of the cases of `make breaks`, with a small file."""

from __future__ import annotations

import pytest
from lab import broken
from lab.broken import Case, Way

pytestmark = [pytest.mark.lab, pytest.mark.coturn]

# Three seconds of it are left when something breaks: a busy machine may be late with breaking it.
MIB = 12
# A machine that is busy with other tests is late with everything.
PATIENCE_S = 10.0


def survived(case: Case) -> broken.Broken:
    """Both exit codes 0, the same file on both sides."""
    result = broken.measure(case, MIB)
    assert not result.trouble, result.trouble
    return result


def test_a_cut_is_told_on_both_sides_and_ends_at_once() -> None:
    result = survived(broken.cut("a", 8, Way.RESERVE))
    for stalled_s, gap_s, back_s in zip(result.stalled_s, result.gap_s, result.back_s, strict=True):
        assert stalled_s is not None
        assert 1 < stalled_s < 8
        assert gap_s is not None
        assert 7 < gap_s < 8 + PATIENCE_S
        assert back_s is not None
        assert back_s < PATIENCE_S
    assert result.path == "direct"


@pytest.mark.parametrize(
    "case",
    [
        broken.flushed("a"),
        broken.roamed("a", Way.PUBLIC),
        broken.roamed("b", Way.RESERVE, receiver_offers=True),
        broken.killed(),
    ],
    ids=str,
)
def test_another_path_is_found(case: Case) -> None:
    result = survived(case)
    assert result.still_s < 3 + PATIENCE_S


def test_a_process_that_was_stopped_goes_on() -> None:
    result = survived(broken.stopped("b", 8))
    assert result.stalled_s[0] is not None
    assert result.stalled_s[0] < 8
    assert result.back_s[0] is not None
    assert result.back_s[0] < PATIENCE_S


@pytest.mark.timeout(240)  # both look for each other at random: rarely it takes a minute
def test_a_relay_that_starts_again_is_found_again() -> None:
    result = survived(broken.restarted(0))
    assert result.path == "relayed"
    assert result.gap_s[0] is not None
