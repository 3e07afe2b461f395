"""Receiving: names are checked and blocks are verified and stored in a thread, in order, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from p2pcopy import events
from p2pcopy.channel import Channel
from p2pcopy.config import Existing, TransferLimits
from p2pcopy.errors import ConnectionLost, Declined, LocalFileError
from p2pcopy.files.names import display
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, State
from p2pcopy.transfer.items import Clash, Outcome
from p2pcopy.transfer.ports import Gate, Log, Store
from p2pcopy.transfer.receiver import (
    Abandon,
    Commit,
    FinishStore,
    Listed,
    ManifestComplete,
    Receiver,
    StoreBlock,
)
from p2pcopy.transfer.session import Session, Settled, Tell, at_once
from p2pcopy.transfer.summary import Summary, shown
from p2pcopy.transfer.wire import Kind
from p2pcopy.transfer.worker import Conveyor

# Files that are whole wait so long for company before they are made final.
_REST_S: Final = 0.2


@dataclass(frozen=True)
class Consent:
    """What the receiving user decided beforehand. existing: for names that are taken; max_bytes: None for no limit."""

    given: bool
    existing: Existing
    max_bytes: int | None = None

    @property
    def at_once(self) -> bool:
        """Whether nothing in the rest of the manifest can change the decision, so that files may come while it does."""
        return self.given and self.max_bytes is None and self.existing not in (Existing.ASK, Existing.REFUSE)


Listing = Callable[[], Iterator[events.ManifestLine]]
Ask = Callable[[events.Manifest, Listing], Awaitable[Existing]]


@dataclass(frozen=True, slots=True)
class _Begin:
    """Entries start to stop are accepted under this policy: sort out what is refused, make directories and links."""

    start: int
    stop: int
    policy: Existing
    clashing: tuple[int, ...]


_Job = Listed | ManifestComplete | StoreBlock | Commit | Abandon | FinishStore | _Begin


@dataclass(frozen=True, slots=True)
class _Checked:
    listed: Listed
    clashes: tuple[tuple[int, Clash], ...]
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """size: bytes of the files that are to come, as far as they are known."""

    job: _Begin
    refused: tuple[Outcome, ...]
    made: tuple[Outcome, ...]
    size: int


@dataclass(frozen=True, slots=True)
class _Stored:
    job: StoreBlock
    path: str
    failed: Outcome | None


@dataclass(frozen=True, slots=True)
class _Damaged:
    job: StoreBlock


_Done = _Checked | _Begun | _Stored | _Damaged | Outcome | ManifestComplete | FinishStore | Abandon


class ReceiveSession(Session):
    """One transfer, seen from the receiver. ask: gets the manifest and its lines, and returns how to treat names that are
    taken, or raises Declined; only used when consent was not given beforehand."""

    machine: Receiver

    def __init__(
        self,
        channel: Channel,
        limits: TransferLimits,
        tell: Tell,
        *,
        gate: Gate,
        log: Log,
        store: Store,
        consent: Consent,
        ask: Ask,
        destination: str,
        software: str,
        settled: Settled = at_once,
    ) -> None:
        super().__init__(channel, limits, tell, settled)
        window = min(limits.max_window, channel.window)
        self.machine = Receiver(replace(limits, max_window=window), software, self.now())
        self.left_out = 0
        self.confirmed = True
        self._gate = gate
        self._log = log
        self._store = store
        self._consent = consent
        self._ask = ask
        self._destination = destination
        self._disk: Conveyor[_Job, _Done] = Conveyor("store", self._work, store.flush, _REST_S)
        self._released = 0
        self._summary = Summary(destination)
        self._clashes: list[tuple[int, Clash]] = []
        self._begun = 0
        self._needed = 0
        self._free_bytes: int | None = None
        self._complete = asyncio.Event()
        self._current = ""

    async def run(self) -> None:
        try:
            await super().run()
            self.machine.say_bye()
            self.perform()
        finally:
            self._store.interrupt()
            # What is under way in the thread must end before the store is closed.
            await self._disk.close()

    def work(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        return [self._take_stored, self._decide]

    def perform(self) -> None:
        while actions := self.machine.actions():
            for action in actions:
                match action:
                    case SendControl():
                        self.send_control(action.message)
                    case Finished():
                        self.end(None)
                    case Ended():
                        self.end(self._excuse(action.error))
                    case _:
                        self._disk.put(action)
        if (released := self.machine.released) != self._released:
            self.channel.consumed(released - self._released)
            self._released = released

    def connection_ended(self) -> None:
        if self.machine.state is State.PARTING:
            self._part_unconfirmed()
        else:
            super().connection_ended()

    def _excuse(self, error: Exception) -> Exception | None:
        """Everything is stored and said; only the answer is missing. The files are whole all the same."""
        if isinstance(error, ConnectionLost) and self.machine.parted is not None:
            self._part_unconfirmed()
            return None
        return error

    def _part_unconfirmed(self) -> None:
        self.confirmed = False
        self.machine.state = State.OVER
        self.tell(events.Warned("everything is saved, but the connection ended before the other side confirmed it"))
        self.end(None)

    async def _take_stored(self) -> None:
        while True:
            results = await self._disk.results()
            now = self.now()
            for done in results:
                self._take(done, now)
            self.perform()
            await self.settled()

    # In the thread.

    def _work(self, job: _Job) -> Sequence[_Done]:
        match job:
            case StoreBlock():
                return (self._store_block(job),)
            case Commit():
                return self._store.whole(job.entry, self._log[job.entry][0], job.size)
            case Listed():
                return (self._check(job),)
            case Abandon():
                self._store.abandon(job.entry)
                return (job,)
            case _Begin():
                return (self._begin(job),)
            case FinishStore():
                return (*self._store.finish(), job)
            case ManifestComplete():
                return (job,)
            case _:
                assert_never(job)

    def _check(self, listed: Listed) -> _Checked:
        clashes: list[tuple[int, Clash]] = []
        for index, entry in enumerate(listed.entries, listed.first):
            self._gate.admit(entry)
            self._log.append(entry)
            clash = self._store.admit(index, entry)
            if clash is not None:
                clashes.append((index, clash))
        # Asked once: later, what has come meanwhile would count twice.
        return _Checked(listed, tuple(clashes), self._store.free_bytes() if listed.first == 0 else None)

    def _store_block(self, job: StoreBlock) -> _Done:
        entry = self._log[job.block.entry][0]
        parts = unpack_block(job.block)
        if parts is None:
            return _Damaged(job)
        failed = self._store.write(job.block.entry, entry, job.offset, *parts)
        return _Stored(job, entry.path, failed)

    def _begin(self, job: _Begin) -> _Begun:
        self._store.resolve(job.policy)
        refused: dict[int, Outcome] = {}
        for index in job.clashing:
            outcome = self._store.refuses(index, self._log[index][0])
            if outcome is not None:
                refused[index] = outcome
        made: list[Outcome] = []
        size = 0
        for index in range(job.start, job.stop):
            entry = self._log[index][0]
            if index not in refused:
                size += entry.size or 0
                if entry.kind is not Kind.FILE:
                    made += self._store.other(index, entry)
        return _Begun(job, tuple(refused.values()), tuple(made), size)

    # Back in the loop.

    def _take(self, done: _Done, now: float) -> None:
        match done:
            case _Stored():
                self._current = done.path
                if done.failed is not None:
                    self._take_outcome(done.failed, now)
                self.machine.stored(done.job.block, now)
                self._check_size(self.machine.bytes_stored)
            case Outcome():
                self._take_outcome(done, now)
            case _Checked():
                self._summary.add(done.listed.entries, {index for index, _ in done.clashes})
                self._clashes += done.clashes
                if done.listed.first == 0:
                    self._free_bytes = done.free_bytes
                self.machine.listed(done.listed.cost, now)
                if self._consent.at_once:
                    self._accept(self._consent.existing)
            case _Begun():
                self._take_begun(done, now)
            case _Damaged():
                self.machine.damaged(done.job.block, now)
            case Abandon():
                self.tell(events.File(self._log[done.entry][0].path, events.FileStatus.FAILED, done.reason))
            case ManifestComplete():
                self.left_out = done.left_out
                self._complete.set()
            case FinishStore():
                self.machine.store_finished(now)
            case _:
                assert_never(done)

    def _take_outcome(self, outcome: Outcome, now: float) -> None:
        entry = self._log[outcome.index][0]
        if outcome.ok:
            self.machine.committed([outcome.index], now)
        elif not self.machine.failed_here(outcome.index, outcome.reason, now):
            return
        if entry.kind is Kind.FILE or not outcome.ok:
            # What is skipped after the sender was told to send it counts as failed on both sides.
            status = events.FileStatus.DONE if outcome.ok else events.FileStatus.FAILED
            self.tell(events.File(entry.path, status, outcome.reason, outcome.saved_as))

    def _check_room(self, size: int) -> None:
        """Whether this many bytes may come, and fit."""
        self._check_size(size)
        if self._free_bytes is not None and size > self._free_bytes:
            raise LocalFileError(
                f"the destination has {self._free_bytes} bytes free, and {size} are needed",
                "Free some space there, or choose another place with --output.",
            )

    def _check_size(self, total: int) -> None:
        """Before anything comes, and, since nobody knows the size of a stream, as it comes."""
        if self._consent.max_bytes is not None and total > self._consent.max_bytes:
            raise Declined(
                f"the offer has {total} bytes, more than the {self._consent.max_bytes} that the receiver allows",
                "The receiver can allow more with --max-size.",
            )

    async def _decide(self) -> None:
        """Show the manifest when it is complete, ask unless consent was given, and let the sender go."""
        await self._complete.wait()
        manifest = self._summary.manifest()
        self.tell(manifest)
        if not manifest.existing:
            self._check_room(manifest.bytes)  # else it depends on what becomes of the names that are taken
        if not self._consent.given:
            self._accept(await self._ask(manifest, self._lines))
        elif not self._consent.at_once or self._begun == 0:
            self._accept(self._consent.existing)
        self.perform()

    def _lines(self) -> Iterator[events.ManifestLine]:
        """Every entry of the complete manifest, read from the log on the way. For any thread, until something is accepted."""
        taken = {index for index, _ in self._clashes}
        for index in range(self._summary.entries):
            yield shown(self._log[index][0], index in taken)

    def _accept(self, policy: Existing) -> None:
        """Raises Declined when names are taken and nobody has said what to do about it."""
        if self._clashes and policy in (Existing.ASK, Existing.REFUSE):
            path = self._log[self._clashes[0][0]][0].path
            raise Declined(
                f"{len(self._clashes)} of the names are taken at the destination, the first is {display(path)}",
                "The receiver can choose --existing skip, rename or replace, or another place with --output.",
            )
        clashing = tuple(index for index, _ in self._clashes)
        self._clashes.clear()
        self._disk.put(_Begin(self._begun, self._summary.entries, policy, clashing))
        self._begun = self._summary.entries

    def _take_begun(self, begun: _Begun, now: float) -> None:
        skipped = [outcome.index for outcome in begun.refused if outcome.status is events.FileStatus.SKIPPED]
        self._needed += begun.size
        self._check_room(self._needed)
        self.begin()
        self.machine.accept(begun.job.stop, [(index, index + 1) for index in skipped], now)
        for outcome in begun.refused:
            if outcome.status is events.FileStatus.SKIPPED:
                self.tell(events.File(self._log[outcome.index][0].path, outcome.status, outcome.reason))
            else:
                self._take_outcome(outcome, now)
        for outcome in begun.made:
            self._take_outcome(outcome, now)

    def progress(self) -> events.Progress | None:
        machine = self.machine
        complete = self._complete.is_set()
        if not machine.accepted:
            return None
        return events.Progress(
            bytes_done=machine.bytes_stored,
            bytes_total=machine.accepted_bytes if complete and not self._summary.streams else None,
            files_done=machine.files_done,
            files_total=self._summary.files - machine.files_skipped if complete else None,
            file=self._current,
        )
