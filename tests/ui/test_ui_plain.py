"""Plain lines, errors only, and what the live display does between its frames, on streams in memory."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ui_scenario import CODE, LAN, MIB, RELAY, SCENARIOS, TREE, done, progress

from p2pcopy import events
from p2pcopy.events import FileStatus, ManifestLine, Mark
from p2pcopy.ui import outline, views, wording
from p2pcopy.ui.plain import Plain, Quiet
from p2pcopy.ui.reporter import Reporter, Role, make_reporter
from p2pcopy.ui.screen import Line, Out, Region
from p2pcopy.ui.tally import Tally
from p2pcopy.ui.terminal import Look, Terminal

FAILED = events.Failed("lost", "The connection was lost", "Run it again.", 6, True)


def is_harmless(text: str) -> bool:
    """No control, format, surrogate or line separator character in it."""
    return all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A plain reporter and what it wrote; codes stand between < and >."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.stream = Clock(), io.StringIO()
        self.reporter = Plain(
            self.stream, lambda code: print(f"<{code}>", file=self.stream), clock=self.clock,
            **{"role": "send"} | settings,
        )  # fmt: skip

    def tell(self, *told: events.Event) -> list[str]:
        """The new lines."""
        before = len(self.stream.getvalue())
        for event in told:
            self.reporter.tell(event)
        return self.stream.getvalue()[before:].splitlines()


def test_milestones() -> None:
    run = Run()
    assert run.tell(
        events.Code("offer", "ABC", 3600.0),
        events.Code("answer", "DEF", 90.0),
        events.Waiting("for_answer", 3600.0),
        events.Waiting("for_peer", 3599.0),
        events.Connecting(1),
        events.Connected(RELAY),
        events.Note("a\nb", "a socket, left out"),
        events.Warned("Careful"),
        FAILED,
    ) == [
        "code: offer for the other machine (p2pcopy receive CODE), good for 1 h",
        "<ABC>",
        "code: answer for the other machine (paste it on the other machine), good for 1 min 30 s",
        "<DEF>",
        "waiting: for the other side, or its answer code, 1 h left",
        "waiting: for the other side, 1 h left",
        "connecting: 1 address to try",
        "connected: relayed by turn:turn.example.org:3478, 203.0.113.7:50001 <-> 198.51.100.9:40404, 38.2 ms",
        "note: a\\nb: a socket, left out",
        "warning: Careful",
        "error: The connection was lost",
        "hint: Run it again.",
    ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.DataPath(True, True, True, 1472, peer_fast=True), "fast (GSO, GRO, packets of 1472 bytes)"),
        (
            events.DataPath(True, False, True, 1240, peer_fast=False, reason="GSO: only\ton Linux"),
            "fast (GRO, packets of 1240 bytes, stock at the other side); GSO: only\\ton Linux",
        ),
        (events.DataPath(fast=True), "fast"),
        (events.DataPath(fast=True, reason="no"), "fast; no"),
        (events.DataPath(fast=False, reason="it is switched off"), "stock, because it is switched off"),
        (events.DataPath(fast=False), "stock"),
    ],
)
def test_how_data_moves_is_for_those_who_want_to_know_more(event: events.DataPath, text: str) -> None:
    assert Run(verbose=True).tell(event) == [f"data path: {text}"]
    assert text not in plain(Live().tell(event))
    shown = plain(Live(verbose=True).tell(event)).replace("\x1b[K\n", "\n").split()
    assert f"Data path: {text}".split() == shown[: 2 + len(text.split())]
    stream = io.StringIO()
    Quiet(stream, None).tell(event)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("event", "slow"),
    [
        (events.DataPath(True, True, True, 1472, peer_fast=True), ""),
        (events.DataPath(True, False, False, 1472, reason="GSO: only on Linux"), ""),
        (events.DataPath(fast=True, peer_fast=False), "the other side does not use the fast data path"),
        (events.DataPath(fast=False), "the fast data path is not used here"),
        (
            events.DataPath(fast=False, reason="it is switched off"),
            "the fast data path is not used here, because it is switched off",
        ),
    ],
)
def test_a_slow_way_is_told_once(event: events.DataPath, slow: str) -> None:
    assert Run().tell(event, event) == ([f"slow: {slow}"] if slow else [])
    assert plain(Live().tell(event, event)).count("Slower than it could be: the ") == bool(slow)


def test_how_data_moved_stands_at_the_end_as_well_where_many_files_have_hidden_it() -> None:
    told = plain(Live(verbose=True).tell(events.DataPath(fast=True), done(ok=True)))
    assert told.count("Data path: fast") == 2


def test_waiting_is_repeated_every_five_minutes() -> None:
    run = Run()
    assert len(run.tell(*(events.Waiting("for_peer", 3600.0 - second) for second in range(10)))) == 1
    run.clock.now += 300
    assert run.tell(events.Waiting("for_peer", 3300.0)) == ["waiting: for the other side, 55 min left"]


def test_progress_every_five_seconds() -> None:
    run = Run()
    lines = []
    for tick in range(200):
        lines += run.tell(progress(tick))
        run.clock.now += 0.0625
    assert lines == [
        "progress: 28%, 80.0 MiB of 285.0 MiB, 12 of 40 files, 23.1 MiB/s, 7 s left, "
        "now photos/2024/summer/by the sea/IMG_2231.jpg",
        "progress: 56%, 160.0 MiB of 285.0 MiB, 12 of 40 files, 23.1 MiB/s, 7 s left, "
        "now photos/2024/summer/by the sea/IMG_2231.jpg",
    ]


def test_no_progress() -> None:
    run = Run(progress=False)
    run.tell(progress(1), events.Waiting("for_peer", 3600.0))
    run.clock.now += 1000
    assert run.tell(progress(2), events.Waiting("for_peer", 2600.0)) == []


def test_progress_without_totals() -> None:
    run = Run()
    run.tell(progress(1))
    run.clock.now += 5
    unknown = progress(2, bytes_total=None, files_total=None, file="", eta_s=None)
    assert run.tell(unknown) == ["progress: 2.0 MiB, 12 files, 23.1 MiB/s"]


def skipped(number: int) -> events.File:
    return events.File(f"{number}.txt", FileStatus.SKIPPED, "exists already")


def test_the_first_ten_of_a_kind_are_told_and_the_rest_counted() -> None:
    lines = Run().tell(*map(skipped, range(30)), events.File("ok", FileStatus.DONE))
    assert lines[9:] == [
        "skipped: 9.txt: exists already",
        "skipped: there are more; they are only counted (--verbose shows them all)",
    ]
    assert len(Run(verbose=True).tell(*map(skipped, range(30)), events.File("ok", FileStatus.DONE))) == 31


def test_a_code_that_travels_elsewhere_is_only_told_of() -> None:
    stream = io.StringIO()
    Plain(stream, None, role="send").tell(events.Code("offer", "ABC", 60.0))
    assert stream.getvalue() == "code: offer for the other machine (p2pcopy receive CODE), good for 1 min\n"


def test_notes_are_limited_likewise() -> None:
    notes = [events.Note(str(number), "left out") for number in range(30)]
    assert Run().tell(*notes)[9:] == ["note: 9: left out", "note: there are more notes; --verbose shows them all"]
    assert len(Run(verbose=True).tell(*notes)) == 30


def test_manifest() -> None:
    lines = Run(role="receive").tell(TREE)
    assert lines[2] == "entry:     IMG_2231.jpg  8.0 MiB"
    assert lines[-1] == "manifest: 4,985 files (285.0 MiB), 12 directories, 1 link, 40 there already, 3 names taken"
    assert len(Run(role="send").tell(TREE)) == 1
    assert len(Run(role="send", verbose=True).tell(TREE)) > 40


def test_result() -> None:
    assert Run().tell(done(ok=False)) == [
        "incomplete: Sent 38 files, 285.0 MiB in 12 s (23.1 MiB/s)",
        "left out: 1 failed, 2 skipped",
        "path: direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms",
        "hint: Mend that; then the same two commands, with fresh codes, send what is missing.",
    ]
    resumed = events.Done(True, 1, 0, 0, 5, 0.5, 10.0, LAN, 3 * 1024**3)
    assert Run(role="receive").tell(resumed)[0].endswith("5 B in 0.5 s; 3.0 GiB more were there already")
    whole = events.Done(True, 1, 0, 0, 5, 0.5, 10.0, LAN)
    assert Run(role="receive").tell(whole)[0] == "done: Received 1 file, 5 B in 0.5 s"
    assert "5 B in 0.1 s" in Run().tell(replace(whole, seconds=0.001))[0]
    some = events.Done(True, 1, 0, 0, 5, 0.5, 10.0, LAN, 7, files_there=2, left_out=3)
    assert Run(role="receive").tell(some)[:2] == [
        "done: Received 1 file, 5 B in 0.5 s; 2 files were there already",
        "left out: 3 not sent (special files)",
    ]
    assert len(Run().tell(whole)) == 2


def test_the_result_says_where_the_files_are() -> None:
    assert "saved: in /home/me/incoming" in Run(role="receive").tell(TREE, done(ok=True))
    assert "Saved in /home/me/incoming" in Live(role="receive").tell(TREE, done(ok=True))
    streamed = replace(TREE, destination="standard output")
    assert not [line for line in Run(role="receive").tell(streamed, done(ok=True)) if line.startswith("saved")]


@pytest.mark.parametrize(
    ("there", "said"),
    [(1, "Nothing to do: 1 file is there already"), (1200, "Nothing to do: 1,200 files are there already")],
)
def test_result_when_nothing_was_to_be_done(there: int, said: str) -> None:
    nothing = events.Done(True, 0, 0, 0, 0, 0.5, 0.0, LAN, 7, files_there=there)
    for role in ("send", "receive"):
        assert Run(role=role).tell(nothing)[0] == f"done: {said}"


@pytest.mark.parametrize(
    ("mark", "policy", "fate"),
    [
        (Mark.NEW, "replace", ""),
        (Mark.SAME, "replace", "there already"),
        (Mark.COMPARED, "skip", "compared by content"),
        (Mark.BEGUN, "replace", "begun: goes on"),
        (Mark.STALE, "replace", "begun: starts over"),
        (Mark.BEGUN_EXISTS, "replace", "begun: goes on, replaces what is there"),
        (Mark.BEGUN_EXISTS, "rename", "begun: goes on, gets another name"),
        (Mark.BEGUN_EXISTS, "skip", "begun: goes on"),
        (Mark.EXISTS, "", "exists"),
        (Mark.EXISTS, "ask", "exists: you are asked"),
        (Mark.EXISTS, "refuse", "exists: declined"),
        (Mark.EXISTS, "skip", "exists: left alone"),
        (Mark.EXISTS, "rename", "exists: gets another name"),
        (Mark.EXISTS, "replace", "exists: replaced"),
        (Mark.EXISTS, "resume", "exists: fails"),
    ],
)
def test_what_would_happen_to_an_entry(mark: Mark, policy: str, fate: str) -> None:
    assert wording.fate(ManifestLine("a", "file", 1, mark), policy) == fate


def test_what_was_there_before_is_told_once() -> None:
    first = progress(100, bytes_resumed=90 * MIB, files_total=None, bytes_total=None)
    known = progress(110, bytes_resumed=100 * MIB)
    stream = progress(110, bytes_resumed=100 * MIB, bytes_total=None)
    assert Run().tell(first, known, known) == ["goes on: 100.0 of 285.0 MiB are there already"]
    assert Run(progress=False).tell(stream) == ["goes on: 100.0 MiB are there already"]
    assert Run().tell(progress(100), known) == []
    live = Live(color=False)
    live.tell(first, known, known)
    live.terminal.close()
    assert live.stream.getvalue().count("100.0 of 285.0 MiB are there already") == 1


def test_a_dry_run_says_that_it_was_one() -> None:
    assert Run(role="receive").tell(events.Rehearsed("/in")) == ["dry run: nothing was taken into /in"]
    assert "nothing was taken into /in" in Live(role="receive").tell(events.Rehearsed("/in"))


def test_a_question_that_is_cut_off_does_not_hide_the_failure() -> None:
    run = Run()
    with run.reporter as reporter:
        reporter.ask("Really? ")
        run.tell(FAILED)
        reporter.ask("Again? ")
        reporter.entered()
        run.tell(FAILED)
    assert run.stream.getvalue() == (
        "Really? \nerror: The connection was lost\nhint: Run it again.\n"
        "Again? error: The connection was lost\nhint: Run it again.\n"
    )


def test_a_qr_code_that_was_asked_for_is_missed_with_a_word() -> None:
    assert "note: QR code left out: it needs a terminal with colours (or --qr-file)" in Run(qr=True).tell(
        events.Code("offer", "ABC", 1.0)
    )


def test_quiet_tells_errors_codes_and_questions_only() -> None:
    stream, codes = io.StringIO(), list[str]()
    with Quiet(stream, codes.append) as reporter:
        reporter.ask("Really? ")
        reporter.entered()
        for event in (
            events.Code("offer", "ABC", 1.0), events.Warned("x"), progress(1), TREE, done(ok=True), skipped(1),
            events.File("a", FileStatus.FAILED, "no space"), events.Failed("usage", "Bad\x1b", "", 2, False),
        ):  # fmt: skip
            reporter.tell(event)
    Quiet(stream, None).tell(events.Code("offer", "ABC", 1.0))
    assert codes == ["ABC"]
    assert stream.getvalue() == "Really? failed: a: no space\nerror: Bad\\x1b\n"


@pytest.mark.parametrize(("quiet", "kind"), [(True, Quiet), (False, Plain)])
def test_choice_off_a_terminal(quiet: bool, kind: type[Reporter]) -> None:
    reporter = make_reporter(
        json=False, quiet=quiet, verbose=False, progress=True, qr=None, role="send",
        code_to=None, stderr=io.StringIO(), stdout=io.StringIO(), color=None,
    )  # fmt: skip
    assert isinstance(reporter, kind)


@given(st.text(st.characters()))
def test_no_escape_sequence_ever_off_a_terminal(text: str) -> None:
    run = Run(role="receive", verbose=True)
    path = events.Path(events.PathKind.RELAYED, text, text, "host", "host", None, text)
    run.tell(
        events.Connected(path),
        events.Note(text, text),
        events.Warned(text),
        events.Manifest(1, 0, 0, 1, 0, 0, 0, text, text, (ManifestLine(text, text, 1, Mark.EXISTS),)),
        events.File(text, FileStatus.FAILED, text, text),
        events.PathChanged(path),
        events.Failed("x", text, text, 1, False, (events.Tried("peer", text, text, False),)),
    )
    assert is_harmless(run.stream.getvalue().replace("\n", ""))


class Gone(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def write(self, text: str) -> int:
        self.calls += 1
        raise self.error


def test_a_terminal_that_is_gone_is_no_failure() -> None:
    stream = Gone(OSError(5, "Input/output error"))
    out = Out(stream)
    out.write("a")
    out.write("b")
    assert stream.calls == 1


def test_a_full_terminal_is_tried_again() -> None:
    stream = Gone(BlockingIOError(11, "full"))
    out = Out(stream)
    out.write("a")
    out.write("b")
    assert stream.calls == 2


def test_region_rewrites_only_its_first_line_when_that_is_all() -> None:
    stream = io.StringIO()
    region = Region(Out(stream))
    region.draw([Line("1", 1), Line("prompt", 6)])
    stream.truncate(0)
    region.draw([Line("2", 1), Line("prompt", 6)])
    region.draw([Line("2", 1), Line("prompt", 6)])
    assert stream.getvalue().lstrip("\0") == "\x1b7\r\x1b[1A2\x1b[K\x1b8"


class Live:
    """The live display on a stream without a size: 80 x 24."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.stream = Clock(), io.StringIO()
        look: dict[str, Any] = {"role": "send", "codes_shown": False} | settings
        self.terminal = Terminal(self.stream, None, Look(**look), self.clock)

    def tell(self, *told: events.Event) -> str:
        before = len(self.stream.getvalue())
        for event in told:
            self.terminal.tell(event)
        return self.stream.getvalue()[before:]


