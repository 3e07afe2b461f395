"""Trees of files for the tests: made, described and compared."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
LONG_NAME = ("long " * 51)[:255]


@dataclass(frozen=True)
class Facts:
    """What a copy must not change. content: a digest, or where a link leads; mtime_ns: None for what may differ."""

    kind: str
    mode: int
    mtime_ns: int | None
    content: bytes


def facts(root: Path, *, directory_times: bool = True) -> dict[bytes, Facts]:
    """Everything below root, by its path. directory_times: False where something was made and removed again."""
    return {path: _facts(local, directory_times) for path, local in _walk(os.fsencode(root), b"")}


def copied(source: Path, root: Path) -> bool:
    """Whether root holds source, and nothing else. Times of links are not compared: not every file system keeps them."""
    there = facts(root)
    name = os.fsencode(source.name)
    expected = {name: _facts(os.fsencode(source), True)}
    if source.is_dir() and not source.is_symlink():
        expected |= {name + b"/" + path: each for path, each in facts(source).items()}
    return there == expected


def leftovers(root: Path) -> list[bytes]:
    """Part files and the like."""
    return [path for path, _ in _walk(os.fsencode(root), b"") if b".p2pcopy" in path.rpartition(b"/")[2]]


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that cannot be compressed."""
    return random.Random(seed).randbytes(size)


def make(path: Path | bytes, content: bytes, *, mode: int = 0o644, mtime_s: float = 1_600_000_000.123456789) -> None:
    """A file with these contents, mode and time."""
    local = os.fsencode(path)
    os.makedirs(os.path.dirname(local), exist_ok=True)
    with open(local, "wb") as file:
        file.write(content)
    os.chmod(local, mode)
    nanoseconds = int(mtime_s * 1_000_000_000)
    os.utime(local, ns=(nanoseconds, nanoseconds))


def make_sparse(path: Path, size: int) -> None:
    """Holes with a little data in the middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.seek(size // 2)
        file.write(b"in the middle")
        file.truncate(size)


def make_odd(root: Path) -> None:
    """Sizes at the edges, names, modes, times and links that a copy can get wrong. Linux only: not all are Unicode."""
    for name, size in (("empty", 0), ("one", 1), ("block", MIB), ("block and one", MIB + 1), ("odd", 3 * MIB // 2 + 7)):
        make(root / "sizes" / name, noise(size))
    make_sparse(root / "sizes" / "sparse", 5 * MIB)
    for number, odd in enumerate(_ODD_NAMES):
        make(os.path.join(os.fsencode(root), b"names", odd), noise(100 + number, number))
    for mode in (0o600, 0o644, 0o755, 0o444, 0o700):
        make(root / "modes" / f"{mode:o}", b"mode", mode=mode)
    for time_s in (1, 1_000_000_000.5, 4_000_000_000.000000999):
        make(root / "times" / str(time_s), b"time", mtime_s=time_s)
    (root / "empty directory").mkdir()
    links = root / "links"
    links.mkdir()
    (links / "to a file").symlink_to("../sizes/one")
    (links / "to a directory").symlink_to("../sizes")
    (links / "to nothing").symlink_to("nowhere")
    (root / "modes").chmod(0o750)
    for directory in (root / "modes", root / "empty directory", root):
        os.utime(directory, ns=(1_500_000_000_000_000_001, 1_500_000_000_000_000_001))


_ODD_NAMES = (
    b"with spaces  two",
    b"'single' \"double\" `back`",
    b"line\nbreak",
    b"tab\tand\x1b[31mescape",
    b"not utf-8 \xff\xfe",
    b"-leading dash",
    b"..dots",
    b" leading space",
    b"$HOME; rm *",
    "Grüße 漢字 😀".encode(),
    LONG_NAME.encode(),
)


def _facts(local: bytes, directory_times: bool) -> Facts:
    status = os.lstat(local)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Facts("link", 0, None, os.readlink(local))
    if stat.S_ISDIR(status.st_mode):
        return Facts("directory", mode, status.st_mtime_ns if directory_times else None, b"")
    with open(local, "rb") as file:
        return Facts("file", mode, status.st_mtime_ns, hashlib.file_digest(file, "sha256").digest())


def _walk(local: bytes, path: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name in sorted(os.listdir(local)):
        below = os.path.join(local, name)
        yield path + name, below
        if os.path.isdir(below) and not os.path.islink(below):
            yield from _walk(below, path + name + b"/")
