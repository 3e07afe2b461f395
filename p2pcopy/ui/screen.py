"""A text stream that may vanish, and the last rows of a terminal redrawn in place (ECMA-48 sequences only)."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TextIO

from p2pcopy.ui.backlog import Backlog

_FALLBACK: Final = os.terminal_size((80, 24))
_MOMENT_S: Final = 2.0


class Out:
    """Writes to a stream for people. When it is gone, what is said is lost and the transfer goes on.

    threaded: a thread does the writing, because a terminal may be stopped (Ctrl-S) and a pager may not read. Then nobody waits
    for them but those who want to, and close(), which is due at the end.
    """

    def __init__(self, stream: TextIO, *, threaded: bool = False) -> None:
        self._stream = stream
        self._encoding = "ascii" if stream.isatty() and _is_c_locale() else (stream.encoding or "utf-8").lower()
        self._gone = False
        self._backlog = _backlog(stream, self._encoding) if threaded else None

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

    @property
    def is_behind(self) -> bool:
        """Whether the last that was written is not there yet."""
        return self._backlog is not None and self._backlog.is_behind

    def encodable(self, text: str) -> str:
        """The text with what the stream's encoding lacks as \\xNN or \\uNNNN."""
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def fitted(self, text: str) -> str:
        """The text with its long lines broken between words, on a terminal; elsewhere as it is."""
        if not self._stream.isatty():
            return text
        return "\n".join(_broken(line, self.size.columns) for line in text.split("\n"))

    def write(self, text: str) -> None:
        if self._gone or not text:
            return
        try:
            if self._backlog is not None:
                self._backlog.put(self.encodable(text))
            else:
                self._stream.write(self.encodable(text))
                self._stream.flush()
        except BlockingIOError:
            return  # a terminal that is set non-blocking and full: what is left stays in the stream's buffer
        except (OSError, ValueError):
            self._gone = True

    def wait(self) -> None:
        """Until all is there, or nobody has taken anything for a moment: before something is written past this stream."""
        if self._backlog is not None:
            with suppress(OSError):
                self._backlog.drained(_MOMENT_S)

    async def settled(self) -> None:
        """Until most is there."""
        if self._backlog is not None:
            await self._backlog.settled()

    def close(self) -> None:
        """Until all is there, or nobody has taken anything for a while. May be called again."""
        if self._backlog is not None:
            with suppress(OSError):
                self._backlog.close()


def _broken(line: str, columns: int) -> str:
    """A word that is longer than a row, such as a path, is left to the terminal, so that it can be copied in one piece."""
    if len(line) <= columns:
        return line
    return textwrap.fill(line, columns, expand_tabs=False, break_long_words=False, break_on_hyphens=False)


def _is_c_locale() -> bool:
    """Whether the user says that there is nothing but ASCII (POSIX, Base Definitions 8.2). Python itself takes that for UTF-8."""
    names = (os.environ.get(variable) for variable in ("LC_ALL", "LC_CTYPE", "LANG"))
    return next(filter(None, names), "") in ("C", "POSIX")


def _backlog(stream: TextIO, encoding: str) -> Backlog | None:
    """None where there is no descriptor, and where one takes no text as it is (a console of Windows)."""
    try:
        return Backlog(stream.fileno(), encoding) if os.name == "posix" else None
    except (OSError, ValueError):
        return None


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

    def leave(self) -> None:
        """What is drawn stays where it is, and the cursor goes to a fresh row."""
        if self._drawn:
            self._out.write("\n")
        self.forget()

    def _rows(self) -> int:
        """Screen rows from the first line to the cursor; more than lines where a narrowed terminal has wrapped them."""
        columns = self._out.size.columns
        return sum(max(1, -(-line.cells // columns)) for line in self._drawn)

    def _to_start(self) -> str:
        if not self._drawn:
            return ""
        up = self._rows() - 1
        return f"\r\x1b[{up}A" if up else "\r"
