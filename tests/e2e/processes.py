"""Real p2pcopy processes: started with pipes or on a pseudo-terminal, waited for within bounds, and ended whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import json_schema
import nursery
from nursery import Child, Request

PATIENCE_S = 90.0
# With what ends it: the end of what has come so far may be in the middle of a code.
CODE = rb"(?:^|\r|\x1b\[J|\"code\": \")([0-9A-Z]{12,})(?:\r?\n|\")"


# For before=: this side does not reach the addresses in the other side's code, as between two networks without a route.
REACHES_NOBODY = "from p2pcopy.net.peer import Peer\nPeer.add_remote = lambda self, candidates: None\n"

_RUN = "from p2pcopy.cli import main\nmain()\n"
_TAKE_TERMINAL = "import fcntl, os, termios\nos.setsid()\nfcntl.ioctl(2, termios.TIOCSCTTY, 0)\n"
_ROWS_AND_COLUMNS = struct.pack("HHHH", 50, 160, 0, 0)
_LAST_WORDS = 4000
# Without these, file modes count for root, too.
_LIKE_ANYBODY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner")


@dataclass(frozen=True)
class Ended:
    """How a process ended. exit_code: negative for a signal that killed it."""

    exit_code: int
    out: bytes
    err: str

    @property
    def codes(self) -> list[str]:
        """The lines of standard output."""
        return self.out.decode().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines, each of them as it is documented."""
        return json_schema.lines(self.out)

    def told(self, event: str) -> dict[str, Any]:
        """The last JSON event of this name."""
        return [each for each in self.events if each["event"] == event][-1]


class Stream:
    """What comes out of a descriptor, collected by a thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._content = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    @property
    def content(self) -> bytes:
        with self._changed:
            return bytes(self._content)

    def wait_for(self, pattern: bytes, *, start: int = 0, timeout: float = PATIENCE_S) -> re.Match[bytes]:
        """The first match at or after start. Fails when the stream ends or the time is over before it comes."""
        compiled, deadline = re.compile(pattern, re.MULTILINE), time.monotonic() + timeout
        with self._changed:
            while (found := compiled.search(bytes(self._content), start)) is None:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the stream ended" if self._ended else f"{timeout} s passed"
                    raise AssertionError(f"{why} before {pattern!r} came:\n{self._content.decode(errors='replace')}")
                self._changed.wait(left)
        return found

    def everything(self) -> bytes:
        """What came until the stream ended."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "somebody keeps the stream open"
        return self.content

    def _collect(self) -> None:
        while block := self._read():
            with self._changed:
                self._content += block
                self._changed.notify_all()
        os.close(self._descriptor)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, 1 << 16)
        except OSError:  # how a pseudo-terminal ends
            return b""


class Running:
    """A process. out, err: what it writes; both are the one screen where it has a terminal."""

    def __init__(self, process: subprocess.Popen[bytes] | Child, out: Stream, err: Stream, keyboard: int) -> None:
        self.out, self.err = out, err
        self._process = process
        self._keyboard = keyboard

    @property
    def pid(self) -> int:
        return self._process.pid

    def code(self, number: int = 0) -> str:
        """The code that it prints; number: how many come before it."""
        start = 0
        for _ in range(number):
            start = self.out.wait_for(CODE, start=start).end()
        return self.out.wait_for(CODE, start=start)[1].decode()

    def type(self, text: str | bytes) -> None:
        """Into its standard input. What it does not read any more, as it has ended, is lost."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._keyboard, text.encode() if isinstance(text, str) else text)

    def close_input(self) -> None:
        os.close(self._keyboard)
        self._keyboard = -1

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def runs(self) -> bool:
        return self._process.poll() is None

    def ended(self, timeout: float = PATIENCE_S) -> Ended:
        """Wait for its end."""
        try:
            exit_code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            said = b"\n".join(each.content[-_LAST_WORDS:] for each in {self.out, self.err}).decode(errors="replace")
            raise AssertionError(f"the process does not end within {timeout} s:\n{said}") from None
        err = self.err.everything().decode(errors="surrogateescape")
        assert "Traceback" not in err, err
        return Ended(exit_code, self.out.everything(), err)

    def leaves_something(self) -> bool:
        """Whether there is something left to kill."""
        return self.runs() or self._keyboard >= 0

    def kill(self) -> None:
        """With SIGKILL: nothing of it is left."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        if self._keyboard >= 0:
            self.close_input()


