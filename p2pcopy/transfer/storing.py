"""What the receiver does to its disk, in one thread and in order: names are checked, blocks are verified and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from p2pcopy.config import Existing
from p2pcopy.events import Mark
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Outcome, Useless
from p2pcopy.transfer.orders import Abandon, Commit, FinishStore, Listed, ManifestComplete, StartOver, StoreBlock
from p2pcopy.transfer.ports import Gate, Log, Store
from p2pcopy.transfer.wire import Check, Kind

# A mark is kept as its place in here: a byte for each of a million entries.
MARKS: Final = tuple(Mark)
_TAKEN: Final = frozenset(map(MARKS.index, (Mark.EXISTS, Mark.BEGUN_EXISTS, Mark.SAME, Mark.FAILS)))


@dataclass(frozen=True, slots=True)
class Begin:
    """The entries from start on are accepted under this policy: sort out what is refused, make directories and links.

    met: what they meet, a mark each.
    """

    start: int
    policy: Existing
    block_size: int
    met: bytes

    @property
    def stop(self) -> int:
        """The index behind the last entry."""
        return self.start + len(self.met)


Job = Listed | ManifestComplete | StartOver | StoreBlock | Commit | Abandon | FinishStore | Begin


@dataclass(frozen=True, slots=True)
class Checked:
    """The entries of the job may be stored. met: what they meet, a mark each.

    free_bytes: at the first entries only; None where nobody knows. reusable_bytes: taken by old part files.
    """

    listed: Listed
    met: bytes
    free_bytes: int | None
    reusable_bytes: int


@dataclass(frozen=True, slots=True)
class Begun:
    """held: what there is of the others already; useless: what there was in vain. size: bytes of them all, as far as known."""

    job: Begin
    refused: Sequence[Outcome]
    made: Sequence[Outcome]
    held: Sequence[Held]
    useless: Sequence[Useless]
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A block that was good. failed: the file cannot be kept nevertheless."""

    job: StoreBlock
    path: str
    failed: Outcome | None


@dataclass(frozen=True, slots=True)
class Damaged:
    """A block whose digest does not fit."""

    job: StoreBlock


Done = Checked | Begun | Stored | Damaged | Outcome | ManifestComplete | FinishStore | StartOver | Abandon


class StoreWork:
    """Does the jobs."""

    def __init__(self, gate: Gate, log: Log, store: Store) -> None:
        self._gate = gate
        self._log = log
        self._store = store

    def __call__(self, job: Job) -> Sequence[Done]:
        """Raises ProtocolError for names that the gate refuses, LocalFileError when the store as a whole fails."""
        match job:
            case StoreBlock():
                return (self._store_block(job),)
            case Commit():
                return self._store.whole(job.entry, self._log[job.entry][0], job.size)
            case Listed():
                return (self._check(job),)
            case StartOver():
                self._store.start_over(job.entry, self._log[job.entry][0])
                return (job,)
            case Abandon():
                self._store.abandon(job.entry, job.keep)
                return (job,)
            case Begin():
                return (self._begin(job),)
            case FinishStore():
                return (*self._store.finish(), job)
            case ManifestComplete():
                return (job,)
            case _:
                assert_never(job)

    def _check(self, listed: Listed) -> Checked:
        met = bytearray()
        for index, entry in enumerate(listed.entries, listed.first):
            self._gate.admit(entry)
            self._log.append(entry)
            met.append(MARKS.index(self._store.mark(entry, self._store.admit(index, entry))))
        # Asked once: later, what has come meanwhile would count twice.
        free_bytes = self._store.free_bytes() if listed.first == 0 else None
        return Checked(listed, bytes(met), free_bytes, self._store.reusable_bytes())

    def _store_block(self, job: StoreBlock) -> Done:
        block = job.block
        entry = self._log[block.entry][0]
        parts = unpack_block(block)
        if parts is None:
            return Damaged(job)
        failed = self._store.write(block.entry, entry, job.offset, *parts, digest=block.digest)
        return Stored(job, entry.path, failed)

    def _begin(self, job: Begin) -> Begun:
        if job.start == 0:
            self._store.begin(job.block_size)
        self._store.resolve(job.policy)
        refused: list[Outcome] = []
        made: list[Outcome] = []
        held: list[Held] = []
        useless: list[Useless] = []
        size = 0
        for index, met in enumerate(job.met, job.start):
            entry = self._log[index][0]
            if met in _TAKEN and (outcome := self._store.refuses(index, entry)) is not None:
                refused.append(outcome)
                continue
            if entry.kind is not Kind.FILE:
                made += self._store.other(index, entry)
                continue
            there = self._store.held(index, entry)
            if isinstance(there, Held):
                held.append(there)
            elif isinstance(there, Useless):
                useless.append(there)
            if not isinstance(there, Held) or there.check is Check.SAMPLE:
                size += entry.size or 0  # what is compared is there already, and most of it stays
        return Begun(job, refused, made, held, useless, size)
