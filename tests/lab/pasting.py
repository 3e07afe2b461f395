"""One case of the matrix: p2pcopy send on host a, p2pcopy receive on host b, and somebody who pastes codes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import theory
from lab.kinds import Family
from lab.network import Lab
from lab.theory import Case, Has
from lab.turn import Coturn

# For how long the codes are good: where a connection is expected, and where not.
WAIT_S, SHORT_WAIT_S = 20.0, 5.0
# For how long a transfer is held up for a better path to come.
UPGRADE_S = 4.0
START_S = 30.0
END_S = 30.0
PAYLOAD = bytes(range(256)) * 64


@dataclass(frozen=True)
class Result:
    """path: at the end; first: the one that came up first; seconds: from the last paste until both sides were connected.

    trouble: what else went wrong, "" for nothing.
    """

    case: Case
    path: theory.Path
    first: theory.Path
    seconds: float
    trouble: str = ""

    @property
    def as_expected(self) -> bool:
        return not self.trouble and self.path is theory.expected(self.case)


def run(lab: Lab, server: Coturn, case: Case) -> Result:
    """Takes a few seconds, and at most a minute. lab: of the case's layout; server: with a secret."""
    for host in ("a", "b"):
        if lab.link(host).nat:
            lab.forget_mappings(host)
    with tempfile.TemporaryDirectory(prefix="p2pcopy-matrix-") as folder, contextlib.ExitStack() as stack:
        try:
            return _Pair(lab, server, case, Path(folder), stack).run()
        except (OSError, ValueError) as error:  # a process is gone, or writes what is no JSON
            return Result(case, theory.Path.NONE, theory.Path.NONE, 0.0, f"{type(error).__name__}: {error}")


