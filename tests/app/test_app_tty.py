"""The terminal in the hands of the display, with a test at the keys."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from p2pcopy.errors import CodeError
from p2pcopy.ui.lineedit import MAX_LINE
from p2pcopy.ui.plain import Quiet

if sys.platform == "win32":
    pytest.skip("only on POSIX: terminals", allow_module_level=True)

import termios

from p2pcopy.tty import Tty, held


class Display(Quiet):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), None)
        self.told: list[str] = []

    def typing(self, text: str) -> None:
        self.told.append(text)

    def pause(self) -> None:
        self.told.append("(paused)")

    def redraw(self) -> None:
        self.told.append("(drawn)")


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    keys, terminal = os.openpty()
    yield keys, terminal
    os.close(keys)
    os.close(terminal)


def played(terminal: int, story: Callable[[Tty], Awaitable[None]]) -> list[str]:
    """What the display was told."""

    async def run() -> None:
        tty = Tty(terminal, display)
        async with asyncio.timeout(60):
            with held(tty):
                await story(tty)

    display = Display()
    asyncio.run(run())
    return display.told


async def write(keys: int, text: bytes) -> None:
    """In pieces that fit into the terminal."""
    for start in range(0, len(text), 1024):
        await asyncio.to_thread(os.write, keys, text[start : start + 1024])


def test_lines_of_any_length_come_and_the_display_is_told(pty: tuple[int, int]) -> None:
    keys, terminal = pty

    async def story(tty: Tty) -> None:
        writing = asyncio.create_task(write(keys, b"short\r" + b"x" * 10_000 + b"\r\x04"))
        assert await tty.next_line() == "short"
        assert await tty.next_line() == "x" * 10_000
        assert await tty.next_line() is None
        await writing
        await write(keys, b"after the end of input\r")
        assert await tty.next_line() == "after the end of input"

    told = played(terminal, story)
    assert told.count("short") == 1
    assert "x" * 10_000 in told


def test_a_line_that_is_no_code_any_more(pty: tuple[int, int]) -> None:
    keys, terminal = pty

    async def story(tty: Tty) -> None:
        writing = asyncio.create_task(write(keys, b"x" * (MAX_LINE + 10) + b"\rnext\r"))
        with pytest.raises(CodeError, match="too long"):
            await tty.next_line()
        assert await tty.next_line() == "next"
        await writing

    played(terminal, story)


def test_what_was_typed_before_is_forgotten_and_nothing_is_lost_when_nobody_waits(pty: tuple[int, int]) -> None:
    keys, terminal = pty

    async def story(tty: Tty) -> None:
        waiting = asyncio.create_task(tty.next_line())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await write(keys, b"kept\r")
        assert await tty.next_line() == "kept"
        await write(keys, b"forgotten\r")
        tty.forget_typed()
        await write(keys, b"answer\r")
        assert await tty.next_line() == "answer"

    played(terminal, story)


def test_the_terminal_is_as_it_was_afterwards_and_while_others_have_it(pty: tuple[int, int]) -> None:
    _, terminal = pty

    async def story(tty: Tty) -> None:
        during = termios.tcgetattr(terminal)
        assert not during[3] & (termios.ECHO | termios.ICANON)
        assert not during[0] & termios.IXON
        tty.leave()
        tty.redraw()
        assert termios.tcgetattr(terminal) == before
        tty.come_back()
        assert termios.tcgetattr(terminal) == during
        tty.abandon()
        assert termios.tcgetattr(terminal) == before

    before = termios.tcgetattr(terminal)
    assert played(terminal, story) == ["(paused)", "(drawn)", "(paused)"]
    assert termios.tcgetattr(terminal) == before


def test_a_terminal_that_is_gone_is_the_end_of_input() -> None:
    keys, terminal = os.openpty()

    async def story(tty: Tty) -> None:
        os.close(keys)
        assert await tty.next_line() is None
        assert await tty.next_line() is None

    try:
        played(terminal, story)
    finally:
        os.close(terminal)
