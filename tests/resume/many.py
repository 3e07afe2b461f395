"""Many small files, interrupted again and again with more and more of them there: in the end all are there as they were sent."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resume.side import Ended, transfer

_NAME = "many"
_DIRECTORIES = 200
_SIZE = 1024
_TIME_NS = 1_500_000_000_000_000_001
_MODES = (0o644, 0o600, 0o755, 0o444)


@dataclass(frozen=True)
class Many:
    """there: how many files had their names after each interruption; runs: how sender and receiver ended, the last one whole.

    differing: what is missing, too much, or has another content, mode or time.
    """

    files: int
    there: tuple[int, ...]
    runs: tuple[tuple[Ended, Ended], ...]
    differing: tuple[str, ...]

    @property
    def missed(self) -> list[str]:
        """Which goals."""
        last = tuple(ended.exit_code for ended in self.runs[-1])
        goals = {
            "both sides end with 0": last == (0, 0),
            "nothing differs": not self.differing,
            "each run has added to what was there": list(self.there) == sorted(set(self.there)),
        }
        return [goal for goal, reached in goals.items() if not reached]


def measure(work: Path, files: int, interruptions: int) -> Many:
    """Send so many files from work to work/out."""
    _make(work / _NAME, files)
    copy = work / "out" / _NAME
    there, runs = [0], []
    for left in range(interruptions, 0, -1):
        with transfer(work, _NAME, "out") as pair:
            enough = there[-1] + (files - there[-1]) // (left + 1) + 1
            pair.receiver.wait_for(lambda: pair.receiver.files >= enough, f"file {enough}")  # noqa: B023 - waits at once
            pair.kill()
            runs.append(pair.ended())
        there.append(sum(not path.name.startswith(".") for path in copy.glob("*/*")))
    with transfer(work, _NAME, "out") as pair:
        runs.append(pair.ended())
    return Many(files, tuple(there[1:]), tuple(runs), tuple(differences(work / _NAME, copy)))


def differences(source: Path, copy: Path) -> Iterator[str]:
    """What of two trees is not the same, by content, mode and modification time; of links and the like, there are none."""
    for path, ours in _walk(source):
        try:
            theirs = os.lstat(copy / path)
        except FileNotFoundError:
            yield f"{path} is missing"
            continue
        if (ours.st_mode, ours.st_mtime_ns) != (theirs.st_mode, theirs.st_mtime_ns):
            yield f"{path} has another kind, mode or time"
        elif stat.S_ISREG(ours.st_mode) and (source / path).read_bytes() != (copy / path).read_bytes():
            yield f"{path} has another content"
    for path, _ in _walk(copy):
        if not os.path.lexists(source / path):
            yield f"{path} was not sent"


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    yield ".", os.lstat(root)
    for where, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(where, name)
            yield os.path.relpath(path, root), os.lstat(path)


def _make(root: Path, files: int) -> None:
    chance = random.Random(1)
    for number in range(files):
        directory = root / f"{number % _DIRECTORIES:03}"
        if number < _DIRECTORIES:
            directory.mkdir(parents=True)
        path = directory / f"{number:06}"
        path.write_bytes(chance.randbytes(_SIZE))
        path.chmod(_MODES[number % len(_MODES)])
        os.utime(path, ns=(_TIME_NS + number * 1000,) * 2)
    for number, directory in enumerate(sorted(root.iterdir())):
        directory.chmod((0o755, 0o750, 0o555)[number % 3])
        os.utime(directory, ns=(_TIME_NS - number,) * 2)
    os.utime(root, ns=(_TIME_NS,) * 2)
