"""One thread for blocking work, in order, beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
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
