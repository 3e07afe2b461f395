"""The clipboard, by way of the terminal (OSC 52), which works over ssh, and of the extra p2pcopy[clipboard], which reads it too."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from p2pcopy.errors import UsageError
from p2pcopy.signaling.exchange import threaded

LIMIT_S: Final = 3.0
_BY_HAND: Final = "Leave out --copy, and copy the code by hand."
_INSTALL: Final = 'Install it with pip install "p2pcopy[clipboard]" (with pipx: pipx inject p2pcopy copykitten)'
_NO_ESCAPES: Final = (
    "",
    "dumb",
    "unknown",
    "linux",
)  # terminals that would show the sequence, or cannot have a clipboard


@dataclass(frozen=True)
class Clipboard:
    """terminal: writes escape sequences to a terminal, None where there is none; environment: says which one it is."""

    terminal: Callable[[bytes], None] | None
    environment: Mapping[str, str]

    async def copy(self, text: str) -> bool:
        """Whether it is certain that the clipboard has it; no terminal says what it makes of OSC 52.

        Raises UsageError when there is no way at all.
        """
        if self.terminal is None:
            await _by_library(text)
            return True
        terminal, copied = self.terminal, False
        if not self._is_remote:  # where the library would reach another machine's clipboard
            with suppress(UsageError):
                await _by_library(text)
                copied = True
        with suppress(OSError):
            await threaded(lambda: terminal(osc52(text, self.environment)))
        return copied

    @property
    def _is_remote(self) -> bool:
        return any(self.environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))


def find_clipboard(environment: Mapping[str, str] = os.environ) -> Clipboard:
    """By way of the terminal that standard error is, or that controls this process."""
    known = environment.get("TERM", "") not in _NO_ESCAPES
    return Clipboard(_to_terminal if known and _has_terminal() else None, environment)


def osc52(text: str, environment: Mapping[str, str]) -> bytes:
    """What makes a terminal put text on the clipboard (xterm control sequences, "Manipulate Selection Data").

    tmux takes it itself with set-clipboard on, and hands it on with allow-passthrough on: it gets both forms. GNU screen
    hands it on.
    """
    plain = b"\x1b]52;c;" + base64.b64encode(text.encode()) + b"\a"
    if environment.get("TMUX"):
        return plain + b"\x1bPtmux;" + plain.replace(b"\x1b", b"\x1b\x1b") + b"\x1b\\"
    if environment.get("STY"):
        return b"\x1bP" + plain + b"\x1b\\"
    return plain


async def paste() -> str:
    """The text on the clipboard. Raises UsageError when it cannot be had."""
    try:
        import copykitten
    except ImportError as error:
        raise UsageError(
            "reading the clipboard needs copykitten, which is not installed",
            f"{_INSTALL}, or give the code as text.",
        ) from error
    try:
        async with asyncio.timeout(LIMIT_S):
            return await threaded(copykitten.paste)
    except (copykitten.CopykittenError, TimeoutError) as error:
        raise UsageError(
            f"the clipboard cannot be read: {_reason(error)}", "Copy the code first, or give it as text."
        ) from error


async def _by_library(text: str) -> None:
    """It stays there for as long as this process runs, and so does the code's use. Raises UsageError when it cannot be done."""
    try:
        import copykitten
    except ImportError as error:
        raise UsageError(
            "the code cannot be copied: copykitten is not installed, and there is no terminal that could do it",
            f"{_INSTALL}, or copy the code by hand.",
        ) from error
    try:
        async with asyncio.timeout(LIMIT_S):
            await threaded(lambda: copykitten.copy(text))
    except (copykitten.CopykittenError, TimeoutError) as error:
        raise UsageError(f"the code cannot be copied: {_reason(error)}", _BY_HAND) from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or ["it does not answer in time"])[0].rstrip(".")


def _has_terminal() -> bool:
    if sys.stderr.isatty():
        return True
    with suppress(OSError, AttributeError):  # AttributeError: there is nothing of the kind on Windows
        os.close(os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY))
        return True
    return False


def _to_terminal(sequence: bytes) -> None:
    """Blocking. In one piece, so that nothing else comes between."""
    if sys.stderr.isatty():
        os.write(2, sequence)
        return
    descriptor = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    try:
        os.write(descriptor, sequence)
    finally:
        os.close(descriptor)
