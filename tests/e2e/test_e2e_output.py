"""What scripts build on: which stream carries what, and JSON lines."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Ended, Processes, Stream
from trees import MIB, copied, make, noise

# A queue and a patience that are soon used up.
HASTY = """
from p2pcopy import stories
from p2pcopy.config import TransferLimits
from p2pcopy.ui import backlog
stories._LIMITS = TransferLimits(ping_s=1.0, silence_s=8.0)
backlog.FULL = 65536
"""
SILENCE_S = 11.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "tree" / "file", noise(2 * MIB))
    make(tmp_path / "tree" / "caf\udce9", b"a name that is not Unicode")
    with Processes(tmp_path) as processes:
        yield processes


def transfer(start: Processes, *options: str) -> tuple[Ended, Ended]:
    sender = start.send("tree", *options)
    receiver = start.receive(sender.code(), "-o", "out", "-y", *options)
    ends = sender.ended(), receiver.ended()
    assert [end.exit_code for end in ends] == [0, 0], ends
    assert copied(start.work / "tree", start.work / "out")
    return ends


def test_standard_output_has_the_code_alone(start: Processes) -> None:
    sent, received = transfer(start)
    assert re.fullmatch(rb"[0-9A-Z]{60,}\n", sent.out)
    assert re.fullmatch(rb"([0-9A-Z]{12,}\n)?", received.out)
    for words in ("connected: ", "manifest: 2 files", "done: Sent 2 files", "path: "):
        assert words in sent.err
    for words in ("connected: ", "manifest: 2 files", "done: Received 2 files", "entry: "):
        assert words in received.err
    assert "\x1b" not in sent.err + received.err


def test_quiet_says_nothing_but_the_code(start: Processes) -> None:
    sent, received = transfer(start, "--quiet")
    assert (sent.err, received.err) == ("", "")
    assert len(sent.codes) == 1


def test_json_lines_tell_the_whole_story_on_both_sides(start: Processes) -> None:
    for end in transfer(start, "--json"):
        assert end.err == ""
        assert all(event["v"] == 1 for event in end.events)
        names = [event["event"] for event in end.events]
        story = [name for name in names if name in ("connected", "manifest", "done")]
        assert story == ["connected", "manifest", "done"]
        assert "progress" in names
        manifest, done, path = end.told("manifest"), end.told("done"), end.told("connected")["path"]
        assert (manifest["files"], manifest["directories"], manifest["links"]) == (2, 1, 0)
        assert manifest["bytes"] == done["bytes_done"] == 2 * MIB + 26
        assert [(entry["path"], entry["kind"], entry["bytes"]) for entry in manifest["entries"]] == [
            ("tree", "directory", 0),
            ("tree/caf\\xe9", "file", 26),
            ("tree/file", "file", 2 * MIB),
        ]
        assert manifest["entries"][1]["path_raw"] == "dHJlZS9jYWbp"
        assert (done["ok"], done["files_done"], done["files_skipped"], done["files_failed"]) == (True, 2, 0, 0)
        assert path["kind"] == "local"
        assert {path["local_type"], path["remote_type"]} <= {"host", "prflx"}
        finished = {event["path"] for event in end.events if event["event"] == "file"}
        assert finished == {"tree/file", "tree/caf\\xe9"}
        last = end.told("progress")
        assert (last["bytes_done"], last["bytes_total"], last["files_done"], last["files_total"]) == (
            2 * MIB + 26,
            2 * MIB + 26,
            2,
            2,
        )


def test_json_tells_failures_too(start: Processes) -> None:
    ended = start.send("missing", "--json").ended()
    assert ended.exit_code == 3
    assert ended.err == ""
    assert ended.events == [ended.told("error")]
    assert (ended.told("error")["error"], ended.told("error")["exit_code"]) == ("local", 3)
    assert start.receive("0", "--json").ended().told("error")["exit_code"] == 4
    assert start.receive("--wait", "soon", "--json").ended().told("error")["exit_code"] == 2


def test_verbose_names_every_file(start: Processes) -> None:
    for end in transfer(start, "--verbose"):
        assert "done: tree/file" in end.err
        assert "done: tree/caf\\xe9" in end.err


def test_nothing_to_read_the_codes(start: Processes) -> None:
    """p2pcopy send tree >&-"""
    reader, writer = os.pipe()
    os.close(reader)
    for closed, stdout in (("import os\nos.close(1)\n", None), ("", writer)):
        for ended in (
            start.send("tree", before=closed, stdout=stdout).ended(),
            start.receive(before=closed, stdout=stdout).ended(),
            start.send("tree", "--json", before=closed, stdout=stdout).ended(),
        ):
            assert ended.exit_code == 3
    os.close(writer)


@pytest.mark.parametrize("arguments", [["--version"], ["code", "28RFT0000000000000000000000052ZAG30000G2PDPQKJR"]])
def test_nothing_to_read_a_line(start: Processes, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = start.start(*arguments, stdout=full.fileno()).ended()
    assert ended.exit_code == 3
    assert "standard output cannot be written" in ended.err


def test_closed_standard_streams_that_are_not_needed(start: Processes) -> None:
    sender = start.send("tree", before="import os\nos.close(0)\n")
    receiver = start.receive(sender.code(), "-o", "out", "-y", before="import os\nos.close(0)\nos.close(2)\n")
    assert (sender.ended().exit_code, receiver.ended().exit_code) == (0, 0)
    assert copied(start.work / "tree", start.work / "out")


def test_nobody_reads_the_events_any_more(start: Processes) -> None:
    """What is sent has no end, so that there is more to tell."""
    reader, writer = os.pipe()
    sender = start.send("-", "--name", "stream", "--json", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", stdout=writer)
    os.close(writer)
    with open(reader, "rb") as events:
        assert any(b'"event": "connected"' in line for line in events)
    assert receiver.ended().exit_code == 3
    assert sender.ended().exit_code == 3
    assert not (start.work / "out" / "stream").exists()


def test_a_reader_that_takes_nothing_for_a_while_holds_up_nobody(start: Processes) -> None:
    """Longer than the other side waits for a word of this one."""
    for number in range(1500):
        make(start.work / "tree" / "many" / f"{number:05} {'long ' * 10}", b"x")
    reader, writer = os.pipe()
    sender = start.send("tree", "--json", before=HASTY)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", stdout=writer, before=HASTY)
    os.close(writer)
    time.sleep(SILENCE_S)
    assert sender.runs(), "more events than the queue holds keep the transfer waiting"
    assert receiver.runs()
    told = [json.loads(line) for line in Stream(reader).everything().splitlines()]
    sent, received = sender.ended(), receiver.ended()
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert sum(event["event"] == "file" for event in told) == 1502
    assert (told[-1]["event"], told[-1]["ok"]) == ("done", True)
    assert sent.told("done")["ok"]
    assert copied(start.work / "tree", start.work / "out")


def test_nobody_reads_the_bytes_any_more(start: Processes) -> None:
    reader, writer = os.pipe()
    make(start.work / "large", noise(8 * MIB))
    sender = start.send("large")
    receiver = start.receive(sender.code(), "-o", "-", stdout=writer)
    os.close(writer)
    assert os.read(reader, 1000) == noise(8 * MIB)[:1000]
    os.close(reader)
    received, sent = receiver.ended(), sender.ended()
    assert (received.exit_code, sent.exit_code) == (3, 3)
    assert "tandard output was closed" in received.err
    assert "the other side: " in sent.err
