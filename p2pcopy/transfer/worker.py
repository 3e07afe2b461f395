"""One thread for blocking work, in order, beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, ParamSpec, TypeVar

_TELL_S: Final = 0.005
_AT_ONCE: Final = 256

P = ParamSpec("P")
T = TypeVar("T")
J = TypeVar("J")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Worker:
    """Runs functions one after another in a daemon thread, so that a read that never returns cannot keep the process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name=f"p2pcopy-{name}", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What function returns or raises. When the caller is cancelled the function still runs to its end."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((lambda: function(*args, **kwargs), future))
        return await future

    def close(self) -> None:
        """No more jobs; those that are queued still run."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits gets it
                self._post(_fail, future, error)
            else:
                self._post(_settle, future, result)

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        # The loop may be closed while a job still runs; then nobody waits for its result.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class Conveyor(Generic[J, T]):
    """A thread that takes jobs in order and gives back results in order, many at a time, with no hop for each of them.

    work: does a job. rest: is done when no job came for rest_s seconds after the last one.
    """

    def __init__(
        self, name: str, work: Callable[[J], Iterable[T]], rest: Callable[[], Iterable[T]], rest_s: float
    ) -> None:
        self._do = work
        self._rest = rest
        self._rest_s = rest_s
        self._jobs: queue.SimpleQueue[J | None] = queue.SimpleQueue()
        self._results: deque[T | BaseException] = deque()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._told = False
        self._working = False
        self._closing = False
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name=f"p2pcopy-{name}", daemon=True)
        self._thread.start()

    def put(self, job: J) -> None:
        self._jobs.put(job)

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way."""
        return self._working

    async def results(self) -> list[T]:
        """What is there, from one to a few hundred. Raises what work() or rest() raised; there is nothing more after that."""
        await asyncio.sleep(0)  # others get their turn, also when there is always something
        while not self._results:
            self._ready.clear()
            await self._ready.wait()
        results: list[T] = []
        while self._results and len(results) < _AT_ONCE:
            result = self._results.popleft()
            if isinstance(result, BaseException):
                if not results:
                    raise result
                self._results.appendleft(result)
                break
            results.append(result)
        return results

    async def close(self) -> None:
        """Wait until the job that is under way is done; those behind it are not begun."""
        self._closing = True
        self._jobs.put(None)
        await self._over.wait()

    def _work(self) -> None:
        try:
            self._work_on()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits gets it
            self._results.append(error)
        self._post(self._ready.set)
        self._post(self._over.set)

    def _work_on(self) -> None:
        rested, told = True, 0.0
        while True:
            try:
                job = self._jobs.get(timeout=None if rested else self._rest_s)
            except queue.Empty:
                self._results.extend(self._rest())
                rested = True
            else:
                if job is None or self._closing:
                    return
                self._working = True
                self._results.extend(self._do(job))
                self._working = False
                rested = False
            # Not for each of many small jobs: waking the loop costs more than they do.
            if self._results and (self._jobs.empty() or time.monotonic() - told >= _TELL_S):
                told = time.monotonic()
                self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._post(self._wake)

    def _wake(self) -> None:
        self._told = False
        self._ready.set()

    def _post(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)
