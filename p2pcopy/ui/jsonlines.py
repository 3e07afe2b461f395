"""One JSON object a line on standard output, version 1; docs/json.md lists every event and field.

A line is pure ASCII: control characters, marks of writing direction and everything else beyond ASCII are \\uNNNN escapes, so a
log or terminal is safe, and a parser gets the exact text. Text with bytes that are not UTF-8 (file names on Linux) is no Unicode:
such a field holds the escaped form that people see, and FIELD_raw beside it the bytes in base64 (null if there are none).
"""

from __future__ import annotations

import base64
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final, TextIO

from p2pcopy import events
from p2pcopy.errors import LocalFileError
from p2pcopy.files.names import display
from p2pcopy.ui.format import RateMeter, rated
from p2pcopy.ui.reporter import Closing, CodeSink
from p2pcopy.ui.screen import Out

VERSION: Final = 1


class JsonLines(Closing):
    """Writes events to stdout and questions to stderr, flushed line by line. code_to gets codes that travel elsewhere as well."""

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        code_to: CodeSink | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stdout = stdout
        self._stderr = Out(stderr)
        self._code_to = code_to
        self._clock = clock
        self._meter = RateMeter()
        self._closed = False

    def tell(self, event: events.Event) -> None:
        """Raises LocalFileError the first time that standard output cannot be written; afterwards nothing is written."""
        if isinstance(event, events.Progress):
            event = rated(event, self._meter, self._clock())
        self._write(to_json(event))
        if isinstance(event, events.Code) and self._code_to is not None:
            self._code_to(event.code)

    def ask(self, question: str) -> None:
        self._stderr.write(question)

    def entered(self) -> None:
        """Questions are on standard error, where nothing has to be redrawn."""

    def close(self) -> None:
        """Every line is flushed already."""

    def _write(self, line: str) -> None:
        if self._closed:
            return
        try:
            self._stdout.write(line + "\n")
            self._stdout.flush()
        except (BrokenPipeError, ValueError) as error:
            self._give_up()
            raise LocalFileError("standard output was closed", "Keep reading the events until the run ends.") from error
        except OSError as error:
            self._give_up()
            raise LocalFileError(
                f"standard output could not be written: {error.strerror}",
                "Make room for the events, or send them elsewhere.",
            ) from error

    def _give_up(self) -> None:
        """What is left in the stream's buffer goes nowhere, or Python would complain about it when it ends."""
        self._closed = True
        try:
            descriptor = self._stdout.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def to_json(event: events.Event) -> str:
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
