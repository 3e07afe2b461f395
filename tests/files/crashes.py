"""Power failures for tests: what is done below a directory is recorded, and what a disk may have kept of it is made again.

The model is harsher than file systems are. Of what was written to a file since its last sync each operation is kept, lost or torn;
of the names in a directory any may be as they were at its last sync, or, as on a disk with a log, all from some moment on. A rename
happens or does not happen.
"""

from __future__ import annotations

import itertools
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from p2pcopy.files import native, plain
from p2pcopy.files.journal import Identity

_SECTOR = 16  # in bytes: small, as the files of these tests are


@dataclass(frozen=True)
class Node:
    """An inode. names: of a directory, with the numbers of their nodes; target: of a symbolic link."""

    mode: int = stat.S_IFREG | 0o600
    mtime_ns: int | None = None
    content: bytes = b""
    names: dict[str, int] = field(default_factory=dict)
    target: str = ""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


Change = Callable[[Node], Node]


@dataclass(frozen=True)
class Step:
    """One operation on a node. level: of sync that makes it durable, 1 for data and 2 for the rest; cut: the change, torn."""

    node: int
    change: Change
    level: int = 1
    cut: Callable[[random.Random], Change] | None = None


@dataclass(frozen=True)
class Sync:
    """Everything of a node, or of all (None), up to this level is durable."""

    node: int | None
    level: int = 2


