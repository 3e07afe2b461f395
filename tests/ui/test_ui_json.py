"""JSON lines on standard output, and the page that documents them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy import events
from p2pcopy.errors import LocalFileError
from p2pcopy.ui import jsonlines
from p2pcopy.ui.jsonlines import JsonLines, to_json
from p2pcopy.ui.reporter import make_reporter

PAGE = Path(__file__).parents[2] / "docs" / "json.md"
LAN = events.Path(events.PathKind.LOCAL, "10.0.0.2:4242", "10.0.0.3:5151", "host", "prflx", 0.4)


def documented() -> dict[str, list[str]]:
    """Heading -> fields of its table."""
    sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {
        section.splitlines()[0].strip(): re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) for section in sections
    }


def defined() -> dict[str, list[str]]:
    classes = {
        event.event: event for event in (*get_args(events.Event), *get_args(events.PartsEvent), events.Configuration)
    }
    classes |= {
        "path (object)": events.Path,
        "entries": events.ManifestLine,
        "tried": events.Tried,
        "settings": events.SettingLine,
    }
    return {name: [field.name for field in fields(cls)] for name, cls in classes.items()}


def test_the_page_lists_every_event_and_field_and_no_others() -> None:
    assert documented() == defined()


def test_every_row_has_a_type_and_a_meaning() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows
    for row in rows:
        _, name, kind, meaning, _ = (cell.strip() for cell in row.split("|"))
        assert kind.split(" or ")[0] in {"string", "number", "integer", "boolean", "array", "object"}, row
        assert meaning
        if name.endswith("_s`"):
            assert "second" in meaning
        if "bytes" in name and "array" not in kind:
            assert "byte" in meaning


class Run:
    def __init__(self) -> None:
        self.stdout = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by lines)
        self.stderr, self.codes = io.StringIO(), list[str]()
        self.now = 0.0
        self.reporter = JsonLines(self.stdout, self.stderr, self.codes.append, lambda: self.now)

    def lines(self) -> list[Any]:
        """What was written; there is no more to come."""
        self.reporter.close()
        with self.stdout:
            self.stdout.seek(0)
            return [json.loads(line) for line in self.stdout]


def test_an_event_is_one_line_with_name_version_and_fields() -> None:
    run = Run()
    run.reporter.tell(events.Connected(LAN))
    run.reporter.tell(events.File("a", events.FileStatus.SKIPPED, "exists already"))
    assert run.lines() == [
        {
            "event": "connected",
            "v": 1,
            "path": {
                "kind": "local",
                "local": "10.0.0.2:4242",
                "remote": "10.0.0.3:5151",
                "local_type": "host",
                "remote_type": "prflx",
                "rtt_ms": 0.4,
                "relay": "",
            },
        },
        {"event": "file", "v": 1, "path": "a", "status": "skipped", "reason": "exists already", "saved_as": ""},
    ]
    assert run.stderr.getvalue() == ""


def test_how_data_moves_is_told_to_every_program() -> None:
    run = Run()
    run.reporter.tell(events.DataPath(True, True, False, 1472, peer_fast=True, reason="GRO: switched off"))
    run.reporter.tell(events.DataPath(fast=False, reason="it is switched off"))
    fast, stock = run.lines()
    assert fast == {
        "event": "data_path",
        "v": 1,
        "fast": True,
        "gso": True,
        "gro": False,
        "packet_bytes": 1472,
        "peer_fast": True,
        "reason": "GRO: switched off",
    }
    assert (stock["fast"], stock["gso"], stock["packet_bytes"], stock["peer_fast"]) == (False, False, None, None)


def test_entries_are_an_array_of_objects() -> None:
    line = events.ManifestLine("a/b", "file", None, events.Mark.EXISTS)
    event = json.loads(to_json(events.Manifest(1, 0, 0, 0, 1, 1, 0, "rename", "/in", (line,))))
    assert event["policy"] == "rename"
    assert event["entries"] == [{"path": "a/b", "kind": "file", "bytes": None, "status": "exists"}]


def test_a_name_that_is_not_utf8_keeps_its_bytes() -> None:
    name = b"caf\xe9\n".decode("utf-8", "surrogateescape")
    event = json.loads(to_json(events.Note(name, "r")))
    assert event["path"] == "caf\\xe9\\n"
    assert base64.b64decode(event["path_raw"]) == b"caf\xe9\n"
    assert json.loads(to_json(events.Note("\ud83d", "r")))["path_raw"] is None


@given(st.text(st.characters()))
def test_any_text_gives_one_ascii_line_without_control_characters(text: str) -> None:
    line = to_json(events.Note(text, text))
    assert line.isascii()
    assert line.isprintable()
    event = json.loads(line)
    if "path_raw" not in event:
        assert event["path"] == text
    event["path"].encode()


def test_a_number_that_is_none_is_null() -> None:
    event = json.loads(to_json(events.Progress(1, 2, 0, 1, rate_bytes_per_s=float("inf"), eta_s=float("nan"))))
    assert event["rate_bytes_per_s"] is None
    assert event["eta_s"] is None


def test_progress_gets_rate_and_eta() -> None:
    run = Run()
    run.reporter.tell(events.Progress(0, 1000, 0, 1))
    run.reporter.tell(events.Warned("between the two"))
    run.now = 1.0
    run.reporter.tell(events.Progress(100, 1000, 0, 1))
    last = run.lines()[-1]
    assert (last["rate_bytes_per_s"], last["eta_s"]) == (100.0, 9.0)


def test_what_was_there_before_is_done_and_no_part_of_the_rate() -> None:
    run = Run()
    for now, there, moved in ((0.0, 0, 0), (0.5, 500, 0), (1.0, 500, 100), (1.5, 0, 150)):
        run.now = now
        run.reporter.tell(events.Progress(there + moved, 1000, 0, 1, bytes_resumed=there))
        run.reporter.tell(events.Warned("between two of them"))
    told = [line for line in run.lines() if line["event"] == "progress"]
    assert [(line["bytes_done"], line["bytes_resumed"]) for line in told] == [(0, 0), (500, 500), (600, 500), (150, 0)]
    assert [line["rate_bytes_per_s"] for line in told] == [0, 0, 100, 100]
    assert [line["eta_s"] for line in told] == [None, None, 4.0, 8.5]


def test_a_stall_stops_the_rate_and_what_comes_after_it_counts_anew() -> None:
    run = Run()
    for now, done, event in (
        (0.0, 0, None), (1.0, 500, None), (3.5, 500, events.Stalled(2.5, 597.5)), (3.6, 500, None),
        (9.0, 500, events.Recovered(8.0, LAN)), (9.1, 500, None), (10.1, 600, None),
    ):  # fmt: skip
        run.now = now
        run.reporter.tell(event or events.Progress(done, 1000, 0, 1))
        run.reporter.tell(events.Warned("between two of them"))
    rates = [line["rate_bytes_per_s"] for line in run.lines() if line["event"] == "progress"]
    assert rates == [0, 500, 0, 0, 100]


def test_each_receiver_has_a_rate_of_its_own() -> None:
    run = Run()
    run.reporter.tell(events.Progress(1000, 1000, 1, 1))
    run.now = 1.0
    run.reporter.tell(events.Serving(2))
    run.reporter.tell(events.Progress(0, 1000, 0, 1))
    run.now = 2.0
    run.reporter.tell(events.Progress(100, 1000, 0, 1))
    assert run.lines()[-1]["rate_bytes_per_s"] == 100


def test_what_was_tried_is_an_array_of_objects() -> None:
    failed = events.Failed("no-connection", "m", "h", 5, False, (events.Tried("stun", "stun:a", "no answer", False),))
    event = json.loads(to_json(failed))
    assert event["tried"] == [{"kind": "stun", "what": "stun:a", "outcome": "no answer", "ok": False}]


def test_a_code_that_travels_elsewhere_goes_there_too_and_questions_go_to_stderr() -> None:
    run = Run()
    with run.reporter as reporter:
        reporter.tell(events.Code("offer", "ABC", 3600.0))
        reporter.ask("Really? ")
        reporter.entered()
    assert run.codes == ["ABC"]
    assert run.lines()[0]["code"] == "ABC"
    assert run.stderr.getvalue() == "Really? "


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told is waited for until it is written, however busy the machine is."""
    monkeypatch.setattr(jsonlines, "_MOMENT_S", 40.0)