def test_draws_at_most_eight_times_a_second() -> None:
    live = Live()
    frames = 0
    for tick in range(200):
        frames += bool(live.tell(progress(tick)))
        live.clock.now += 0.005
    assert 7 <= frames <= 9


def test_verbose_lines_wait_for_the_next_frame_and_none_is_lost() -> None:
    live = Live(verbose=True)
    live.tell(progress(1))
    assert live.tell(*(events.File(str(number), FileStatus.DONE) for number in range(1000))) == ""
    live.terminal.close()
    live.terminal.close()
    assert live.stream.getvalue().count("done: ") == 1000
    assert live.stream.getvalue().endswith("\x1b[J")


def test_a_code_that_is_not_shown_here_is_not_talked_about() -> None:
    live = Live()
    assert "Waiting for the other side" in live.tell(events.Code("offer", "ABC", 60.0))


def test_waiting_does_not_disturb_a_question() -> None:
    live = Live(role="receive")
    live.terminal.ask("Save? ")
    assert live.tell(events.Waiting("for_peer", 5.0)) == ""
    assert "Save?" not in live.tell(FAILED)


def test_without_a_keyboard_there_is_no_prompt() -> None:
    assert "paste" not in Live(prompts=False).tell(events.Waiting("for_answer", 5.0))
    assert "paste" in Live().tell(events.Waiting("for_answer", 5.0))


