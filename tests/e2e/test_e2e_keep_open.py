"""send --keep-open: one receiver after the other, each with a fresh code."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import succeeded
from processes import CODE, Ended, Processes, Running
from trees import copied, make

ENDED_IN_S = 10.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def receive(start: Processes, code: str, number: int, *options: str) -> Running:
    return start.receive(code, "-o", f"out {number}", "-y", *options)


def names(ended: Ended) -> list[str]:
    """Of the events, without those of which there may be any number, at any time."""
    often = ("progress", "waiting", "note", "connecting", "data_path", "stalled", "back", "path")
    return [each["event"] for each in ended.events if each["event"] not in often]


def test_two_receivers_one_after_the_other(start: Processes) -> None:
    sender = start.send("file", "--keep-open", "--json")
    for number in range(2):
        succeeded(receive(start, sender.code(number), number))
        assert copied(start.work / "file", start.work / f"out {number}")
    third = sender.code(2)
    sender.signal(signal.SIGINT)
    ended = sender.ended(ENDED_IN_S)
    assert ended.exit_code == 0, ended.err
    story = ["receiver", "code", "connected", "manifest", "file", "done"]
    assert names(ended) == [*story, *story, "receiver", "code", "served"]
    assert [each["number"] for each in ended.events if each["event"] == "receiver"] == [1, 2, 3]
    told = ended.told("served")
    assert (told["receivers_served"], told["receivers_failed"]) == (2, 0)
    codes = {each["code"] for each in ended.events if each["event"] == "code"}
    assert len(codes) == 3
    assert third in codes


def test_a_receiver_that_fails_does_not_end_it(start: Processes) -> None:
    sender = start.send("file", "--keep-open", keyboard=True)
    declining = receive(start, sender.code(), 0, "--max-size", "1")
    assert declining.ended().exit_code == 7
    receiver = receive(start, sender.code(1), 1)
    succeeded(receiver)
    sender.code(2)
    sender.signal(signal.SIGINT)
    ended = sender.ended(ENDED_IN_S)
    assert ended.exit_code == 0, ended.err
    assert "served: Served 1 receiver, 1 failed" in ended.err


def test_a_code_of_one_receiver_is_of_no_use_for_the_next(start: Processes) -> None:
    sender = start.send("file", "--keep-open")
    first = sender.code()
    succeeded(receive(start, first, 0))
    sender.code(1)
    ended = receive(start, first, 1, "--wait", "2s").ended()
    assert ended.exit_code in (4, 5), ended.err
    assert not (start.work / "out 1" / "file").exists()


def test_nobody_came_at_all(start: Processes) -> None:
    sender = start.send("file", "--keep-open", "--wait", "1s").ended()
    assert sender.exit_code == 5
    waiting = start.send("file", "--keep-open", keyboard=True)
    waiting.code()
    waiting.signal(signal.SIGINT)
    assert waiting.ended(ENDED_IN_S).exit_code == 130


def test_it_ends_well_when_nobody_else_comes(start: Processes) -> None:
    sender = start.send("file", "--keep-open", "--wait", "8s")
    succeeded(receive(start, sender.code(), 0))
    ended = sender.ended()
    assert ended.exit_code == 0, ended.err
    assert len(re.findall(CODE, ended.out, re.MULTILINE)) == 2


def test_a_signal_during_a_transfer_ends_it(start: Processes) -> None:
    sender = start.send("file", "--keep-open")
    receiver = start.receive(sender.code(), "-o", "out", terminal=True)
    receiver.out.wait_for(rb"\[y/N\] ")
    sender.signal(signal.SIGINT)
    assert sender.ended(ENDED_IN_S).exit_code == 130
    assert receiver.ended(ENDED_IN_S).exit_code == 6
