"""The changing lines of the terminal as styled pieces of text. Pure; text from outside is escaped here."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.ui import format as fmt
from p2pcopy.ui import wording
from p2pcopy.ui.reporter import Role
from p2pcopy.ui.wording import files_done, other_command

Pieces = list[tuple[str, str]]  # (text, style), style in the words of rich: "bold", "dim", "cyan", ""
WIDE = 72


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


def progress_lines(progress: events.Progress, tally: str, path: str, width: int, symbols: Symbols) -> list[Pieces]:
    """Total bar, counts, current file; tally: what failed or was skipped; path: its kind. Made for width columns."""
    head, amount = _total(progress, width, symbols)
    counts = "" if progress.files_total == 1 else files_done(progress)
    second = [(text, style) for text, style in ((counts, ""), (tally, "yellow"), (path, "dim")) if text]
    lines = [head, amount, _spaced(second), _current(progress, width, symbols)]
    return [line for line in lines if line]


def waiting_line(waiting: events.Waiting, role: Role, kind: str, codes_shown: bool, width: int) -> Pieces:
    """What there is to do, or to wait for, and for how long. kind: of our code that the other side needs, "" for none."""
    time = f"{fmt.left(waiting.left_s)} left"
    if kind == "offer" and codes_shown:
        command = other_command(role)
        intro = "On the other machine: " if width > 22 + len(command) + 1 else ""
        line: Pieces = [(intro, ""), (command, "bold")]
    elif kind == "answer" and codes_shown:
        line = [("Paste the code above on the other machine", "bold")]
    else:
        line = [("Waiting for the other side", "")]
    if cells("".join(text for text, _ in line)) + len(time) + 3 < width:
        line.append((f"  ({time})", "dim"))
    return line


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


def prompt_line(width: int) -> Pieces:
    """Where an answer code is pasted."""
    text = "If it shows an answer code, paste it here: " if width > 60 else "Answer code, if any: "
    return [(text, "")]


def _total(progress: events.Progress, width: int, symbols: Symbols) -> tuple[Pieces, Pieces]:
    """The bar with its numbers, and the line for those that do not fit beside it."""
    speed = fmt.rate(progress.rate_bytes_per_s)
    done, total = progress.bytes_done, progress.bytes_total
    if total is None:
        return [(f"      {fmt.size(done)}  ", ""), (speed, "cyan")], []
    amount = f"{fmt.size(done)} of {fmt.size(total)}"
    eta = "" if progress.eta_s is None or done >= total else f"  {fmt.left(progress.eta_s)} left"
    percent = f"{fmt.percent(done, total):>4}  "
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


def _current(progress: events.Progress, width: int, symbols: Symbols) -> Pieces:
    if not progress.file:
        return []
    room = width - 1 - 6
    return [("      ", ""), (shorten(display(progress.file), room, symbols.ellipsis), "")]


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
