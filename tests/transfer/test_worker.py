"""Threads beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from p2pcopy.transfer.worker import Conveyor, Worker


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())


async def collect(conveyor: Conveyor[Any, int], count: int) -> list[int]:
    results: list[int] = []
    while len(results) < count:
        results += await conveyor.results()
    return results


def test_results_come_in_order() -> None:
    async def body() -> None:
        conveyor = Conveyor("test", lambda job: (job, -job), lambda: (), 60.0)
        for job in range(1, 501):
            conveyor.put(job)
        assert await collect(conveyor, 1000) == [sign * job for job in range(1, 501) for sign in (1, -1)]
        await conveyor.close()

    run(body)


def test_it_rests_once_after_work() -> None:
    async def body() -> None:
        rests: list[int] = []

        def rest() -> tuple[int]:
            rests.append(0)
            return (7,)

        conveyor: Conveyor[int, int] = Conveyor("test", lambda job: (), rest, 0.01)
        await asyncio.sleep(0.05)
        assert rests == []
        for _ in range(2):
            conveyor.put(1)
            assert await collect(conveyor, 1) == [7]
            await asyncio.sleep(0.05)
        assert len(rests) == 2
        await conveyor.close()

    run(body)


@pytest.mark.parametrize("at", ["work", "rest"])
def test_what_is_raised_comes_behind_the_results_before_it(at: str) -> None:
    all_put = threading.Event()

    def work(job: int) -> tuple[int]:
        assert all_put.wait(60)
        if job == 3 and at == "work":
            raise ZeroDivisionError
        return (job,)

    def rest() -> tuple[int]:
        raise ZeroDivisionError

    async def body() -> None:
        conveyor = Conveyor("test", work, rest, 0.01)
        for job in range(1, 6 if at == "work" else 3):
            conveyor.put(job)
        all_put.set()
        assert await collect(conveyor, 2) == [1, 2]
        with pytest.raises(ZeroDivisionError):
            await conveyor.results()
        await conveyor.close()

    run(body)


def test_closing_waits_for_the_job_under_way_and_drops_the_others() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(job: int) -> tuple[()]:
        begun.set()
        assert go_on.wait(60)
        done.append(job)
        return ()

    async def body() -> None:
        conveyor: Conveyor[int, int] = Conveyor("test", work, lambda: (), 60.0)
        conveyor.put(1)
        conveyor.put(2)
        await asyncio.to_thread(begun.wait, 60)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        await conveyor.close()
        assert done == [1]

    run(body)


def test_a_worker_gives_back_or_raises() -> None:
    async def body() -> None:
        worker = Worker("test")
        assert await worker.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await worker.run(divmod, 7, 0)
        worker.close()

    run(body)
