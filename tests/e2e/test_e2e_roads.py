"""Codes by other roads between two processes: a command, the clipboard, the environment, pictures."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import REACHES_NOBODY, Processes, Running, wait_until
from trees import copied, make

from p2pcopy.signaling.pictures import read_picture

RUN = "from p2pcopy.cli import main\nmain()\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content" * 1000)
    with Processes(tmp_path) as processes:
        yield processes


def command(*arguments: str, before: str = "") -> str:
    """What stands for `ssh host p2pcopy ...`."""
    return shlex.join([sys.executable, "-c", before + RUN, *arguments])


def ends_well(*processes: Running) -> None:
    for process in processes:
        ended = process.ended()
        assert ended.exit_code == 0, ended.err


def arrived(work: Path) -> bool:
    return copied(work / "file", work / "out")


# --via


@pytest.mark.parametrize("needs_the_answer", [False, True])
def test_a_command_receives_what_we_send(needs_the_answer: bool, start: Processes) -> None:
    before = REACHES_NOBODY if needs_the_answer else ""
    there = command("receive", "-", "--no-stun", "--output", "out", "--yes", before=before)
    sender = start.send("file", "--via", there)
    ended = sender.ended()
    assert ended.exit_code == 0, ended.err
    assert ended.out == b"", "the code went to the command alone"
    assert "via: done: Received 1 file" in ended.err
    assert arrived(start.work)


def test_a_command_sends_what_we_receive(start: Processes) -> None:
    ends_well(start.receive("-o", "out", "-y", "--via", command("send", "--no-stun", "--to", "-", "file")))
    assert arrived(start.work)


def test_a_stream_through_a_command(start: Processes) -> None:
    receiver = start.receive("-o", "-", "--via", command("send", "--no-stun", "-q", "--to", "-", "file"))
    ends_well(receiver)
    assert receiver.out.content == (start.work / "file").read_bytes()


def test_events_with_a_command(start: Processes) -> None:
    there = command("receive", "-", "--no-stun", "--output", "out", "--yes", before=REACHES_NOBODY)
    ended = start.send("file", "--json", "--via", there).ended()
    assert ended.exit_code == 0
    assert ended.told("done")["ok"]
    assert any("Received 1 file" in each["line"] for each in ended.events if each["event"] == "via")


def test_on_a_terminal_its_words_stand_above_the_progress(start: Processes) -> None:
    there = command("receive", "-", "--no-stun", "--output", "out", "--yes")
    sender = start.send("file", "--via", f"printf 'hello \\033[2J\\n' >&2; {there}", terminal=True)
    sender.out.wait_for(rb"via: \S*hello \\x1b\[2J")
    ends_well(sender)


def test_a_command_that_fails(start: Processes) -> None:
    ended = start.send("file", "--json", "--via", "echo Permission denied >&2; exit 255").ended()
    assert ended.exit_code == 4
    failed = ended.told("error")
    assert failed["error"] == "via"
    assert "exit status 255" in failed["message"]
    assert "Permission denied" in failed["message"]


@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_ends_both(terminal: bool, start: Processes) -> None:
    sender = start.send("file", "--via", "echo $$ > pid; echo started >&2; exec sleep 60", terminal=terminal)
    sender.err.wait_for(rb"started")
    if terminal:
        sender.type(b"\x03")
    else:
        sender.signal(signal.SIGINT)
    assert sender.ended().exit_code == 130
    pid = int((start.work / "pid").read_text())
    wait_until(lambda: not Path(f"/proc/{pid}/cmdline").is_file() or not _words(pid), "the end of the command")


def _words(pid: int) -> bytes:
    """Of its command line; nothing for a process that has ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# The environment, pictures


def test_a_code_from_the_environment(start: Processes) -> None:
    sender = start.send("file")
    receiver = start.receive("env:CODE", "-o", "out", "-y", environment={"CODE": sender.code()})
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_pictures_of_both_codes(start: Processes) -> None:
    sender = start.send("file", "--qr-file", "offer.png", keyboard=True)
    sender.code()
    wait_until((start.work / "offer.png").exists, "the picture of the offer")
    receiver = start.receive("@offer.png", "-o", "out", "-y", "--qr-file", "answer.png", before=REACHES_NOBODY)
    wait_until((start.work / "answer.png").exists, "the picture of the answer")
    sender.type(read_picture(start.work / "answer.png") + "\n")
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_a_camera_that_is_not_there(start: Processes) -> None:
    ended = start.receive("--scan", "--camera", "/dev/video77").ended()
    assert ended.exit_code == 3
    assert "the camera '/dev/video77' cannot be used" in ended.err
    assert "--camera" in ended.err


def test_ctrl_c_while_a_camera_is_waited_for(start: Processes) -> None:
    os.mkfifo(start.work / "camera")
    receiver = start.receive("--scan", "--camera", "camera", before="print('started', file=__import__('sys').stderr)\n")
    receiver.err.wait_for(rb"started")
    with open(start.work / "camera", "wb"):  # waits until the camera is being opened
        receiver.signal(signal.SIGINT)
        assert receiver.ended().exit_code == 130


def test_nobody_holds_a_code_up(start: Processes) -> None:
    os.mkfifo(start.work / "camera")
    ended = start.receive("--scan", "--camera", "camera", "--wait", "1s").ended()
    assert ended.exit_code == 4
    assert "no code came within 1 s" in ended.err


# The clipboard


def test_the_terminal_gets_the_code_for_its_clipboard(start: Processes) -> None:
    sender = start.send("file", "--copy", terminal=True, environment={"SSH_CONNECTION": "1 2 3 4"})
    sequence = sender.out.wait_for(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\a")
    assert base64.b64decode(sequence[1]).decode() == sender.code()
    sender.out.wait_for(rb"given to the terminal")


def test_no_clipboard_at_all(start: Processes) -> None:
    ended = start.send("file", "--copy", environment={"DISPLAY": "", "WAYLAND_DISPLAY": "", "TERM": "dumb"}).ended()
    assert ended.exit_code == 2
    assert "cannot be copied" in ended.err
    assert "Leave out --copy" in ended.err


@pytest.fixture
def display(tmp_path: Path) -> Iterator[str]:
    """A display without a screen."""
    if shutil.which("Xvfb") is None and not os.environ.get("CI"):
        pytest.skip("Xvfb is needed for a clipboard without a screen")
    reader, writer = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "64x64x8", "-nolisten", "tcp", "-noreset"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writer)
        with open(reader, encoding="ascii") as number:
            yield f":{number.readline().strip()}"
        server.terminate()


def test_copied_on_one_side_and_pasted_on_the_other(display: str, start: Processes) -> None:
    sender = start.send("file", "--copy", "--json", environment={"DISPLAY": display, "TERM": "dumb"})
    sender.out.wait_for(rb'"event": "copied", "v": 1, "certain": true')
    receiver = start.receive("--paste", "-o", "out", "-y", environment={"DISPLAY": display})
    ends_well(sender, receiver)
    assert arrived(start.work)


def test_an_empty_clipboard(display: str, start: Processes) -> None:
    ended = start.receive("--paste", environment={"DISPLAY": display}).ended()
    assert ended.exit_code == 2
    assert re.search(r"the clipboard cannot be read: \w", ended.err)
