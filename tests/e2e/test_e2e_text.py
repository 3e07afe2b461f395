"""A text instead of files: shown safely, stored only where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Processes, Running

TEXT = "hello \x1b[2J\u202eworld\nC:\\temp\tü\n"
SHOWN = "hello \\x1b[2J\\u202eworld"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def ends_well(*processes: Running) -> None:
    for process in processes:
        ended = process.ended()
        assert ended.exit_code == 0, ended.err


def test_a_text_is_shown_and_not_stored(start: Processes) -> None:
    """Nobody is asked, since nothing is stored; codes alone stand on standard output."""
    sender = start.send("--text", TEXT)
    receiver = start.receive(sender.code())
    ends_well(sender, receiver)
    assert f"text: {SHOWN}\ntext: C:\\temp ü\ndone: " in receiver.err.content.decode()
    assert len(receiver.out.content.split()) == 1
    assert "manifest" not in receiver.err.content.decode()
    assert not list(start.work.glob("*"))


def test_on_a_terminal(start: Processes) -> None:
    sender = start.send("--text", TEXT)
    receiver = start.receive(sender.code(), terminal=True)
    ends_well(sender, receiver)
    shown = receiver.out.content.decode().replace("\x1b[K", "").replace("\r", "")
    assert f"Text from the other side:\n  {SHOWN}\n  C:\\temp ü\n" in shown


def test_for_programs(start: Processes) -> None:
    sender = start.send("--text", TEXT)
    ended = start.receive(sender.code(), "--json").ended()
    assert ended.told("text")["text"] == TEXT
    ends_well(sender)


def test_exactly_as_it_is_to_standard_output(start: Processes) -> None:
    """And with --text - it stands in no argument."""
    sender = start.send("--text", "-", keyboard=True)
    sender.type(TEXT)
    sender.close_input()
    receiver = start.receive(sender.code(), "--output", "-")
    ends_well(sender, receiver)
    assert receiver.out.content.decode() == TEXT


def test_as_a_file_where_the_user_names_a_place(start: Processes) -> None:
    sender = start.send("--text", TEXT, "-q")
    receiver = start.receive(sender.code(), "--output", "out", "--yes", "-q")
    ends_well(sender, receiver)
    assert (start.work / "out" / "text.txt").read_text() == TEXT


def test_quiet_shows_the_text_alone(start: Processes) -> None:
    sender = start.send("--text", "secret")
    receiver = start.receive(sender.code(), "-q")
    ends_well(sender, receiver)
    assert receiver.err.content == b"text: secret\n"


def test_a_text_is_short(start: Processes) -> None:
    sender = start.send("--text", "-", keyboard=True)
    receiver = start.receive(sender.code())
    sender.type("x" * 65000)
    sender.type("x" * 2000)
    sender.close_input()
    for process in (sender, receiver):
        ended = process.ended()
        assert ended.exit_code == 7
        assert "longer than 64 KiB" in ended.err


def test_a_dry_run(start: Processes) -> None:
    sender = start.send("--text", "x")
    receiver = start.receive(sender.code(), "--dry-run")
    assert receiver.ended().exit_code == 0
    assert sender.ended().exit_code == 7
    assert b"manifest: 1 file" in receiver.err.content
    assert b"text: " not in receiver.err.content