def test_no_progress_keeps_the_countdown_still() -> None:
    live = Live(progress=False)
    assert live.tell(events.Waiting("for_peer", 50.0))
    assert live.tell(events.Waiting("for_peer", 49.0)) == ""


def test_a_new_path_is_told() -> None:
    live = Live(color=False)
    live.tell(events.Connected(RELAY), progress(1))
    told = plain(live.tell(events.PathChanged(LAN)))
    assert "Path now: direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms (was" in told.replace("⇄", "<->")
    assert "12 of 40 files, direct, local network" in told
    again = replace(LAN, local="10.0.0.9:1")
    assert "(was" not in live.tell(events.PathChanged(again))


def plain(text: str) -> str:
    """Without styles."""
    return re.sub(r"\x1b\[\d*m", "", text)


STALL = events.Stalled(12.0, 588.0)
STALLED = "Stalled: nothing heard for 12 s; waits for a path, gives up in 9 min 48 s"


def test_a_stall_is_shown_as_long_as_it_lasts_and_its_end_stays() -> None:
    live = Live()
    live.tell(events.Connected(LAN), progress(1))
    live.clock.now += 1
    live.tell(progress(30, rate_bytes_per_s=0.0, eta_s=None))
    shown = plain(live.tell(STALL))
    assert STALLED in shown
    assert "10%" in shown
    live.clock.now += 1
    moving = plain(live.tell(progress(30, rate_bytes_per_s=0.0, eta_s=None)))
    assert "0 B/s" in moving
    assert "left" not in moving
    assert "nothing heard for 13 s" in live.tell(events.Stalled(13.0, 587.0))
    ended = plain(live.tell(events.Recovered(34.0, RELAY)))
    assert "Back after 34 s: relayed by turn:turn.example.org:3478," in ended
    assert "(was direct, local" in ended.replace("\x1b[K", "").replace("\n", " ")
    live.clock.now += 1
    assert "Stalled" not in live.tell(progress(31))
    live.tell(STALL)
    live.terminal.close()
    assert live.terminal._region.lines == 0


