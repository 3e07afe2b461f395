"""Names are read from the log in a thread, and told in order, none twice."""

from __future__ import annotations

import asyncio
import threading

import pytest

from p2pcopy import events
from p2pcopy.errors import LocalFileError
from p2pcopy.transfer.session import at_once
from p2pcopy.transfer.telling import Teller
from p2pcopy.transfer.wire import Entry, Kind
from p2pcopy.transfer.worker import Worker


class Log:
    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def append(self, entry: Entry, local: str = "") -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Entry, str]:
        self.gate.wait(30)
        self.threads.add(threading.get_ident())
        if self.broken:
            raise LocalFileError("the list of files could not be read")
        return Entry(Kind.FILE, str(index)), ""


def note(entry: Entry) -> events.Event:
    return events.Note(entry.path, "")


def test_all_is_told_in_order_beside_the_loop() -> None:
    log = Log()

    async def body() -> list[str]:
        told: list[events.Event] = []
        worker = Worker("test")
        teller = Teller(log, worker, told.append, at_once)
        teller.put(0, 700, note)
        teller.put(700, 700, note)
        for index in range(700, 1000):
            teller.put(index, index + 1, note if index % 2 else lambda entry: None)
        await teller.rest()
        worker.close()
        return [event.path for event in told if isinstance(event, events.Note)]

    assert asyncio.run(body()) == [*map(str, range(700)), *map(str, range(701, 1000, 2))]
    assert threading.get_ident() not in log.threads


def test_what_a_cancelled_run_has_not_told_comes_with_the_rest() -> None:
    log = Log()

    async def body() -> list[str]:
        told: list[events.Event] = []
        arrived = asyncio.Event()
        worker = Worker("test")

        def tell(event: events.Event) -> None:
            told.append(event)
            arrived.set()

        teller = Teller(log, worker, tell, at_once)
        run = asyncio.create_task(teller.run())
        teller.put(0, 3, note)
        await arrived.wait()
        log.gate.clear()
        teller.put(3, 9, note)
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        log.gate.set()
        await teller.rest()
        worker.close()
        return [event.path for event in told if isinstance(event, events.Note)]

    assert asyncio.run(body()) == [str(index) for index in range(9)]


def test_a_log_that_cannot_be_read() -> None:
    log = Log()
    log.broken = True

    async def body() -> None:
        worker = Worker("test")
        teller = Teller(log, worker, lambda event: None, at_once)
        teller.put(0, 1, note)
        try:
            await teller.run()
        finally:
            worker.close()

    with pytest.raises(LocalFileError):
        asyncio.run(body())
