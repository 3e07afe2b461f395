"""The files of a trial: what is sent, what was at the destination before, and what may be there afterwards."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faults.kinds import BIG

MIB = 1 << 20
_TIME_NS = 1_600_000_000_123_456_700
_INTERNAL = (".p2pcopy-part", ".p2pcopy-journal")


@dataclass(frozen=True)
class Facts:
    """What of an entry has to be right. content: of a file, or where a link leads."""

    kind: str
    mode: int
    mtime_ns: int
    content: bytes


def make_source(root: Path, seed: int) -> None:
    """A file of several journal entries, one of some blocks, many small ones, an empty one, directories and a link."""
    chance = random.Random(seed)
    _write(root / BIG, chance.randbytes(9 * MIB + 12345), 0o644)
    _write(root / "some" / "blocks", chance.randbytes(5 * MIB), 0o600)
    _write(root / "some" / "empty", b"", 0o644)
    for number in range(30):
        _write(root / f"many {number % 3}" / f"{number}", chance.randbytes(chance.randint(1, 40_000)), 0o644)
    (root / "link").symlink_to("some/blocks")
    os.utime(root / "link", ns=(_TIME_NS, _TIME_NS), follow_symlinks=False)
    for directory in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        os.utime(directory, ns=(_TIME_NS, _TIME_NS))
    os.utime(root, ns=(_TIME_NS, _TIME_NS))


def make_old(destination: Path, source: Path) -> None:
    """Other versions of some files are there already."""
    for name in (BIG, "many 1/1", "many 2/5"):
        _write(destination / source.name / name, b"old " + name.encode(), 0o640)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(_TIME_NS, _TIME_NS))


def facts(root: Path) -> dict[str, Facts]:
    """Everything below root that has a final name."""
    return {str(path.relative_to(root)): facts_of(path) for path in _final(root)}


def _final(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if not path.name.endswith(_INTERNAL):
            yield path


def unfinished(root: Path) -> list[str]:
    """Part files and journals below root."""
    return [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.name.endswith(_INTERNAL)]


def facts_of(path: Path) -> Facts:
    """Of one entry."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return Facts("link", 0, 0, os.fsencode(os.readlink(path)))
    if stat.S_ISDIR(status.st_mode):
        return Facts("directory", stat.S_IMODE(status.st_mode), 0, b"")
    return Facts("file", stat.S_IMODE(status.st_mode), status.st_mtime_ns, path.read_bytes())


def breaches(found: dict[str, Facts], old: dict[str, Facts], new: dict[str, Facts]) -> list[str]:
    """What of the destination is neither exactly old nor exactly new, nor a directory in work."""
    wrong = []
    for name, each in found.items():
        if each in (old.get(name), new.get(name)):
            continue
        if each.kind == "directory" and name in new:
            continue  # its mode comes at the end
        wrong.append(f"{name} is neither as it was nor as it was sent ({each.kind}, {len(each.content)} bytes)")
    return wrong + [f"{name} was there and is gone" for name in old if name not in found]


def copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