class _Pair:
    def __init__(self, lab: Lab, server: Coturn, case: Case, folder: Path, stack: contextlib.ExitStack) -> None:
        self._case = case
        self._expected = theory.expected(case)
        self._lab, self._server, self._folder = lab, server, folder
        (folder / "secret").write_text(server.secret)
        self._answer_end, self._answer = os.pipe()
        stack.callback(os.close, self._answer)
        wait_s = SHORT_WAIT_S if self._expected is theory.Path.NONE else WAIT_S
        both = ("--json", "--no-qr", "--wait", f"{wait_s:g}s")
        offering = case.servers.turn in (Has.OFFERING, Has.BOTH)
        answering = case.servers.turn in (Has.ANSWERING, Has.BOTH)
        # The offer goes to a receiver that is at its prompt already, as where people paste.
        receiving = ("receive", "-", "--yes", "--output", str(folder), *both, *self._servers("b", answering))
        self._receiver = stack.enter_context(self._start("b", *receiving))
        answer_from = ("--answer", f"fd:{self._answer_end}")
        sending = ("send", "-", "--name", "payload", *answer_from, *both, *self._servers("a", offering))
        self._sender = stack.enter_context(self._start("a", *sending, pass_fds=(self._answer_end,)))
        os.close(self._answer_end)

    def run(self) -> Result:
        try:
            offer = self._sender.wait_for(_code("offer"), START_S)
        except TimeoutError:
            return self._failed(f"no offer: {self._sender.last_words()}")
        pasted = time.monotonic()
        self._receiver.type(f"{offer.event['code']}\n".encode())
        if self._case.pastes == 2:
            try:
                answer = self._receiver.wait_for(_code("answer"), START_S)
            except TimeoutError:
                return self._failed(f"no answer: {self._receiver.last_words()}")
            pasted = time.monotonic()
            os.write(self._answer, f"{answer.event['code']}\n".encode())
        try:
            connected = [each.wait_for(_is("connected"), WAIT_S + 5) for each in (self._sender, self._receiver)]
        except TimeoutError:
            return self._not_connected()
        seconds = max(0.0, max(each.time for each in connected) - pasted)
        return self._transferred(_worst(each.event for each in connected), seconds)

    def _transferred(self, first: theory.Path, seconds: float) -> Result:
        with contextlib.suppress(BrokenPipeError):
            self._sender.type(PAYLOAD)
        if first is not self._expected:
            with contextlib.suppress(TimeoutError):
                for each in (self._sender, self._receiver):
                    each.wait_for(_path(self._expected), UPGRADE_S)
        self._sender.close_input()
        codes = [each.ended(END_S) for each in (self._sender, self._receiver)]
        try:
            done = [each.wait_for(_is("done"), 0) for each in (self._sender, self._receiver)]
        except TimeoutError:
            said = " / ".join(each.last_words() for each in (self._sender, self._receiver))
            return self._failed(f"connected, but not done: {said}", first, seconds)
        path = _worst(each.event for each in done)
        if codes != [0, 0] or (self._folder / "payload").read_bytes() != PAYLOAD:
            return Result(self._case, path, first, seconds, f"exit codes {codes}, or the file differs")
        return Result(self._case, path, first, seconds)

    def _not_connected(self) -> Result:
        codes = [each.ended(END_S) for each in (self._sender, self._receiver)]
        if codes == [5, 5]:
            return Result(self._case, theory.Path.NONE, theory.Path.NONE, 0.0)
        said = " / ".join(each.last_words() for each in (self._sender, self._receiver))
        return self._failed(f"exit codes {codes}: {said}")

    def _failed(self, trouble: str, first: theory.Path = theory.Path.NONE, seconds: float = 0.0) -> Result:
        return Result(self._case, theory.Path.NONE, first, seconds, trouble)

    def _servers(self, host: str, turn: bool) -> Sequence[str]:
        """The arguments that name them."""
        address = Lab.SERVER6 if self._lab.link(host).site.family is Family.IPV6 else Lab.SERVER
        servers = self._case.servers
        stun = ("--stun", self._server.url("stun", address=address)) if servers.stun else ("--no-stun",)
        if not turn:
            return stun
        url = self._server.url_over(servers.transport, address)
        return (*stun, "--turn", url, "--turn-secret-file", str(self._folder / "secret"))

    def _start(self, host: str, *arguments: str, pass_fds: Sequence[int] = ()) -> _Process:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("P2PCOPY_")}
        environment = inherited | {
            "HOME": str(self._folder / "nobody"),
            "XDG_CONFIG_HOME": str(self._folder / "nothing"),
            "SSL_CERT_FILE": str(self._server.ca_file),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = self._lab.command(host, sys.executable, "-m", "p2pcopy", *arguments)
        return _Process(host, command, self._folder, env=environment, pass_fds=pass_fds)


@dataclass(frozen=True)
class _Told:
    time: float
    event: dict[str, Any]


_Wanted = Callable[[dict[str, Any]], bool]


class _Process:
    """p2pcopy with --json, and when it told what. Use as a context manager: it is killed in the end."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, **how: Any) -> None:
        self._errors = folder / f"{name}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                **how,
            )
        self._told: list[_Told] = []
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> _Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self.close_input()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def wait_for(self, wanted: _Wanted, timeout: float) -> _Told:
        """The first event that is wanted. Raises TimeoutError when it does not come in time, or cannot come any more."""
        end, seen = time.monotonic() + timeout, 0
        with self._changed:
            while True:
                for told in self._told[seen:]:
                    if wanted(told.event):
                        return told
                seen = len(self._told)
                if self._over or time.monotonic() >= end:
                    raise TimeoutError
                self._changed.wait(end - time.monotonic())

    def type(self, data: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def close_input(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def ended(self, timeout: float) -> int:
        """Its exit code; it is killed when it takes too long."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        return self._process.returncode

    def last_words(self) -> str:
        """Its error, or what it wrote last."""
        with self._changed:
            if self._told and self._told[-1].event["event"] == "error":
                return str(self._told[-1].event["message"])
        return self._errors.read_text(errors="replace").strip().rpartition("\n")[2]

    def _listen(self) -> None:
        try:
            for line in self._process.stdout or ():
                told = _Told(time.monotonic(), json.loads(line))
                with self._changed:
                    self._told.append(told)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()


def _is(name: str) -> _Wanted:
    return lambda event: event["event"] == name


def _code(kind: str) -> _Wanted:
    return lambda event: event["event"] == "code" and event["kind"] == kind


def _path(path: theory.Path) -> _Wanted:
    """The first path, or a later one."""
    return lambda event: event["event"] in ("connected", "path") and event["path"]["kind"] == path.value


def _worst(events: Any) -> theory.Path:
    """What both sides say of the path; whoever says that it is relayed knows more."""
    kinds = [theory.Path(event["path"]["kind"]) for event in events]
    return max(kinds, key=[theory.Path.LOCAL, theory.Path.DIRECT, theory.Path.RELAYED].index)
