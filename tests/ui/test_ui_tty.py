"""p2pcopy itself on a real terminal, in the hands of a person who types, pastes, resizes, stops and interrupts it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from processes import Processes, Running
from trees import MIB, make, noise
from ui_tmux import Shell

pytestmark = [
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"),
        reason="tmux is needed for a terminal without a screen",
    ),
    pytest.mark.skipif(os.name == "nt", reason="only on POSIX"),
]
ASK_FOR_ANSWER = "If it shows an answer code, paste it here:"


class Open(Protocol):
    def __call__(self, *, columns: int = 80, rows: int = 24, **environment: str) -> Shell: ...


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Open]:
    """Opens a terminal in the directory of the test."""
    with ExitStack() as stack:

        def opened(*, columns: int = 80, rows: int = 24, **environment: str) -> Shell:
            return stack.enter_context(Shell(tmp_path, columns=columns, rows=rows, **environment))

        yield opened


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def in_the_middle(shell: Open, start: Processes) -> tuple[Shell, Running]:
    """A receiver on a terminal that has its first block, and a sender that reads more when type() gives it more."""
    sender = start.send("-", "--name", "stream", keyboard=True)
    terminal = shell()
    terminal.run("p2pcopy", "receive", "--no-stun", "-y", "-o", "out", sender.code())
    sender.type(noise(MIB))
    terminal.until_seen("1.0 MiB")
    return terminal, sender


def without_blank(rows: list[str]) -> list[str]:
    return [row for row in rows if row.strip()]


def is_as_before(terminal: Shell) -> bool:
    """Whether the terminal shows keys, edits lines and stops for Ctrl-S again."""
    modes = terminal.result("stty -a | tr -d ';' | tr '\\n' ' ' | grep -oE '(^| )-?(icanon|echo|ixon)( |$)' | xargs")
    return set(modes.split()) == {"icanon", "echo", "ixon"}


def test_what_is_typed_at_the_prompt_can_be_edited_and_stays_while_the_time_runs(shell: Open, start: Processes) -> None:
    terminal = shell()
    terminal.run("p2pcopy", "send", "--no-stun", "--no-qr", "--wait", "110s", "file")
    terminal.until_seen(ASK_FOR_ANSWER)
    terminal.press("W", "r", "o", "n", "g", "C-u", "H", "a", "l", "x", "BSpace", "f")
    rows = terminal.until_seen(f"{ASK_FOR_ANSWER} Half")
    [before] = [row for row in rows if "left)" in row]
    rows = without_blank(terminal.until(lambda rows: any("left)" in row and row != before for row in rows)))
    assert rows[-1] == f"{ASK_FOR_ANSWER} Half"
    terminal.press("C-c")
    rows = without_blank(terminal.until_ready())
    assert "error: stopped by Ctrl-C" in rows
    assert not any(row.startswith((ASK_FOR_ANSWER, "On the other machine")) for row in rows), "nothing to do any more"
    assert is_as_before(terminal)


def test_a_whole_command_is_pasted_and_no_length_cuts_it(shell: Open, start: Processes) -> None:
    sender = start.send("file")
    terminal = shell()
    terminal.run("p2pcopy", "receive", "--no-stun", "-o", "out", "-")
    terminal.until_seen("Code of the sender:")
    terminal.paste("A" * 4000)
    terminal.until_seen("Code of the sender: …AAA")
    terminal.press("Enter")
    terminal.until_seen("warning: ")
    terminal.paste(f"$ p2pcopy receive -o /{'long/' * 1000} {sender.code()} --no-stun\n")
    rows = without_blank(terminal.until_seen("[y/N]"))
    assert rows[-1].endswith("[y/N]")
    terminal.enter("y")
    rows = terminal.until_ready()
    assert any(row.startswith("Received 1 file, 7 B in") for row in rows)
    assert sender.ended().exit_code == 0
    assert (start.work / "out" / "file").read_bytes() == b"content"
    assert is_as_before(terminal)


def test_keys_and_a_stop_of_the_terminal_change_nothing_while_data_moves(shell: Open, start: Processes) -> None:
    terminal, sender = in_the_middle(shell, start)
    terminal.press("x", "Enter", "C-s", "y")
    sender.type(noise(MIB))
    rows = without_blank(terminal.until_seen("2.0 MiB"))
    assert rows[-1].strip() == "stream"
    assert not any(re.fullmatch(r"\s*[xy]\s*", row) for row in rows)
    terminal.resize(50, 15)
    sender.type(noise(MIB))
    rows = without_blank(terminal.until_seen("3.0 MiB"))
    terminal.resize(100, 15)
    sender.type(noise(MIB))
    rows = without_blank(terminal.until_seen("4.0 MiB"))
    assert sum("MiB  " in row for row in rows) == 1, rows
    terminal.press("C-c")
    terminal.until(lambda rows: any(row.startswith("error: ") for row in rows))
    assert sender.ended().exit_code == 6
    assert not any("MiB  " in row for row in without_blank(terminal.until_ready()))


def test_it_is_suspended_and_goes_on(shell: Open, start: Processes) -> None:
    terminal, sender = in_the_middle(shell, start)
    terminal.press("C-z")
    terminal.until_seen("Stopped")
    assert is_as_before(terminal)
    sender.type(noise(MIB))
    terminal.enter("fg")
    terminal.until_seen("2.0 MiB")
    sender.close_input()
    rows = without_blank(terminal.until_ready())
    assert any(row.startswith("Received 1 file, 2.0 MiB in ") for row in rows)
    assert sender.ended().exit_code == 0
    assert is_as_before(terminal)


# The connection takes its time to close, so that there is a second Ctrl-C before the end.
SLOW_END = """
import asyncio
from p2pcopy.net.peer import Peer
async def close(self):
    await asyncio.sleep(60)
