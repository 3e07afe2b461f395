"""What a program at one end of a raw channel and `make bench` tell each other: lines of JSON over its stdin and stdout.

The sender prints its offer, gets the answer, and reports what it used; the receiver gets the offer, prints its answer, how far it
is from time to time, and a report. Both end when their stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from bench.payload import Arrivals

EVERY_S = 5.0


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def told() -> dict[str, Any]:
    """What the other end has told."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    parsed: dict[str, Any] = json.loads(line)
    return parsed


async def end() -> None:
    """The end of this process, as soon as that is wished; the connection is not closed, which would take time with some."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    sys.stdout.flush()
    os._exit(0)


class Reception:
    """Counts what arrives in so many seconds after the first message. CPU is that of this time, of the whole process."""

    def __init__(self, seconds: float) -> None:
        self.over = asyncio.Event()
        self.error = ""
        self._seconds = seconds
        self._arrivals = Arrivals()
        self._first = 0
        self._start = self._cpu_s = 0.0

    def take(self, message: bytes) -> None:
        if self.over.is_set():
            return
        try:
            self._arrivals.take(message)
        except ValueError as error:
            self.fail(str(error))
            return
        if not self._start:
            self._first = len(message)
            self._start, self._cpu_s = time.monotonic(), time.process_time()
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, self._finish)
            loop.call_later(EVERY_S, self._tell)

    def fail(self, why: str) -> None:
        """Unless it is over."""
        if not self.over.is_set():
            self.error = why
            self.over.set()

    @property
    def _bytes(self) -> int:
        """Without the first message: time begins when it is here."""
        return self._arrivals.bytes - self._first

    def _tell(self) -> None:
        if not self.over.is_set():
            tell(at=time.monotonic() - self._start, bytes=self._bytes)
            asyncio.get_running_loop().call_later(EVERY_S, self._tell)

    def _finish(self) -> None:
        self._seconds, self._cpu_s = time.monotonic() - self._start, time.process_time() - self._cpu_s
        self.over.set()

    def report(self) -> None:
        tell(bytes=self._bytes, seconds=self._seconds, cpu_s=self._cpu_s, error=self.error)
