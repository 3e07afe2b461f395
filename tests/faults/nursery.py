"""Real p2pcopy processes without the time that it takes to load p2pcopy: they are forked from one that has loaded it.

`python -m faults.nursery FD` is that one. It takes requests from the socket FD, each with descriptors for standard output and
error, and tells how its children ended.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from processes import PATIENCE_S, Ended, Stream

_HERE = Path(__file__).resolve().parent.parent
_MOST = 1 << 16


class Child:
    """A p2pcopy process. out, err: what it writes."""

    def __init__(self, nursery: Nursery, pid: int, out: Stream, err: Stream) -> None:
        self.pid = pid
        self.out, self.err = out, err
        self._nursery = nursery

    def code(self) -> str:
        """The first code that it prints."""
        return self.out.wait_for(rb"^([0-9A-Z]{12,})$")[1].decode()

    def signal(self, number: int) -> None:
        """While it runs; afterwards its number may be somebody else's."""
        if self.pid not in self._nursery.statuses:
            os.kill(self.pid, number)

    def ended(self, timeout: float = PATIENCE_S) -> Ended:
        """Wait for its end. Fails when it does not come in time."""
        status = self._nursery.wait(self.pid, timeout)
        err = self.err.everything().decode(errors="surrogateescape")
        return Ended(os.waitstatus_to_exitcode(status), self.out.everything(), err)


class Nursery:
    """The client's side. place: a command line that runs a command somewhere else."""

    def __init__(self, place: Sequence[str] = ()) -> None:
        self.statuses: dict[int, int] = {}
        self._ours, theirs = socket.socketpair()
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
        self._lines = self._ours.makefile("r")

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All children that still run are killed with it."""
        self._lines.close()
        self._ours.close()
        self._process.wait(PATIENCE_S)

    def start(self, *arguments: str, work: Path, home: Path, injection: Mapping[str, Any] | None = None) -> Child:
        """A p2pcopy with these arguments in the directory work. injection: of faults.injections."""
        request = {"argv": arguments, "work": str(work), "home": str(home), "injection": injection}
        out, theirs_out = os.pipe()
        err, theirs_err = os.pipe()
        try:
            socket.send_fds(self._ours, [json.dumps(request).encode() + b"\n"], [theirs_out, theirs_err])
        finally:
            os.close(theirs_out)
            os.close(theirs_err)
        return Child(self, self._next("pid")["pid"], Stream(out), Stream(err))

    def wait(self, pid: int, timeout: float) -> int:
        """The exit status of a child."""
        self._ours.settimeout(timeout)
        try:
            while pid not in self.statuses:
                self._take(json.loads(self._lines.readline()))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"process {pid} does not end within {timeout} s") from None
        finally:
            self._ours.settimeout(None)
        return self.statuses.pop(pid)

    def _next(self, key: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self._lines.readline())
            if key in message:
                return message
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        self.statuses[message["ended"]] = message["status"]


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
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, descriptors, _, _ = socket.recv_fds(control, _MOST, 2)
                    if not message:
                        for pid in children:
                            os.kill(pid, signal.SIGKILL)
                        return
                    pid = _fork(_Request(**json.loads(message)), descriptors, (control, reader, writer))
                    children.add(pid)
                    _tell(control, pid=pid)
                else:
                    os.read(reader, _MOST)
            _reap(control, children)


def _reap(control: socket.socket, children: set[int]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            _tell(control, ended=pid, status=status)


def _tell(control: socket.socket, **message: int) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


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
        from faults import injections

        injections.install(injections.Injection(**request.injection))
    sys.argv = ["p2pcopy", *request.argv]
    main()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _load() -> None:
    """All that a transfer needs, before the first fork."""
    for module in ("app", "cli"):
        importlib.import_module(f"p2pcopy.{module}")


if __name__ == "__main__":
    _load()
    serve(socket.socket(fileno=int(sys.argv[1])))
