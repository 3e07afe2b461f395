"""Who sits at this machine, and what is asked there."""

from __future__ import annotations

import asyncio
import io
import os
import sys

import pytest

from p2pcopy.errors import Declined, UsageError
from p2pcopy.keyboard import Keyboard, asking_confirmation
from p2pcopy.signaling.exchange import Lines
from p2pcopy.ui.plain import Plain

NUMBER = "1234 5678 9012"
QUESTION = f"Does the other side show {NUMBER}? [y/N] "


def confirm(typed: bytes) -> str:
    """What is shown while somebody types this."""

    async def run() -> None:
        lines = Lines(reading)
        await asking_confirmation(Plain(shown, None, role="send"), Keyboard(lines, lines))(NUMBER)

    shown = io.StringIO()
    reading, writing = os.pipe()
    try:
        os.write(writing, typed)
        os.close(writing)
        asyncio.run(run())
    finally:
        os.close(reading)
    return shown.getvalue()


def test_only_a_clear_yes_confirms() -> None:
    assert confirm(b"y\n") == QUESTION
    assert confirm(b"what\nYES\n") == QUESTION * 2


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"", b"what\n"])
def test_anything_else_does_not(typed: bytes) -> None:
    with pytest.raises(Declined) as caught:
        confirm(typed)
    assert "fresh code" in caught.value.hint


def test_nobody_can_be_asked_without_a_terminal() -> None:
    with pytest.raises(UsageError, match="--confirm needs somebody"):
        asking_confirmation(Plain(io.StringIO(), None, role="send"), Keyboard(Lines(), None))


@pytest.mark.skipif(sys.platform == "win32", reason="only on POSIX: a terminal that the test plays")
def test_what_was_typed_before_the_question_does_not_answer_it() -> None:
    async def run() -> None:
        lines = Lines(terminal)
        waiting = asyncio.create_task(lines.next_line())  # for a code, say
        os.write(keys, b"first\ny\ny\nhalf")
        assert await waiting == "first"
        waiting = asyncio.create_task(lines.next_line())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.to_thread(lines._request.result, 60)  # type: ignore[union-attr]
        ask = asking_confirmation(Plain(shown, None, role="send"), Keyboard(lines, lines))
        asking = asyncio.ensure_future(ask(NUMBER))
        while not shown.getvalue():
            await asyncio.sleep(0)
        assert not asking.done()
        os.write(keys, b"no\n")
        with pytest.raises(Declined):
            await asking

    shown = io.StringIO()
    keys, terminal = os.openpty()
    try:
        asyncio.run(run())
    finally:
        os.close(keys)
        os.close(terminal)
