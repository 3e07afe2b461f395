"""The live display on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TextIO, assert_never

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.quantities import duration
from p2pcopy.ui import outline, views, wording
from p2pcopy.ui.ink import Ink
from p2pcopy.ui.meter import Pace
from p2pcopy.ui.question import save_question
from p2pcopy.ui.reporter import Closing, CodeSink, Role
from p2pcopy.ui.screen import Out, Region
from p2pcopy.ui.tally import SHOWN, Tally

FRAME_S: Final = 0.125
STILL_S: Final = 2.0  # for so long nothing has to move before it is said why
_ANSWERED_S: Final = 10.0  # for so long no more is asked for after an answer code


@dataclass(frozen=True)
class Look:
    """How to draw. qr, color, prompts, codes_shown: as in make_reporter. draws_typing: the terminal does not show what is
    typed, and typing() tells it."""

    role: Role
    verbose: bool = False
    progress: bool = True
    qr: bool | None = None
    color: bool = True
    prompts: bool = True
    codes_shown: bool = True
    draws_typing: bool = False


class Terminal(Closing):
    """Milestones scroll by; below them a region shows what to do, or the progress, and is redrawn at most 8 times a second."""

    def __init__(
        self, stream: TextIO, code_to: CodeSink | None, look: Look, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.draws_typing = look.draws_typing
        self._out = Out(stream, threaded=True)
        self._region = Region(self._out)
        self._code_to = code_to
        self._look = look
        self._clock = clock
        self._symbols = views.UNICODE if self._out.unicode else views.ASCII
        self._ink = Ink(self._out, color=look.color)
        self._above: list[str] = []
        self._question = ""
        self._typed = ""
        self._paused = False
        self._drawn_at = -FRAME_S
        self._begin()

    def _begin(self) -> None:
        """With a connection that is to be made."""
        self._pace = Pace()
        self._tally = Tally()
        self._view: Callable[[int], list[views.Pieces]] | None = None
        self._stall: events.Stalled | None = None
        self._waiting = views.Wait(self._look.role, self._look.codes_shown)
        self._pasted = False
        self._prompt_due = 0.0
        self._path = ""
        self._slow = ""
        self._data_path_told = ""
        self._destination = ""
        self._notes = 0
        self._knows_what_is_there = False

    def tell(self, event: events.Event) -> None:
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
                self._connecting()
            case events.Connected():
                self._connected(event)
            case events.DataPath():
                self._data_path(event)
            case events.Verification():
                self._verification(event)
            case events.Stalled():
                self._stalled(event)
            case events.Recovered():
                self._back(f"Back after {duration(event.gap_s)}: ", event.path)
            case events.PathChanged():
                self._back("Path now: ", event.path)
            case events.Manifest():
                self._manifest(event)
            case events.Note():
                self._note(event)
            case events.Warned():
                self._pasted = False
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
        self._question, self._typed = question, ""
        self._draw()

    def typing(self, text: str) -> None:
        self._typed = text
        self._draw()

    def entered(self) -> None:
        if self.draws_typing:
            self._draw()
            self._region.leave()
        else:
            self._region.forget()
        self._question = self._typed = ""
        self._pasted = True

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        self._out.write("".join(f"  {outline.flat(line, policy)}\n" for line in lines))

    def pause(self) -> None:
        self._draw()
        self._region.leave()
        self._out.wait()
        self._paused = True

    def redraw(self) -> None:
        self._paused = False
        self._draw()

    async def settled(self) -> None:
        await self._out.settled()

    def close(self) -> None:
        self._paused = False
        if self._question:
            self._region.leave()
        self._end_view()
        self._draw()
        self._out.close()

    def _code(self, event: events.Code) -> None:
        self._view = None
        self._draw()
        self._qr(event)
        if self._code_to is not None:
            self._out.wait()
            self._code_to(event.code)
        self._waiting.shown(event)
        self._wait(events.Waiting("for_peer", event.expires_in_s))

    def _qr(self, event: events.Code) -> None:
        """Draws the code if that was asked for, or if it is an offer, people look at it, and it fits."""
        wanted = self._look.qr
        if wanted is False or (wanted is None and not (self._look.codes_shown and event.kind == "offer")):
            return
        from p2pcopy.ui.picture import picture_rows

        reason, rows = picture_rows(self._out, event.code, color=self._look.color, may_scroll=bool(wanted))
        if reason:
            self._say([(f"QR code left out: {reason}.", "dim")])
            self._draw()
            return
        self._out.write(self._ink.picture(rows))

    def _wait(self, event: events.Waiting) -> None:
        prompting = event.what == "for_answer" and self._look.prompts and self._clock() >= self._prompt_due
        is_same = not self._waiting.tell(event, prompting=prompting) and self._region.lines > 0
        if is_same and not self._look.progress:
            return
        self._view = lambda width: self._waiting.lines(width, self._typed, self._symbols)
        self._draw()

    def _connecting(self) -> None:
        if self._pasted:
            self._prompt_due = self._clock() + _ANSWERED_S
        self._waiting.connecting(answered=self._pasted)
        self._view = lambda width: self._waiting.lines(width, self._typed, self._symbols)
        self._draw()

    def _connected(self, event: events.Connected) -> None:
        self._path = wording.path_kind(event.path)
        self._say([("Connected: ", "bold"), (wording.path_line(event.path, self._symbols.between), "")])
        self._show(
            "Waiting for the other side to accept" if self._look.role == "send" else "Waiting for the list of files"
        )

    def _show(self, waiting: str) -> None:
        """What is waited for, as the only line of the region."""
        self._view = lambda _: [[(waiting, "")]]
        self._draw()

    def _data_path(self, event: events.DataPath) -> None:
        self._data_path_told = wording.data_path(event)
        slow = wording.slow(event)
        if self._look.verbose:
            self._say([("Data path: ", "dim"), (self._data_path_told, "")])
        elif slow and slow != self._slow:
            self._say([("Slower than it could be: ", "yellow"), (slow, "")])
        self._slow = slow
        self._draw()

    def _verification(self, event: events.Verification) -> None:
        """The one who is asked sees the number in the question."""
        if not event.asked:
            self._say([("Verification number: ", "bold"), (wording.comparing(event), "")])
            self._show("Waiting for the other side to compare it with its own")

    def _stalled(self, event: events.Stalled) -> None:
        self._pace.pause()
        if not self._look.progress and self._stall is None:
            self._say(_stall_pieces(event))
        self._stall = event
        self._draw()

    def _back(self, what: str, path: events.Path) -> None:
        self._stall = None
        self._pace.resume()
        self._say([(what, "bold"), (wording.path_changed(path, self._path, self._symbols.between), "")])
        self._path = wording.path_kind(path)
        self._draw()

    def _manifest(self, event: events.Manifest) -> None:
        sending = self._look.role == "send"
        self._destination = wording.directory(event)
        if not sending or self._look.verbose:
            rows = outline.outline(event, None) if self._look.verbose else self._fitting(event)
            self.all_shown = outline.is_whole(rows)
            for line in views.outline_lines(rows, self._out.size.columns):
                self._say(line)
        if not sending:
            self._view = None
        self._say([("Offered: ", "bold"), (wording.totals(event), "")])
        self._draw()

    def _fitting(self, event: events.Manifest) -> list[outline.Row]:
        """As many rows as stay on one screen with the totals and the question."""
        columns, lines = self._out.size
        below = [f"Offered: {wording.totals(event)}", save_question(event, all_shown=False)]
        room = lines - 1 - sum(len(views.wrapped(each, columns - 7)) for each in below)
        for limit in range(min(outline.ROWS, room), 3, -1):
            rows = outline.outline(event, limit)
            shown = ["".join(text for text, _ in line) for line in views.outline_lines(rows, columns)]
            if sum(-(-views.cells(line) // columns) for line in shown) <= room:
                return rows
        return outline.outline(event, 3)

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
        progress = self._pace.rated(event, now)
        if wording.knows_what_is_there(event) and not self._knows_what_is_there:
            self._knows_what_is_there = True
            if event.bytes_resumed:
                self._say([("Goes on: ", "bold"), (wording.goes_on(event), "")])
        if not self._look.progress:
            self._view = None
            self._draw(throttled=True)
            return
        held_up = ""
        if self._pace.still_s(now) >= STILL_S and self._stall is None:
            held_up = wording.held_up(event, self._look.role, self._destination)

        def view(width: int) -> list[views.Pieces]:
            extra = views.Extra(self._tally.short(), self._path, held_up)
            return views.progress_lines(progress, extra, width, self._symbols)

        self._view = view
        self._draw(throttled=True)

    def _end_view(self) -> None:
        self._view = self._stall = None
        self._question = self._typed = ""

    def _done(self, event: events.Done) -> None:
        self._end_view()
        self._list_tally()
        out = wording.left_out(event)
        self._say([(wording.outcome(event, self._look.role), "bold green" if event.ok else "bold yellow")])
        if event.ok and out:
            self._say([(out, "yellow")])
        if self._destination:
            self._say([(f"Saved in {self._destination}", "")])
        self._say([(f"Path: {wording.path_short(event.path)}", "dim")])
        if self._look.verbose and self._data_path_told:
            self._say([(f"Data path: {self._data_path_told}", "dim")])
        if not event.ok:
            self._say([(f"Not complete: {out or 'something was left out'}", "bold yellow")])
            self._say([(wording.AGAIN, "")])
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
        self._above.append(self._ink.paragraph(pieces))

    def _draw(self, throttled: bool = False) -> None:
        now = self._clock()
        if self._paused or (throttled and (now - self._drawn_at < FRAME_S or self._out.is_behind)):
            return
        self._drawn_at = now
        columns, rows = self._out.size
        pieces = [_stall_pieces(self._stall)] if self._stall and self._look.progress else []
        if self._question:
            pieces += views.question_lines(self._question, self._typed, columns, self._symbols)
        elif self._view:
            pieces += self._view(columns)
        lines = self._ink.lines(pieces)[-(rows - 1) :]
        above, self._above = "".join(self._above), []
        self._region.draw(lines, above)


def _stall_pieces(stall: events.Stalled) -> views.Pieces:
    return [("Stalled: ", "bold yellow"), (wording.stalled(stall), "")]
