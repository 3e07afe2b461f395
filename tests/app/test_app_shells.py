"""Completion as a person gets it: a line is typed into a real shell, with a tab in it."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_POSIX = "only on POSIX systems are there terminals to type into"
fcntl = pytest.importorskip("fcntl", reason=_POSIX)
pty = pytest.importorskip("pty", reason=_POSIX)
termios = pytest.importorskip("termios", reason=_POSIX)

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    "bash": "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; eval \"$(p2pcopy completion bash)\"\r",
    "zsh": 'p2pcopy completion zsh > "$HOME/_p2pcopy"; fpath=("$HOME" $fpath); autoload -Uz compinit; compinit -u -D\r',
    "fish": "p2pcopy completion fish | source\r",
}

# What is typed before the tab, and what is there afterwards.
TYPED = {
    "rec": "receive",
    "receive --existing sk": "receive --existing skip",
    "receive --existing=sk": "receive --existing=skip",
    "send a --no-stu": "send a --no-stun",
    "send with": "send with blanks.txt",
    "receive -o sub": "receive -o subdirectory",
    "receive --output=sub": "receive --output=subdirectory",
    "send x --to @lett": "send x --to @letter.txt",
    "parts sub": "parts subdirectory",
    "completion fi": "completion fish",
    "receive --wait lett": "receive --wait lett",
}


class Shell:
    """A shell with a terminal of its own. What it writes is kept."""

    def __init__(self, name: str, directory: Path) -> None:
        self._main, terminal = pty.openpty()
        environment = {
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "HOME": str(directory),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "PS1": "$ ",
        }
        self.process = subprocess.Popen(
            START[name],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=directory / "here",
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread of ours holds a lock
        )
        os.close(terminal)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """The first time that what was written since the last time matches."""
        end = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.said)):
            ready, _, _ = select.select([self._main], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"never seen: {pattern}\n{self.said}"
            self.said += os.read(self._main, 65536).decode(errors="replace")
        self.said = self.said[found.end() :]
        return found

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # with what it has forked for a completion
        self.process.wait()
        os.close(self._main)


@contextmanager
def shell(name: str, directory: Path) -> Iterator[Shell]:
    (directory / "bin").mkdir()
    command = directory / "bin" / "p2pcopy"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m p2pcopy "$@"\n'
    )
    command.chmod(0o755)
    here = directory / "here"
    (here / "subdirectory").mkdir(parents=True)
    for file in ("letter.txt", "with blanks.txt", "subject.txt"):
        (here / file).touch()
    opened = Shell(name, directory)
    try:
        opened.type(SETUP[name])
        opened.type("echo rea''dy\r")
        opened.until("ready")
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("name", START)
def test_what_a_tab_does(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    with shell(name, tmp_path) as opened:
        for number, (typed, expected) in enumerate(TYPED.items()):
            # The tab completes; then, at the beginning of the line (Ctrl-A), it is made an echo of itself.
            opened.type(f"p2pcopy {typed}\t")
            opened.type(f"\x01echo 'go't-{number}: \r")
            done = opened.until(rf"\ngot-{number}: p2pcopy ([^\r\n]*)\r\n").group(1)
            assert done.rstrip(" /") == expected, f"{typed!r} in {name}"


@pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is the loopback interface called lo")
def test_names_of_interfaces_are_offered(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "p2pcopy", "__complete", "send", "--interface", "lo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("values\t\nlo\t\n")
