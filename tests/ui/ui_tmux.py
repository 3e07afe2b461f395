"""A real terminal of a given size, without a screen: a tmux server of its own for each."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SCENARIO = Path(__file__).with_name("ui_scenario.py")
LIMIT_S = 60.0


def filled(screen: list[str]) -> list[str]:
    """Without the empty rows at the end."""
    last = max((index for index, row in enumerate(screen) if row.strip()), default=-1)
    return screen[: last + 1]


class Tmux:
    """One window that runs a command. columns, rows: its size; options: of tmux; environment: on top of ours."""

    def __init__(
        self,
        directory: Path,
        *command: str,
        columns: int = 80,
        rows: int = 24,
        options: str = "",
        **environment: str,
    ) -> None:
        self._socket = f"p2pcopy-{uuid.uuid4().hex}"
        configuration = directory / "tmux.conf"
        configuration.write_text(
            'set -g status off\nset -g remain-on-exit on\nset -g default-terminal "tmux-256color"\n' + options
        )
        values = {"PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C.UTF-8"} | environment
        inside = ["env", "-u", "NO_COLOR", "-u", "COLORTERM", *(f"{key}={value}" for key, value in values.items())]
        self._tmux(
            "-u",
            "-f",
            str(configuration),
            "new-session",
            "-d",
            "-c",
            str(directory),
            "-x",
            str(columns),
            "-y",
            str(rows),
            shlex.join([*inside, *command]),
        )

    def press(self, *keys: str) -> None:
        """Keys as tmux names them: C-c, Enter, BSpace."""
        self._tmux("send-keys", *keys)

    def paste(self, text: str) -> None:
        """At once, as from a clipboard."""
        self._tmux("set-buffer", text)
        self._tmux("paste-buffer")

    def enter(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, colors: bool = False, blanks: bool = False) -> list[str]:
        """The rows that can be seen; colors: with their colour sequences; blanks: with those at their ends."""
        options = ["-e"] * colors + ["-N"] * blanks
        return self._tmux("capture-pane", "-p", *options).split("\n")[:-1]

    def history(self) -> str:
        return self._tmux("capture-pane", "-p", "-J", "-S", "-500")

    def cursor(self) -> tuple[int, int]:
        """Column and row, from 0."""
        column, row = self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(column), int(row)

    def clipboard(self) -> str:
        """What programs have put there by OSC 52; "" for nothing."""
        return self._tmux("show-buffer") if self._tmux("list-buffers") else ""

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """The first screen for which condition holds."""
        end = time.monotonic() + LIMIT_S
        while not condition(screen := self.screen()):
            if time.monotonic() > end:
                raise AssertionError("never seen; the screen is:\n" + "\n".join(screen))
            time.sleep(0.05)
        return screen

    def until_seen(self, text: str) -> list[str]:
        """The first screen with the text. What the command writes in the same go may be there only later."""
        return self.until(lambda screen: any(text in row for row in screen))

    def until_ends(self, *rows: str) -> list[str]:
        """The first screen with these as the last rows that have something on them, and none below them."""
        return filled(self.until(lambda screen: filled(screen)[-len(rows) :] == list(rows)))

    def _tmux(self, *arguments: str) -> str:
        # The variable TMUX would make a nested server out of it.
        environment = {key: value for key, value in os.environ.items() if key != "TMUX"}
        run = subprocess.run(
            ["tmux", "-L", self._socket, *arguments], check=True, capture_output=True, text=True, env=environment
        )
        return run.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        socket = self._tmux("display-message", "-p", "#{socket_path}").strip()
        self._tmux("kill-server")
        Path(socket).unlink(missing_ok=True)


class Terminal(Tmux):
    """One window that runs a scenario of ui_scenario.py. program: instead of scenarios."""

    def __init__(
        self,
        directory: Path,
        *command: str,
        columns: int = 80,
        rows: int = 24,
        program: Sequence[str] = (sys.executable, str(SCENARIO)),
        options: str = "",
        **environment: str,
    ) -> None:
        super().__init__(directory, *program, *command, columns=columns, rows=rows, options=options, **environment)


class Shell(Tmux):
    """One window with a shell, in the given directory. p2pcopy is its p2pcopy."""

    PROMPT = "ready> "

    def __init__(self, directory: Path, *, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self._asked = 0
        command = directory / "bin" / "p2pcopy"
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m p2pcopy "$@"\n')
        command.chmod(0o755)
        values = {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "PS1": self.PROMPT,
            "HISTFILE": "",
        }
        super().__init__(directory, "bash", "--norc", "--noprofile", columns=columns, rows=rows, **values | environment)
        self.until_seen(self.PROMPT.rstrip())

    def run(self, *command: str | Path) -> None:
        """Begin a command."""
        self.enter(shlex.join(map(str, command)))

    def until_ready(self) -> list[str]:
        """The screen when the shell takes the next command."""
        return self.until(lambda rows: _last(rows).rstrip() == self.PROMPT.rstrip())

    def result(self, command: str) -> str:
        """What a short command writes, in one line, once the shell takes it."""
        self.until_ready()
        self._asked += 1  # what was answered before may still be on the screen
        answer = re.compile(rf"<{self._asked} (.*) {self._asked}>\s*")
        self.enter(f'clear; echo "<{self._asked} $({command}) {self._asked}>"')
        rows = self.until(lambda rows: any(map(answer.fullmatch, rows)))
        return next(found[1] for found in map(answer.fullmatch, rows) if found is not None)


def _last(rows: list[str]) -> str:
    return next((row for row in reversed(rows) if row.strip()), "")
