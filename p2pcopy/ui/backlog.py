"""Lines on their way to a descriptor whose reader may be slow: a thread writes them, so that nobody else has to wait."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from concurrent.futures import Future
from typing import Final

FULL: Final = 1024 * 1024
PATIENCE_S: Final = 30.0
_PIECE: Final = 4096  # small enough to tell a slow reader from one that takes nothing


class Backlog:
    """Writes lines in order, each as soon as the reader takes it. Any thread may call anything but settled()."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._changed = threading.Condition()
        self._lines: deque[tuple[str, bytes]] = deque()
        self._left = 0
        self._closed = False
        self._error: OSError | None = None
        self._settling: list[Future[None]] = []
        threading.Thread(target=self._work, name="p2pcopy-lines", daemon=True).start()

    def put(self, line: str, replaces: str = "") -> None:
        """Queue a line. replaces: it takes the place of a line with the same mark, if that is the last one that waits.

        Raises OSError once, when writing has failed before; from then on nothing is written.
        """
        data = line.encode(self._encoding)
        with self._changed:
            self._raise()
            if self._closed:
                return
            if replaces and self._lines and self._lines[-1][0] == replaces:
                self._left -= len(self._lines.pop()[1])
            self._lines.append((replaces, data))
            self._left += len(data)
            self._changed.notify_all()

    @property
    def is_behind(self) -> bool:
        """Whether something is not written yet."""
        return self._left > 0

    def written(self, within_s: float) -> None:
        """Wait until everything is written, at most within_s seconds. Raises OSError as put() does."""
        with self._changed:
            self._changed.wait_for(lambda: not self._left, within_s)
            self._raise()

    def drained(self, patience_s: float) -> None:
        """Wait until everything is written; give up when the reader has taken nothing for patience_s seconds.

        Raises OSError as put() does.
        """
        with self._changed:
            self._drain(patience_s)
            self._raise()

    async def settled(self) -> None:
        """Until less than 1 MiB is left to write, or nothing is written any more."""
        with self._changed:
            if self._left < FULL:
                return
            room: Future[None] = Future()
            self._settling.append(room)
        await asyncio.wrap_future(room)

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until everything is written; give up when the reader has taken nothing for patience_s seconds.

        Raises OSError as put() does. May be called again.
        """
        with self._changed:
            self._drain(patience_s)
            self._closed = True
            self._changed.notify_all()
            self._raise()

    def _drain(self, patience_s: float) -> None:
        while self._left and not self._closed and self._changed.wait(patience_s):
            pass

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    # In the thread.

    def _work(self) -> None:
        try:
            while data := self._next():
                self._write(data)
        except OSError as error:
            with self._changed:
                self._error, self._closed = error, True
                self._lines.clear()
                self._took(self._left)

    def _next(self) -> bytes:
        """All that waits; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            data = b"".join(line for _, line in self._lines)
            self._lines.clear()
        return data

    def _write(self, data: bytes) -> None:
        # Not through a Python stream: its lock would be held by a write that never returns, and Python aborts at its end.
        rest = memoryview(data)
        while rest:
            try:
                count = os.write(self._descriptor, rest[:_PIECE])
            except BlockingIOError:
                select.select([], [self._descriptor], [])
                continue
            rest = rest[count:]
            with self._changed:
                self._took(count)

    def _took(self, count: int) -> None:
        self._left -= count
        self._changed.notify_all()
        if self._left < FULL:
            for room in self._settling:
                if room.set_running_or_notify_cancel():
                    room.set_result(None)
            self._settling.clear()
