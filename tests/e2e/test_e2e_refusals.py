"""Bad input: a message, a hint and an exit code, and everything stays as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import REACHES_NOBODY, Ended, Processes
from trees import MIB, Facts, facts, leftovers, make, noise

OTHER_VERSION = "from p2pcopy.transfer import wire\nwire.PROTOCOL_VERSION += 1\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


@pytest.fixture(scope="module")
def offer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The code of a sender that waits as long as the tests run."""
    work = tmp_path_factory.mktemp("offer")
    make(work / "file", b"content")
    with Processes(work) as start:
        yield start.send("file").code()


def untouched(work: Path) -> dict[bytes, Facts]:
    return facts(work, directory_times=False)


def failed(ended: Ended, exit_code: int, *words: str) -> None:
    """It ended like this, with one error that holds these words, and a hint."""
    assert ended.exit_code == exit_code, ended.err
    lines = [line for line in ended.err.splitlines() if not line.startswith("tried: ")]
    assert [line for line in lines if line.startswith("error: ")] == [line for line in lines if "error" in line], lines
    assert lines[-2].startswith("error: "), lines
    assert lines[-1].startswith("hint: "), lines
    for word in words:
        assert word in ended.err, ended.err


# What is to be sent


def test_no_path(start: Processes) -> None:
    assert start.start("send").ended().exit_code == 2
    assert start.send("--wait", "1s").ended().exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "word"),
    [
        (["missing"], 3, '"missing" does not exist'),
        (["file", "missing/below"], 3, '"missing/below" does not exist'),
        (["file", "./file"], 2, '"./file" is given twice'),
        (["file", "directory/file"], 2, "would both arrive as"),
        (["file/"], 3, "file/"),
        (["directory", "--name", "x"], 2, "standard input"),
        (["-", "--name", "a/b"], 2, "a/b"),
        (["-", "-"], 2, "twice"),
        (["/"], 2, "no name of its own"),
        (["pipe"], 2, "a named pipe"),
        (["file", "--exclude", "[z-a]"], 2, "pattern"),
    ],
)
def test_arguments_that_make_no_sense(start: Processes, arguments: list[str], exit_code: int, word: str) -> None:
    make(start.work / "directory" / "file", b"another")
    os.mkfifo(start.work / "pipe")
    ended = start.send(*arguments).ended()
    failed(ended, exit_code, word)
    assert ended.out == b""


def test_a_file_that_may_not_be_read(start: Processes) -> None:
    (start.work / "file").chmod(0)
    failed(start.send("file", like_anybody=True).ended(), 3, '"file" cannot be read: Permission denied')


# Where it goes


def test_the_destination_is_a_file(start: Processes, offer: str) -> None:
    before = untouched(start.work)
    failed(start.receive(offer, "-o", "file", "-y").ended(), 3, "file")
    failed(start.receive(offer, "-o", "file/below", "-y").ended(), 3, "file")
    assert untouched(start.work) == before


def test_a_destination_that_may_not_be_written(start: Processes, offer: str) -> None:
    (start.work / "out").mkdir(mode=0o555)
    failed(start.receive(offer, "-o", "out", "-y", like_anybody=True).ended(), 3, "may be written in out", "--output")
    failed(start.receive(offer, "-o", "out/deeper", "-y", like_anybody=True).ended(), 3, "out/deeper")
    assert os.listdir(start.work / "out") == []


@pytest.mark.lab
def test_a_full_destination(start: Processes) -> None:
    """Too small for what is known beforehand: refused before anything is stored. Too small for a stream: in the middle."""
    make(start.work / "large", noise(3 * MIB))
    disk = start.work / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    try:
        sender = start.send("large")
        failed(start.receive(sender.code(), "-o", "disk", "-y").ended(), 3, " free, and 3.0 MiB are needed")
        failed(sender.ended(), 3, "the other side: ", " free, and ")
        assert os.listdir(disk) == []
        with (start.work / "large").open("rb") as file:
            sender = start.send("-", "--name", "stream", stdin=file.fileno())
        failed(start.receive(sender.code(), "-o", "disk", "-y").ended(), 3, "is full")
        failed(sender.ended(), 3, "the other side: ", "is full")
        assert not (disk / "stream").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


# Codes


def test_bad_codes(start: Processes, offer: str) -> None:
    position = len(offer) // 2
    typo = offer[:position] + ("2" if offer[position] != "2" else "3") + offer[position + 1 :]
    for code, words in {
        typo: "typo",
        offer[:-7]: "cut off",
        offer[:9]: "cut off",
        "Z" + offer[1:]: "version",
        "": "no code",
        "what is this?": "?",
    }.items():
        ended = start.receive(code, "-o", "out", "-y").ended()
        failed(ended, 4, words)
        assert ended.out == b""
    assert not (start.work / "out").exists()


def test_the_code_of_the_wrong_side(start: Processes, offer: str) -> None:
    failed(start.send("file", "--to", offer).ended(), 4, "p2pcopy receive")
    receiver = start.receive("-o", "out")
    failed(start.receive(receiver.code(), "-o", "out").ended(), 4, "p2pcopy send")


