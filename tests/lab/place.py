"""An event loop in a thread of its own, inside a member of the laboratory, so that one test drives both sides."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from lab.network import Lab

T = TypeVar("T")


class Place:
    """Use as a context manager. lab None: a thread on the machine itself. Leaving it fails when tasks are left behind."""

    def __init__(self, lab: Lab | None = None, member: str = "") -> None:
        self._inside = lab.inside(member) if lab else contextlib.nullcontext()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._live, name=f"place {member}", daemon=True)

    def __enter__(self) -> Place:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        left = self.run(_others(cancel=kind is not None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if kind is None:
            assert not left, f"tasks left behind: {left}"

    def start(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run it there, and go on here."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = 60) -> T:
        """Run it there, and wait for its result here, at most timeout seconds."""
        return self.start(coroutine).result(timeout)

    def _live(self) -> None:
        try:
            with self._inside, contextlib.closing(asyncio.new_event_loop()) as loop:
                self._loop = loop
                loop.call_soon(self._ready.set)
                loop.run_forever()
                loop.run_until_complete(loop.shutdown_default_executor())
        except OSError as error:
            self._failure = error
            self._ready.set()


async def _others(*, cancel: bool) -> list[str]:
    """The tasks that still run here, cancelled if so wished."""
    await asyncio.sleep(0)  # tasks that were cancelled end now
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    names = [repr(task) for task in tasks]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    return names
