"""Plain lines on standard error, for logs and simple terminals: English, stable, greppable, no escape sequences.

Each line begins with its kind: code, copied, scanning, via, waiting, connecting, connected, data path, slow, verification, stalled,
back, path, manifest, entry, note, warning, goes on, progress, dry run, text, done, renamed, skipped, failed, incomplete, left out,
saved, error,
tried, hint, receiver, served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, TextIO, assert_never

from p2pcopy import events, quantities
from p2pcopy.files.names import display
from p2pcopy.ui import outline, wording
from p2pcopy.ui.meter import Pace
from p2pcopy.ui.reporter import Closing, CodeSink, Role
from p2pcopy.ui.screen import Out
from p2pcopy.ui.tally import SHOWN, Tally

PROGRESS_S: Final = 5.0
WAITING_S: Final = 300.0
STALLED_S: Final = 30.0
STILL_S: Final = 2.0
_BETWEEN: Final = "<->"
_ARROW: Final = "->"


class Plain(Closing):
    """One line for a milestone, one every 5 s while data moves, one every 5 min while waiting, one every 30 s of a stall."""

    def __init__(
        self,
        stream: TextIO,
        code_to: CodeSink | None,
        *,
        role: Role,
        verbose: bool = False,
        progress: bool = True,
        qr: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = Out(stream, threaded=True)
        self._code_to = code_to
        self._role = role
        self._verbose = verbose
        self._show_progress = progress
        self._qr = qr
        self._clock = clock
        self._question = ""
        self._interrupted = False
        self._begin()

    def _begin(self) -> None:
        """With a connection that is to be made."""
        self._pace = Pace()
        self._tally = Tally()
        self._notes = 0
        self._progress_due: float | None = None
        self._knows_what_is_there = False
        self._waiting_for = ""
        self._waiting_due = 0.0
        self._stalled_due: float | None = None
        self._path = ""
        self._slow = ""
        self._destination = ""

    def tell(self, event: events.Event) -> None:
        self._tell(event)
        if self._interrupted:
            self._interrupted = False
            self._out.write(self._question)

    def _tell(self, event: events.Event) -> None:
        match event:
            case events.Progress():
                self._progress(event)
            case events.File():
                self._file(event)
            case events.Waiting():
                self._wait(event)
            case events.Code():
                self._code(event)
            case events.Copied():
                self._say("copied", wording.road(event))
            case events.Scanning():
                self._say("scanning", wording.road(event))
            case events.ViaSays():
                self._say("via", display(event.line))
            case events.Connecting():
                self._say("connecting", quantities.count(event.candidates, "address", "addresses") + " to try")
            case events.Connected():
                self._path = wording.path_kind(event.path)
                self._say("connected", wording.path_line(event.path, _BETWEEN))
            case events.DataPath():
                self._data_path(event)
            case events.Verification():
                self._say("verification", wording.comparing(event))
            case events.Stalled():
                self._stalled(event)
            case events.Recovered():
                self._back("back", f"after {quantities.duration(event.gap_s)}, ", event.path)
            case events.PathChanged():
                self._back("path", "", event.path)
            case events.Manifest():
                self._manifest(event)
            case events.Note():
                self._note(event)
            case events.Warned():
                self._say("warning", wording.sentence(event.message))
            case events.Text():
                _say_text(self._out, event)
            case events.Done():
                self._done(event)
            case events.Rehearsed():
                self._say("dry run", wording.rehearsed(event))
            case events.Failed():
                self._leave_question()
                _say_failure(self._out, event, tried=True)
            case events.Serving():
                self._begin()
                self._say("receiver", str(event.number))
            case events.Served():
                self._say("served", wording.served(event))
            case _:
                assert_never(event)

    def ask(self, question: str) -> None:
        self._out.write(question)
        self._question = question

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        self._out.write("".join(f"entry: {outline.flat(line, policy)}\n" for line in lines))

    def entered(self) -> None:
        self._question = ""

    def close(self) -> None:
        self._leave_question()
        self._out.close()

    async def settled(self) -> None:
        await self._out.settled()

    def _leave_question(self) -> None:
        if self._question:
            self._question = ""
            self._out.write("\n")

    def _code(self, event: events.Code) -> None:
        where = wording.other_command(self._role) if event.kind == "offer" else "paste it on the other machine"
        self._say(
            "code", f"{event.kind} for the other machine ({where}), good for {quantities.left(event.expires_in_s)}"
        )
        if self._qr:
            self._say("note", "QR code left out: it needs a terminal with colours (or --qr-file)")
        if self._code_to is not None:
            self._out.wait()
            self._code_to(event.code)

    def _wait(self, event: events.Waiting) -> None:
        now = self._clock()
        if event.what == self._waiting_for and (now < self._waiting_due or not self._show_progress):
            return
        self._waiting_for, self._waiting_due = event.what, now + WAITING_S
        what = "the other side, or its answer code" if event.what == "for_answer" else "the other side"
        self._say("waiting", f"for {what}, {quantities.left(event.left_s)} left")

    def _data_path(self, event: events.DataPath) -> None:
        slow = wording.slow(event)
        if self._verbose:
            self._say("data path", wording.data_path(event))
        elif slow and slow != self._slow:
            self._say("slow", slow)
        self._slow = slow

    def _stalled(self, event: events.Stalled) -> None:
        now = self._clock()
        self._pace.pause()
        if self._stalled_due is None or now >= self._stalled_due:
            self._stalled_due = now + STALLED_S
            self._say("stalled", wording.stalled(event))

    def _back(self, kind: str, after: str, path: events.Path) -> None:
        self._pace.resume()
        self._stalled_due = None
        self._say(kind, after + wording.path_changed(path, self._path, _BETWEEN))
        self._path = wording.path_kind(path)

    def _manifest(self, event: events.Manifest) -> None:
        if self._role == "receive" or self._verbose:
            rows = outline.outline(event, None if self._verbose else outline.ROWS)
            self.all_shown = outline.is_whole(rows)
            for row in rows:
                self._say("entry", f"{'  ' * row.depth}{row.name}{'  ' if row.detail else ''}{row.detail}")
        self._destination = wording.directory(event)
        self._say("manifest", wording.totals(event))

    def _note(self, event: events.Note) -> None:
        self._notes += 1
        if self._verbose or self._notes <= SHOWN:
            self._say("note", f"{display(event.path)}: {wording.sentence(event.reason)}")
        elif self._notes == SHOWN + 1:
            self._say("note", "there are more notes; --verbose shows them all")

    def _file(self, event: events.File) -> None:
        if self._tally.add(event) or self._verbose:
            self._say(wording.status_word(event), wording.file_line(event, _ARROW))
        elif self._tally.is_first_beyond(event):
            self._say(wording.status_word(event), "there are more; they are only counted (--verbose shows them all)")

    def _progress(self, event: events.Progress) -> None:
        now = self._clock()
        progress = self._pace.rated(event, now)
        if wording.knows_what_is_there(event) and not self._knows_what_is_there:
            self._knows_what_is_there = True
            if event.bytes_resumed:
                self._say("goes on", wording.goes_on(event))
        if self._progress_due is None:
            self._progress_due = now + PROGRESS_S
        if not self._show_progress or now < self._progress_due:
            return
        self._progress_due = now + PROGRESS_S
        held_up = wording.held_up(event, self._role, self._destination) if self._pace.still_s(now) >= STILL_S else ""
        self._say("progress", wording.progress(progress) + (f"; {held_up}" if held_up else ""))

    def _done(self, event: events.Done) -> None:
        self._say("done" if event.ok else "incomplete", wording.outcome(event, self._role))
        if out := wording.left_out(event):
            self._say("left out", out)
        if self._destination:
            self._say("saved", f"in {self._destination}")
        self._say("path", wording.path_line(event.path, _BETWEEN))
        if not event.ok:
            self._say("hint", wording.AGAIN)

    def _say(self, kind: str, text: str) -> None:
        """A line; while a question stands, it goes below, and the question is put again."""
        if self._question and not self._interrupted:
            self._interrupted = True
            self._out.write("\n")
        self._out.write(self._out.fitted(f"{kind}: {text}\n"))


class Quiet(Closing):
    """Errors and texts only, and questions and numbers to compare, since somebody has to answer them."""

    def __init__(self, stream: TextIO, code_to: CodeSink | None) -> None:
        self._out = Out(stream)
        self._code_to = code_to

    def tell(self, event: events.Event) -> None:
        match event:
            case events.Code() if self._code_to is not None:
                self._code_to(event.code)
            case events.Verification(asked=False):
                self._out.write(f"verification: {wording.comparing(event)}\n")
            case events.File(status=events.FileStatus.FAILED):
                self._out.write(f"failed: {wording.file_line(event, _ARROW)}\n")
            case events.Text():
                _say_text(self._out, event)
            case events.Failed():
                _say_failure(self._out, event, tried=False)
            case _:
                return

    def ask(self, question: str) -> None:
        self._out.write(question)

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        self._out.write("".join(f"{outline.flat(line, policy)}\n" for line in lines))

    def entered(self) -> None:
        """The answer stands on the question's row."""

    def close(self) -> None:
        """Nothing was changed."""


def _say_text(out: Out, event: events.Text) -> None:
    out.write("".join(f"text: {line}\n" for line in wording.text_lines(event)))


def _say_failure(out: Out, event: events.Failed, *, tried: bool) -> None:
    out.write(out.fitted(f"error: {wording.sentence(event.message)}\n"))
    for where, what, outcome in wording.tried_rows(event.tried if tried else ()):
        out.write(f"tried: {where} {what}: {outcome}\n")
    if event.hint:
        out.write(out.fitted(f"hint: {wording.sentence(event.hint)}\n"))