@pytest.mark.usefixtures("_patient")
def test_a_closed_pipe_is_told_once_and_leaves_nothing_to_complain_about() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        reporter = JsonLines(stdout, io.StringIO(), None)
        with pytest.raises(LocalFileError, match="standard output was closed"):
            reporter.tell(events.Warned("x"))
        reporter.tell(events.Failed("local", "m", "", 3, True))


def test_what_could_not_be_written_is_told_when_it_is_closed_at_the_latest() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        reporter = JsonLines(stdout, io.StringIO(), None)
        reporter.tell(events.File("a", events.FileStatus.DONE))
        with pytest.raises(LocalFileError, match="standard output was closed"):
            reporter.close()
        reporter.close()


def test_a_slow_reader_holds_up_nobody_and_misses_nothing_but_what_is_outdated() -> None:
    reading, writing = os.pipe()
    with open(reading) as reader, open(writing, "w") as stdout:
        reporter = JsonLines(stdout, io.StringIO(), None)
        names = [f"{number}-{'x' * 200}" for number in range(2000)]
        for name in names:
            reporter.tell(events.File(name, events.FileStatus.DONE))
        for done in range(1000):
            reporter.tell(events.Progress(done, 1000, 0, 1))
        reporter.tell(events.Warned("the last"))
        told = []
        for line in reader:
            told.append(json.loads(line))
            if told[-1]["event"] == "warning":
                break
        assert [event["path"] for event in told if event["event"] == "file"] == names
        progress = [event["bytes_done"] for event in told if event["event"] == "progress"]
        assert len(progress) <= 2, "one may have been in the hands of the thread already"
        assert progress[-1] == 999
        assert told[-1]["message"] == "the last"
        reporter.close()


def test_entries_are_listed_where_the_question_is() -> None:
    run = Run()
    run.reporter.list_entries(
        [events.ManifestLine("a\n/b", "file", 5, events.Mark.EXISTS), events.ManifestLine("c", "directory", 0)], "skip"
    )
    assert run.stderr.getvalue() == "a\\n/b  5 B, exists: left alone\nc/\n"
    assert not run.reporter.all_shown
    assert run.lines() == []


@pytest.mark.usefixtures("_patient")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_a_local_failure() -> None:
    with open("/dev/full", "w") as stdout, pytest.raises(LocalFileError, match="could not be written"):
        JsonLines(stdout, io.StringIO(), None).tell(events.Warned("x"))


def test_chosen_by_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("w") as stdout, make_reporter(
        json=True, quiet=True, verbose=False, progress=True, qr=None, role="send",
        code_to=None, stderr=io.StringIO(), stdout=stdout, color=None,
    ) as reporter:  # fmt: skip
        reporter.tell(events.Warned("x"))
    assert json.loads(path.read_text())["event"] == "warning"
