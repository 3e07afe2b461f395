"""Events of codes on their way, and of texts. Pure data; events.py has all the others, and the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Copied:
    """The code told before went to the clipboard. certain: it is there; else it depends on what the terminal allows."""

    event: ClassVar[str] = "copied"
    certain: bool


@dataclass(frozen=True)
class Scanning:
    """A camera is open and waits for the other side's QR code."""

    event: ClassVar[str] = "scanning"
    camera: str


@dataclass(frozen=True)
class ViaSays:
    """A line that the command of --via wrote to its standard error."""

    event: ClassVar[str] = "via"
    line: str


@dataclass(frozen=True)
class Text:
    """A text from the other side (send --text), which is shown and stored nowhere."""

    event: ClassVar[str] = "text"
    text: str