def test_a_stall_without_progress_is_told_once() -> None:
    live = Live(progress=False)
    live.tell(events.Connected(LAN))
    assert STALLED in plain(live.tell(STALL))
    assert "13 s" not in live.tell(events.Stalled(13.0, 587.0))
    assert "Back after 13 s" in plain(live.tell(events.Recovered(13.0, LAN)))


def test_news_of_the_path_leave_the_question_standing() -> None:
    live = Live(role="receive", color=False)
    live.tell(events.Connected(RELAY))
    live.terminal.ask("Save? ")
    for event, words in (
        (events.PathChanged(LAN), "Path now: direct"), (STALL, "Stalled: "), (events.Recovered(9.0, LAN), "Back after 9.0 s"),
    ):  # fmt: skip
        told = plain(live.tell(event))
        assert words in told
        assert told.endswith("Save? \x1b[J")
    live.tell(STALL)
    assert plain(live.tell(events.Stalled(13.0, 587.0))).startswith("\x1b7\r\x1b[1AStalled: nothing heard for 13 s")
    live.terminal.entered()
    assert STALLED.replace("12", "14").replace("48", "46") in plain(live.tell(events.Stalled(14.0, 586.0)))


def test_news_of_the_path_in_plain_lines() -> None:
    run = Run()
    run.tell(events.Connected(RELAY))
    assert run.tell(events.PathChanged(LAN)) == [
        "path: direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms (was relayed)"
    ]
    lines = []
    for second in range(3, 63):
        lines += run.tell(events.Stalled(float(second), 600.0 - second))
        run.clock.now += 1
    assert lines == [
        "stalled: nothing heard for 3.0 s; waits for a path, gives up in 9 min 57 s",
        "stalled: nothing heard for 33 s; waits for a path, gives up in 9 min 27 s",
    ]
    assert run.tell(events.Recovered(62.0, LAN)) == [
        "back: after 1 min 02 s, direct, local network 10.0.0.2:4242 <-> 10.0.0.3:5151, 0.4 ms"
    ]
    assert len(run.tell(events.Stalled(3.0, 597.0))) == 1