class Processes:
    """Starts processes, and ends all that are left when it is left. work: their directory."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._running: list[Running] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._running:
            each.kill()

    def send(self, *arguments: str | Path, **how: Any) -> Running:
        return self.start("send", "--no-stun", *arguments, **how)

    def receive(self, *arguments: str | Path, **how: Any) -> Running:
        return self.start("receive", "--no-stun", *arguments, **how)

    def start(
        self,
        *arguments: str | Path | bytes,
        keyboard: bool = False,
        terminal: bool = False,
        stdin: int | None = None,
        stdout: int | None = None,
        before: str = "",
        anew: bool = False,
        like_anybody: bool = False,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        place: Sequence[str] = (),
    ) -> Running:
        """Start p2pcopy with these arguments, without any input, off the nursery if possible.

        keyboard: with a pipe that type() writes to; terminal: on a terminal of its own, output included; stdin, stdout:
        descriptors instead of these; before: Python that runs first; anew: not off the nursery, so that it runs before p2pcopy is
        loaded; like_anybody: file modes count for root, too; place: the command line that runs a command somewhere else.
        """
        script = (_TAKE_TERMINAL if terminal else "") + before + _RUN
        words = [os.fsdecode(each) for each in arguments]
        variables = self._environment() | dict(environment or {})
        with contextlib.ExitStack() as theirs:
            if terminal:
                out, given_stdin, given_stdout, typing = _terminal(theirs)
                err, given_stderr = out, given_stdout
            else:
                given_stdin, typing = _pipe_in(theirs) if keyboard else (_nothing(theirs), -1)
                out, given_stdout = _pipe_out(theirs)
                err, given_stderr = _pipe_out(theirs)
            descriptors = (
                given_stdin if stdin is None else stdin,
                given_stdout if stdout is None else stdout,
                given_stderr,
                *pass_fds,
            )
            request = Request(script, words, str(self.work), variables, (0, 1, 2, *pass_fds))
            if anew or like_anybody or not nursery.POSSIBLE:
                started: subprocess.Popen[bytes] | Child = _run(request, descriptors, place, like_anybody=like_anybody)
            else:
                started = nursery.nursery().start(request, descriptors, _namespace(place))
            process = Running(started, out, err, typing)
        self._running = [each for each in self._running if each.leaves_something()]
        self._running.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("P2PCOPY_")}
        return inherited | {
            "HOME": str(self.work / "nobody"),
            "XDG_CONFIG_HOME": str(self.work / "nothing"),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }


def _run(
    request: Request, descriptors: Sequence[int], place: Sequence[str], *, like_anybody: bool
) -> subprocess.Popen[bytes]:
    wrapper = _LIKE_ANYBODY if like_anybody and os.geteuid() == 0 else ()
    stdin, stdout, stderr, *others = descriptors
    return subprocess.Popen(
        [*place, *wrapper, sys.executable, "-c", request.script, *request.arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=request.work,
        env=request.environment,
        pass_fds=others,
    )


def _namespace(place: Sequence[str]) -> str:
    """Of a command line that runs a command in a network namespace, and does nothing else."""
    match place:
        case []:
            return ""
        case ["ip", "netns", "exec", name]:
            return name
        case _:
            raise ValueError(place)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """For what shows in the file system only. Fails when it does not come about in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {PATIENCE_S} s"
        time.sleep(0.01)


def _nothing(theirs: contextlib.ExitStack) -> int:
    return _until_started(theirs, os.open(os.devnull, os.O_RDONLY))


def _pipe_in(theirs: contextlib.ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    return _until_started(theirs, reader), writer


def _pipe_out(theirs: contextlib.ExitStack) -> tuple[Stream, int]:
    reader, writer = os.pipe()
    return Stream(reader), _until_started(theirs, writer)


def _terminal(theirs: contextlib.ExitStack) -> tuple[Stream, int, int, int]:
    ours, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, _ROWS_AND_COLUMNS)
    _until_started(theirs, slave)
    return Stream(ours), slave, slave, os.dup(ours)


def _until_started(theirs: contextlib.ExitStack, descriptor: int) -> int:
    theirs.callback(os.close, descriptor)
    return descriptor
