"""One JSON object a line on standard output, version 1; docs/json.md lists every event and field.

A line is pure ASCII: control characters, marks of writing direction and everything else beyond ASCII are \\uNNNN escapes, so a
log or terminal is safe, and a parser gets the exact text. Text with bytes that are not UTF-8 (file names on Linux) is no Unicode:
such a field holds the escaped form that people see, and FIELD_raw beside it the bytes in base64 (null if there are none).
"""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, Final, TextIO

from p2pcopy import events
from p2pcopy.errors import LocalFileError
from p2pcopy.files.names import display
from p2pcopy.net.findings import Diagnosis
from p2pcopy.ui import outline
from p2pcopy.ui.backlog import Backlog
from p2pcopy.ui.meter import Pace
from p2pcopy.ui.reporter import Closing, CodeSink
from p2pcopy.ui.screen import Out

VERSION: Final = 1
_MOMENT_S: Final = 0.2
_OFTEN: Final = (events.File, events.Note, events.Progress, events.Stalled, events.Waiting)
_NEWEST_COUNTS: Final = (events.Progress, events.Stalled, events.Waiting)


class JsonLines(Closing):
    """Writes events to stdout and questions to stderr, line by line. code_to gets codes that travel elsewhere as well.

    Whoever reads the events may be slow: then they queue up, only the newest Progress, Stalled or Waiting of several in a row
    is kept, and settled() waits.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        code_to: CodeSink | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backlog = Backlog(stdout.fileno())
        self._stderr = Out(stderr)
        self._code_to = code_to
        self._clock = clock
        self._pace = Pace()

    def tell(self, event: events.Event) -> None:
        """Raises LocalFileError once when standard output could not be written; afterwards nothing is written."""
        match event:
            case events.Stalled():
                self._pace.pause()
            case events.Recovered() | events.PathChanged():
                self._pace.resume()
            case events.Serving():
                self._pace = Pace()
        if isinstance(event, events.Progress):
            event = self._pace.rated(event, self._clock())
        with _telling():
            self._backlog.put(to_json(event) + "\n", event.event if isinstance(event, _NEWEST_COUNTS) else "")
            if not isinstance(event, _OFTEN):
                self._backlog.written(_MOMENT_S)
        if isinstance(event, events.Code) and self._code_to is not None:
            self._code_to(event.code)

    def ask(self, question: str) -> None:
        self._stderr.write(question)

    def entered(self) -> None:
        """Questions are on standard error, where nothing has to be redrawn."""

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        self._stderr.write("".join(f"{outline.flat(line, policy)}\n" for line in lines))

    async def settled(self) -> None:
        await self._backlog.settled()

    def close(self) -> None:
        """Waits for the reader while it takes anything. Raises LocalFileError as tell() does."""
        with _telling():
            self._backlog.close()


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise LocalFileError("standard output was closed", "Keep reading the events until the run ends.") from error
    except OSError as error:
        raise LocalFileError(
            f"standard output could not be written: {error.strerror}",
            "Make room for the events, or send them elsewhere.",
        ) from error


def to_json(event: events.Event | events.PartsEvent | events.Configuration | Diagnosis) -> str:
    """One line without its end: "event", "v" and the fields in their order."""
    return json.dumps({"event": event.event, "v": VERSION, **_fields(event)}, allow_nan=False)


def _fields(value: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in fields(value):
        content = getattr(value, field.name)
        result[field.name] = _value(content)
        if isinstance(content, str) and not _is_unicode(content):
            result[field.name] = display(content)
            result[f"{field.name}_raw"] = _raw(content)
    return result


def _value(content: Any) -> Any:
    if is_dataclass(content):
        return _fields(content)
    if isinstance(content, tuple):
        return [_value(item) for item in content]
    if isinstance(content, float):
        return round(content, 3) if math.isfinite(content) else None
    return content


def _raw(content: str) -> str | None:
    """The bytes behind surrogate escapes (PEP 383); None for surrogates that stand for no byte."""
    try:
        return base64.b64encode(content.encode("utf-8", "surrogateescape")).decode()
    except UnicodeEncodeError:
        return None


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