def test_a_plain_question_is_put_again_below_what_is_told_meanwhile() -> None:
    run = Run()
    run.reporter.ask("Save? ")
    run.tell(STALL, STALL, events.Waiting("for_peer", 1.0), events.Waiting("for_peer", 1.0))
    run.reporter.entered()
    run.tell(events.Warned("x"))
    assert run.stream.getvalue() == (
        "Save? \nstalled: nothing heard for 12 s; waits for a path, gives up in 9 min 48 s\n"
        "Save? \nwaiting: for the other side, 1 s left\nSave? warning: x\n"
    )


@pytest.mark.parametrize("asked", [True, False])
def test_the_number_to_compare(asked: bool) -> None:
    event = events.Verification("1234 5678 9012", asked)
    [line] = Run().tell(event)
    assert line.startswith("verification: 1234 5678 9012 (")
    assert ("Verification number: 1234 5678 9012" in plain(Live().tell(event))) is not asked
    stream = io.StringIO()
    Quiet(stream, None).tell(event)
    assert ("1234 5678 9012" in stream.getvalue()) is not asked, "who is asked reads it in the question"


TRIED = (
    events.Tried("stun", "stun:stun.example.org", "no answer", False),
    events.Tried("peer", "192.0.2.1:1\x1b", "no answer to 57 checks", False),
    events.Tried("own", "10.0.0.2:4242", "an address of this machine", True),
)
UNCONNECTED = replace(FAILED, tried=TRIED)


def test_what_was_tried_is_a_table() -> None:
    assert "".join(plain(Live(color=False).tell(UNCONNECTED))).replace("\x1b[K", "").splitlines()[1:4] == [
        "  STUN   stun:stun.example.org  no answer",
        "  there  192.0.2.1:1\\x1b        no answer to 57 checks",
        "  here   10.0.0.2:4242          an address of this machine",
    ]
    assert Run().tell(UNCONNECTED)[1:3] == [
        "tried: STUN stun:stun.example.org: no answer",
        "tried: there 192.0.2.1:1\\x1b: no answer to 57 checks",
    ]
    stream = io.StringIO()
    Quiet(stream, None).tell(UNCONNECTED)
    assert "tried" not in stream.getvalue()


def test_each_receiver_begins_anew() -> None:
    run, live = Run(), Live(color=False)
    for number in (1, 2):
        assert run.tell(events.Serving(number), events.Connected(LAN))[0] == f"receiver: {number}"
        assert len(run.tell(*map(skipped, range(12)))) == 11
        told = live.tell(events.Serving(number), events.Connected(LAN), *map(skipped, range(2)), done(ok=True))
        assert f"Receiver {number}" in told
        assert told.count("exists already") == 2
    assert run.tell(events.Served(2, 1)) == ["served: Served 2 receivers, 1 failed"]
    assert "Served 1 receiver\x1b" in live.tell(events.Served(1, 0))


def test_quiet_tells_nothing_of_the_path() -> None:
    stream = io.StringIO()
    for event in (STALL, events.Recovered(1.0, LAN), events.PathChanged(LAN), events.Serving(1), events.Served(1, 0)):
        Quiet(stream, None).tell(event)
    assert stream.getvalue() == ""


def test_notes_on_the_terminal_are_limited() -> None:
    live = Live(color=False)
    live.tell(*(events.Note(str(number), "left out") for number in range(30)))
    live.terminal.close()
    assert live.stream.getvalue().count("left out") == 10
    assert "--verbose shows them all" in live.stream.getvalue()


@pytest.mark.parametrize("story", [story for name, story in SCENARIOS.items() if name != "moving"])
@pytest.mark.parametrize("settings", [{}, {"codes_shown": True, "color": False}, {"qr": True}, {"progress": False}])
def test_every_story_ends_with_the_cursor_on_a_row_of_its_own(
    monkeypatch: pytest.MonkeyPatch, story: Callable[[Reporter], None], settings: dict[str, Any]
) -> None:
    monkeypatch.setattr("ui_scenario.stop", lambda: "GOOD")
    live = Live(**settings)
    story(live.terminal)
    live.terminal.close()
    assert not re.match(r"[\r\n]|\x1b\[\d*[AJ]", live.tell(FAILED))


