"""A text stream that may vanish, and the last rows of a terminal redrawn in place (ECMA-48 sequences only)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_FALLBACK = os.terminal_size((80, 24))


class Out:
    """Writes to a stream for people. When it is gone, what is said is lost and the transfer goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = (stream.encoding or "utf-8").lower()
        self._gone = False

    @property
    def unicode(self) -> bool:
        return self._encoding.startswith("utf")

    @property
    def size(self) -> os.terminal_size:
        """Columns and rows now; 80 x 24 where the terminal does not say."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return _FALLBACK
        return size if size.columns > 0 and size.lines > 0 else _FALLBACK

    def encodable(self, text: str) -> str:
        """The text with what the stream's encoding lacks as \\xNN or \\uNNNN."""
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def write(self, text: str) -> None:
        if self._gone or not text:
            return
        try:
            self._stream.write(self.encodable(text))
            self._stream.flush()
        except BlockingIOError:
            return  # a terminal that is set non-blocking and full: what is left stays in the stream's buffer
        except (OSError, ValueError):
            self._gone = True


@dataclass(frozen=True)
class Line:
    """One line of the region. text: with colour sequences; cells: the columns that it takes."""

    text: str
    cells: int


class Region:
    """The last rows of the screen. The cursor stays behind the last line, so a person can type there."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._drawn: tuple[Line, ...] = ()
        self._columns = 0

    @property
    def lines(self) -> int:
        return len(self._drawn)

    def draw(self, lines: Sequence[Line], above: str = "") -> None:
        """Replace the region by lines; above (whole lines) is printed over it and stays.

        Where only the first of several lines has changed, what is being typed behind the last one is left alone.
        """
        new, columns = tuple(lines), self._out.size.columns
        steady = not above and (columns == self._columns or not self._drawn)
        if steady and new == self._drawn:
            return
        if steady and len(new) > 1 and new[1:] == self._drawn[1:]:
            self._out.write(f"\x1b7{self._to_start()}{new[0].text}\x1b[K\x1b8")
        else:
            # Rows that the terminal has wrapped must go first, or it would join what is written there when it is widened again.
            clear = "\x1b[J" if self._drawn and columns != self._columns else ""
            body = above.replace("\n", "\x1b[K\n") + "\x1b[K\n".join(line.text for line in new)
            self._out.write(f"{self._to_start()}{clear}{body}\x1b[J")
        self._drawn, self._columns = new, columns

    def forget(self) -> None:
        """The cursor has moved on to a fresh row: what was drawn stays where it is."""
        self._drawn = ()

    def _rows(self) -> int:
        """Screen rows from the first line to the cursor; more than lines where a narrowed terminal has wrapped them."""
        columns = self._out.size.columns
        return sum(max(1, -(-line.cells // columns)) for line in self._drawn)

    def _to_start(self) -> str:
        if not self._drawn:
            return ""
        up = self._rows() - 1
        return f"\r\x1b[{up}A" if up else "\r"
