"""Network namespaces, named p2pcopy-<process>-<number>-<member>: whoever finds one without its process sweeps it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lab.tied import runs

_PREFIX = "p2pcopy"
_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


def name(number: int) -> str:
    """What the names of one laboratory of this process begin with."""
    return f"{_PREFIX}-{os.getpid()}-{number}"


def present(beginning: str = f"{_PREFIX}-") -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [each for each in os.listdir(_FOLDER) if each.startswith(beginning)]
    return []


def delete(names: Iterable[str]) -> None:
    """Kill what runs in them, and remove them."""
    names = list(names)
    if not names:
        return
    with contextlib.ExitStack() as stack:
        for process in _processes({each for each in (_identity(name, stack) for name in names) if each}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    for each in names:
        subprocess.run(["ip", "netns", "delete", each], capture_output=True, check=False)


def sweep() -> None:
    """Remove what killed processes have left."""
    owners = ((each, re.match(rf"{_PREFIX}-(\d+)-", each)) for each in present())
    delete(each for each, owner in owners if owner and not runs(int(owner[1])))


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that this thread opens, and threads that it starts, are in the namespace."""
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        with (_FOLDER / namespace).open("rb") as place:
            enter(place.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


def _identity(namespace: str, stack: contextlib.ExitStack) -> tuple[int, int] | None:
    """It is no other namespace's until the stack ends, even if another process removes this one meanwhile."""
    with contextlib.suppress(OSError):
        found = os.fstat(stack.enter_context((_FOLDER / namespace).open("rb")).fileno())
        return found.st_dev, found.st_ino
    return None


def _processes(identities: set[tuple[int, int]]) -> Iterator[int]:
    """Those in one of the namespaces, but not this one."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                found = os.stat(f"/proc/{entry}/ns/net")
                if (found.st_dev, found.st_ino) in identities:
                    yield int(entry)


def enter(namespace: int) -> None:
    """Sockets that this thread opens from now on are in the namespace that this descriptor leads to."""
    setns: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).setns
    if setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