def test_closing_leaves_an_open_question() -> None:
    live, plain = Live(), Run()
    for reporter, stream in ((live.terminal, live.stream), (plain.reporter, plain.stream)):
        reporter.ask("Save? ")
        reporter.close()
        reporter.close()
        assert stream.getvalue().replace("\x1b[J", "") == "Save? \n"


def test_after_the_consent_of_a_flag_nothing_is_waited_for() -> None:
    live = Live(role="receive", color=False)
    assert "Waiting for the list of files" in live.tell(events.Connected(LAN))
    assert "Waiting" not in live.tell(TREE)


def test_a_question_keeps_its_row_when_it_is_answered() -> None:
    live = Live(role="receive")
    live.terminal.ask("Save? ")
    live.terminal.entered()
    assert not live.tell(FAILED).startswith("\n")


def test_long_lines_are_broken_between_words_on_a_terminal_only() -> None:
    long = "error: " + "word " * 10 + "/a-path-of-forty-characters/that/is/longer/than/a/row\n  short\n"
    assert Out(io.StringIO()).fitted(long) == long
    ours, theirs = os.openpty()
    with open(ours, "wb"), open(theirs, "w") as stream:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 15, 40, 0, 0))
        assert Out(stream).fitted(long).split("\n") == [
            "error: word word word word word word",
            "word word word word",
            "/a-path-of-forty-characters/that/is/longer/than/a/row",
            "  short",
            "",
        ]


def test_a_terminal_says_how_large_it_is() -> None:
    ours, theirs = os.openpty()
    with open(ours, "wb"), open(theirs, "w") as stream:
        out = Out(stream)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 15, 40, 0, 0))
        assert out.size == (40, 15)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        assert out.size == (80, 24)


@given(st.text(st.characters()))
def test_no_name_can_steer_the_terminal(text: str) -> None:
    live = Live(color=False, verbose=True, role="receive")
    live.tell(
        events.Note(text, text),
        events.Manifest(1, 0, 0, 1, 0, 0, 0, text, text, (ManifestLine(text, text, 1, Mark.EXISTS),)),
        progress(1, file=text),
        events.File(text, FileStatus.FAILED, text, text),
        events.Failed("x", text, text, 1, False),
    )
    written = live.stream.getvalue()
    for ours in (
        "\x1b[K",
        "\x1b[J",
        "\x1b[1m",
        "\x1b[2m",
        "\x1b[0m",
        "\x1b[1A",
        "\x1b[2A",
        "\x1b7",
        "\x1b8",
        "\r",
        "\n",
    ):
        written = written.replace(ours, "")
    assert is_harmless(written)


def waited(kind: str, shown: bool, role: Role, width: int, left_s: float = 1800.0, **more: bool) -> list[str]:
    """What stands there half an hour before the end."""
    wait = views.Wait(role, shown)
    if kind:
        wait.shown(events.Code(kind, CODE, left_s))
    if "answered" in more:
        wait.connecting(answered=more["answered"])
    wait.tell(events.Waiting("for_peer", 1800.0), prompting=more.get("prompting", False))
    return ["".join(text for text, _ in line) for line in wait.lines(width, "typed", views.UNICODE)]


@pytest.mark.parametrize(
    ("kind", "shown", "role", "width", "line"),
    [
        ("offer", True, "send", 80, "On the other machine: p2pcopy receive CODE  (30 min left)"),
        ("offer", True, "receive", 80, "On the other machine: p2pcopy send --to CODE PATH...  (30 min left)"),
        ("offer", True, "send", 40, "p2pcopy receive CODE  (30 min left)"),
        ("offer", True, "send", 30, "p2pcopy receive CODE"),
        ("offer", False, "send", 80, "Waiting for the other side  (30 min left)"),
        ("answer", True, "send", 80, "Paste the code above on the other machine  (30 min left)"),
        ("", True, "send", 80, "Waiting for the other side  (30 min left)"),
    ],
)
def test_what_there_is_to_do(kind: str, shown: bool, role: Role, width: int, line: str) -> None:
    assert waited(kind, shown, role, width) == [line]


def test_who_connects_to_whom() -> None:
    assert waited("offer", True, "send", 80, answered=False) == ["The other side is connecting  (30 min left)"]
    assert waited("offer", True, "send", 80, answered=True) == ["Connecting to the other side  (30 min left)"]
    assert waited("", True, "receive", 80, answered=False) == ["Connecting to the other side  (30 min left)"]
    [_, prompt] = waited("offer", True, "send", 80, answered=True, prompting=True)
    assert prompt == "If it shows a fresh answer code, paste it here: typed"
    [_, prompt] = waited("offer", True, "send", 40, answered=True, prompting=True)
    assert prompt == "Fresh answer code: typed"


def test_after_a_minute_it_is_said_what_may_have_happened() -> None:
    assert len(waited("offer", True, "send", 80, 1859.0)) == 1
    assert waited("offer", True, "send", 80, 1860.0)[0].startswith("Nobody yet. If it failed there")
    assert len(waited("answer", True, "receive", 80, 3600.0)) == 1


def test_a_prompt_keeps_the_end_of_what_is_pasted_in_its_row() -> None:
    [_, prompt] = waited("offer", True, "send", 80, prompting=True)
    assert prompt == "If it shows an answer code, paste it here: typed"
    live = Live(prompts=True, draws_typing=True)
    live.tell(events.Code("offer", CODE, 60.0), events.Waiting("for_answer", 60.0))
    before = len(live.stream.getvalue())
    live.terminal.typing("A" * 4000 + "END")
    row = plain(live.stream.getvalue()[before:]).splitlines()[-1].removesuffix("\x1b[J")
    assert row.endswith("AEND")
    assert views.cells(row) == 79


