"""Styled pieces of text to strings for a terminal. The only importer of rich; its markup is never on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from rich.console import Console, detect_legacy_windows
from rich.text import Text

from p2pcopy.ui.screen import Line, Out
from p2pcopy.ui.views import Pieces

_PICTURE: Final = "#000000 on #ffffff"


def understands_escapes() -> bool:
    """False on a Windows console without ECMA-48 sequences."""
    return not detect_legacy_windows()


class Ink:
    """For a terminal of the size that it has at the moment. Colours as many as TERM and COLORTERM promise."""

    def __init__(self, out: Out, *, color: bool) -> None:
        self._out = out
        self._console = _console(color=color)

    def paragraph(self, pieces: Pieces) -> str:
        """Wrapped at words, with its end."""
        self._console.width = self._out.size.columns
        with self._console.capture() as capture:
            self._console.print(self._text(pieces), soft_wrap=False)
        return capture.get()

    def lines(self, rows: Sequence[Pieces]) -> list[Line]:
        """Each cropped, leaving the last column free: writing there makes some terminals wrap."""
        columns = self._out.size.columns
        self._console.width = columns
        lines = []
        for pieces in rows:
            text = self._text(pieces)
            text.truncate(columns - 1, overflow="crop")
            with self._console.capture() as capture:
                self._console.print(text, end="", no_wrap=True, overflow="crop")
            lines.append(Line(capture.get(), text.cell_len))
        return lines

    def picture(self, rows: Sequence[str]) -> str:
        """Black on white, whatever the colours of the terminal are."""
        console = _console(color=True)
        console.width = self._out.size.columns
        with console.capture() as capture:
            for row in rows:
                console.print(Text(row, style=_PICTURE, no_wrap=True))
        return capture.get()

    def _text(self, pieces: Pieces) -> Text:
        return Text.assemble(*((self._out.encodable(text), style) for text, style in pieces))


def _console(*, color: bool) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        no_color=not color,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
