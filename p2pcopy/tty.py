"""The terminal in the hands of a live display: keys come in one by one, and nothing but the display writes to it.

While p2pcopy has the terminal, it shows no keys by itself, Ctrl-S does not stop it, and lines are not cut at 1024 or 4096
characters, as they are in the terminal's own line editing. Whoever stops p2pcopy (Ctrl-Z), and the shell at its end, get the
terminal as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from p2pcopy.errors import CodeError
from p2pcopy.signaling.exchange import Lines
from p2pcopy.ui.lineedit import MAX_LINE, LineEditor
from p2pcopy.ui.reporter import Reporter

if sys.platform != "win32":
    import termios

_BLOCK: Final = 64 * 1024
_AGAIN_S: Final = 1.0
_INPUT, _LOCAL, _KEYS = 0, 3, 6  # in what tcgetattr() returns


class Tty(Lines):
    """A terminal. Use as a context manager, in a running loop; lines can be read only meanwhile, by one after the other."""

    def __init__(self, descriptor: int, reporter: Reporter) -> None:
        super().__init__(descriptor, name="the terminal")
        self._reporter = reporter
        self._editor = LineEditor()
        self._lines: deque[str | None] = deque()
        self._arrived = asyncio.Event()
        self._found: list[Any] | None = None
        self._reading = False
        self._away = False

    # Lines

    async def next_line(self) -> str | None:
        async with self._turn:
            if not (self._lines or self._ended):
                await self._keys_end_a_line()
        line = self._lines.popleft() if self._lines else None
        self._reporter.typing(line or "")
        if line is not None and len(line) > MAX_LINE:
            self._reporter.entered()
            raise CodeError("the line is too long to be a code", "Give the code alone on one line.")
        return line

    async def _keys_end_a_line(self) -> None:
        self._reading = True
        self._arrived.clear()
        self._take()
        self._reporter.typing(self._editor.text)
        try:
            await self._arrived.wait()
        finally:
            self._reading = False
            self._release()

    def forget_typed(self) -> None:
        self._editor.clear()
        self._lines.clear()
        with suppress(termios.error):
            termios.tcflush(self.descriptor, termios.TCIFLUSH)

    # The terminal

    def __enter__(self) -> Tty:
        with suppress(termios.error):
            self._found = termios.tcgetattr(self.descriptor)
        self._set()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()
        self.give_back()
        self._found = None

    def give_back(self) -> None:
        """As it was found. From any thread, and more than once."""
        if self._found is not None and self._is_ours():
            with suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSANOW, self._found)

    def abandon(self) -> None:
        """Before the process ends at once."""
        self._reporter.pause()
        self.give_back()

    def leave(self) -> None:
        """To whoever comes next."""
        self._away = True
        self._release()
        self._reporter.pause()
        self.give_back()

    def come_back(self) -> None:
        """When it is ours again: p2pcopy goes on, perhaps in the background."""
        if not self._is_ours():
            asyncio.get_running_loop().call_later(_AGAIN_S, self.come_back)
            return
        self._away = False
        self._set()
        self._take()
        self._reporter.redraw()

    def redraw(self) -> None:
        """It has another size."""
        if not self._away:
            self._reporter.redraw()

    def _set(self) -> None:
        """Not from the background: whoever has the terminal has set it as it likes, and we would be stopped for it."""
        if self._found is None or self._away or not self._is_ours():
            return
        wanted: list[Any] = [list(part) if isinstance(part, list) else part for part in self._found]
        wanted[_INPUT] &= ~termios.IXON
        wanted[_LOCAL] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        wanted[_KEYS][termios.VMIN], wanted[_KEYS][termios.VTIME] = 1, 0
        with suppress(termios.error):
            termios.tcsetattr(self.descriptor, termios.TCSANOW, wanted)

    def _is_ours(self) -> bool:
        """Whether we are in its foreground, or it is not the terminal that controls us, so that nobody stops us for using it."""
        try:
            return os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except OSError:
            return True

    # Keys

    def _take(self) -> None:
        """Keys as they come, while somebody waits for a line."""
        if self._reading and not self._away:
            asyncio.get_running_loop().add_reader(self.descriptor, self._keys_came)

    def _release(self) -> None:
        asyncio.get_running_loop().remove_reader(self.descriptor)

    def _keys_came(self) -> None:
        if not self._is_ours():  # reading would stop us, and these keys are for somebody else
            self._away = True
            self._release()
            self.come_back()
            return
        try:
            keys = os.read(self.descriptor, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            keys = b""
        self._ended = not keys
        self._lines += self._editor.feed(keys)
        if self._lines or self._ended:
            self._release()
            self._arrived.set()
        else:
            self._reporter.typing(self._editor.text)


@contextmanager
def held(tty: Tty) -> Iterator[None]:
    """The terminal is p2pcopy's meanwhile, but for Ctrl-Z and the like. In a running loop."""
    loop = asyncio.get_running_loop()

    def suspend() -> None:
        tty.leave()
        with _default(signal.SIGTSTP):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, suspend)
        tty.come_back()

    handlers: dict[int, Callable[[], None]] = {
        signal.SIGTSTP: suspend,
        signal.SIGCONT: tty.come_back,
        signal.SIGWINCH: tty.redraw,
    }
    before = {number: signal.getsignal(number) for number in handlers if signal.getsignal(number) != signal.SIG_IGN}
    with tty:
        for number in before:
            loop.add_signal_handler(number, handlers[number])
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


@contextmanager
def _default(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
