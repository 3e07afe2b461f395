"""Real p2pcopy processes without the time that it takes to load p2pcopy: they are forked from one that has loaded it.

`python -m faults.nursery FD` is that one. It takes requests from the socket FD: to start a process, with descriptors for its
standard output and error, or to send a signal to one. It tells when its children stop and how they end.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from processes import PATIENCE_S, Ended, Stream

from faults.injections import Injection, install

_HERE = Path(__file__).resolve().parent.parent
_MOST = 1 << 16
# Also what is imported when it is needed: half of what a small transfer costs.
_NEEDED = (
    "p2pcopy.app p2pcopy.cli p2pcopy.ui.plain p2pcopy.net.fastsctp p2pcopy.net.rehearsal email.parser platformdirs.unix "
    "cryptography.hazmat.backends.openssl pydantic.type_adapter typer._adapters"
)


class Child:
    """A p2pcopy process. out, err: what it writes; has_stopped: once at least; ended_at: of time.monotonic(), None before."""

    def __init__(self, nursery: Nursery, pid: int, out: Stream, err: Stream) -> None:
        self.out, self.err = out, err
        self.has_stopped = False
        self.ended_at: float | None = None
        self.status = 0
        self._nursery = nursery
        self._pid = pid

    def code(self) -> str:
        """The first code that it prints."""
        return self.out.wait_for(rb"^([0-9A-Z]{12,})\n")[1].decode()

    def signal(self, number: int) -> None:
        """While it runs; nothing happens afterwards."""
        self._nursery.signal(self._pid, number)

    def end(self) -> Ended:
        """How it ended, after that."""
        err = self.err.everything().decode(errors="surrogateescape")
        return Ended(os.waitstatus_to_exitcode(self.status), self.out.everything(), err)


class Nursery:
    """The client's side. place: a command line that runs a command somewhere else."""

    def __init__(self, place: Sequence[str] = ()) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Coverage is measured in the tests' own processes; what is killed here would leave broken files of it.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        path = f"{_HERE}:{_HERE / 'e2e'}:{os.environ.get('PYTHONPATH', '')}"
        with theirs:
            self._process = subprocess.Popen(
                [*place, sys.executable, "-m", "faults.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=inherited | {"PYTHONPATH": path},
            )
        self._children: dict[int, Child] = {}
        self._started: list[int] = []

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All children that still run are killed with it."""
        self._ours.close()
        self._process.wait(PATIENCE_S)

    def start(self, *arguments: str, work: Path, home: Path, injection: Injection | None = None) -> Child:
        """A p2pcopy with these arguments in the directory work."""
        parts = None if injection is None else vars(injection)
        request = {"argv": arguments, "work": str(work), "home": str(home), "injection": parts}
        out, theirs_out = os.pipe()
        err, theirs_err = os.pipe()
        try:
            socket.send_fds(self._ours, [json.dumps({"start": request}).encode()], [theirs_out, theirs_err])
        finally:
            os.close(theirs_out)
            os.close(theirs_err)
        streams = Stream(out), Stream(err)
        if not self.wait(lambda: bool(self._started), PATIENCE_S):
            raise AssertionError(f"no process was started within {PATIENCE_S} s")
        pid = self._started.pop()
        self._children[pid] = Child(self, pid, *streams)
        return self._children[pid]

    def signal(self, pid: int, number: int) -> None:
        """To a child, unless it has ended."""
        self._ours.send(json.dumps({"signal": [pid, number]}).encode())

    def end_all(self) -> None:
        """Kill what still runs. Fails when that takes too long."""
        for pid in self._children:
            self.signal(pid, signal.SIGKILL)
        assert self.wait(lambda: not self._children, PATIENCE_S), f"killed, but alive for {PATIENCE_S} s"

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """For something that children do. False when it does not come about within so many seconds."""
        until = time.monotonic() + timeout
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._ours.settimeout(left)
            try:
                self._take(json.loads(self._ours.recv(_MOST)))
            except TimeoutError:
                return condition()
            finally:
                self._ours.settimeout(None)
        return True

    def _take(self, told: dict[str, Any]) -> None:
        match told:
            case {"started": pid}:
                self._started.append(pid)
            case {"stopped": pid}:
                self._children[pid].has_stopped = True
            case {"ended": pid, "status": status, "at": at}:
                child = self._children.pop(pid)
                child.status, child.ended_at = status, at


@dataclass(frozen=True)
class _Request:
    argv: Sequence[str]
    work: str
    home: str
    injection: Mapping[str, Any] | None


def serve(control: socket.socket) -> None:
    """Until the client closes the socket; then the children that are left are killed."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    with selectors.DefaultSelector() as selector, contextlib.suppress(ConnectionError):
        selector.register(control, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        is_wanted = True
        while is_wanted:
            for key, _ in selector.select():
                if key.fileobj is control:
                    is_wanted = _serve_one(control, children, (reader, writer))
                else:
                    os.read(reader, _MOST)
            _reap(control, children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _serve_one(control: socket.socket, children: set[int], ours: Sequence[int]) -> bool:
    """False when there are no more requests."""
    message, descriptors, _, _ = socket.recv_fds(control, _MOST, 2)
    if not message:
        return False
    match json.loads(message):
        case {"start": request}:
            pid = _fork(_Request(**request), descriptors, (control, *ours))
            children.add(pid)
            _tell(control, started=pid)
        case {"signal": [pid, number]} if pid in children:
            os.kill(pid, number)
    return True


def _reap(control: socket.socket, children: set[int]) -> None:
    for pid in list(children):
        changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if changed and os.WIFSTOPPED(status):
            _tell(control, stopped=pid)
        elif changed:
            children.discard(pid)
            _tell(control, ended=pid, status=status, at=time.monotonic())


def _tell(control: socket.socket, **message: float) -> None:
    control.send(json.dumps(message).encode())


def _fork(request: _Request, descriptors: Sequence[int], ours: Sequence[socket.socket | int]) -> int:
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in ours:
            os.close(each if isinstance(each, int) else each.detach())
        for descriptor, place in zip(descriptors, (1, 2), strict=True):
            os.dup2(descriptor, place)
            os.close(descriptor)
        _become(request)
    except SystemExit as end:
        _flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:  # noqa: BLE001 - whatever it is, the parent must not go on twice
        traceback.print_exc()
        _flush()
        os._exit(70)
    _flush()
    os._exit(0)


def _become(request: _Request) -> None:
    from p2pcopy.cli import main

    os.chdir(request.work)
    os.environ |= {"HOME": request.home, "XDG_CONFIG_HOME": request.home, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    if request.injection is not None:
        install(Injection(**request.injection))
    sys.argv = ["p2pcopy", *request.argv]
    main()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _load() -> None:
    """All that a transfer needs, before the first fork."""
    for module in _NEEDED.split():
        with contextlib.suppress(ImportError):  # of another version of a library
            importlib.import_module(module)
    gc.freeze()  # else the first collection of each child copies all of it


if __name__ == "__main__":
    _load()
    serve(socket.socket(fileno=int(sys.argv[1])))
