"""Codes by a command: real shells, and how they end."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from test_qr import TEXT

from p2pcopy.errors import CodeError, ViaFailed
from p2pcopy.signaling import via
from p2pcopy.signaling.via import Via

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only on POSIX systems is there sh")
T = TypeVar("T")


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []


def run(command: str, story: Callable[[Via], Awaitable[T]], heard: Heard | None = None) -> T:
    heard = heard or Heard()

    async def bounded() -> T:
        async with asyncio.timeout(60), Via(command, heard.said.append, heard.warned.append) as made:
            return await story(made)

    return asyncio.run(bounded())


async def answer(made: Via) -> str | None:
    await made.write(TEXT)
    return await made.next_line()


async def ended(path: Path) -> int:
    """The process id that the command has written down; the process is gone."""
    number = int(path.read_text())
    while Path(f"/proc/{number}").exists() and "State:\tZ" not in Path(f"/proc/{number}/status").read_text():
        await asyncio.sleep(0.01)
    return number


def test_our_code_goes_in_and_theirs_comes_out(tmp_path: Path) -> None:
    async def story(made: Via) -> None:
        assert await answer(made) == TEXT
        assert await made.next_line() is None, "the rest is not a code"

    run(f"tee {shlex.quote(str(tmp_path / 'got'))}; echo more", story)
    assert (tmp_path / "got").read_text() == f"{TEXT}\n"


def test_nothing_runs_before_there_is_a_code(tmp_path: Path) -> None:
    async def story(made: Via) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await made.next_line()

    run(f"touch {tmp_path}/ran", story)
    assert not (tmp_path / "ran").exists()


def test_later_codes_start_nothing(tmp_path: Path) -> None:
    async def story(made: Via) -> None:
        await made.write(TEXT)
        await made.write(TEXT)
        assert await made.next_line() == TEXT

    run(f"echo once >> {tmp_path}/ran; cat", story)
    assert (tmp_path / "ran").read_text() == "once\n"


def test_a_command_that_does_not_read() -> None:
    assert run("exec <&-; true", answer) is None


def test_a_command_that_prints_no_code_may_have_carried_ours() -> None:
    assert run("cat > /dev/null", answer) is None
    assert run("cat > /dev/null; printf ' \\n'", answer) is None


def test_what_it_says_is_heard() -> None:
    heard = Heard()

    async def story(made: Via) -> None:
        assert await answer(made) == TEXT

    run(f"cat; echo one >&2; printf 'two\\r\\n' >&2; printf {'x' * 5000} >&2", story, heard)
    assert heard.said[:2] == ["one", "two"]
    assert "".join(heard.said[2:]) == "x" * 5000
    assert not heard.warned


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("echo one >&2; echo two >&2; exit 255", "ended with exit status 255 before .*: one / two$"),
        ("exit 3", "exit status 3 before the two sides had met$"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("/nonexistent/command", "exit status 127 .*not found"),
    ],
)
def test_a_command_that_fails_before_it_gives_a_code(command: str, how: str) -> None:
    with pytest.raises(ViaFailed, match=how) as caught:
        run(command, answer)
    assert caught.value.exit_code == 4
    assert caught.value.hint


def test_a_command_that_fails_while_the_connection_is_made() -> None:
    async def story(made: Via) -> None:
        assert await answer(made) == TEXT
        await made.next_line()

    with pytest.raises(ViaFailed, match="exit status 5"):
        run("cat; echo lost >&2; exit 5", story)


def test_a_line_that_is_no_code() -> None:
    with pytest.raises(CodeError, match="that the command of --via printed is not a code, 'Welcome") as caught:
        run("echo 'Welcome to host'; cat", answer)
    assert "nothing before it" in caught.value.hint


def test_a_line_without_an_end() -> None:
    with pytest.raises(CodeError, match="not a code"):
        run("head -c 100000 /dev/zero | tr '\\0' x", answer)


def test_after_a_transfer_its_end_is_waited_for(tmp_path: Path) -> None:
    async def story(made: Via) -> None:
        assert await answer(made) == TEXT

    run(f"cat; sleep 0.3; head -c 1000000 /dev/zero; touch {tmp_path}/done", story)
    assert (tmp_path / "done").exists()


def test_a_failure_after_the_transfer_is_a_warning() -> None:
    heard = Heard()
    run("cat; echo bye >&2; exit 7", answer, heard)
    assert heard.warned == ["the command of --via ended with exit status 7: bye"]


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it has started."""
    monkeypatch.setattr(via, "END_S", 0.3)
    monkeypatch.setattr(via, "_has_terminal", lambda: False)
    heard = Heard()

    run(f"sleep 60 & echo $! > {tmp_path}/pid; cat; wait", answer, heard)
    assert "did not end within 0 s of the transfer, and was stopped" in heard.warned[0]
    asyncio.run(ended(tmp_path / "pid"))


def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(via, "TERMINATE_S", 0.3)

    async def story(made: Via) -> None:
        assert await answer(made) == TEXT
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(f"trap '' TERM; echo $$ > {tmp_path}/pid; cat; exec sleep 60", story)
    asyncio.run(ended(tmp_path / "pid"))


def test_in_a_terminal_it_stays_in_the_foreground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it may ask for a password, and Ctrl-C reaches it."""
    monkeypatch.setattr(via, "_has_terminal", lambda: True)
    group = f"ps -o pgid= -p $$ > {tmp_path}/group"
    run(f"{group}; cat", answer)
    assert int((tmp_path / "group").read_text()) == os.getpgrp()
    monkeypatch.setattr(via, "_has_terminal", lambda: False)
    run(f"{group}; cat", answer)
    assert int((tmp_path / "group").read_text()) != os.getpgrp()


def test_a_command_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(asyncio, "create_subprocess_shell", failing)
    with pytest.raises(ViaFailed, match="cannot be started: Cannot allocate memory"):
        run("true", answer)


def test_is_there_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: real("/dev/null", flags))
    assert via._has_terminal()
    monkeypatch.setattr(os, "open", lambda _, flags: real("/nonexistent/tty", flags))
    assert not via._has_terminal()
