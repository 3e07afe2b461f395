"""SACKs that are held for company."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from p2pcopy.net import acknowledging
from p2pcopy.net.acknowledging import FEW, SackTimer

LONG_S = 60.0


def test_few_packets_soon_after_a_sack_wait_for_one_timer() -> None:
    async def story() -> None:
        due: asyncio.Queue[str] = asyncio.Queue()
        timer = SackTimer(lambda: due.put_nowait("due"))
        with patch.object(acknowledging, "HOLD_S", LONG_S):
            assert not timer.may_wait(1)  # there was none before
            timer.told()
            assert timer.may_wait(1)
            first = timer._timer
            assert timer.may_wait(FEW - 1)
            assert timer._timer is first
            assert not timer.may_wait(FEW)
        timer.told()
        with patch.object(acknowledging, "HOLD_S", 0.05):
            if timer.may_wait(1):  # or else the machine has slept so long
                assert await asyncio.wait_for(due.get(), 10) == "due"

    asyncio.run(story())


def test_nothing_is_due_after_a_sack_or_the_end() -> None:
    async def story() -> None:
        timer = SackTimer(lambda: None)
        with patch.object(acknowledging, "HOLD_S", LONG_S):
            for end in (timer.told, timer.stop):
                timer.told()
                assert timer.may_wait(1)
                held = timer._timer
                assert held is not None
                end()
                assert held.cancelled()
                assert timer._timer is None

    asyncio.run(story())
