"""The clipboard: what terminals are told, and the library on a real display without a screen."""

from __future__ import annotations

import asyncio
import base64
import builtins
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from bounded import run

from p2pcopy.errors import UsageError
from p2pcopy.signaling import clipboard
from p2pcopy.signaling.clipboard import Clipboard, find_clipboard, osc52, paste

PLAIN = b"\x1b]52;c;" + base64.b64encode(b"CODE") + b"\a"


class Library:
    """Stands for copykitten."""

    CopykittenError = type("CopykittenError", (Exception,), {})

    def __init__(self, failure: str = "", text: str = "") -> None:
        self.failure = failure
        self.text = text

    def copy(self, text: str) -> None:
        self._fail()
        self.text = text

    def paste(self) -> str:
        self._fail()
        return self.text

    def _fail(self) -> None:
        if self.failure:
            raise self.CopykittenError(f"{self.failure}.\nmore")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setitem(sys.modules, "copykitten", made)
    return made


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "copykitten":
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)


def test_what_a_terminal_is_told() -> None:
    assert osc52("CODE", {}) == PLAIN
    assert osc52("CODE", {"STY": "1"}) == b"\x1bP" + PLAIN + b"\x1b\\"
    inside_tmux = osc52("CODE", {"TMUX": "/tmp/tmux-0/default,1,0", "STY": "1"})
    assert inside_tmux == PLAIN + b"\x1bPtmux;\x1b" + PLAIN + b"\x1b\\"


def test_by_both_ways_at_home(library: Library) -> None:
    written: list[bytes] = []
    assert run(Clipboard(written.append, {}).copy("CODE"))
    assert (written, library.text) == ([PLAIN], "CODE")


@pytest.mark.parametrize("variable", ["SSH_CONNECTION", "SSH_TTY"])
def test_over_ssh_only_the_terminal_knows_the_clipboard(variable: str, library: Library) -> None:
    written: list[bytes] = []
    assert not run(Clipboard(written.append, {variable: "x"}).copy("CODE"))
    assert (written, library.text) == ([PLAIN], "")
    assert run(Clipboard(None, {variable: "x"}).copy("CODE"))
    assert library.text == "CODE"


@pytest.mark.usefixtures("no_library")
def test_without_the_library() -> None:
    written: list[bytes] = []
    assert not run(Clipboard(written.append, {}).copy("CODE"))
    assert written == [PLAIN]
    for failing in (Clipboard(None, {}).copy("CODE"), paste()):
        with pytest.raises(UsageError) as caught:
            run(failing)
        assert 'pip install "p2pcopy[clipboard]"' in caught.value.hint


def test_a_terminal_that_is_gone(library: Library) -> None:
    def gone(_: bytes) -> None:
        raise OSError(5, "gone")

    assert run(Clipboard(gone, {}).copy("CODE"))


def test_a_clipboard_that_fails(library: Library) -> None:
    library.failure = "no display"
    with pytest.raises(UsageError, match="cannot be copied: no display"):
        run(Clipboard(None, {}).copy("CODE"))
    with pytest.raises(UsageError, match="cannot be read: no display"):
        run(paste())
    assert not run(Clipboard(print, {}).copy("CODE"))


def test_a_clipboard_that_hangs(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "LIMIT_S", 0.01)

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(clipboard, "threaded", hang)
    with pytest.raises(UsageError, match="in time"):
        run(Clipboard(None, {}).copy("CODE"))
    with pytest.raises(UsageError, match="in time"):
        run(paste())


def test_paste(library: Library) -> None:
    library.text = "CODE\n"
    assert run(paste()) == "CODE\n"


def test_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "_has_terminal", lambda: True)
    for term in ("dumb", "linux", ""):
        assert find_clipboard({"TERM": term}).terminal is None
    assert find_clipboard({"TERM": "xterm-256color"}).terminal is not None
    monkeypatch.setattr(clipboard, "_has_terminal", lambda: False)
    assert find_clipboard({"TERM": "xterm-256color"}).terminal is None


def test_standard_error_is_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[int, bytes]] = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(os, "write", lambda *what: written.append(what))
    assert clipboard._has_terminal()
    clipboard._to_terminal(b"x")
    assert written == [(2, b"x")]


def test_else_the_terminal_that_controls_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    real = os.open
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    monkeypatch.setattr(os, "open", lambda _, flags: real(os.ttyname(theirs), flags))
    assert clipboard._has_terminal()
    clipboard._to_terminal(b"x")
    assert os.read(ours, 10) == b"x"
    os.close(ours)
    os.close(theirs)
    monkeypatch.setattr(os, "open", lambda *_: real("/nonexistent/tty", os.O_WRONLY))
    assert not clipboard._has_terminal()
