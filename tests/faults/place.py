"""Where trials take place: a network namespace with one address, whose path can be cut. Without root, this machine as it is."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import namespaces

from faults.nursery import Nursery
from faults.trial import Bench

_numbers = itertools.count(900)


@contextlib.contextmanager
def bench(work: Path) -> Iterator[Bench]:
    """work: an empty directory."""
    with contextlib.ExitStack() as stack:
        place, cut = stack.enter_context(_namespace()) if _is_root() else ([], None)
        nursery = stack.enter_context(Nursery(place))
        yield Bench(nursery, work, cut)


def _is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@contextlib.contextmanager
def _namespace() -> Iterator[tuple[list[str], Callable[[], contextlib.AbstractContextManager[None]]]]:
    name = namespaces.name(next(_numbers)) + "-here"
    inside = ["ip", "-netns", name]
    namespaces.sweep()
    _run("ip", "netns", "add", name)
    try:
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        _run(*inside, "address", "add", "10.77.0.2/24", "dev", "eth0")
        for interface in ("eth0", "eth1"):
            _run(*inside, "link", "set", interface, "up")
        yield ["ip", "netns", "exec", name], lambda: _down(inside)
    finally:
        namespaces.delete([name])


@contextlib.contextmanager
def _down(inside: list[str]) -> Iterator[None]:
    """What the two say to each other goes over the loopback interface."""
    _run(*inside, "link", "set", "lo", "down")
    try:
        yield
    finally:
        _run(*inside, "link", "set", "lo", "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
