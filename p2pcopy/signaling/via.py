"""A command that carries codes: its standard input gets ours, the first line of its standard output is the other side's.

It runs in the shell, in our own process group where there is a terminal: so it may ask for a password there, and Ctrl-C reaches
it. Elsewhere it has a session of its own, which ends as a whole.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from p2pcopy.errors import CodeError, ViaFailed
from p2pcopy.signaling.code import parse_any

END_S: Final = 10.0  # after a transfer
TERMINATE_S: Final = 2.0  # after an early end: for its own end, and then for what SIGTERM makes of it
_KILL_S: Final = 10.0  # for what SIGKILL makes of it, which is certain
MAX_LINE: Final = 4096  # bytes; longer lines are cut into several
_LAST_WORDS: Final = 3  # lines


class Via:
    """A LineSource and a CodeSink; a context manager that ends the command.

    say: gets each line that the command writes to its standard error, unescaped; warn: what is worth knowing about its end.
    """

    def __init__(self, command: str, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
        self._command = command
        self._say = say
        self._warn = warn
        self._process: asyncio.subprocess.Process | None = None
        self._started = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._own_session = False
        self._code_came = False

    async def write(self, code: str) -> None:
        """Start the command with this code; later codes do not reach it, since the end of its input tells it to begin.

        Raises ViaFailed when it cannot be started.
        """
        if self._process is not None:
            return
        self._own_session = sys.platform != "win32" and not _has_terminal()
        try:
            self._process = await asyncio.create_subprocess_shell(
                self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE,
                start_new_session=self._own_session,
            )
        except OSError as error:
            raise ViaFailed(
                f"the command of --via cannot be started: {error.strerror}", "Check the command."
            ) from error
        self._start(self._relay_words())
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(ConnectionError):  # it does not read it; how it ends says more
                stdin.write(code.encode() + b"\n")
                await stdin.drain()
            stdin.close()
        self._started.set()

    async def next_line(self) -> str | None:
        """See LineSource: the first line, once. After it, and without one, the end of the command is waited for.

        Raises CodeError when the line is not a code, ViaFailed when the command fails before the two sides have met.
        """
        await self._started.wait()
        process = self._running()
        if not self._code_came and process.stdout is not None:
            line = (await _line(process.stdout)).strip()
            self._code_came = True
            self._start(_drain(process.stdout))
            if line:
                return _code_in(line)
        await self._ended()
        if process.returncode != 0:
            raise ViaFailed(
                f"the command of --via {_how(process.returncode)} before the two sides had met{self._words()}",
                "Run the command alone to see what is wrong with it.",
            )
        return None

    async def __aenter__(self) -> Via:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is not None:
            try:
                await self._finish(self._process, END_S if kind is None else TERMINATE_S, early=kind is not None)
            finally:
                await self._forget()

    async def _finish(self, process: asyncio.subprocess.Process, patience_s: float, *, early: bool) -> None:
        if await self._ends_within(patience_s):
            if process.returncode != 0 and not early:
                self._warn(f"the command of --via {_how(process.returncode)}{self._words()}")
            return
        if not early:
            self._warn(f"the command of --via did not end within {END_S:.0f} s of the transfer, and was stopped")
        self._signal(process, signal.SIGTERM)
        if not await self._ends_within(TERMINATE_S):
            self._signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
            await self._ends_within(_KILL_S)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended()
                return True
        return False

    async def _ended(self) -> None:
        """With all that it has said; who inherited its standard error may go on."""
        process = self._running()
        await process.wait()
        await asyncio.wait(self._tasks, timeout=0.2)

    def _signal(self, process: asyncio.subprocess.Process, number: int) -> None:
        with suppress(ProcessLookupError):
            if self._own_session and sys.platform != "win32":
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    async def _forget(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # The transport closes our ends of its pipes, so that whoever still holds the others finds out.
        self._running()._transport.close()  # type: ignore[attr-defined]

    async def _relay_words(self) -> None:
        stream = self._running().stderr
        while stream is not None and (line := await _line(stream)):
            text = line.decode(errors="replace").rstrip("\r\n")
            self._last_words.append(text)
            self._say(text)

    def _words(self) -> str:
        words = " / ".join(word.strip() for word in self._last_words if word.strip())
        return f": {words}" if words else ""

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the command was not started")
        return self._process


def _has_terminal() -> bool:
    """Whether somebody could be asked for a password."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _how(returncode: int | None) -> str:
    """ "ended with exit status 255", "was ended by SIGKILL"."""
    if returncode is not None and returncode < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit status {returncode}"


def _code_in(line: bytes) -> str:
    text = line.decode(errors="replace")
    try:
        parse_any(text)
    except CodeError as error:
        raise type(error)(
            f"the first line that the command of --via printed is not a code, {text[:80]!r}: {error.message}",
            "Let the command print the other side's code and nothing before it.",
        ) from None
    return text


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or the first part of one that is longer than MAX_LINE; nothing at the end."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(max(1, min(error.consumed, MAX_LINE)))


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass
