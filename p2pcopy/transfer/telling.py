"""Telling what became of entries by their names, which are read from the disk in a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from p2pcopy.events import Event
from p2pcopy.transfer.ports import Log
from p2pcopy.transfer.wire import Entry
from p2pcopy.transfer.worker import Worker

_AT_ONCE: Final = 256

# Of an entry; None when there is nothing to be told of it.
Make = Callable[[Entry], Event | None]


class Teller:
    """In the order of put(). settled: awaited once a batch."""

    def __init__(
        self, log: Log, worker: Worker, tell: Callable[[Event], None], settled: Callable[[], Awaitable[None]]
    ) -> None:
        self._log = log
        self._worker = worker
        self._tell = tell
        self._settled = settled
        self._waiting: deque[tuple[int, int, Make]] = deque()
        self._more = asyncio.Event()

    def put(self, start: int, stop: int, make: Make) -> None:
        """Entries from start to before stop."""
        if start < stop:
            self._waiting.append((start, stop, make))
            self._more.set()

    async def run(self) -> None:
        """For ever. Raises LocalFileError when the log cannot be read."""
        while True:
            await self._more.wait()
            await self.rest()

    async def rest(self) -> None:
        """All that is waiting, also what a cancelled run() has not told."""
        while batch := self._batch():
            entries = await self._worker.run(self._read, batch)
            self._done(batch)
            for (_, _, make), found in zip(batch, entries, strict=True):
                for entry in found:
                    if (event := make(entry)) is not None:
                        self._tell(event)
            await self._settled()
        self._more.clear()

    def _batch(self) -> list[tuple[int, int, Make]]:
        batch: list[tuple[int, int, Make]] = []
        room = _AT_ONCE
        for start, stop, make in self._waiting:
            if not room:
                break
            batch.append((start, min(stop, start + room), make))
            room -= batch[-1][1] - start
        return batch

    def _read(self, batch: Sequence[tuple[int, int, Make]]) -> list[list[Entry]]:
        return [[self._log[index][0] for index in range(start, stop)] for start, stop, _ in batch]

    def _done(self, batch: Sequence[tuple[int, int, Make]]) -> None:
        for _, told, _ in batch:
            _, stop, make = self._waiting.popleft()
            if told < stop:
                self._waiting.appendleft((told, stop, make))
