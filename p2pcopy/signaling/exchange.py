"""How codes travel: lines from standard input, files and descriptors, and codes to them."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeVar

from p2pcopy.errors import CodeError, CodeTruncated, LocalFileError, P2PCopyError, UsageError
from p2pcopy.signaling.pasted import code_in

MAX_LINE: Final = 64 * 1024  # bytes
MAX_DESCRIPTOR: Final = 1023  # what select() takes
FOLLOW_S: Final = 1.0

T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Run blocking work in a thread of its own that, unlike an executor's, does not hold up the end of the process."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever waits for the future gets it
            future.set_exception(error)

    threading.Thread(target=run, name="p2pcopy-exchange", daemon=True).start()
    return future


async def threaded(work: Callable[[], T]) -> T:
    """What blocking work returns or raises. When the caller is cancelled, it still runs to its end."""
    return await asyncio.shield(asyncio.wrap_future(in_thread(work)))


# Where the other side's code comes from


class LineSource(Protocol):
    """Gives lines one by one."""

    async def next_line(self) -> str | None:
        """The next line without its end; None at the end of input, for ever after. May be cancelled without loss."""


class Lines:
    """The lines of a descriptor, standard input by default. It reads only while somebody waits for a line.

    Several consumers may wait one after another or at once: each line goes to one of them, and none is lost when one of
    them is cancelled. A descriptor that is closed or fails is at its end.
    """

    def __init__(self, descriptor: int = 0, *, name: str = "standard input") -> None:
        self.descriptor = descriptor
        self.name = name
        self._buffer = bytearray()
        self._ended = False
        self._skipping = False
        self._request: Future[str | P2PCopyError | None] | None = None
        self._turn = asyncio.Lock()

    async def next_line(self) -> str | None:
        """See LineSource. Raises CodeError for a line of more than 64 KiB, which is skipped."""
        async with self._turn:
            if self._request is None:
                self._request = in_thread(self._outcome)
            outcome = await asyncio.shield(asyncio.wrap_future(self._request))
            self._request = None
        if isinstance(outcome, P2PCopyError):
            raise outcome
        return outcome

    def forget_typed(self) -> None:
        """What was typed before now was no answer to what is asked now. For terminals; of anything else nothing is dropped."""
        if not os.isatty(self.descriptor):
            return
        if self._request is not None and self._request.done():
            self._request = None
        self._buffer.clear()
        if sys.platform != "win32":
            import termios

            with suppress(termios.error):
                termios.tcflush(self.descriptor, termios.TCIFLUSH)

    def _outcome(self) -> str | P2PCopyError | None:
        try:
            return self._next_line()
        except P2PCopyError as error:
            return error

    def _next_line(self) -> str | None:
        while True:
            while b"\n" not in self._buffer and not self._ended:
                if len(self._buffer) > MAX_LINE:
                    self._buffer.clear()
                    if not self._skipping:
                        self._skipping = True
                        raise self._too_long()
                block = self._read()
                self._ended = not block
                self._buffer += block
            if not self._buffer:
                return None
            line, _, self._buffer = self._buffer.partition(b"\n")
            if self._skipping:
                self._skipping = False
            elif len(line) > MAX_LINE:
                raise self._too_long()
            else:
                return line.decode(errors="replace").rstrip("\r")

    def _read(self) -> bytes:
        """What is there, at least one byte; none at the end."""
        try:
            return _read_some(self.descriptor)
        except OSError:
            return b""

    def _too_long(self) -> CodeError:
        return CodeError(
            f"a line of {self.name} is longer than {MAX_LINE} bytes, so it is not a code",
            "Give the code alone on one line.",
        )


class FileLines(Lines):
    """The lines of a file or FIFO; it is opened in the thread, because opening a FIFO waits for the writer."""

    def __init__(self, path: Path) -> None:
        super().__init__(-1, name=str(path))
        self._path = path
        self._close: Callable[[], object] | None = None

    def _read(self) -> bytes:
        try:
            if self._close is None:
                self.descriptor = os.open(self._path, os.O_RDONLY)
                self._close = weakref.finalize(self, os.close, self.descriptor)
            block = _read_some(self.descriptor)
        except OSError as error:
            raise LocalFileError(
                f"the code cannot be read from {str(self._path)!r}: {error.strerror}",
                "Check the name after the @, and that the file may be read.",
            ) from error
        if not block:
            self._close()
        return block


class Literal:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._left = text.splitlines()

    async def next_line(self) -> str | None:
        """See LineSource."""
        return self._left.pop(0) if self._left else None


async def read_code(source: LineSource) -> str | None:
    """The next line that is not blank; None at the end of input."""
    while (line := await source.next_line()) is not None:
        if line.strip():
            return line
    return None


async def parsed_code(source: LineSource, parse: Callable[[str], T], *, follow_s: float = FOLLOW_S) -> T | None:
    """What parse makes of the next code; None at the end of input. Raises the CodeError of parse.

    Where somebody pastes the whole command of the other side, the code is taken out of it.
    A code that a terminal or a mail program broke over several lines is put together: while parse raises CodeTruncated,
    the next line is appended, if it comes within follow_s seconds and is not blank.
    """
    line = await read_code(source)
    text = None if line is None else code_in(line)
    while text is not None:
        try:
            return parse(text)
        except CodeTruncated:
            more = await _line_within(source, follow_s)
            if not more.strip():
                raise
            text += more
    return None


async def _line_within(source: LineSource, seconds: float) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await source.next_line() or ""
    return ""


# Where our code goes


class CodeSink(Protocol):
    """Takes a code of ours."""

    async def write(self, code: str) -> None:
        """The code, alone on its line. Raises LocalFileError."""


class _DescriptorSink:
    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    async def write(self, code: str) -> None:
        try:
            await threaded(lambda: _write_all(self._descriptor, _line(code)))
        except OSError as error:
            raise LocalFileError(
                f"the code cannot be written to {self._name}: {error.strerror}",
                "Keep it open, or have the code written elsewhere, such as to @FILE.",
            ) from error


class _FileSink:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, code: str) -> None:
        await threaded(lambda: write_private(self._path, _line(code)))


def code_sink(spec: str) -> CodeSink:
    """- standard output, stderr, @FILE (replaced as a whole, mode 0600), fd:N; anything else is a UsageError."""
    if spec == "-":
        return _DescriptorSink(1, "standard output")
    if spec == "stderr":
        return _DescriptorSink(2, "standard error")
    if spec.startswith("@"):
        return _FileSink(path_after_at(spec))
    if spec.startswith("fd:"):
        return _DescriptorSink(descriptor_in(spec), spec)
    raise UsageError(
        f"{spec!r} is not a place to write a code to", "Give - for standard output, stderr, @FILE or fd:N."
    )


def write_private(path: Path, content: bytes) -> None:
    """Blocking. The file appears whole or not at all, for its owner only; a FIFO or device is written to as it is.

    Raises LocalFileError.
    """
    try:
        if path.exists() and not path.is_file():
            _write_special(path, content)
        else:
            _replace(path, content)
    except OSError as error:
        raise LocalFileError(
            f"{str(path)!r} cannot be written: {error.strerror}", "Choose another place, or make room there."
        ) from error


def _write_special(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".p2pcopy-", dir=path.parent)
    try:
        try:
            _write_all(descriptor, content)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _line(code: str) -> bytes:
    return code.encode() + b"\n"


def path_after_at(spec: str) -> Path:
    if not spec[1:]:
        raise UsageError("a file name is missing after the @", "Write it like @code.txt.")
    return Path(spec[1:])


def descriptor_in(spec: str) -> int:
    digits = spec.removeprefix("fd:")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 4 and int(digits) <= MAX_DESCRIPTOR):
        raise UsageError(
            f"{spec!r} is not a file descriptor", f"Write it like fd:3, with a number up to {MAX_DESCRIPTOR}."
        )
    return int(digits)


def _read_some(descriptor: int) -> bytes:
    """Like os.read, also where another process has made the shared description non-blocking."""
    while True:
        try:
            return os.read(descriptor, MAX_LINE)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
