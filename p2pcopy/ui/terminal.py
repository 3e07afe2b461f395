"""The live display on a terminal. The only importer of rich, which styles and wraps; markup is never on."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TextIO, assert_never

from rich.console import Console, detect_legacy_windows
from rich.text import Text

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.ui import outline, views, wording
from p2pcopy.ui.format import RateMeter, duration, rated
from p2pcopy.ui.reporter import Closing, CodeSink, Role
from p2pcopy.ui.screen import Line, Out, Region
from p2pcopy.ui.tally import SHOWN, Tally

FRAME_S: Final = 0.125
_QR_STYLE: Final = "#000000 on #ffffff"
_REGION_ROWS: Final = 2


@dataclass(frozen=True)
class Look:
    """How to draw. qr, color, prompts: as in make_reporter. codes_shown: codes appear on this terminal's standard output."""

    role: Role
    verbose: bool = False
    progress: bool = True
    qr: bool | None = None
    color: bool = True
    prompts: bool = True
    codes_shown: bool = True


def understands_escapes() -> bool:
    """False on a Windows console without ECMA-48 sequences."""
    return not detect_legacy_windows()


class Terminal(Closing):
    """Milestones scroll by; below them a region shows what to do, or the progress, and is redrawn at most 8 times a second."""

    def __init__(
        self, stream: TextIO, code_to: CodeSink | None, look: Look, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = Out(stream)
        self._region = Region(self._out)
        self._code_to = code_to
        self._look = look
        self._clock = clock
        self._symbols = views.UNICODE if self._out.unicode else views.ASCII
        self._console = _console(look.color)
        self._above: list[str] = []
        self._question = ""
        self._drawn_at = -FRAME_S
        self._begin()

    def _begin(self) -> None:
        """With a connection that is to be made."""
        self._meter = RateMeter()
        self._tally = Tally()
        self._view: Callable[[int], list[views.Pieces]] | None = None
        self._stall: events.Stalled | None = None
        self._prompting = False
        self._waiting_for = ""
        self._code_kind = ""
        self._path = ""
        self._notes = 0
        self._knows_what_is_there = False

    def tell(self, event: events.Event) -> None:
        question = self._question
        if question and (isinstance(event, events.Waiting) or (self._stall and isinstance(event, events.Stalled))):
            return
        self._leave_question()
        self._tell(event, asking=bool(question))
        if question and not isinstance(event, events.Done | events.Failed):
            self.ask(question)

    def _tell(self, event: events.Event, *, asking: bool) -> None:
        match event:
            case events.Progress():
                self._progress(event)
            case events.File():
                self._file(event)
            case events.Waiting():
                self._wait(event)
            case events.Code():
                self._code(event)
            case events.Copied() | events.Scanning():
                self._say([(wording.road(event), "")])
                self._draw()
            case events.ViaSays():
                self._say([("via: ", "dim"), (display(event.line), "")])
                self._draw()
            case events.Connecting():
                self._view = lambda _: [[("Connecting to the other side", "")]]
                self._draw()
            case events.Connected():
                self._connected(event)
            case events.DataPath():
                self._data_path(event)
            case events.Verification():
                self._verification(event)
            case events.Stalled():
                self._stalled(event, live=self._look.progress and not asking)
            case events.Recovered():
                self._back(f"Back after {duration(event.gap_s)}: ", event.path)
            case events.PathChanged():
                self._back("Path now: ", event.path)
            case events.Manifest():
                self._manifest(event)
            case events.Note():
                self._note(event)
            case events.Warned():
                self._say([("warning: ", "yellow"), (wording.sentence(event.message), "")])
                self._draw()
            case events.Text():
                self._end_view()
                self._above += wording.text_block(event)
                self._draw()
            case events.Done():
                self._done(event)
            case events.Rehearsed():
                self._view = None
                self._say([("Dry run: ", "bold"), (wording.rehearsed(event), "")])
                self._draw()
            case events.Failed():
                self._failed(event)
            case events.Serving():
                self._begin()
                self._say([(f"Receiver {event.number}", "bold")])
                self._draw()
            case events.Served():
                self._view = None
                self._say([(wording.served(event), "bold green")])
                self._draw()
            case _:
                assert_never(event)

    def ask(self, question: str) -> None:
        self._question = question
        self._draw()
        self._out.write(question)

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        self._out.write("".join(f"  {outline.flat(line, policy)}\n" for line in lines))

    def entered(self) -> None:
        self._question = ""
        self._region.forget()

    def close(self) -> None:
        self._leave_question()
        self._end_view()
        self._draw()

    def _leave_question(self) -> None:
        if self._question:
            self._question = ""
            self._out.write("\n")

    def _code(self, event: events.Code) -> None:
        self._view = None
        self._draw()
        self._qr(event)
        if self._code_to is not None:
            self._code_to(event.code)
        self._code_kind = event.kind
        self._waiting_for = ""
        self._wait(events.Waiting("for_peer", event.expires_in_s))

    def _qr(self, event: events.Code) -> None:
        """Draws the code if that was asked for, or if it is an offer, people look at it, and it fits."""
        wanted = self._look.qr
        if wanted is False or (wanted is None and not (self._look.codes_shown and event.kind == "offer")):
            return
        reason, rows = self._qr_rows(event.code, may_scroll=bool(wanted))
        if reason:
            self._say([(f"QR code left out: {reason}.", "dim")])
            self._draw()
            return
        console = _console(color=True)
        console.width = self._out.size.columns
        with console.capture() as capture:
            for row in rows:
                console.print(Text(row, style=_QR_STYLE, no_wrap=True))
        self._out.write(capture.get())

    def _qr_rows(self, code: str, may_scroll: bool) -> tuple[str, list[str]]:
        """Why there is no picture, or its rows."""
        from p2pcopy.signaling.qr import half_blocks, qr_matrix

        if not self._out.unicode:
            return "the terminal's character set lacks block elements", []
        if not self._look.color and not may_scroll:
            return "it needs colours (--qr draws it all the same)", []
        rows = half_blocks(qr_matrix(code))
        columns, lines = self._out.size
        if len(rows[0]) > columns:
            return f"it needs {len(rows[0])} columns", []
        needed = len(rows) + -(-len(code) // columns) + _REGION_ROWS
        if needed > lines and not may_scroll:
            return f"the terminal needs {needed} rows (--qr draws it all the same)", []
        return "", rows

    def _wait(self, event: events.Waiting) -> None:
        prompting = event.what == "for_answer" and self._look.prompts
        same = (event.what, prompting) == (self._waiting_for, self._prompting) and self._region.lines > 0
        if same and not self._look.progress:
            return
        self._waiting_for, self._prompting = event.what, prompting

        def view(width: int) -> list[views.Pieces]:
            line = views.waiting_line(event, self._look.role, self._code_kind, self._look.codes_shown, width)
            return [line, views.prompt_line(width)] if prompting else [line]

        self._view = view
        self._draw()

    def _connected(self, event: events.Connected) -> None:
        self._code_kind = ""
        self._path = wording.path_kind(event.path)
        self._say([("Connected: ", "bold"), (wording.path_line(event.path, self._symbols.between), "")])
        waiting = (
            "Waiting for the other side to accept" if self._look.role == "send" else "Waiting for the list of files"
        )
        self._view = lambda _: [[(waiting, "")]]
        self._draw()

    def _data_path(self, event: events.DataPath) -> None:
        if self._look.verbose:
            self._say([("Data path: ", "dim"), (wording.data_path(event), "")])
            self._draw()

    def _verification(self, event: events.Verification) -> None:
        """The one who is asked sees the number in the question."""
        if not event.asked:
            self._say([("Verification number: ", "bold"), (wording.comparing(event), "")])
            self._draw()

    def _stalled(self, event: events.Stalled, *, live: bool) -> None:
        self._meter.pause()
        if not live and self._stall is None:
            self._say(_stall_pieces(event))
        self._stall = event
        self._draw()

    def _back(self, what: str, path: events.Path) -> None:
        self._stall = None
        self._meter.resume()
        self._say([(what, "bold"), (wording.path_changed(path, self._path, self._symbols.between), "")])
        self._path = wording.path_kind(path)
        self._draw()

    def _manifest(self, event: events.Manifest) -> None:
        sending = self._look.role == "send"
        if not sending or self._look.verbose:
            rows = outline.outline(event, None if self._look.verbose else self._rows_for_outline(event))
            self.all_shown = outline.is_whole(rows)
            width = self._outline_width(rows)
            for row in rows:
                indented = "  " * (row.depth + 1) + row.name
                pad = " " * max(2, width + 4 - views.cells(indented)) if row.detail else ""
                self._say([(indented + pad, ""), (row.detail, "dim")])
        if not sending:
            self._view = None
        verb = "Sending " if sending else "Offered: "
        self._say([(verb, "bold"), (wording.totals(event), "")])
        self._draw()

    def _outline_width(self, rows: list[outline.Row]) -> int:
        """Of the names that have a detail behind them; names are never cut, longer ones push it aside."""
        longest = max((views.cells(row.name) + 2 * row.depth for row in rows if row.detail), default=0)
        return min(longest, max(16, self._out.size.columns - 28))

    def _rows_for_outline(self, event: events.Manifest) -> int:
        """The list, its totals and the question stay on one screen."""
        columns, lines = self._out.size
        totals = 1 + views.cells(f"Offered: {wording.totals(event)}") // columns
        return max(3, min(outline.ROWS, lines - 5 - totals))

    def _note(self, event: events.Note) -> None:
        self._notes += 1
        if self._look.verbose or self._notes <= SHOWN:
            self._say([("note: ", "dim"), (f"{display(event.path)}: {wording.sentence(event.reason)}", "")])
        elif self._notes == SHOWN + 1:
            self._say([("note: ", "dim"), ("there are more notes; --verbose shows them all", "")])
        self._draw(throttled=True)

    def _file(self, event: events.File) -> None:
        self._tally.add(event)
        if self._look.verbose:
            self._above.append(f"{wording.status_word(event)}: {wording.file_line(event, self._symbols.arrow)}\n")
            self._draw(throttled=True)

    def _progress(self, event: events.Progress) -> None:
        now = self._clock()
        progress = rated(event, self._meter, now)
        if wording.knows_what_is_there(event) and not self._knows_what_is_there:
            self._knows_what_is_there = True
            if event.bytes_resumed:
                self._say([("Goes on: ", "bold"), (wording.goes_on(event), "")])
        if not self._look.progress:
            self._view = None
            self._draw(throttled=True)
            return
        self._view = lambda width: views.progress_lines(progress, self._tally.short(), self._path, width, self._symbols)
        self._draw(throttled=True)

    def _end_view(self) -> None:
        self._view = self._stall = None

    def _done(self, event: events.Done) -> None:
        self._end_view()
        self._list_tally()
        out = wording.left_out(event)
        self._say([(wording.outcome(event, self._look.role), "bold green" if event.ok else "bold yellow")])
        if not event.ok:
            self._say([(f"Not complete: {out}" if out else "Not complete", "yellow")])
        elif out:
            self._say([(out, "yellow")])
        self._say([(wording.path_line(event.path, self._symbols.between), "dim")])
        self._draw()

    def _failed(self, event: events.Failed) -> None:
        self._end_view()
        self._list_tally()
        self._say([("error: ", "bold red"), (wording.sentence(event.message), "bold")])
        for row in views.tried_lines(event.tried):
            self._say(row)
        if event.hint:
            self._say([(wording.sentence(event.hint), "")])
        self._draw()

    def _list_tally(self) -> None:
        styles = {"failed": "red", "skipped": "yellow", "renamed": "cyan"}
        for kind, sentence in self._tally.lines(self._symbols.arrow):
            self._say([(f"  {kind:<7} ", styles[kind]), (sentence, "")])

    def _say(self, pieces: views.Pieces) -> None:
        """A line that stays, printed above the region with the next drawing; wrapped at words."""
        self._console.width = self._out.size.columns
        with self._console.capture() as capture:
            self._console.print(self._text(pieces), soft_wrap=False)
        self._above.append(capture.get())

    def _draw(self, throttled: bool = False) -> None:
        now = self._clock()
        if throttled and now - self._drawn_at < FRAME_S:
            return
        self._drawn_at = now
        columns, rows = self._out.size
        stall = [_stall_pieces(self._stall)] if self._stall and self._look.progress else []
        pieces = [] if self._question else [*stall, *(self._view(columns) if self._view else [])]
        lines = self._lines(pieces)[: rows - 1]
        above, self._above = "".join(self._above), []
        self._region.draw(lines, above)

    def _lines(self, all_pieces: list[views.Pieces]) -> list[Line]:
        """Each cropped to the terminal, leaving its last column free: writing there makes some terminals wrap."""
        columns = self._out.size.columns
        lines = []
        self._console.width = columns
        for pieces in all_pieces:
            text = self._text(pieces)
            text.truncate(columns - 1, overflow="crop")
            with self._console.capture() as capture:
                self._console.print(text, end="", no_wrap=True, overflow="crop")
            lines.append(Line(capture.get(), text.cell_len))
        return lines

    def _text(self, pieces: views.Pieces) -> Text:
        return Text.assemble(*((self._out.encodable(text), style) for text, style in pieces))


def _stall_pieces(stall: events.Stalled) -> views.Pieces:
    return [("Stalled: ", "bold yellow"), (wording.stalled(stall), "")]


def _console(color: bool) -> Console:
    """Renders to strings only. Colours as many as TERM and COLORTERM promise."""
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        no_color=not color,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )
