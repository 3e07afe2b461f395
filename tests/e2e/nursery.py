"""Real p2pcopy processes without the time that it takes to load p2pcopy: they are forked from one that has loaded it.

`python nursery.py FD` is that one. It takes requests from the socket FD, each with the descriptors that the child is to have; from
then on the child is what `python -c` would be. It is waited for and signalled through a descriptor of its own (pidfd), so that
neither meets another process. When the socket is closed, the children that are left are killed.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import importlib
import io
import json
import math
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

_TESTS = Path(__file__).resolve().parent.parent
_MOST = 1 << 18
_MOST_DESCRIPTORS = 16
_PATIENCE_S = 90.0


@dataclass(frozen=True)
class Request:
    """A process: what it runs, in which directory, with which environment, and the numbers that its descriptors have in it."""

    script: str
    arguments: Sequence[str]
    work: str
    environment: Mapping[str, str]
    numbers: Sequence[int]


class Child:
    """A process of the nursery, with the methods of Popen."""

    def __init__(self, nursery: Nursery, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._descriptor = descriptor
        self._taking = threading.Lock()

    def poll(self) -> int | None:
        return self._result(0)

    def wait(self, timeout: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        result = self._result(timeout)
        if result is None:
            raise subprocess.TimeoutExpired("p2pcopy", timeout)
        return result

    def send_signal(self, number: int) -> None:
        with self._taking:
            if self.returncode is None:
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _result(self, timeout: float) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(math.ceil(timeout * 1000)):
                return None
            with self._taking:
                if self.returncode is None:
                    self.returncode = os.waitstatus_to_exitcode(self._nursery.status(self.pid))
        return self.returncode

    def __del__(self) -> None:
        os.close(self._descriptor)  # not before: other threads may wait for it


class Nursery:
    """The client's side. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._ours.settimeout(_PATIENCE_S)
        self._asking = threading.Lock()
        # Coverage is measured in the tests' own processes; what is killed here would leave broken files of it.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        path = f"{_TESTS}{os.pathsep}{inherited.get('PYTHONPATH', '')}".rstrip(os.pathsep)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=inherited | {"PYTHONPATH": path, "LC_ALL": "C.UTF-8"},
            )

    def close(self) -> None:
        """All children that still run are killed with it."""
        self._ours.close()
        self._process.wait(_PATIENCE_S)

    def start(self, request: Request, descriptors: Sequence[int], namespace: str = "") -> Child:
        """descriptors: those that have the numbers of the request. namespace: of the network; "" for that of the tests."""
        if namespace:
            place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            try:
                return self._start(request, [place, *descriptors])
            finally:
                os.close(place)
        return self._start(request, descriptors)

    def status(self, pid: int) -> int:
        """Of a child that has ended, as waitpid has it. Can be asked once."""
        with self._asking:
            self._ours.send(json.dumps({"status": pid}).encode())
            return int(self._ours.recv(_MOST))

    def _start(self, request: Request, descriptors: Sequence[int]) -> Child:
        with self._asking:
            socket.send_fds(self._ours, [json.dumps({"start": asdict(request)}).encode()], descriptors)
            pid, (descriptor,), _, _ = socket.recv_fds(self._ours, _MOST, 1)
        return Child(self, int(pid), descriptor)


POSSIBLE = hasattr(os, "pidfd_open")


@functools.cache
def nursery() -> Nursery:
    """The one of this process, where it is POSSIBLE."""
    opened = Nursery()
    atexit.register(opened.close)
    return opened


# In the nursery


def _serve(control: socket.socket) -> tuple[Request, list[int]] | None:
    """Returns in each child with what it has to be, and in the end, in the nursery itself, with None."""
    children: set[int] = set()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MOST, _MOST_DESCRIPTORS)
        if not message:
            for child in children:
                os.kill(child, signal.SIGKILL)
            return None
        asked: dict[str, Any] = json.loads(message)
        if "status" in asked:
            pid, status = os.waitpid(asked["status"], 0)
            children.discard(pid)
            control.send(str(status).encode())
            continue
        pid = os.fork()
        if not pid:
            control.close()
            return Request(**asked["start"]), descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        children.add(pid)
        handle = os.pidfd_open(pid)
        socket.send_fds(control, [str(pid).encode()], [handle])
        os.close(handle)


def _become(request: Request, descriptors: list[int]) -> None:
    if len(descriptors) > len(request.numbers):  # the first one leads to a network namespace
        from lab import namespaces

        namespaces.enter(descriptors[0])
        os.close(descriptors.pop(0))
    # First out of the way of each other.
    high = [_above(each, max(request.numbers)) for each in descriptors]
    for descriptor, number in zip(high, request.numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request.work)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["-c", *request.arguments]
    sys.stdin = sys.__stdin__ = _stream(0, "r", "surrogateescape")  # type: ignore[misc, assignment]
    sys.stdout = sys.__stdout__ = _stream(1, "w", "surrogateescape")  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _stream(2, "w", "backslashreplace")  # type: ignore[misc, assignment]


def _above(descriptor: int, number: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, number + 1)
    os.close(descriptor)
    return moved


def _stream(descriptor: int, mode: str, errors: str) -> TextIO:
    """As an interpreter opens it when it starts in C.UTF-8."""
    raw: Any = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115 (it stays open)
    lines = mode == "w" and (descriptor == 2 or raw.isatty())
    return io.TextIOWrapper(raw, "utf-8", errors, newline="\n", line_buffering=lines)


def _load() -> None:
    """All of p2pcopy, and with it what it needs, before the first fork."""
    import p2pcopy

    for module in pkgutil.walk_packages(p2pcopy.__path__, f"{p2pcopy.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    if (born := _serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        _become(*born)
        exec(compile(born[0].script, "<string>", "exec"), {"__name__": "__main__"})
