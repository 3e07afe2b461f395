"""SACKs that are held for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest.mock import patch

from p2pcopy.net import acknowledging
from p2pcopy.net.acknowledging import FEW, SackTimer


def told(story: Callable[[SackTimer, list[str]], None], hold_s: float = 0.01) -> list[str]:
    """What the timer calls for, until some time after the story."""
    calls: list[str] = []

    async def body() -> None:
        timer = SackTimer(lambda: calls.append("due"))
        story(timer, calls)
        await asyncio.sleep(5 * hold_s)

    with patch.object(acknowledging, "HOLD_S", hold_s):
        asyncio.run(body())
    return calls


def test_few_packets_soon_after_a_sack_wait_for_one_timer() -> None:
    def story(timer: SackTimer, calls: list[str]) -> None:
        assert not timer.may_wait(1)  # there was none before
        timer.told()
        assert timer.may_wait(1)
        assert timer.may_wait(FEW - 1)
        assert not timer.may_wait(FEW)
        assert calls == []

    assert told(story) == ["due"]


def test_nothing_is_due_after_a_sack_or_the_end() -> None:
    def story(timer: SackTimer, calls: list[str]) -> None:
        timer.told()
        assert timer.may_wait(1)
        timer.told()
        assert timer.may_wait(1)
        timer.stop()

    assert told(story) == []
