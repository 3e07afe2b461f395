"""The questions that a receiver is asked, on a real terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import CODE, REACHES_NOBODY, Ended, Processes, Running
from trees import MIB, copied, facts, make, noise

QUESTION = rb"Save 3 files \([^)]*\) into [^?]*out\? \[y/N(?:, l lists all)?\] "
EXISTING = rb"\[C\] "
END_OF_INPUT = "\x04"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    for name in ("a", "b", "c"):
        make(tmp_path / "tree" / name, name.encode())
    with Processes(tmp_path) as processes:
        yield processes


def asked(start: Processes, *options: str) -> tuple[Running, Running]:
    """A sender, and a receiver on a terminal that asks its question now."""
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "out", *options, terminal=True)
    receiver.out.wait_for(QUESTION)
    return sender, receiver


def ends(sender: Running, receiver: Running) -> tuple[Ended, Ended]:
    return sender.ended(), receiver.ended()


def declined(start: Processes, sender: Running, receiver: Running) -> None:
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (7, 7), sent.err
    assert "declined" in sent.err
    assert not (start.work / "out").exists()


def test_yes_after_the_whole_list(start: Processes) -> None:
    sender, receiver = asked(start)
    question = re.search(QUESTION, receiver.out.content)
    assert question is not None
    shown = receiver.out.content[: question.start()]
    assert shown.index(b"tree/") < shown.index(b"a ") < shown.index(b"b ") < shown.index(b"c ")
    assert not (start.work / "out" / "tree").exists(), "nothing is stored before the answer"
    receiver.type("y\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)
    assert copied(start.work / "tree", start.work / "out")


@pytest.mark.parametrize("answer", ["n\r", "\r", END_OF_INPUT], ids=["n", "Enter", "end of input"])
def test_no(start: Processes, answer: str) -> None:
    sender, receiver = asked(start)
    receiver.type(answer)
    declined(start, sender, receiver)


def test_neither_yes_nor_no_is_asked_again(start: Processes) -> None:
    sender, receiver = asked(start)
    before = len(receiver.out.content)
    receiver.type("perhaps\r")
    receiver.out.wait_for(QUESTION, start=before)
    receiver.type("YES\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)


def test_all_entries_are_listed_on_request(start: Processes) -> None:
    for number in range(1500):
        make(start.work / "many" / f"{number:04}", b"x")
    make(start.work / "out" / "many" / "1499", b"old")
    # With what follows, which is not the answer that is being typed.
    question = rb"Save 1,500 files \([^)]*\) into [^?]*out\? \[y/N, l lists all\] [^l]"
    sender = start.send("many")
    receiver = start.receive(sender.code(), "-o", "out", "--existing", "skip", terminal=True)
    asked = receiver.out.wait_for(question)
    for _ in range(2):
        receiver.type("l\r")
        again = receiver.out.wait_for(question, start=asked.end())
        shown = receiver.out.content[asked.end() : again.start()].decode().splitlines()
        entries = [f"  many/{number:04}  1 B" for number in range(1499)]
        listed = [row for row in shown if row.startswith("  many/")]
        assert listed == ["  many/", *entries, "  many/1499  1 B, exists: left alone"]
        asked = again
    receiver.type("y\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)
    assert (start.work / "out" / "many" / "1499").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("answer", "exit_code", "there"),
    [
        ("s\r", 0, {"a": b"old", "b": b"b", "c": b"c"}),
        ("n\r", 0, {"a": b"old", "a (1)": b"a", "b": b"b", "c": b"c"}),
        ("what\rp\r", 0, {"a": b"a", "b": b"b", "c": b"c"}),
        ("e\r", 3, {"a": b"old", "b": b"b", "c": b"c"}),
        ("\r", 7, {"a": b"old"}),
    ],
    ids=["skip", "rename", "replace", "resume", "cancel"],
)
def test_names_that_are_taken(start: Processes, answer: str, exit_code: int, there: dict[str, bytes]) -> None:
    make(start.work / "out" / "tree" / "a", b"old")
    sender, receiver = asked(start)
    receiver.type("y\r")
    receiver.out.wait_for(EXISTING)
    receiver.type(answer)
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (exit_code, exit_code)
    assert {path.name: path.read_bytes() for path in (start.work / "out" / "tree").iterdir()} == there


def test_yes_beforehand_leaves_the_question_about_taken_names(start: Processes) -> None:
    make(start.work / "out" / "tree" / "a", b"old")
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "out", "--yes", terminal=True)
    receiver.out.wait_for(EXISTING)
    assert b"[y/N]" not in receiver.out.content
    receiver.type("replace\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)
    assert facts(start.work / "out" / "tree") == facts(start.work / "tree")


def test_without_a_terminal_nobody_can_accept(start: Processes) -> None:
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "out", keyboard=True)
    receiver.type("y\n")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (7, 7)
    assert "--yes" in received.err
    assert "--yes" not in sent.err, "the sender cannot do anything about it"


def test_too_large(start: Processes) -> None:
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--max-size", "2")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (7, 7)
    assert "the offer has 3 B, more than the 2 B" in received.err
    assert "--max-size" in received.err
    assert not (start.work / "out").exists()


def test_a_stream_that_becomes_too_large(start: Processes) -> None:
    sender = start.send("-", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--max-size", "1M")
    sender.type(noise(2 * MIB))
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (7, 7)
    assert not (start.work / "out").exists()


def test_only_one_file_goes_to_standard_output(start: Processes) -> None:
    sender = start.send("tree")
    receiver = start.receive(sender.code(), "-o", "-")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (7, 7)
    assert received.out == b""
    assert "--output DIR" in received.err


def test_the_question_is_asked_on_the_terminal_when_standard_input_has_the_code(start: Processes) -> None:
    """echo CODE | p2pcopy receive -"""
    reader, writer = os.pipe()
    receiver = start.receive("-", "-o", "out", stdin=reader, terminal=True)
    sender = start.send("tree")
    os.write(writer, sender.code().encode() + b"\n")
    os.close(reader)
    os.close(writer)
    receiver.out.wait_for(QUESTION)
    receiver.type("y\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)


def test_the_answer_is_typed_on_the_terminal_when_standard_input_is_sent(start: Processes) -> None:
    """tar c tree | p2pcopy send -"""
    reader, writer = os.pipe()
    sender = start.send("-", stdin=reader, terminal=True)
    os.write(writer, b"content")
    os.close(reader)
    os.close(writer)
    receiver = start.receive(sender.code(), "-o", "-", before=REACHES_NOBODY)
    sender.type(receiver.err.wait_for(CODE)[1] + b"\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)
    assert received.out == b"content"


def test_questions_go_to_standard_error_when_events_go_to_standard_output(start: Processes) -> None:
    sender, receiver = asked(start, "--json")
    receiver.type("y\r")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (0, 0)


def test_ctrl_c_at_the_question(start: Processes) -> None:
    sender, receiver = asked(start)
    receiver.type("\x03")
    sent, received = ends(sender, receiver)
    assert (sent.exit_code, received.exit_code) == (6, 130)
    assert not (start.work / "out").exists()


def test_the_sender_goes_away_while_the_receiver_is_asked(start: Processes) -> None:
    sender, receiver = asked(start)
    sender.signal(15)
    assert sender.ended().exit_code == 143
    received = receiver.ended(10)
    assert received.exit_code == 6
    assert "the other side stopped the transfer" in received.err