def test_while_the_terminal_belongs_to_others_nothing_is_drawn() -> None:
    live = Live(role="receive", draws_typing=True)
    live.tell(events.Connected(LAN), progress(1))
    live.terminal.pause()
    assert live.tell(progress(2), events.Warned("later")) == ""
    before = len(live.stream.getvalue())
    live.terminal.redraw()
    assert "later" in live.stream.getvalue()[before:]


def test_what_was_typed_stays_on_its_row() -> None:
    live = Live(role="receive", draws_typing=True)
    live.terminal.ask("Save? ")
    live.terminal.typing("y\x1b")
    live.terminal.entered()
    assert live.stream.getvalue().endswith("Save? y\\x1b\x1b[J\n")


@pytest.mark.parametrize(
    ("text", "width", "rows"),
    [
        ("", 10, [""]),
        ("one two three", 8, ["one two", "three"]),
        ("Save into /a/very/long/path? [y/N]", 12, ["Save into", "/a/very/long", "/path? [y/N]"]),
        ("漢字漢字漢", 4, ["漢字", "漢字", "漢"]),
        ("漢", 1, ["漢"]),
    ],
)
def test_questions_are_wrapped_at_words(text: str, width: int, rows: list[str]) -> None:
    assert views.wrapped(text, width) == rows


@pytest.mark.parametrize(
    ("waits_for", "role", "destination", "words"),
    [
        ("destination", "receive", "/in", "Waiting for the disk"),
        ("destination", "receive", "standard output", "Waiting for the program that reads standard output"),
        ("source", "send", "", "Waiting for photos/2024/summer/by the sea/IMG_2231.jpg to be read"),
        ("other_side", "send", "", "Waiting for the other side to take it"),
        ("", "receive", "/in", ""),
    ],
)
def test_it_is_said_what_holds_it_up(waits_for: str, role: Role, destination: str, words: str) -> None:
    now = progress(1, waits_for=waits_for, rate_bytes_per_s=0.0, eta_s=None)
    live, run = Live(role=role), Run(role=role)
    for reporter in (live, run):
        reporter.tell(replace(TREE, destination=destination), now)
        reporter.clock.now += 2
    shown = plain(live.tell(now))
    run.clock.now += 5
    [line] = run.tell(now)
    assert ("Waiting for" in shown) is ("; Waiting for" in line) is bool(words)
    assert words in shown
    assert words in line


@pytest.mark.parametrize("width", [1, 5, 20, 40, 72, 80, 200])
def test_progress_at_any_width(width: int) -> None:
    for symbols in (views.UNICODE, views.ASCII):
        extra = views.Extra("1 failed", "relayed")
        lines = views.progress_lines(progress(120), extra, width, symbols)
        assert len(lines) in (3, 4)
        if width >= 40:
            assert all(views.cells("".join(text for text, _ in line)) < width for line in lines)


def test_progress_without_files() -> None:
    nothing = progress(0, bytes_total=0, files_total=1, file="", eta_s=None)
    [line] = views.progress_lines(nothing, views.Extra(), 80, views.ASCII)
    assert "".join(text for text, _ in line) == f"100%  {'#' * 20}  0 B of 0 B  23.1 MiB/s"
    stream = progress(5, bytes_total=None, files_total=1, file="dump.sql")
    lines = views.progress_lines(stream, views.Extra(), 80, views.ASCII)
    assert ["".join(text for text, _ in line) for line in lines] == ["      5.0 MiB  23.1 MiB/s", "      dump.sql"]


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 4, "…def"),
        ("漢字漢字", 6, "…漢字"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 0, ""),
        ("", -20, ""),
        ("abc", -1, ""),
    ],
)
def test_shorten(text: str, width: int, short: str) -> None:
    assert views.shorten(text, width, "…") == short


@given(st.text(), st.integers(-20, 40), st.sampled_from(["…", "..."]))
def test_shorten_never_exceeds(text: str, width: int, ellipsis: str) -> None:
    assert views.cells(views.shorten(text, width, ellipsis)) <= max(0, width)


@given(st.text(), st.text(), st.integers(0, 30))
def test_everything_can_be_drawn_however_narrow(text: str, typed: str, width: int) -> None:
    views.question_lines(text, typed, width, views.UNICODE)
    views.progress_lines(progress(5, file=text), views.Extra(text, text, text), width, views.UNICODE)
    waiting = views.Wait("send", codes_shown=True)
    waiting.tell(events.Waiting("for_answer", 60.0), prompting=True)
    assert waiting.lines(width, typed, views.UNICODE)


def test_bar() -> None:
    assert views.bar(1, 2, 4, views.ASCII) == [("##", "green"), ("--", "dim")]
    assert views.bar(9, 2, 4, views.ASCII)[0] == ("####", "green")
    assert views.bar(0, 0, 4, views.ASCII)[0] == ("####", "green")