def test_an_answer_where_an_offer_is_needed(start: Processes) -> None:
    sender = start.send("file", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", before=REACHES_NOBODY)
    failed(start.receive(receiver.code(), "-o", "out", "-y").ended(), 4, "answer")


def test_an_expired_code(start: Processes) -> None:
    sender = start.send("file", "--wait", "1s", before=EARLIER)
    failed(start.receive(sender.code(), "-o", "out", "-y").ended(), 4, "expired")
    failed(sender.ended(), 5, "within 1 s")


# A clock that is two hours slow.
EARLIER = "import time\nthen = time.time\ntime.time = lambda: then() - 7200\n"


def test_no_code_comes(start: Processes) -> None:
    failed(start.receive("-", "-o", "out").ended(), 4, "no code came")
    failed(start.receive("@missing", "-o", "out").ended(), 3, "missing")
    failed(start.receive("fd:77", "-o", "out").ended(), 2, "not open")


@pytest.mark.parametrize(
    ("answer", "words"), [("own", "own"), ("offer", "offer"), ("28RFT0000", "cut off"), ("!", "!")]
)
def test_bad_answers(start: Processes, offer: str, answer: str, words: str) -> None:
    sender = start.send("file", keyboard=True)
    own = sender.code()
    sender.type({"own": own, "offer": offer}.get(answer, answer) + "\n")
    failed(sender.ended(), 4, words)


def test_the_answer_to_another_offer(start: Processes, offer: str) -> None:
    sender = start.send("file", keyboard=True)
    sender.code()
    stray = start.receive(offer, "-o", "out", before=REACHES_NOBODY)
    sender.type(stray.code() + "\n")
    failed(sender.ended(), 4, "another code than the one shown here")


# Nobody there


def test_nobody_comes(start: Processes) -> None:
    ended = start.send("file", "--wait", "1s").ended()
    failed(ended, 5, "within 1 s")
    assert len(ended.codes) == 1


def test_nobody_answers_the_code(start: Processes) -> None:
    sender = start.send("file", "--wait", "10m", before=REACHES_NOBODY)
    code = sender.code()
    sender.kill()
    failed(start.receive(code, "-o", "out", "-y", "--wait", "1s").ended(), 5, "within 1 s")
    assert not (start.work / "out").exists()


def test_another_version_of_the_protocol(start: Processes) -> None:
    for older, newer in (("sender", "receiver"), ("receiver", "sender")):
        before = {older: "", newer: OTHER_VERSION}
        sender = start.send("file", before=before["sender"])
        receiver = start.receive(sender.code(), "-o", "out", "-y", before=before["receiver"])
        failed(sender.ended(), 9, "version")
        failed(receiver.ended(), 9, "version")
    assert not (start.work / "out").exists()


def test_both_sides_send(start: Processes) -> None:
    """A code says who made it, so this takes a side that lies."""
    lies = "from p2pcopy.signaling import code\nreal = code.parse_offer\n"
    lies += "code.parse_offer = lambda text, now_s, expecting: real(text, now_s=now_s, expecting=code.Starter.SENDER)\n"
    first = start.send("file")
    second = start.send("file", "--to", first.code(), before=lies)
    failed(first.ended(), 9, "both sides send")
    failed(second.ended(), 9, "both sides send")


# Settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--wait", "soon"], "'soon' is not a duration"),
        (["--wait", "0"], "'0' is not a duration"),
        (["--stun", "stun:x"], "exclude each other"),
        (["--turn", "http://example.org", "--turn-user", "u"], "user name and a password"),
        (["--turn", "turn:example.org"], "user name and a password"),
        (["--relay", "only"], "needs a TURN server"),
        (["--quiet", "--verbose"], "exclude each other"),
        (["--answer", "somewhere"], "not a place to read an answer from"),
        (["--answer-to", "somewhere"], "not a place to write a code to"),
        (["--answer-to", "@"], "@"),
    ],
)
def test_settings_that_make_no_sense(start: Processes, arguments: list[str], words: str) -> None:
    failed(start.send("file", *arguments).ended(), 2, words)


def test_standard_input_cannot_be_two_things(start: Processes) -> None:
    failed(start.send("-", "--to", "-").ended(), 2, "at once")
    failed(start.send("-", "--answer", "-").ended(), 2, "at once")


def test_bad_turn_urls(start: Processes) -> None:
    secret = {"P2PCOPY_TURN_PASSWORD": "secret", "P2PCOPY_TURN_USER": "user"}
    for url in ("http://example.org", "turn:", "turn:host:port", "turn:host:99999", "turn:host?transport=sctp"):
        ended = start.send("file", "--turn", url, environment=secret).ended()
        failed(ended, 2, url)
        assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("wiat = '1h'", "'wait'"),
        ("wait = 5", "has to be text"),
        ("wait = ", "cannot be used"),
        ("relay = 'sometimes'", "is no choice"),
        ("wait = 'soon'", "'soon' is not a duration"),
        (b"\xff\xfe", "cannot be used"),
    ],
)
def test_bad_config_files(start: Processes, content: str | bytes, words: str) -> None:
    config = start.work / "config.toml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    failed(start.send("file", environment={"P2PCOPY_CONFIG": str(config)}).ended(), 2, words)


def test_settings_of_the_config_file_count(start: Processes) -> None:
    config, environment = start.work / "config.toml", {"P2PCOPY_CONFIG": "config.toml"}
    config.write_text('wait = "1s"\n')
    failed(start.send("file", environment=environment).ended(), 5, "within 1 s")
    config.write_text('output = "from the file"\n')
    sender = start.send("file")
    receiver = start.receive(sender.code(), "-y", environment=environment)
    assert (sender.ended().exit_code, receiver.ended().exit_code) == (0, 0)
    assert (start.work / "from the file" / "file").exists()
    assert not leftovers(start.work)
