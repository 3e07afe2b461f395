"""The ways that codes travel between two processes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import CODE, REACHES_NOBODY, Processes, Running, wait_until
from trees import copied, make


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def arrived(work: Path) -> bool:
    return copied(work / "file", work / "out")


def ends_well(*processes: Running) -> None:
    for process in processes:
        ended = process.ended()
        assert ended.exit_code == 0, ended.err


# The offer


def test_the_code_comes_from_standard_input(start: Processes) -> None:
    sender = start.send("file")
    receiver = start.receive("-", "-o", "out", "-y", keyboard=True)
    code = sender.code()
    receiver.type(f"\n  {code[:20].lower()}-{code[20:]} \r\n")
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_a_code_that_was_broken_over_lines(start: Processes) -> None:
    sender = start.send("file")
    receiver = start.receive("-", "-o", "out", "-y", keyboard=True)
    code = sender.code()
    receiver.type(f"{code[:30]}\n{code[30:60]}\n{code[60:]}\n")
    ends_well(sender, receiver)


def test_the_code_comes_from_a_file(start: Processes) -> None:
    sender = start.send("file", "--answer-to", "@code.txt")
    wait_until((start.work / "code.txt").exists, "the file with the code")
    receiver = start.receive("@code.txt", "-o", "out", "-y")
    ends_well(sender, receiver)
    assert sender.out.content == b"", "the code went elsewhere"
    assert (start.work / "code.txt").stat().st_mode & 0o777 == 0o600
    assert arrived(start.work)


def test_the_code_comes_from_a_picture(start: Processes) -> None:
    sender = start.send("file", "--qr-file", "code.png")
    code = sender.code()
    wait_until((start.work / "code.png").exists, "the picture")
    receiver = start.receive("code.png", "-o", "out", "-y")
    ends_well(sender, receiver)
    explained = start.start("code", "code.png").ended()
    assert explained.exit_code == 0
    assert "sender's code" in explained.out.decode()
    assert start.start("code", code).ended().out == explained.out


# A receiver that starts


@pytest.mark.parametrize("way", ["argument", "-", "@code.txt"])
def test_the_receiver_starts(start: Processes, way: str) -> None:
    receiver = start.receive("-o", "out", "-y")
    code = receiver.code()
    (start.work / "code.txt").write_text(code + "\n")
    sender = start.send("file", "--to", code if way == "argument" else way, keyboard=True)
    if way == "-":
        sender.type(code + "\n")
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_standard_input_is_sent_to_a_receiver_that_started(start: Processes) -> None:
    receiver = start.receive("-o", "-")
    code = receiver.err.wait_for(CODE)[1].decode()
    sender = start.send("-", "--to", code, keyboard=True)
    sender.type(b"some bytes")
    sender.close_input()
    ends_well(sender, receiver)
    assert receiver.out.content == b"some bytes"


# The answer, which is needed where one side cannot reach the other


def test_an_answer_on_standard_input(start: Processes) -> None:
    sender = start.send("file", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", before=REACHES_NOBODY)
    sender.type(receiver.code() + "\n")
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_the_same_answer_twice_and_then_the_end_of_input(start: Processes) -> None:
    receiver = start.receive("-o", "out", "-y", keyboard=True)
    sender = start.send("file", "--to", receiver.code(), before=REACHES_NOBODY)
    receiver.type(f"{sender.code()}\n\n{sender.code()}\n")
    receiver.close_input()
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_the_answer_through_a_named_pipe(start: Processes) -> None:
    os.mkfifo(start.work / "pipe")
    sender = start.send("file", "--answer", "@pipe")
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--answer-to", "@pipe", before=REACHES_NOBODY)
    ends_well(sender, receiver)
    assert receiver.out.content == b""


def test_the_answer_through_descriptors(start: Processes, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sender = start.send("file", "--answer", f"fd:{reader}", pass_fds=[reader])
    receiver = start.receive(
        sender.code(), "-o", "out", "-y", "--answer-to", f"fd:{writer}", pass_fds=[writer], before=REACHES_NOBODY
    )
    ends_well(sender, receiver)


def test_bytes_to_standard_output_and_the_answer_to_standard_error(start: Processes) -> None:
    sender = start.send("file", keyboard=True)
    receiver = start.receive(sender.code(), "--output", "-", before=REACHES_NOBODY)
    sender.type(receiver.err.wait_for(CODE)[1] + b"\n")
    ends_well(sender, receiver)
    assert receiver.out.content == b"content"


def test_two_processes_whose_outputs_are_the_inputs_of_each_other(start: Processes) -> None:
    """As with a coproc, or: mkfifo back; p2pcopy send FILE <back | p2pcopy receive - >back."""
    (there, write_there), (back, write_back) = os.pipe(), os.pipe()
    with closing_all(there, write_there, back, write_back):
        sender = start.send("file", stdin=back, stdout=write_there)
        receiver = start.receive("-", "-o", "out", "-y", stdin=there, stdout=write_back, before=REACHES_NOBODY)
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_two_people_with_a_terminal_each(start: Processes) -> None:
    sender = start.send("file", terminal=True)
    receiver = start.receive(sender.code(), "-o", "out", terminal=True, before=REACHES_NOBODY)
    answer = receiver.code()
    sender.type(answer.replace(answer[9], "7" if answer[9] != "7" else "8", 1) + "\r")
    sender.out.wait_for(b"warning: ")
    assert sender.runs(), "who mistypes may try again"
    sender.type(f"{answer[:10]} {answer[10:]}\r")
    receiver.out.wait_for(rb"\[y/N\]")
    receiver.type("y\r")
    ends_well(sender, receiver)
    assert arrived(start.work)


# The answer is shown when the connection has not come up by itself for a while, and a busy machine takes its time.
SHOWS_THE_ANSWER_LATE = "from p2pcopy import meeting\nmeeting._ANSWER_AFTER_S = 60.0\n"


def test_on_terminals_the_answer_is_not_shown_when_it_is_not_needed(start: Processes) -> None:
    sender = start.send("file", terminal=True)
    code = sender.code()
    receiver = start.receive(code, "-o", "out", "-y", terminal=True, before=SHOWS_THE_ANSWER_LATE)
    ends_well(sender, receiver)
    assert not re.search(CODE, receiver.out.content, re.MULTILINE)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    with closing_all(reader, writer):
        yield reader, writer


@contextmanager
def closing_all(*descriptors: int) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
