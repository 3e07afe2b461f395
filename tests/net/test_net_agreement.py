"""Both sides go on, or neither does."""

from __future__ import annotations

import asyncio

import pytest
from meeting import run

from p2pcopy.errors import ConnectionLost, Declined
from p2pcopy.net import agreement, link
from p2pcopy.net.agreement import Agreement


def quiet() -> tuple[Agreement, list[link.Message]]:
    told: list[link.Message] = []
    return Agreement(told.append, lambda: False), told


def test_a_side_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "READY_S", 0.05)

    async def story() -> None:
        one, told = quiet()
        with pytest.raises(ConnectionLost, match="says nothing"):
            await one.reach(None, lambda: None)
        assert told == [link.Ready()]

    run(story())


def test_silence_means_nothing_while_there_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "READY_S", 0.02)
    looks = 0

    def is_stalled() -> bool:
        nonlocal looks
        looks += 1
        return looks < 4

    async def story() -> None:
        with pytest.raises(ConnectionLost):
            await Agreement(lambda message: None, is_stalled).reach(None, lambda: None)
        assert looks == 4

    run(story())


def test_a_person_on_the_other_side_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "READY_S", 0.05)

    async def story() -> None:
        one, _ = quiet()
        shown: list[bool] = []
        one.take(link.Confirming())
        reaching = asyncio.create_task(one.reach(None, lambda: shown.append(True)))
        await asyncio.sleep(0.15)
        one.take(link.Ready())
        await reaching
        assert shown == [True]

    run(story())


def test_our_person_may_take_longer_than_the_other_sides_word() -> None:
    async def story() -> None:
        one, told = quiet()
        go_on = asyncio.Event()

        async def ask() -> None:
            await go_on.wait()

        reaching = asyncio.create_task(one.reach(ask, lambda: None))
        one.take(link.Ready())
        await asyncio.sleep(0.02)
        assert told == [link.Confirming()]
        go_on.set()
        await reaching
        assert told == [link.Confirming(), link.Ready()]

    run(story())


@pytest.mark.parametrize("asked", [True, False])
def test_the_other_side_may_decline(asked: bool) -> None:
    async def story() -> None:
        one, _ = quiet()

        async def ask() -> None:
            await asyncio.sleep(60)

        reaching = asyncio.create_task(one.reach(ask if asked else None, lambda: None))
        await asyncio.sleep(0)
        one.take(link.Declined())
        with pytest.raises(Declined):
            await reaching

    run(story())


def test_ours_may_decline() -> None:
    async def story() -> None:
        one, told = quiet()

        async def ask() -> None:
            raise Declined("no")

        with pytest.raises(Declined):
            await one.reach(ask, lambda: None)
        assert told == [link.Confirming(), link.Declined()]

    run(story())


def test_the_first_loss_counts() -> None:
    async def story() -> None:
        one, _ = quiet()
        one.lost(ConnectionLost("first"))
        one.lost(ConnectionLost("second"))
        with pytest.raises(ConnectionLost, match="first"):
            await one.reach(None, lambda: None)

    run(story())
