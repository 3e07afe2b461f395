"""Programs that are measured: what they print, what they used, and that they are gone afterwards."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

_METER = Path(__file__).parent / "meter.py"
_END = None


class Trouble(Exception):
    """A program did not do what was expected of it, or not in time."""


class Late(Trouble):
    """It still goes on."""


@dataclass(frozen=True)
class Usage:
    """code: how it ended; cpu_s, peak_mib: of the program and of its children."""

    code: int
    cpu_s: float
    peak_mib: float


class Measured:
    """A program. Use as a context manager: it and all that it started is killed in the end, and also with this process.

    place: the command line that runs a command on a host; folder: its working directory, where its errors go, to NAME.err;
    stdin, stdout: descriptors, None for pipes.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        *,
        place: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        self.name = name
        self._errors = folder / f"{name}.err"
        self._report, report = os.pipe()
        tie = ("setpriv", "--pdeathsig", "KILL")
        try:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    [*place, *tie, sys.executable, "-I", "-S", str(_METER), str(report), *tie, *command],
                    stdin=subprocess.PIPE if stdin is None else stdin,
                    stdout=subprocess.PIPE if stdout is None else stdout,
                    stderr=errors,
                    cwd=folder,
                    env=dict(os.environ) | dict(environment or {}),
                    pass_fds=[report],
                    start_new_session=True,
                )
        finally:
            os.close(report)
        self._told = b""
        self._lines: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        if self._process.stdout is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
            self._reader.start()

    def __enter__(self) -> Measured:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        os.close(self._report)

    def line(self, timeout_s: float) -> str:
        """What it printed next. Raises Late when that takes too long, Trouble when it prints no more."""
        return self.timed_line(timeout_s)[1]

    def timed_line(self, timeout_s: float) -> tuple[float, str]:
        """The same, with the time of the monotonic clock when it came, in seconds."""
        try:
            told = self._lines.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            raise Late(f"{self.name}: nothing for {timeout_s:.0f} s") from None
        if told is _END:
            raise Trouble(f"{self.name}: {self.last_words() or 'it ended too early'}")
        return told

    def lines(self) -> list[str]:
        """What it has printed and nobody has taken; all of it when it has ended."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while (told := self._lines.get_nowait()) is not _END:
                taken.append(told[1])
        return taken

    def say(self, line: str) -> None:
        """Raises Trouble when it listens no more."""
        try:
            self.input.write(line.encode() + b"\n")
            self.input.flush()
        except BrokenPipeError:
            raise Trouble(f"{self.name}: {self.last_words() or 'it ended too early'}") from None

    @property
    def input(self) -> IO[bytes]:
        """Of the program, when it is a pipe."""
        return cast(IO[bytes], self._process.stdin)

    def pid(self) -> int:
        """Of the program itself. Raises Trouble."""
        return int(self._tell(1, 10.0)[0])

    def memory_mib(self) -> float:
        """What it has in memory now. Raises Trouble when it has ended."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid()}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        raise Trouble(f"{self.name}: it ended too early")

    def finish(self, timeout_s: float) -> Usage:
        """Wait for its end. Raises Late when it goes on, Trouble when it failed."""
        usage = self.end(timeout_s)
        if usage.code != 0:
            raise Trouble(f"{self.name}: exit code {usage.code}: {self.last_words()}")
        return usage

    def end(self, timeout_s: float) -> Usage:
        """Wait for its end, however that comes. Raises Late when it goes on."""
        code, cpu_s, peak_kib = self._tell(2, timeout_s)[1].split()
        if self._reader is not None:
            self._reader.join(timeout_s)
        return Usage(int(code), float(cpu_s), int(peak_kib) / 1024)

    def stop(self) -> None:
        """SIGTERM, to the program alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(), signal.SIGTERM)

    def last_words(self) -> str:
        """The last line of its errors."""
        return self._errors.read_text(errors="replace").strip().rpartition("\n")[2]

    def _tell(self, count: int, timeout_s: float) -> list[str]:
        """The first lines of its meter."""
        end = time.monotonic() + timeout_s
        while self._told.count(b"\n") < count:
            ready, _, _ = select.select([self._report], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise Late(f"{self.name}: it does not end")
            told = os.read(self._report, 4096)
            if not told:
                raise Trouble(f"{self.name}: killed")
            self._told += told
        return self._told.decode().splitlines()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._lines.put((time.monotonic(), line.decode(errors="replace").rstrip("\n")))
        self._lines.put(_END)
