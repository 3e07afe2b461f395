"""More than the code alone: both codes needed (--two-way), and a number that people compare (--confirm)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import CONNECTED, succeeded
from processes import CODE, Processes, Running
from trees import copied, make

from p2pcopy.signaling import code

COMPARE = rb"Does the other side show (\d{4} \d{4} \d{4})\? \[y/N\] "
TOLD = rb"^verification: (\d{4} \d{4} \d{4})"
TOLD_JSON = rb'"event": "verification"[^\n]*"number": "([^"]*)", "asked": false'
NOT_YET_S = 1.0
END_OF_INPUT = "\x04"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def arrived(start: Processes) -> bool:
    return copied(start.work / "file", start.work / "out")


def is_not_connected(*processes: Running) -> None:
    """After a while in which it would have come about."""
    with pytest.raises(AssertionError, match="passed before"):
        processes[0].out.wait_for(CONNECTED, timeout=NOT_YET_S)
    assert not [each for each in processes if re.search(CONNECTED, each.out.content)]


# --two-way


def test_two_way_needs_the_answer_even_in_one_network(start: Processes) -> None:
    sender = start.send("file", "--two-way", "--json", keyboard=True)
    assert "only with the help of the answer" in start.start("code", sender.code()).ended().out.decode()
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json")
    answer = receiver.code()
    is_not_connected(sender, receiver)
    sender.type(answer + "\n")
    succeeded(sender, receiver)
    assert arrived(start)


def test_two_way_when_the_receiver_starts_and_both_ask_for_it(start: Processes) -> None:
    receiver = start.receive("-o", "out", "-y", "--two-way", keyboard=True)
    sender = start.send("file", "--two-way", "--to", receiver.code(), keyboard=True)
    receiver.type(sender.code() + "\n")
    succeeded(sender, receiver)
    assert arrived(start)


def test_two_way_lets_in_nobody_but_the_one_whose_answer_was_pasted(start: Processes) -> None:
    sender = start.send("file", "--two-way", "--json", keyboard=True)
    eager = start.receive(sender.code(), "-o", "eager", "-y", "--json")
    eager.code()
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json")
    answer = receiver.code()
    is_not_connected(eager, receiver, sender)
    sender.type(answer + "\n")
    succeeded(sender, receiver)
    assert arrived(start)
    assert not (start.work / "eager" / "file").exists()
    assert eager.runs() or eager.ended().exit_code == 4


def test_two_way_takes_no_answer_without_a_key(start: Processes) -> None:
    sender = start.send("file", "--two-way", terminal=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y")
    answer, offer = code.parse_any(receiver.code()), code.parse_any(sender.code())
    assert isinstance(answer, code.Answer)
    assert isinstance(offer, code.Offer)
    assert len(answer.pin) == 16
    without = code.to_text(code.encode_answer(code.Answer(answer.candidates), offer.secret))
    sender.type(without + "\r")
    sender.out.wait_for(b"warning: [^\n]*--two-way")
    sender.type(receiver.code() + "\r")
    succeeded(sender, receiver)


def test_two_way_wished_by_the_wrong_side_only(start: Processes) -> None:
    ended = start.receive(start.send("file").code(), "-o", "out", "-y", "--two-way").ended()
    assert ended.exit_code == 4
    assert "made without --two-way" in ended.err


# --confirm


def both_asked(start: Processes) -> tuple[Running, Running]:
    sender = start.send("file", "--confirm", terminal=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--confirm", terminal=True)
    assert sender.out.wait_for(COMPARE)[1] == receiver.out.wait_for(COMPARE)[1]
    return sender, receiver


def test_both_people_compare(start: Processes) -> None:
    sender, receiver = both_asked(start)
    receiver.type("y\r")
    with pytest.raises(AssertionError, match="passed before"):
        receiver.out.wait_for(b"Received", timeout=NOT_YET_S)
    assert not list((start.work / "out").glob("*")), "one yes is not enough"
    sender.type("perhaps\ryes\r")
    succeeded(sender, receiver)
    assert arrived(start)


@pytest.mark.parametrize(
    ("side", "answer"),
    [(0, "n\r"), (1, "\r"), (1, END_OF_INPUT)],
    ids=["sender, n", "receiver, Enter", "receiver, end of input"],
)
def test_one_of_them_says_no(start: Processes, side: int, answer: str) -> None:
    both = both_asked(start)
    both[side].type(answer)
    ends = [each.ended() for each in both]
    assert [each.exit_code for each in ends] == [7, 7]
    assert "not confirmed" in ends[side].err
    assert "the other side declined" in ends[1 - side].err
    for ended in ends:  # the other side has ended, and nobody should trust this code any more
        assert "a fresh code in another way" in " ".join(ended.err.split())
        assert "with the same code" not in " ".join(ended.err.split())
    assert not (start.work / "out" / "file").exists()


@pytest.mark.parametrize(("sender_asks", "answer"), [(True, "y"), (False, "n")], ids=["sender, y", "receiver, n"])
def test_only_one_side_asks_and_the_other_is_told_the_number(start: Processes, sender_asks: bool, answer: str) -> None:
    ours, theirs = (("--confirm",), ()) if sender_asks else (("--json",), ("--confirm",))
    sender = start.send("file", *ours, terminal=sender_asks)
    receiver = start.receive(sender.code(), "-o", "out", "-y", *theirs, terminal=not sender_asks)
    asking, other = (sender, receiver) if sender_asks else (receiver, sender)
    told = other.err.wait_for(TOLD) if sender_asks else other.out.wait_for(TOLD_JSON)
    assert told[1] == asking.out.wait_for(COMPARE)[1]
    assert not (start.work / "out" / "file").exists()
    asking.type(answer + "\r")
    ends = [asking.ended(), other.ended()]
    assert [each.exit_code for each in ends] == ([0, 0] if answer == "y" else [7, 7])
    assert (start.work / "out" / "file").exists() == (answer == "y")


def test_without_a_terminal_nobody_can_compare(start: Processes) -> None:
    ended = start.send("file", "--confirm", keyboard=True).ended()
    assert ended.exit_code == 2
    assert "there is no terminal" in ended.err
    assert not re.search(CODE, ended.out)


def test_one_leaves_while_the_other_compares(start: Processes) -> None:
    sender, receiver = both_asked(start)
    sender.type("\x03")
    assert sender.ended().exit_code == 130
    ended = receiver.ended(10)
    assert ended.exit_code == 6, ended.err
