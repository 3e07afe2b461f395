"""Where the other side's code comes from: the roads by name, as users write them."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from p2pcopy.config import CAMERA
from p2pcopy.errors import CodeError, P2PCopyError, UsageError
from p2pcopy.signaling import clipboard, pictures
from p2pcopy.signaling.camera import Camera
from p2pcopy.signaling.exchange import (
    FileLines,
    Lines,
    LineSource,
    Literal,
    descriptor_in,
    path_after_at,
    threaded,
)

CLIPBOARD: Final = "clipboard:"
ENVIRONMENT: Final = "env:"


def _nobody(_: str) -> None: ...


def code_source(
    spec: str,
    stdin: Lines,
    *,
    on_camera: Callable[[str], None] = _nobody,
    environment: Mapping[str, str] = os.environ,
) -> LineSource:
    """- standard input, @FILE, fd:N, env:NAME, clipboard:, camera:NAME, the name of a picture; else the code itself.

    Nothing is opened yet: what cannot be read is a LocalFileError or UsageError of the first next_line. on_camera: see Camera.
    Raises UsageError for a road that leads nowhere.
    """
    if spec.startswith(ENVIRONMENT):
        return Literal(_variable(spec.removeprefix(ENVIRONMENT), environment))
    if spec == CLIPBOARD:
        return _Fetched(clipboard.paste)
    if pictures.is_picture(Path(spec)):
        return _picture(Path(spec))
    if found := _road(spec, stdin, on_camera):
        return found
    return _picture(Path(spec)) if _is_meant_for_picture(spec) else Literal(_no_file_name(spec))


def answer_source(spec: str, stdin: Lines, *, on_camera: Callable[[str], None] = _nobody) -> LineSource:
    """Where an answer may come from, which is there only when our code is out: -, @FILE, fd:N, camera:NAME. Raises UsageError."""
    found = _road(spec, stdin, on_camera)
    if found is None:
        raise UsageError(
            f"{spec!r} is not a place to read an answer from", "Give - for standard input, @FILE, fd:N or camera:NAME."
        )
    return found


def _is_meant_for_picture(spec: str) -> bool:
    """Whether it names a picture that is not there. A code has no dot; a command line that holds one has blanks."""
    return len(spec.split()) == 1 and spec.lower().endswith(pictures.PICTURES)


def _road(spec: str, stdin: Lines, on_camera: Callable[[str], None]) -> LineSource | None:
    if spec == "-":
        return stdin
    if spec.startswith("@"):
        path = path_after_at(spec)
        return _picture(path) if path.suffix.lower() in pictures.PICTURES else FileLines(path)
    if spec.startswith("fd:"):
        descriptor = descriptor_in(spec)
        return stdin if descriptor == stdin.descriptor else Lines(descriptor, name=spec)
    if spec.startswith(CAMERA):
        return Camera(spec.removeprefix(CAMERA), on_camera)
    return None


def _no_file_name(spec: str) -> str:
    """The word as it is. Raises what a code that is none would not say: that it is the name of a file."""
    with suppress(OSError, ValueError):  # a name that no file can have
        if Path(spec).is_file() and not pictures.is_code(spec):
            raise UsageError(f"{spec!r} is a file, not a code", f"Write @{spec} to read the code from it.")
    return spec


def _variable(name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        raise UsageError(f"the environment variable {name!r} is not set", "Set it to the other side's code.")
    return environment[name]


class _Fetched:
    """The lines of a text that is fetched when the first is wanted."""

    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        self._fetch = fetch
        self._lines: Literal | None = None

    async def next_line(self) -> str | None:
        if self._lines is None:
            self._lines = Literal(await self._fetch())
        return await self._lines.next_line()


def _picture(path: Path) -> _Fetched:
    return _Fetched(lambda: threaded(lambda: pictures.read_picture(path)))


class Either:
    """The lines of several sources, each as it comes."""

    def __init__(self, *sources: LineSource) -> None:
        self._sources = list(sources)
        self._came: list[str | Exception] = []

    async def next_line(self) -> str | None:
        """See LineSource. Raises what a source raises."""
        while self._sources and not self._came:
            await self._wait()
        first = self._came.pop(0) if self._came else None
        if isinstance(first, Exception):
            raise first
        return first

    async def _wait(self) -> None:
        waiting = {source: asyncio.create_task(source.next_line()) for source in self._sources}
        try:
            await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Nobody reads on while nobody waits: the next line of a person may answer a question.
            for task in waiting.values():
                task.cancel()
            outcomes = await asyncio.gather(*waiting.values(), return_exceptions=True)
            for source, outcome in zip(waiting, outcomes, strict=True):
                if outcome is None:
                    self._sources.remove(source)
                elif isinstance(outcome, str | Exception):
                    self._came.append(outcome)


class PicturesToo:
    """The lines of a person, who may also type the name of a picture with the code, or drop the picture on the terminal."""

    def __init__(self, lines: LineSource) -> None:
        self._lines = lines

    async def next_line(self) -> str | None:
        """See LineSource. Raises CodeError for a picture without a code."""
        line = await self._lines.next_line()
        path = None if line is None else _named_picture(line)
        if path is None:
            return line
        try:
            return await threaded(lambda: pictures.read_picture(path))
        except P2PCopyError as error:
            raise CodeError(error.message, error.hint) from error


def _named_picture(line: str) -> Path | None:
    """Terminals quote what is dropped on them as a shell needs it."""
    names = [line.strip()]
    with suppress(ValueError):
        names += shlex.split(line)[:1]
    return next(filter(None, map(_existing_picture, names)), None)


def _existing_picture(name: str) -> Path | None:
    with suppress(OSError, RuntimeError, ValueError):
        path = Path(name.removeprefix("@")).expanduser()
        return path if pictures.is_picture(path) else None
    return None
