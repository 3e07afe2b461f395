"""A p2pcopy process with --json on a host of the laboratory: what it told, and when."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from lab.network import Lab
from lab.tied import Tied

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """A process did not do what was expected of it, or not in time."""


@dataclass(frozen=True)
class Told:
    """time: of the monotonic clock, in seconds."""

    time: float
    event: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.event["event"])


Wanted = Callable[[Told], bool]


def named(*names: str) -> Wanted:
    """One of these events."""
    return lambda told: told.name in names


def after(moment: float, wanted: Wanted) -> Wanted:
    return lambda told: told.time >= moment and wanted(told)


class Program(Tied):
    """Use as a context manager: it is killed in the end, and also when the thread that started it ends."""

    def __init__(
        self,
        lab: Lab,
        host: str,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.host = host
        self.cpu_s = 0.0
        self._errors = folder / f"{host}.err"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("P2PCOPY_")}
        with self._errors.open("wb") as errors:
            super().__init__(
                [sys.executable, "-m", "p2pcopy", *arguments, "--json", "--no-qr"],
                place=lab.command(host),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=inherited
                | {
                    "HOME": str(folder / "nobody"),
                    "XDG_CONFIG_HOME": str(folder / "nothing"),
                    "PYTHONPATH": str(ROOT),
                }
                | dict(environment or {}),
                pass_fds=pass_fds,
            )
        self._keyboard = cast(IO[bytes], self._process.stdin)
        self._told: list[Told] = []
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self.close_input()
        self.stdout.close()

    @property
    def told(self) -> Sequence[Told]:
        """All events so far."""
        with self._changed:
            return tuple(self._told)

    def type(self, text: str) -> None:
        self.feed(text.encode())

    def feed(self, data: bytes) -> None:
        self._keyboard.write(data)
        self._keyboard.flush()

    def close_input(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._keyboard.close()

    def code(self, kind: str, timeout: float = 30.0) -> str:
        """The first code of this kind. Raises Trouble."""
        told = self.wait_for(lambda each: each.name == "code" and each.event["kind"] == kind, timeout)
        return str(told.event["code"])

    def wait_for(self, wanted: Wanted, timeout: float) -> Told:
        """The first event that is wanted. Raises Trouble when it does not come in time, or cannot come any more."""
        end, seen = time.monotonic() + timeout, 0
        with self._changed:
            while True:
                for told in self._told[seen:]:
                    if wanted(told):
                        return told
                seen = len(self._told)
                if self._over or time.monotonic() >= end:
                    raise Trouble(f"{self.host}: {'it ended' if self._over else f'{timeout:.0f} s passed'} too early")
                self._changed.wait(end - time.monotonic())

    def cpu_now_s(self) -> float:
        """CPU time that it has used so far, in seconds. Raises OSError after ended()."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def ended(self, timeout: float) -> int:
        """Its exit code; afterwards cpu_s is all that it has used, in seconds. Raises Trouble when it goes on."""
        process = os.pidfd_open(self.pid)
        try:
            if not select.select([process], [], [], timeout)[0]:
                raise Trouble(f"{self.host}: it does not end")
        finally:
            os.close(process)
        self.cpu_s = self.cpu_now_s()
        self._thread.join()
        return self._process.wait()

    def last_words(self) -> str:
        """Its error, or what it wrote last."""
        for told in reversed(self.told):
            if told.name == "error":
                return str(told.event["message"])
        return self._errors.read_text(errors="replace").strip().rpartition("\n")[2]

    def _listen(self) -> None:
        for line in self.stdout:
            with contextlib.suppress(ValueError):  # killed in the middle of a line
                told = Told(time.monotonic(), json.loads(line))
                with self._changed:
                    self._told.append(told)
                    self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()