def test_outline_shares_directories() -> None:
    entries = (
        ManifestLine("a/b/1", "file", 1),
        ManifestLine("a/b/2", "file", None, Mark.EXISTS),
        ManifestLine("a/c", "directory", 0),
        ManifestLine("a/c/3", "link", 0),
        ManifestLine("", "file", 0),
    )
    rows = outline.outline(events.Manifest(2, 3, 1, 1, 0, 0, 0, "replace", "", entries))
    assert [("  " * row.depth + row.name, row.detail) for row in rows] == [
        ("a/", ""),
        ("  b/", ""),
        ("    1", "1 B"),
        ("    2", "size unknown, exists: replaced"),
        ("  c/", ""),
        ("    3", "link"),
        ("... and 2 more", ""),
    ]


def test_outline_shows_a_deep_entry_on_one_row() -> None:
    entry = ManifestLine("/".join("abcdef" * 5), "file", 1)
    [row] = outline.outline(events.Manifest(1, 0, 0, 1, 0, 0, 0, "", "", (entry,)))
    assert row == outline.Row(0, entry.path, "1 B")


def test_tally_counts_and_keeps_the_first() -> None:
    tally = Tally()
    assert tally.short() == ""
    assert not tally.add(events.File("a", FileStatus.DONE))
    assert tally.add(events.File("b", FileStatus.DONE, saved_as="b (1)"))
    assert [tally.add(skipped(number)) for number in range(12)] == [True] * 10 + [False] * 2
    assert tally.add(events.File("f", FileStatus.FAILED))
    assert tally.short() == "1 failed, 12 skipped"
    lines = tally.lines("->")
    assert lines[0] == ("failed", "f")
    assert lines[-2:] == [("skipped", "... and 2 more"), ("renamed", "b -> b (1)")]


@pytest.mark.parametrize(
    ("kind", "types", "relay", "words"),
    [
        ("local", ("host", "prflx"), "", "direct, local network a <-> b"),
        ("direct", ("srflx", "prflx"), "", "direct a <-> b"),
        ("direct", ("host", "host"), "", "direct a <-> b"),
        ("relayed", ("host", "relay"), "", "relayed by the other side's server, a <-> b"),
        ("relayed", ("relay", "host"), "turn:t", "relayed by turn:t, a <-> b"),
    ],
)
def test_path_line(kind: str, types: tuple[str, str], relay: str, words: str) -> None:
    path = events.Path(events.PathKind(kind), "a", "b", *types, relay=relay)
    assert wording.path_line(path, "<->") == words


def test_the_scenario_code_is_as_long_as_a_real_one() -> None:
    assert len(CODE) == 101


def test_every_row_of_the_qr_code_is_black_on_white_to_its_end() -> None:
    picture = Live(qr=True).tell(events.Code("answer", CODE[:21], 60.0)).split("\n")[:-1]
    assert len(picture) == 13
    for row in picture:
        # 16, 256 or all colours, as TERM and COLORTERM say
        body = re.fullmatch(r"\x1b\[(?:30;107|38;5;16;48;5;231|38;2;0;0;0;48;2;255;255;255)m(.*)\x1b\[0m", row)
        assert body is not None, row
        assert re.fullmatch("[ ▀▄█]{25}", body[1])


def test_a_live_display_wants_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)

    def chosen(**environment: str) -> Reporter:
        return make_reporter(
            json=False, quiet=False, verbose=False, progress=True, qr=None, role="send", code_to=None,
            stderr=terminal, stdout=io.StringIO(), color=None, environment=environment,
        )  # fmt: skip

    assert isinstance(chosen(TERM="dumb"), Plain)
    with chosen(TERM="xterm", NO_COLOR="1") as live:
        assert isinstance(live, Terminal)
        live.tell(events.Connected(RELAY))
        live.tell(events.Connecting(1))
        live.tell(progress(1))
    assert "relayed" in terminal.getvalue()


LISTED = [ManifestLine("evil\x1b[2J/a.txt", "file", 5, Mark.SAME), ManifestLine("tree/sub", "directory", 0)]
SMALL = events.Manifest(1, 1, 0, 5, 0, 0, 1, "ask", "/in", tuple(LISTED))


def test_entries_are_listed_with_their_whole_paths_and_harmlessly() -> None:
    lines = ["evil\\x1b[2J/a.txt  5 B, there already", "tree/sub/"]
    run = Run(role="receive")
    run.reporter.list_entries(LISTED, "ask")
    assert run.stream.getvalue().splitlines() == [f"entry: {line}" for line in lines]
    stream = io.StringIO()
    Quiet(stream, None).list_entries(LISTED, "ask")
    assert stream.getvalue().splitlines() == lines
    stream = io.StringIO()
    Terminal(stream, None, Look("receive")).list_entries(LISTED, "ask")
    assert stream.getvalue().splitlines() == [f"  {line}" for line in lines]


def test_a_reporter_knows_whether_it_has_shown_every_entry() -> None:
    for reporter in (
        Plain(io.StringIO(), None, role="receive"),
        Terminal(io.StringIO(), None, Look("receive")),
    ):
        reporter.tell(SMALL)
        assert reporter.all_shown
        reporter.tell(TREE)
        assert not reporter.all_shown
    quiet = Quiet(io.StringIO(), None)
    quiet.tell(SMALL)
    assert not quiet.all_shown
