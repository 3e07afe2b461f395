"""Signals: the first ends the run through its own protocol, the second at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time

import pytest

from p2pcopy.errors import ConnectionLost, DryRun, Interrupted, P2PCopyError, Terminated
from p2pcopy.stops import Stops, guarded

SIGNALS = pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)]
)


class Session:
    """Ends its run with the error that it is stopped with, a moment later."""

    def __init__(self) -> None:
        self.stopped: asyncio.Future[P2PCopyError] = asyncio.get_running_loop().create_future()

    def stop(self, error: P2PCopyError) -> None:
        self.stopped.set_result(error)

    async def run(self) -> None:
        raise await self.stopped


@SIGNALS
def test_a_signal_while_nothing_is_under_way_cancels_the_story(number: int, error: type[P2PCopyError]) -> None:
    cleaned: list[str] = []

    async def story(_: Stops) -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("up")

    with pytest.raises(error) as caught:
        asyncio.run(guarded(story))
    assert caught.value.resumable
    assert caught.value.hint
    assert cleaned == ["up"]


@SIGNALS
def test_a_session_is_stopped_and_not_cancelled(number: int, error: type[P2PCopyError]) -> None:
    async def story(ours: Stops) -> None:
        os.kill(os.getpid(), number)
        await ours.carry(Session())

    with pytest.raises(error):
        asyncio.run(guarded(story))


def test_what_the_signal_makes_fail_is_not_told() -> None:
    class Broken(Session):
        async def run(self) -> None:
            await self.stopped
            raise ConnectionLost("the channel was closed")

    async def story(ours: Stops) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await ours.carry(Broken())

    with pytest.raises(Interrupted):
        asyncio.run(guarded(story))


def test_after_a_session_that_failed_a_signal_cancels_again() -> None:
    class Failing(Session):
        async def run(self) -> None:
            raise ConnectionLost("the channel was closed")

    async def story(ours: Stops) -> None:
        with pytest.raises(ConnectionLost):
            await ours.carry(Failing())
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    with pytest.raises(Terminated):
        asyncio.run(guarded(story))


@pytest.mark.parametrize("ending", [None, DryRun()])
def test_after_a_session_that_ended_as_it_should_a_signal_is_late(ending: DryRun | None) -> None:
    class Ending(Session):
        async def run(self) -> None:
            if ending is not None:
                raise ending

    async def story(ours: Stops) -> P2PCopyError | None:
        with contextlib.suppress(DryRun):
            await ours.carry(Ending())
        assert ours.finished
        os.kill(os.getpid(), signal.SIGTERM)
        while ours.late is None:
            await asyncio.sleep(0)
        return ours.late

    assert isinstance(asyncio.run(guarded(story)), Terminated)


def test_the_second_signal_ends_the_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(exit_code: int) -> None:
        raise SystemExit(exit_code)

    clock = itertools.count(100.0, 0.4)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    ours = Stops()
    ours.stop(Interrupted("the first"))
    ours.stop(Terminated("twice within half a second is once"))
    assert isinstance(ours.error, Interrupted)
    with pytest.raises(SystemExit, match="143"):
        ours.stop(Terminated("the second"))


def test_when_the_outcome_is_told_a_signal_does_not_change_it() -> None:
    ours = Stops()
    ours.finished = True
    ours.stop(Interrupted("too late"))
    assert ours.error is None


def test_without_a_signal_results_and_errors_pass_through() -> None:
    async def answer(_: Stops) -> int:
        return 42

    async def fail(_: Stops) -> None:
        raise ConnectionLost("the channel was closed")

    async def cancel(_: Stops) -> None:
        raise asyncio.CancelledError

    assert asyncio.run(guarded(answer)) == 42
    with pytest.raises(ConnectionLost):
        asyncio.run(guarded(fail))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(guarded(cancel))


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def story(_: Stops) -> None:
        return

    asyncio.run(guarded(story))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_loop_without_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""

    async def story(_: Stops) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()

    def none(*_: object) -> None:
        raise NotImplementedError

    async def run() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_signal_handler", none)
        monkeypatch.setattr(loop, "remove_signal_handler", none)
        await guarded(story)

    with pytest.raises(Terminated):
        asyncio.run(run())


def test_what_is_ignored_stays_ignored() -> None:
    async def story(stops: Stops) -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        return "went on"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert asyncio.run(guarded(story)) == "went on"
    finally:
        signal.signal(signal.SIGHUP, before)
