"""A program for test_killed.py: python killing.py ROOT SEED ROUNDS. Each round a process writes through a store and is killed.

The moment is the n-th call of the system that changes something. It forks, which is quick, and therefore must not be done in a
process with threads. Prints how many rounds were killed, and how many came to their end.
"""

from __future__ import annotations

import os
import random
import signal
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from blake3 import blake3

from p2pcopy.files import native
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.journalfile import Journaling
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.wire import Entry, Kind

BLOCK = 4096
NAMES = ("a", "d/b", "d/c")
SETTINGS = Journaling(from_size=BLOCK, sync_bytes=5 * BLOCK, sync_s=3600)
DIRECTORY = Entry(Kind.DIRECTORY, "d", 0, 0o750, 1_000_000_000)
IN_WORK = 0o1700
# A round that begins with nothing makes 350 to 550 of these calls.
CALLS = (
    "pwrite",
    "pwritev",
    "ftruncate",
    "fchmod",
    "utime",
    "fsync",
    "fdatasync",
    "open",
    "mkdir",
    "unlink",
    "replace",
)
MOST_CALLS = 600
STEP = struct.Struct("<HH")  # index and number of a block whose write() has returned


class Files:
    def __init__(self, rng: random.Random) -> None:
        self.contents = {path: rng.randbytes(rng.randint(20 * BLOCK, 60 * BLOCK)) for path in NAMES}
        self.entries = {
            path: Entry(Kind.FILE, path, len(content), 0o600, 1_234_567_890_000_000_000 + place)
            for place, (path, content) in enumerate(self.contents.items())
        }

    def block(self, path: str, number: int) -> bytes:
        return self.contents[path][number * BLOCK : (number + 1) * BLOCK]

    def numbers(self, path: str) -> range:
        return range(-(-len(self.contents[path]) // BLOCK))

    def store(self, root: Path) -> DirectoryStore:
        store = DirectoryStore(str(root), journaling=SETTINGS, open_parts=2)
        store.open()
        store.begin(BLOCK)
        return store

    def there(self, store: DirectoryStore) -> dict[str, set[int]]:
        """Blocks that are there by path, after a check that they are; all of a finished file."""
        there = {}
        for index, path in enumerate(NAMES):
            if store.admit(index, self.entries[path]) is not None:
                refused = store.refuses(index, self.entries[path])
                assert refused is not None
                assert refused.reason == "it is there already"
                there[path] = set(self.numbers(path))
                continue
            held = store.held(index, self.entries[path])
            blocks = dict(held.digests) if isinstance(held, Held) else {}
            assert all(digest == blake3(self.block(path, number)).digest() for number, digest in blocks.items())
            there[path] = set(blocks)
        return there

    def write(self, root: Path, rng: random.Random, told: int) -> None:
        with closing(self.store(root)) as store:
            there = self.there(store)
            store.other(len(NAMES), DIRECTORY)
            missing = [
                (index, path, number)
                for index, path in enumerate(NAMES)
                for number in self.numbers(path)
                if number not in there[path]
            ]
            rng.shuffle(missing)
            left = {path: sum(1 for _, other, _ in missing if other == path) for path in NAMES}
            whole = [path for path in NAMES if not left[path] and not (root / path).exists()]
            for index, path, number in missing:
                block = self.block(path, number)
                store.write(index, self.entries[path], number * BLOCK, block, digest=blake3(block).digest())
                os.write(told, STEP.pack(index, number))
                left[path] -= 1
                if not left[path]:
                    whole.append(path)
                while whole:
                    finished = whole.pop()
                    store.whole(NAMES.index(finished), self.entries[finished], len(self.contents[finished]))
            for finished in whole:
                store.whole(NAMES.index(finished), self.entries[finished], len(self.contents[finished]))
            store.finish()


def killed_at(moment: int) -> None:
    """This process, before it makes the call of this number."""
    left = moment

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    native.rename_without_replacing = counted(native.rename_without_replacing)
    native.sync_file_system = counted(native.sync_file_system)
    native.sync_data = counted(native.sync_data)


def sync_nothing() -> None:
    """What has been written outlives whoever wrote it, and a busy disk takes its time."""
    os.fsync = os.fdatasync = lambda fd: None
    native.sync_file_system = lambda fd: True


def one_round(files: Files, root: Path, rng: random.Random) -> bool:
    """Write, be killed, look. Whether everything was finished."""
    reader, writer = os.pipe()
    seed, moment = rng.random(), rng.randint(1, MOST_CALLS)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            killed_at(moment)
            files.write(root, random.Random(seed), writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    with closing(files.store(root)) as store:
        there = files.there(store)
    for index, number in STEP.iter_unpack(told[: len(told) // STEP.size * STEP.size]):
        assert number in there[NAMES[index]], "a block that was written is lost"
    for path in NAMES:
        final = root / path
        assert not final.exists() or final.read_bytes() == files.contents[path]
    if (root / "d").exists():
        allowed = (DIRECTORY.mode,) if status == 0 else (IN_WORK, DIRECTORY.mode)
        assert stat.S_IMODE((root / "d").stat().st_mode) in allowed
    return status == 0


def main(root: Path, seed: int, rounds: int) -> None:
    sync_nothing()
    rng = random.Random(seed)
    place, files, finished = 0, Files(rng), 0
    for _ in range(rounds):
        if one_round(files, root / str(place), rng):
            found = sorted(path.relative_to(root / str(place)).as_posix() for path in (root / str(place)).rglob("*"))
            assert found == sorted((*NAMES, "d")), found
            assert (root / str(place) / "d").stat().st_mtime_ns == DIRECTORY.mtime_ns
            place, files, finished = place + 1, Files(rng), finished + 1
    print(rounds - finished, finished)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