class Disk:
    """What is below a directory, and everything that recorded() has seen happen to it. nodes: as they were at the beginning."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[Step | Sync] = []
        self.nodes: dict[int, Node] = {}
        self._counter = itertools.count(1)
        self._numbers: dict[tuple[int, int], int] = {}
        self.top = self._take_in(root)

    def _take_in(self, path: Path) -> int:
        status = os.lstat(path)
        number = self._number(status)
        names: dict[str, int] = {}
        content, target = b"", ""
        if stat.S_ISDIR(status.st_mode):
            names = {child.name: self._take_in(child) for child in sorted(path.iterdir())}
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
        else:
            content = path.read_bytes()
        self.nodes[number] = Node(status.st_mode, status.st_mtime_ns, content, names, target)
        return number

    def _number(self, status: os.stat_result) -> int:
        number = self._numbers[status.st_dev, status.st_ino] = next(self._counter)
        return number

    def _known(self, fd: int) -> int | None:
        try:
            status = os.fstat(fd)
        except OSError:
            return None
        return self._numbers.get((status.st_dev, status.st_ino))

    def identity(self, fd: int) -> Identity:
        """For plain.identity(): the same in a copy of this disk as here."""
        number = self._known(fd)
        assert number is not None, "a file made outside of recorded()"
        return Identity(number, (number, 0))

    # What a power failure leaves.

    def after_worst_failure(self, where: Path, moment: int | None = None) -> Disk:
        """A copy at where, which must not exist, after the first steps of the log or all: nothing is kept but what was synced."""
        steps = len(self.log) if moment is None else moment
        return self._copied(steps, random.Random(0), where, keep=0.0, ordered=False)

    def after_failure(self, moment: int, rng: random.Random, where: Path) -> Disk:
        """A copy at where, which must not exist, as a disk may have it after the first steps of the log."""
        keep = rng.choice((0.0, 0.3, 0.7, 0.95, 1.0))
        return self._copied(moment, rng, where, keep=keep, ordered=rng.random() < 0.5)

    def _copied(self, moment: int, rng: random.Random, where: Path, *, keep: float, ordered: bool) -> Disk:
        nodes = dict(self.nodes)
        for number, steps in self._steps(moment).items():
            durable = self._durable(number, moment)
            kept = [step for place, step in steps if place < durable[step.level]]
            pending = [step for place, step in steps if place >= durable[step.level]]
            node = nodes.get(number, Node())
            for step in kept:
                node = step.change(node)
            if ordered and node.is_directory:
                pending = pending[: rng.randint(0, len(pending))]
            else:
                pending = [step for step in pending if rng.random() < keep]
            for step in pending:
                change = step.cut(rng) if step.cut is not None and rng.random() < 0.2 else step.change
                node = change(node)
            nodes[number] = node
        copy = Disk.__new__(Disk)
        copy.root, copy.log, copy.nodes, copy.top = where, [], {}, self.top
        copy._counter, copy._numbers = self._counter, {}
        copy._make(self.top, where, nodes)
        return copy

    def _steps(self, moment: int) -> dict[int, list[tuple[int, Step]]]:
        steps: dict[int, list[tuple[int, Step]]] = {}
        for place, step in enumerate(self.log[:moment]):
            if isinstance(step, Step):
                steps.setdefault(step.node, []).append((place, step))
        return steps

    def _durable(self, number: int, moment: int) -> dict[int, int]:
        """Up to which place in the log the steps of each level are durable."""
        durable = {0: moment, 1: 0, 2: 0}
        for place, step in enumerate(self.log[:moment]):
            if isinstance(step, Sync) and step.node in (None, number):
                for level in range(1, step.level + 1):
                    durable[level] = place
        return durable

    def _make(self, number: int, path: Path, nodes: dict[int, Node]) -> None:
        node = nodes[number]
        if stat.S_ISLNK(node.mode):
            path.symlink_to(node.target)
        elif node.is_directory:
            path.mkdir()
            for name, child in node.names.items():
                self._make(child, path / name, nodes)
        else:
            path.write_bytes(node.content)
        status = os.lstat(path)
        self._numbers[status.st_dev, status.st_ino] = number
        self.nodes[number] = node
        if not stat.S_ISLNK(node.mode):
            path.chmod(stat.S_IMODE(node.mode))
            if node.mtime_ns is not None:
                os.utime(path, ns=(node.mtime_ns, node.mtime_ns))

    # What is done meanwhile.

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """All that this process does below the root by descriptor goes into the log. Nothing is really synced."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("write", "pwrite", "pwritev", "ftruncate", "fchmod", "utime", "fsync", "fdatasync"):
                patch.setattr(os, name, self._wrapped(getattr(os, name), getattr(self, f"_{name}")))
            for name in ("open", "mkdir", "symlink"):
                patch.setattr(os, name, self._making(getattr(os, name)))
            for name in ("unlink", "rmdir"):
                patch.setattr(os, name, self._removing(getattr(os, name)))
            patch.setattr(os, "replace", self._replacing(os.replace))
            patch.setattr(native, "rename_without_replacing", self._renaming(native.rename_without_replacing))
            patch.setattr(native, "reserve", self._wrapped(native.reserve, self._reserve))
            patch.setattr(native, "punch_hole", self._wrapped(native.punch_hole, self._punch_hole))
            patch.setattr(native, "sync_file_system", self._sync_file_system)
            patch.setattr(plain, "identity", self.identity)
            yield

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Part files are known again on this copy, and nothing is recorded."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plain, "identity", self.identity)
            yield

    def _wrapped(self, real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        skipped = real in (os.fsync, os.fdatasync)

        def call(fd: Any, *args: Any, **kwargs: Any) -> Any:
            number = self._known(fd) if isinstance(fd, int) else None
            if number is None:
                return real(fd, *args, **kwargs)
            result = None if skipped else real(fd, *args, **kwargs)
            note(number, *args, **kwargs)
            return result

        return call

    def _write(self, number: int, data: bytes) -> None:
        raise AssertionError("a file that is written without an offset")

    def _pwrite(self, number: int, data: bytes, offset: int) -> None:
        data = bytes(data)

        def torn(rng: random.Random) -> Change:
            return _put(data[: rng.randint(0, len(data) // _SECTOR) * _SECTOR], offset)

        self.log.append(Step(number, _put(data, offset), cut=torn))

    def _pwritev(self, number: int, parts: Any, offset: int) -> None:
        self._pwrite(number, b"".join(parts), offset)

    def _ftruncate(self, number: int, size: int) -> None:
        self.log.append(Step(number, lambda node: replace(node, content=node.content[:size].ljust(size, b"\0"))))

    def _reserve(self, number: int, size: int) -> None:
        self.log.append(Step(number, lambda node: replace(node, content=node.content.ljust(size, b"\0"))))

    def _punch_hole(self, number: int, offset: int, length: int) -> None:
        def punched(node: Node) -> Node:
            return _put(bytes(len(node.content[offset : offset + length])), offset)(node)

        self.log.append(Step(number, punched))

    def _fchmod(self, number: int, mode: int) -> None:
        self.log.append(Step(number, lambda node: replace(node, mode=stat.S_IFMT(node.mode) | mode), level=2))

    def _utime(self, number: int, *, ns: tuple[int, int]) -> None:
        self.log.append(Step(number, lambda node: replace(node, mtime_ns=ns[1]), level=2))

    def _fsync(self, number: int) -> None:
        self.log.append(Sync(number))

    def _fdatasync(self, number: int) -> None:
        self.log.append(Sync(number, level=1))

    def _sync_file_system(self, fd: int) -> bool:
        self.log.append(Sync(None))
        return True

    def _making(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            dir_fd = kwargs.get("dir_fd")
            directory = None if dir_fd is None else self._known(dir_fd)
            if directory is None or (real is _OPEN and not args[1] & os.O_CREAT):
                return result
            name = args[1] if real is _SYMLINK else args[0]
            status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            number = self._number(status)
            target = args[0] if real is _SYMLINK else ""
            made = Node(status.st_mode, None, b"", {}, target)
            self.log.append(Step(number, lambda node: made, level=0))
            self.log.append(Step(directory, lambda node: _named(node, name, number), level=2))
            return result

        return call

    def _removing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(name: Any, *, dir_fd: int | None = None) -> None:
            directory = None if dir_fd is None else self._known(dir_fd)
            if directory is None:
                real(name, dir_fd=dir_fd)
                return
            number = self._at(name, dir_fd)
            real(name, dir_fd=dir_fd)
            self.log.append(Step(directory, lambda node: _unnamed(node, name, number), level=2))

        return call

    def _replacing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            directory = None if src_dir_fd is None else self._known(src_dir_fd)
            number = None if directory is None else self._at(old, src_dir_fd)
            real(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if directory is not None and number is not None:
                self._renamed(directory, old, new, number)

        return call

    def _renaming(self, real: Callable[..., bool]) -> Callable[..., bool]:
        def call(dir_fd: int, old: str, new: str) -> bool:
            directory, number = self._known(dir_fd), self._at(old, dir_fd)
            assert directory is not None
            done = real(dir_fd, old, new)
            assert done, "this test needs a file system with renameat2()"
            self._renamed(directory, old, new, number)
            return True

        return call

    def _renamed(self, directory: int, old: str, new: str, number: int) -> None:
        self.log.append(Step(directory, lambda node: _named(_unnamed(node, old, number), new, number), level=2))

    def _at(self, name: str, dir_fd: int | None) -> int:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        return self._numbers[status.st_dev, status.st_ino]


_OPEN, _SYMLINK = os.open, os.symlink


def _put(data: bytes, offset: int) -> Change:
    def put(node: Node) -> Node:
        content = node.content.ljust(offset, b"\0")
        return replace(node, content=content[:offset] + data + content[offset + len(data) :])

    return put


def _named(node: Node, name: str, number: int) -> Node:
    return replace(node, names={**node.names, name: number})


def _unnamed(node: Node, name: str, number: int) -> Node:
    return replace(
        node, names={other: found for other, found in node.names.items() if (other, found) != (name, number)}
    )
