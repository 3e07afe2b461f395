"""The changing lines of the terminal as styled pieces of text. Pure; text from outside is escaped here."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from p2pcopy import events, quantities
from p2pcopy.files.names import display
from p2pcopy.ui import wording
from p2pcopy.ui.outline import Row
from p2pcopy.ui.reporter import Role
from p2pcopy.ui.wording import files_done, other_command

Pieces = list[tuple[str, str]]  # (text, style), style in the words of rich: "bold", "dim", "cyan", ""
WIDE = 72
_ROOM = 6  # cells for a short answer
_LONG_S = 60.0
_NOBODY = "Nobody yet. If it failed there, mend it and run it again with this code."


@dataclass(frozen=True)
class Symbols:
    full: str
    empty: str
    between: str
    arrow: str
    ellipsis: str


UNICODE = Symbols(full="━", empty="─", between="⇄", arrow="→", ellipsis="…")
ASCII = Symbols(full="#", empty="-", between="<->", arrow="->", ellipsis="...")


def bar(done: int, total: int, width: int, symbols: Symbols) -> Pieces:
    """A bar of width cells. A total of 0 is complete."""
    full = min(width, width * done // total) if total else width
    return [(symbols.full * full, "green"), (symbols.empty * (width - full), "dim")]


def shorten(text: str, width: int, ellipsis: str) -> str:
    """At most width cells; what is too long loses its beginning, because the end of a path says most."""
    if cells(text) <= width:
        return text
    room, start = width - len(ellipsis), len(text)
    while (room := room - _cell_width(text[start - 1])) >= 0:
        start -= 1
    return (ellipsis + text[start:])[: max(0, width)]


def cells(text: str) -> int:
    """Columns of a terminal that text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(_cell_width(character) for character in text)


@dataclass(frozen=True)
class Extra:
    """What stands beside the progress. tally: what failed or was skipped; path: its kind; held_up: by what, "" for nothing."""

    tally: str = ""
    path: str = ""
    held_up: str = ""


def progress_lines(progress: events.Progress, extra: Extra, width: int, symbols: Symbols) -> list[Pieces]:
    """Total bar, counts, current file, and what holds it up. Made for width columns."""
    head, amount = _total(progress, width, symbols)
    counts = "" if progress.files_total == 1 else files_done(progress)
    second = [(text, style) for text, style in ((counts, ""), (extra.tally, "yellow"), (extra.path, "dim")) if text]
    lines = [head, amount, _spaced(second), _indented(display(progress.file), "", width, symbols)]
    lines.append(_indented(extra.held_up, "yellow", width, symbols))
    return [line for line in lines if line]


class Wait:
    """What there is to do, or to wait for, until the two sides are connected. codes_shown: our codes are on this terminal."""

    def __init__(self, role: Role, codes_shown: bool) -> None:
        self._role = role
        self._codes_shown = codes_shown
        self._kind = ""
        self._first_s = 0.0
        self._left_s = 0.0
        self._what = ""
        self._prompting = False
        self._connecting = False
        self._answered = False

    def shown(self, code: events.Code) -> None:
        """Our code, which the other side needs."""
        self._kind = code.kind
        self._first_s = self._left_s = code.expires_in_s
        self._what = ""

    def connecting(self, *, answered: bool) -> None:
        """Checks run. answered: because its answer code was pasted here."""
        self._connecting = True
        self._prompting = False
        self._answered = self._answered or answered

    def tell(self, waiting: events.Waiting, *, prompting: bool) -> bool:
        """prompting: an answer code can be pasted. Whether anything but the time has changed."""
        before = self._what, self._prompting
        self._what, self._prompting, self._left_s = waiting.what, prompting, waiting.left_s
        return before != (self._what, self._prompting)

    def lines(self, width: int, typed: str, symbols: Symbols) -> list[Pieces]:
        """Made for width columns; what to do stands last. typed: behind the prompt."""
        lines = [self._line(width)]
        if self._kind == "offer" and not self._connecting and self._first_s - self._left_s >= _LONG_S:
            lines.insert(0, [(_NOBODY, "dim")])
        if self._prompting:
            lines.append(typed_line(self._prompt(width), typed, width, symbols))
        return lines

    def _line(self, width: int) -> Pieces:
        time = f"{quantities.left(self._left_s)} left" if self._left_s else ""
        line = self._task(width)
        if time and cells("".join(text for text, _ in line)) + len(time) + 5 <= width:
            line.append((f"  ({time})", "dim"))
        return line

    def _task(self, width: int) -> Pieces:
        if self._kind == "answer" and self._codes_shown:
            return [("Paste the code above on the other machine", "bold")]
        if self._connecting:
            ours = self._answered or self._kind != "offer"
            return [("Connecting to the other side" if ours else "The other side is connecting", "")]
        if self._kind == "offer" and self._codes_shown:
            command = other_command(self._role)
            intro = "On the other machine: " if width > 22 + len(command) + 1 else ""
            return [(intro, ""), (command, "bold")]
        return [("Waiting for the other side", "")]

    def _prompt(self, width: int) -> str:
        if self._answered:
            return "If it shows a fresh answer code, paste it here:" if width > 60 else "Fresh answer code:"
        return "If it shows an answer code, paste it here:" if width > 60 else "Answer code, if any:"


