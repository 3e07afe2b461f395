"""What the receiver does to its disk, in one thread and in order: names are checked, blocks are verified and stored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, assert_never

from p2pcopy.config import Existing
from p2pcopy.events import Mark
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.held import Held, told_cost
from p2pcopy.transfer.items import Outcome, Room, Useless
from p2pcopy.transfer.orders import Abandon, Commit, FinishStore, Listed, ManifestComplete, StartOver, StoreBlock
from p2pcopy.transfer.ports import Gate, Log, Store
from p2pcopy.transfer.wire import Entry, Kind

# A mark is kept as its place in here: a byte for each of a million entries.
MARKS: Final = tuple(Mark)
_EXISTS: Final = tuple(map(MARKS.index, (Mark.EXISTS, Mark.BEGUN_EXISTS)))
_TAKEN: Final = frozenset((*_EXISTS, *map(MARKS.index, (Mark.SAME, Mark.FAILS))))
_FREE: Final = frozenset(map(MARKS.index, (Mark.NEW, Mark.BEGUN, Mark.STALE)))
# A slice ends with the entry that brings it to one of these: things to be told, cost of what is held, and seconds.
_SLICE_TOLD: Final = 1000
_SLICE_COST: Final = _SLICE_TOLD * told_cost(1)
_SLICE_S: Final = 0.2
# More are not looked at for one slice, whatever becomes of them.
SLICE_ENTRIES: Final = 16384


@dataclass(frozen=True, slots=True)
class Weigh:
    """The entries from start on are accepted under this policy: how many bytes go where a name is taken?

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


@dataclass(frozen=True, slots=True)
class Begin:
    """Of these entries, which were weighed: sort out what is refused and what is held, make directories and links.

    met: what they meet, a mark each. As many of them as make a slice are done.
    """

    start: int
    met: bytes


Job = Listed | ManifestComplete | StartOver | StoreBlock | Commit | Abandon | FinishStore | Weigh | Begin


@dataclass(frozen=True, slots=True)
class Checked:
    """The entries of the job may be stored. met: what they meet, a mark each.

    free_bytes: at the first entries only; None where nobody knows. room: that those need whose names are free.
    """

    listed: Listed
    met: bytes
    free_bytes: int | None
    room: Room


@dataclass(frozen=True, slots=True)
class Weighed:
    """room: that those entries need which are stored although their names are taken."""

    job: Weigh
    room: Room


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one entry. path: where there is something to be said of it."""

    outcome: Outcome
    path: str
    is_file: bool


@dataclass(slots=True)
class Begun:
    """A slice, up to the entry before stop. fates: of those that are refused or made already; held: what there is of the others;
    useless: what there was of them in vain, with their paths."""

    stop: int
    fates: list[Fate] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    useless: list[tuple[Useless, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """A block that was good. failed: the file cannot be kept nevertheless."""

    job: StoreBlock
    path: str
    failed: Fate | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A StartOver or Abandon is carried out."""

    job: StartOver | Abandon
    path: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """A block whose digest does not fit."""

    job: StoreBlock


Done = Checked | Weighed | Begun | Stored | Damaged | Fate | ManifestComplete | FinishStore | GivenUp


class StoreWork:
    """Does the jobs."""

    def __init__(self, gate: Gate, log: Log, store: Store) -> None:
        self._gate = gate
        self._log = log
        self._store = store

    def use(self, store: Store) -> None:
        """Another one, before the first job."""
        self._store = store

    def __call__(self, job: Job) -> Sequence[Done]:
        """Raises ProtocolError for names that the gate refuses, LocalFileError when the store as a whole fails."""
        match job:
            case StoreBlock():
                return (self._store_block(job),)
            case Commit():
                return self._fates(self._store.whole(job.entry, self._log[job.entry][0], job.size))
            case Listed():
                return (self._check(job),)
            case StartOver():
                entry = self._log[job.entry][0]
                self._store.start_over(job.entry, entry)
                return (GivenUp(job, entry.path),)
            case Abandon():
                self._store.abandon(job.entry, job.keep)
                return (GivenUp(job, self._log[job.entry][0].path),)
            case Weigh():
                return (self._weigh(job),)
            case Begin():
                return (self._begin(job),)
            case FinishStore():
                return (*self._fates(self._store.finish()), job)
            case ManifestComplete():
                return (job,)
            case _:
                assert_never(job)

    def rest(self) -> Sequence[Done]:
        """Nothing more waits to be done."""
        return self._fates(self._store.flush())

    def _check(self, listed: Listed) -> Checked:
        met = bytearray()
        room = Room()
        for index, entry in enumerate(listed.entries, listed.first):
            self._gate.admit(entry)
            self._log.append(entry)
            met.append(MARKS.index(self._store.mark(entry, self._store.admit(index, entry))))
            if met[-1] in _FREE:
                room += Room(entry.size or 0, self._store.reusable_bytes(entry))
        # Asked once: later, what has come meanwhile would count twice.
        free_bytes = self._store.free_bytes() if listed.first == 0 else None
        return Checked(listed, bytes(met), free_bytes, room)

    def _store_block(self, job: StoreBlock) -> Done:
        block = job.block
        entry = self._log[block.entry][0]
        parts = unpack_block(block)
        if parts is None:
            return Damaged(job)
        failed = self._store.write(block.entry, entry, job.offset, *parts, digest=block.digest)
        return Stored(job, entry.path, None if failed is None else _fate(failed, entry))

    def _weigh(self, job: Weigh) -> Weighed:
        if job.start == 0:
            self._store.begin(job.block_size)
        self._store.resolve(job.policy)
        room = Room()
        for index in sorted(chain.from_iterable(_places(job.met, mark) for mark in _EXISTS)):
            entry = self._log[job.start + index][0]
            if self._store.refuses(job.start + index, entry) is None:
                room += Room(entry.size or 0, self._store.reusable_bytes(entry))
        return Weighed(job, room)

    def _begin(self, job: Begin) -> Begun:
        begun = Begun(job.start)
        cost, until = 0, time.monotonic() + _SLICE_S
        for met in job.met:
            told = len(begun.fates) + len(begun.useless)
            if told >= _SLICE_TOLD or cost >= _SLICE_COST or (begun.stop > job.start and time.monotonic() >= until):
                break
            entry = self._log[begun.stop][0]
            if met in _TAKEN and (outcome := self._store.refuses(begun.stop, entry)) is not None:
                begun.fates.append(_fate(outcome, entry))
            elif entry.kind is not Kind.FILE:
                begun.fates += self._fates(self._store.other(begun.stop, entry))
            else:
                cost += self._look(begun, entry)
            begun.stop += 1
        return begun

    def _look(self, begun: Begun, entry: Entry) -> int:
        """What is there of the file at begun.stop: the cost of telling it."""
        match there := self._store.held(begun.stop, entry):
            case Held():
                begun.held.append(there)
                return there.digests.cost
            case Useless():
                begun.useless.append((there, entry.path))
            case Outcome():
                begun.fates.append(_fate(there, entry))
        return 0

    def _fates(self, outcomes: Sequence[Outcome]) -> list[Fate]:
        return [_fate(outcome, self._log[outcome.index][0]) for outcome in outcomes]


def _fate(outcome: Outcome, entry: Entry) -> Fate:
    is_file = entry.kind is Kind.FILE
    # All links and directories come at once in the end.
    return Fate(outcome, entry.path if is_file or not outcome.ok else "", is_file)


def _places(met: bytes, mark: int) -> Iterator[int]:
    index = met.find(mark)
    while index >= 0:
        yield index
        index = met.find(mark, index + 1)
