"""send --keep-open: one receiver after the other, with ends that the test scripts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pcopy import errors, events
from p2pcopy.errors import (
    CodeTypo,
    ConnectionLost,
    Declined,
    ExitCode,
    IntegrityError,
    Interrupted,
    LocalFileError,
    NobodyCame,
    NoConnection,
    P2PCopyError,
    ProtocolError,
    Terminated,
    UsageError,
)
from p2pcopy.serving import serve
from p2pcopy.stops import Stops, guarded

OK = ExitCode.OK
NOBODY = NobodyCame("no connection came about", "hint", (events.Tried("stun", "stun:a", "no answer", False),))
CTRL_C = Interrupted("stopped by Ctrl-C")
TERM = Terminated("stopped by a signal")


class Shop:
    """Receivers come with these outcomes, in this order. A signal comes while the next one is waited for."""

    def __init__(self, *outcomes: ExitCode | P2PCopyError, signal: P2PCopyError | None = None) -> None:
        self.told: list[events.Event] = []
        self._outcomes = list(outcomes)
        self._signal = signal
        self._stops: Stops | None = None

    async def once(self) -> ExitCode:
        assert self._stops is not None
        assert not self._stops.finished
        if not self._outcomes:
            assert self._signal is not None
            asyncio.get_running_loop().call_soon(self._stops.stop, self._signal)
            await asyncio.Event().wait()
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, P2PCopyError):
            raise outcome
        self._stops.finished = True
        return outcome

    def run(self) -> ExitCode:
        async def story(stops: Stops) -> ExitCode:
            self._stops = stops
            return await serve(self.once, self.told.append, stops)

        return asyncio.run(guarded(story))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


def test_one_after_the_other_until_nobody_comes() -> None:
    shop = Shop(OK, ExitCode.LOCAL, OK, NOBODY)
    assert shop.run() is OK
    assert [event.number for event in shop.of(events.Serving)] == [1, 2, 3, 4]
    assert shop.told[-1] == events.Served(2, 1)


@pytest.mark.parametrize("outcomes", [(), (ExitCode.INTEGRITY,), (ConnectionLost("gone"),)])
def test_when_nobody_is_served_that_is_the_failure(outcomes: tuple[ExitCode | P2PCopyError, ...]) -> None:
    shop = Shop(*outcomes, NOBODY)
    with pytest.raises(NobodyCame):
        shop.run()
    assert not shop.of(events.Served)


def theirs(error: P2PCopyError) -> P2PCopyError:
    error.is_theirs = True
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("gone"), Declined("no"), IntegrityError("totals differ"), ProtocolError("nonsense"), CodeTypo("typo"),
        theirs(LocalFileError("the other side: the disk is full")), theirs(errors.InternalError("the other side failed")),
    ],
)  # fmt: skip
def test_a_receiver_that_fails_does_not_end_it(error: P2PCopyError) -> None:
    shop = Shop(error, OK, NOBODY)
    assert shop.run() is OK
    assert shop.of(events.Failed) == [events.Failed.of(error)]
    assert shop.told[-1] == events.Served(1, 1)


@pytest.mark.parametrize(
    "error",
    [LocalFileError("stdout is closed"), UsageError("no"), NoConnection("no network"), errors.InternalError("x")],
)
def test_a_failure_of_this_side_ends_it(error: P2PCopyError) -> None:
    shop = Shop(OK, error)
    with pytest.raises(type(error)):
        shop.run()
    assert not shop.of(events.Served)


def test_ctrl_c_between_receivers_is_a_good_end() -> None:
    shop = Shop(OK, signal=CTRL_C)
    assert shop.run() is OK
    assert shop.told[-1] == events.Served(1, 0)


@pytest.mark.parametrize("signal", [CTRL_C, TERM])
def test_a_signal_before_anybody_was_served(signal: P2PCopyError) -> None:
    with pytest.raises(type(signal)):
        Shop(ExitCode.LOCAL, signal=signal).run()


def test_a_termination_is_one_whoever_was_served() -> None:
    with pytest.raises(Terminated):
        Shop(OK, signal=TERM).run()


@pytest.mark.parametrize("error", [CTRL_C, ConnectionLost("the channel was closed")])
def test_ctrl_c_during_a_transfer_is_an_interruption(error: P2PCopyError) -> None:
    stops = Stops()

    async def once() -> ExitCode:
        stops.error = CTRL_C
        raise error

    with pytest.raises(type(error)):
        asyncio.run(serve(once, lambda event: None, stops))


@pytest.mark.parametrize(
    ("first", "signal", "ends_well"), [(OK, CTRL_C, True), (OK, TERM, False), (ExitCode.LOCAL, CTRL_C, False)]
)
def test_a_signal_while_the_end_of_a_receiver_is_told_counts_after_it(
    first: ExitCode, signal: P2PCopyError, ends_well: bool
) -> None:
    stops, told = Stops(), list[events.Event]()

    async def once() -> ExitCode:
        stops.finished = True
        stops.stop(signal)
        return first

    if ends_well:
        assert asyncio.run(serve(once, told.append, stops)) is OK
        assert told[-1] == events.Served(1, 0)
    else:
        with pytest.raises(type(signal)):
            asyncio.run(serve(once, told.append, stops))