def typed_line(prompt: str, typed: str, width: int, symbols: Symbols) -> Pieces:
    """What is typed behind a prompt; of what does not fit into the row the end, where the cursor is."""
    return [(f"{prompt} ", ""), (shorten(display(typed), width - cells(prompt) - 2, symbols.ellipsis), "")]


def question_lines(question: str, typed: str, width: int, symbols: Symbols) -> list[Pieces]:
    """A question, over as many rows as it needs, and what is typed behind it."""
    rows = wrapped(question, width - 1 - _ROOM)
    return [*([(row, "")] for row in rows[:-1]), typed_line(rows[-1], typed, width, symbols)]


def wrapped(text: str, width: int) -> list[str]:
    """At words into rows of at most width cells; a longer word is cut. One row at least."""
    rows = [""]
    for word in text.split():
        while word:
            room = width - cells(rows[-1]) - (1 if rows[-1] else 0)
            if cells(word) <= room:
                rows[-1] += (" " if rows[-1] else "") + word
                break
            if rows[-1]:
                rows.append("")
                continue
            head = max(1, next((n for n in range(len(word), 0, -1) if cells(word[:n]) <= width), 1))
            rows[-1], word = word[:head], word[head:]
            if word:
                rows.append("")
    return rows


def outline_lines(rows: Sequence[Row], width: int) -> list[Pieces]:
    """A manifest with its details in a column. Names are never cut; a longer one pushes its detail aside."""
    longest = max((cells(row.name) + 2 * row.depth for row in rows if row.detail), default=0)
    column = min(longest, max(16, width - 28)) + 4
    lines: list[Pieces] = []
    for row in rows:
        name = "  " * (row.depth + 1) + row.name
        pad = " " * max(2, column - cells(name)) if row.detail else ""
        lines.append([(name + pad, ""), (row.detail, "dim")])
    return lines


def tried_lines(tried: Sequence[events.Tried]) -> list[Pieces]:
    """A table of what was tried, one line a row, without an end to the last column."""
    rows = wording.tried_rows(tried)
    width = max((cells(what) for _, what, _ in rows), default=0)
    return [
        [
            (f"  {where:<5}  {what}{' ' * (width - cells(what))}  ", ""),
            (outcome, "green" if row.ok else "yellow"),
        ]
        for row, (where, what, outcome) in zip(tried, rows, strict=True)
    ]


def _total(progress: events.Progress, width: int, symbols: Symbols) -> tuple[Pieces, Pieces]:
    """The bar with its numbers, and the line for those that do not fit beside it."""
    speed = quantities.rate(progress.rate_bytes_per_s)
    done, total = progress.bytes_done, progress.bytes_total
    if total is None:
        return [(f"      {quantities.size(done)}  ", ""), (speed, "cyan")], []
    amount = f"{quantities.size(done)} of {quantities.size(total)}"
    eta = "" if progress.eta_s is None or done >= total else f"  {quantities.left(progress.eta_s)} left"
    percent = f"{quantities.percent(done, total):>4}  "
    if width >= WIDE:
        length = max(10, min(40, width - 60))
        return [
            (percent, "bold"),
            *bar(done, total, length, symbols),
            (f"  {amount}  ", ""),
            (speed, "cyan"),
            (eta, ""),
        ], []
    length = width - 1 - len(percent) - 2 - len(speed) - len(eta)
    drawn = [*bar(done, total, length, symbols), ("  ", "")] if length >= 4 else []
    return [(percent, "bold"), *drawn, (speed, "cyan"), (eta, "")], [(f"      {amount}", "")]


def _indented(text: str, style: str, width: int, symbols: Symbols) -> Pieces:
    return [("      ", ""), (shorten(text, width - 7, symbols.ellipsis), style)] if text else []


def _spaced(parts: Pieces) -> Pieces:
    line: Pieces = [("      ", "")] if parts else []
    for index, (text, style) in enumerate(parts):
        line.append((", " if index else "", ""))
        line.append((text, style))
    return line


def _cell_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