Peer.close = close
from p2pcopy.cli import main
main()
"""


def test_the_second_ctrl_c_ends_it_now_and_leaves_the_terminal_in_order(shell: Open, start: Processes) -> None:
    sender = start.send("-", "--name", "stream", keyboard=True)
    (start.work / "slow.py").write_text(SLOW_END)
    terminal = shell()
    receive = f"{sys.executable} slow.py receive --no-stun -y -o out {sender.code()}"
    # The shell that tells the code outlives a key that comes when the program has ended.
    terminal.enter(f"sh -c 'trap : INT; {receive}; echo code $?'")
    sender.type(noise(MIB))
    terminal.until_seen("1.0 MiB")
    terminal.press("C-c")
    assert sender.ended().exit_code == 6
    terminal.until(lambda rows: _interrupts(terminal, rows))
    assert is_as_before(terminal)


def _interrupts(terminal: Shell, rows: list[str]) -> bool:
    """Once more, as long as it takes: twice within half a second is once."""
    if any("code 130" in row for row in rows):  # perhaps behind an echoed ^C
        return True
    terminal.press("C-c")
    return False


def test_ctrl_backslash_leaves_the_terminal_in_order(shell: Open, start: Processes) -> None:
    """A shell at its prompt would mend the terminal by itself; a script does not."""
    (start.work / "script").write_text(
        "trap : QUIT; ulimit -c 0; p2pcopy send --no-stun --no-qr file; echo code $?; stty -a | tr -d ';'\n"
    )
    terminal = shell()
    terminal.run("sh", "script")
    terminal.until_seen("On the other machine")
    terminal.press("C-\\")
    terminal.until_seen("code 131")
    modes = " ".join(terminal.until_ready()).split()
    assert {"icanon", "echo", "ixon"} <= set(modes)


def test_a_window_that_becomes_as_small_as_can_be_ends_nothing(shell: Open, start: Processes) -> None:
    terminal = shell(columns=160)
    terminal.enter("p2pcopy send --no-stun --no-qr file; echo $? > ending; mv ending ended")
    code = next(row for row in terminal.until_seen(ASK_FOR_ANSWER) if row.isalnum() and row.isupper())
    terminal.resize(2, 2)
    terminal.until(lambda rows: len(rows) == 2)
    receiver = start.receive(code, "-y", "-o", "out")
    assert receiver.ended().exit_code == 0
    # Not read off the screen: two columns would not show it in one piece.
    terminal.until(lambda _: (start.work / "ended").exists())
    assert (start.work / "ended").read_text() == "0\n"


def test_a_narrow_terminal(shell: Open, start: Processes) -> None:
    make(start.work / "tree" / "a directory with a long name" / "and a file with a name that is long.txt", b"x")
    sender = start.send("tree")
    terminal = shell(columns=40, rows=20)
    terminal.run("p2pcopy", "receive", "--no-stun", "-o", "out", sender.code())
    rows = without_blank(terminal.until(lambda rows: "[y/N]" in " ".join(rows)))
    assert rows[-1].endswith("[y/N]")
    terminal.enter("y")
    rows = without_blank(terminal.until_ready())
    assert any(row.startswith("Received 1 file, 1 B in") for row in rows)
    assert sender.ended().exit_code == 0


def test_what_arrives_does_not_go_to_a_terminal_as_it_is(shell: Open, start: Processes) -> None:
    sender = start.send("file")
    terminal = shell()
    terminal.run("p2pcopy", "receive", "--no-stun", "-o", "-", sender.code())
    terminal.until_seen("standard output is a terminal")
    terminal.until_ready()
    terminal.enter(f"p2pcopy receive --no-stun -o - {sender.code()} | cat > got")
    assert sender.ended().exit_code == 0
    terminal.until_seen("Received")
    terminal.until_ready()
    assert (start.work / "got").read_bytes() == b"content"


def test_nothing_is_asked_where_nobody_would_see_it(shell: Open, start: Processes) -> None:
    sender = start.send("file")
    terminal = shell(columns=160)
    terminal.enter(f"p2pcopy receive --no-stun -o out {sender.code()} 2> log; echo code $?")
    terminal.until_seen("code 7")
    log = (start.work / "log").read_text()
    assert log.index("files will be declined") < log.index("nobody is there to accept the offer")
    assert sender.ended().exit_code == 7
    sender = start.send("file")
    terminal.enter(
        f"clear; p2pcopy receive --no-stun -o out {sender.code()} 2>&1 | tee log; echo code ${{PIPESTATUS[0]}}"
    )
    terminal.until_seen("[y/N]")
    terminal.enter("y")
    terminal.until_seen("code 0")
    assert sender.ended().exit_code == 0


def test_a_dumb_terminal_gets_lines_and_answers_questions(shell: Open, start: Processes) -> None:
    sender = start.send("file")
    terminal = shell(TERM="dumb")
    terminal.run("p2pcopy", "receive", "--no-stun", "-o", "out", "-")
    terminal.until_seen("Code of the sender:")
    terminal.enter(sender.code())
    terminal.until_seen("[y/N]")
    terminal.enter("y")
    rows = without_blank(terminal.until_ready())
    assert any(row.startswith("done: Received 1 file, 7 B in") for row in rows)
    assert re.search(r"Save 1 file .*\[y/N\] y", "".join(rows))
    assert sender.ended().exit_code == 0


def test_one_in_the_background_is_not_stopped_for_the_terminal(shell: Open, start: Processes) -> None:
    terminal = shell()
    terminal.enter("p2pcopy send --no-stun --no-qr file > code.txt &")
    shown = start.work / "code.txt"
    terminal.until(lambda _: shown.exists() and shown.read_text().endswith("\n"))
    receiver = start.receive(shown.read_text().strip(), "-y", "-o", "out")
    assert receiver.ended().exit_code == 0
    terminal.until_seen("Sent 1 file")
