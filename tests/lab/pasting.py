"""One case of the matrix: p2pcopy send on host a, p2pcopy receive on host b, and somebody who pastes codes."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import theory
from lab.kinds import Family
from lab.network import Lab
from lab.program import Program, Trouble, Wanted, named
from lab.theory import Case, Has
from lab.turn import Coturn

# For how long the codes are good: where a connection is expected, and where not.
WAIT_S, SHORT_WAIT_S = 20.0, 5.0
# For how long a transfer is held up for a better path to come.
UPGRADE_S = 20.0
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
        except (OSError, ValueError, Trouble) as error:  # a process is gone, or does not end
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
        both = ("--wait", f"{wait_s:g}s")
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
            offer = self._sender.code("offer", START_S)
        except Trouble:
            return self._failed(f"no offer: {self._sender.last_words()}")
        pasted = time.monotonic()
        self._receiver.type(f"{offer}\n")
        if self._case.pastes == 2:
            try:
                answer = self._receiver.code("answer", START_S)
            except Trouble:
                return self._failed(f"no answer: {self._receiver.last_words()}")
            pasted = time.monotonic()
            os.write(self._answer, f"{answer}\n".encode())
        try:
            connected = [each.wait_for(named("connected"), WAIT_S + 5) for each in (self._sender, self._receiver)]
        except Trouble:
            return self._not_connected()
        seconds = max(0.0, max(each.time for each in connected) - pasted)
        return self._transferred(_worst(each.event for each in connected), seconds)

    def _transferred(self, first: theory.Path, seconds: float) -> Result:
        with contextlib.suppress(BrokenPipeError):
            self._sender.feed(PAYLOAD)
        if first is not self._expected:
            with contextlib.suppress(Trouble):
                for each in (self._sender, self._receiver):
                    each.wait_for(_path(self._expected), UPGRADE_S)
        self._sender.close_input()
        codes = [each.ended(END_S) for each in (self._sender, self._receiver)]
        try:
            done = [each.wait_for(named("done"), 0) for each in (self._sender, self._receiver)]
        except Trouble:
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

    def _start(self, host: str, *arguments: str, pass_fds: Sequence[int] = ()) -> Program:
        trust = {"SSL_CERT_FILE": str(self._server.ca_file)}
        return Program(self._lab, host, self._folder, *arguments, environment=trust, pass_fds=pass_fds)


def _path(path: theory.Path) -> Wanted:
    """The first path, or a later one."""
    changes = named("connected", "path")
    return lambda told: changes(told) and told.event["path"]["kind"] == path.value


def _worst(events: Any) -> theory.Path:
    """What both sides say of the path; whoever says that it is relayed knows more."""
    kinds = [theory.Path(event["path"]["kind"]) for event in events]
    return max(kinds, key=[theory.Path.LOCAL, theory.Path.DIRECT, theory.Path.RELAYED].index)
