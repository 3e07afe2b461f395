"""One side of a transfer: a p2pcopy process whose JSON lines are read as they come, with what it reads, takes and needs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0


@dataclass(frozen=True)
class Reads:
    """Of a process so far, in bytes: asked from the system (rchar), and come from a disk (read_bytes)."""

    asked: int
    from_disk: int

    def __sub__(self, before: Reads) -> Reads:
        return Reads(self.asked - before.asked, self.from_disk - before.from_disk)


@dataclass(frozen=True)
class Ended:
    """exit_code: negative for a signal; reads: since connected; peak_bytes: the most memory; err: what it said."""

    exit_code: int
    reads: Reads
    peak_bytes: int
    err: str


class Side:
    """A running process. last: the newest event of each name; first_s: when each name came first, by time.monotonic().

    files: how many files are finished, in one way or another; moved_s: when the first bytes of this run were stored.
    """

    def __init__(self, work: Path, *arguments: str) -> None:
        self.last: dict[str, dict[str, Any]] = {}
        self.first_s: dict[str, float] = {}
        self.files = 0
        self.moved_s = 0.0
        self._at_connected = Reads(0, 0)
        self._over = False
        self._changed = threading.Condition()
        self._err = (work / f"{arguments[0]}.err").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "p2pcopy", *arguments, "--no-stun", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._err,
            cwd=work,
            env=_environment(work),
        )
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Looked at whenever it has told something. Raises RuntimeError when it ends before, or is too slow."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if self._over or left <= 0:
                    told = self.last.get("error") or self.last.get("done")
                    raise RuntimeError(f"it ended, or {PATIENCE_S:.0f} s passed, before {what} came: {told}")
                self._changed.wait(left)

    def code(self) -> str:
        self.wait_for(lambda: "code" in self.last, "the code")
        return str(self.last["code"]["code"])

    def kill(self) -> None:
        """With SIGKILL. Popen.kill() would take note of an end, and what it has read could not be told any more."""
        os.kill(self._process.pid, signal.SIGKILL)

    def ended(self) -> Ended:
        """Wait for its end."""
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self.kill()
            raise RuntimeError("it does not end")
        # What it has read is told as long as nobody has taken note of its end.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        reads = self._reads() - self._at_connected
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._err.seek(0)
        return Ended(self._process.returncode, reads, used.ru_maxrss * 1024, self._err.read())

    def close(self) -> None:
        """Kill it if it is still there."""
        if self._process.returncode is None:
            self.kill()
            self.ended()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._err.close()

    def _collect(self) -> None:
        for line in self._process.stdout or ():
            now = time.monotonic()
            if not line.endswith(b"\n"):
                break  # it was killed in the middle
            event = json.loads(line)
            with self._changed:
                self._take(event, now)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _take(self, event: dict[str, Any], now: float) -> None:
        name = event["event"]
        self.last[name] = event
        if name not in self.first_s:
            self.first_s[name] = now
            if name == "connected":
                self._at_connected = self._reads()
        self.files += name == "file"
        if name == "progress" and not self.moved_s and event["bytes_done"] > event["bytes_resumed"]:
            self.moved_s = now

    def _reads(self) -> Reads:
        with open(f"/proc/{self._process.pid}/io") as told:
            numbers = {name: int(value) for name, value in (line.split(":") for line in told)}
        return Reads(numbers["rchar"], numbers["read_bytes"])


@dataclass(frozen=True)
class Pair:
    """Both sides of a transfer of source into destination."""

    sender: Side
    receiver: Side

    def kill(self) -> None:
        """Both, as when the power fails everywhere but on the disks."""
        self.sender.kill()
        self.receiver.kill()

    def ended(self) -> tuple[Ended, Ended]:
        """How the sender and the receiver ended."""
        return self.sender.ended(), self.receiver.ended()


@contextlib.contextmanager
def transfer(work: Path, source: str, destination: str) -> Iterator[Pair]:
    """The same two commands each time. Names are below work."""
    with contextlib.ExitStack() as sides:
        sender = Side(work, "send", source)
        sides.callback(sender.close)
        receiver = Side(work, "receive", sender.code(), "--output", destination, "--yes")
        sides.callback(receiver.close)
        yield Pair(sender, receiver)


def _environment(work: Path) -> dict[str, str]:
    """Nobody's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("P2PCOPY_")}
    return inherited | {"HOME": str(work), "XDG_CONFIG_HOME": str(work / "nothing")}
