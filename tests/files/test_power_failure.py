"""A power failure at any moment: final names hold the old or the new content, and the journal claims only what is on the disk."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from crashes import Disk

from p2pcopy.config import Existing
from p2pcopy.events import FileStatus
from p2pcopy.files import native
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.journalfile import Journaling
from p2pcopy.files.names import is_reserved
from p2pcopy.files.plain import part_name
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.wire import Entry, Kind

BLOCK = 64
MOMENTS = 500
SETTINGS = Journaling(from_size=2 * BLOCK, sync_bytes=3 * BLOCK, sync_s=3600)


@dataclass(frozen=True)
class Transfer:
    """What is sent, and what is there before."""

    entries: tuple[Entry, ...]
    contents: tuple[bytes, ...]
    old: dict[str, bytes]
    policy: Existing

    @classmethod
    def drawn(cls, rng: random.Random) -> Transfer:
        entries = [Entry(Kind.DIRECTORY, "d", 0, 0o755, 1_000_000_000)]
        contents = [b""]
        old = {}
        for number in range(rng.randint(2, 5)):
            path = f"{'d/' if rng.random() < 0.4 else ''}f{number}"
            blocks = [rng.randbytes(BLOCK) if rng.random() < 0.8 else bytes(BLOCK) for _ in range(rng.randint(0, 9))]
            content = b"".join(blocks)[: rng.randint(0, 9 * BLOCK)]
            entries.append(Entry(Kind.FILE, path, len(content), 0o640, 1_234_567_000_000_000 + number))
            contents.append(content)
            if rng.random() < 0.4 and "/" not in path:
                old[path] = b"old " + rng.randbytes(rng.randint(0, 2 * BLOCK))
        return cls(tuple(entries), tuple(contents), old, rng.choice((Existing.REPLACE, Existing.RENAME, Existing.SKIP)))

    def store(self, root: Path) -> DirectoryStore:
        return DirectoryStore(
            str(root), existing=self.policy, journaling=SETTINGS, open_parts=2, group_files=2, group_s=3600
        )

    def digests(self, index: int) -> list[bytes]:
        content = self.contents[index]
        return [blake3(content[start : start + BLOCK]).digest() for start in range(0, len(content), BLOCK)]

    def run(
        self, store: DirectoryStore, rng: random.Random, tell: Callable[[str, bytes], None], stop: float = 0.0
    ) -> bool:
        """Everything that a session does with a store. stop: the chance that it ends before each block. Whether it did not.

        tell: is called with each final name and its content, as soon as the store says that it is there.
        """
        store.open()
        store.begin(BLOCK)
        accepted = []
        for index, entry in enumerate(self.entries):
            store.admit(index, entry)
            if store.refuses(index, entry) is None:
                accepted.append(index)
        orders = []
        for index in accepted:
            if self.entries[index].kind is not Kind.FILE:
                store.other(index, self.entries[index])
                continue
            held = store.held(index, self.entries[index])
            there: set[int] = set(held.digests) if isinstance(held, Held) else set()
            if there and rng.random() < 0.2:
                store.start_over(index, self.entries[index])
                there = set()
            missing = [number for number in range(len(self.digests(index))) if number not in there]
            rng.shuffle(missing)
            orders.append((index, missing))
        while orders:
            place = rng.randrange(min(2, len(orders)))
            index, missing = orders[place]
            if not missing:
                del orders[place]
                if rng.random() < 0.05:
                    store.abandon(index, rng.random() < 0.5)
                    continue
                for outcome in store.whole(index, self.entries[index], len(self.contents[index])):
                    if outcome.ok:
                        tell(outcome.saved_as or self.entries[outcome.index].path, self.contents[outcome.index])
                continue
            if rng.random() < stop:
                return False
            number = missing.pop()
            block = self.contents[index][number * BLOCK : (number + 1) * BLOCK]
            store.write(index, self.entries[index], number * BLOCK, block, digest=self.digests(index)[number])
        assert all(outcome.ok or outcome.status is FileStatus.SKIPPED for outcome in store.finish())
        return True

    def check_names(self, root: Path) -> None:
        """Nothing but exact old and exact new content, the old one not lost where it is not replaced."""
        new = {entry.path: content for entry, content in zip(self.entries, self.contents, strict=True)}
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        for path in found:
            if is_reserved(Path(path).name):
                continue
            content = (root / path).read_bytes()
            own = path.partition(" (")[0]
            if own == path and path in self.old and content == self.old[path]:
                continue
            assert content == new[own], path
            assert os.stat(root / path).st_mtime_ns == next(e.mtime_ns for e in self.entries if e.path == own)
            assert own == path or self.policy is Existing.RENAME
        for path in self.old:
            assert path in found
            assert self.policy is Existing.REPLACE or (root / path).read_bytes() == self.old[path]

    def check_held(self, root: Path) -> int:
        """A fresh store claims only what is there. How many blocks."""
        claimed = 0
        with closing(self.store(root)) as store:
            store.open()
            store.begin(BLOCK)
            for index, entry in enumerate(self.entries):
                store.admit(index, entry)
                if entry.kind is not Kind.FILE or store.refuses(index, entry) is not None:
                    continue
                held = store.held(index, entry)
                if not isinstance(held, Held):
                    continue
                part = (root / entry.path).with_name(part_name(Path(entry.path).name)).read_bytes()
                for number, digest in held.digests.items():
                    block = part[number * BLOCK : (number + 1) * BLOCK]
                    assert block == self.contents[index][number * BLOCK : (number + 1) * BLOCK]
                    assert digest == blake3(block).digest()
                    claimed += 1
        return claimed


def final(root: Path) -> dict[str, bytes]:
    """What stands under final names."""
    found = (path for path in root.rglob("*") if path.is_file() and not is_reserved(path.name))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked afterwards need not be synced."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda fd: None)


@pytest.mark.skipif(sys.platform != "linux", reason="what is recorded are Linux's ways")
@pytest.mark.usefixtures("quick")
def test_a_power_failure_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()
    moments = claimed = finished = named = 0
    for seed in count():
        if moments >= MOMENTS:
            break
        rng = random.Random(seed)
        at_once = rng.random() < 0.5
        monkeypatch.setattr(native, "can_sync_at_once", lambda fd, so=at_once: so)
        transfer = Transfer.drawn(rng)
        work = tmp_path / f"{seed}"
        work.mkdir()
        root = work / f"{next(numbers)}"
        root.mkdir()
        for path, content in transfer.old.items():
            (root / path).write_bytes(content)
        disk = Disk(root)
        for _ in range(4):
            told: list[tuple[int, str, bytes]] = []
            with disk.recorded(), closing(transfer.store(disk.root)) as store:

                def tell(name: str, content: bytes, disk: Disk = disk, told: Any = told) -> None:
                    told.append((len(disk.log), name, content))

                ended = transfer.run(store, rng, tell, stop=rng.choice((0.0, 0.02)))
            transfer.check_names(disk.root)
            if told:
                named += len(told)
                moment, name, content = rng.choice(told)
                assert final(disk.after_worst_failure(work / f"{next(numbers)}", moment).root)[name] == content
            if ended:
                finished += 1
                assert final(disk.after_worst_failure(work / f"{next(numbers)}").root) == final(disk.root)
            for _ in range(6):
                after = disk.after_failure(rng.randint(0, len(disk.log)), rng, work / f"{next(numbers)}")
                moments += 1
                transfer.check_names(after.root)
                with after.seen():
                    claimed += transfer.check_held(after.root)
                transfer.check_names(after.root)
            # The next run, and the next failure, come after this one.
            disk = disk.after_failure(rng.randint(0, len(disk.log)), rng, work / f"{next(numbers)}")
            moments += 1
        with disk.recorded(), closing(transfer.store(disk.root)) as store:
            assert transfer.run(store, rng, lambda name, content: None)
        shutil.rmtree(work)
    assert claimed > MOMENTS
    assert finished
    assert named
