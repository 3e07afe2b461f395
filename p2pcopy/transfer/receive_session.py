"""Receiving: names are checked and blocks are verified and stored in a thread, in order, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from p2pcopy import events
from p2pcopy.channel import Channel
from p2pcopy.config import Existing, TransferLimits
from p2pcopy.errors import ConnectionLost, Declined, DryRun, LocalFileError
from p2pcopy.events import Mark
from p2pcopy.files.names import display
from p2pcopy.quantities import count, sizes
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, State
from p2pcopy.transfer.items import Room
from p2pcopy.transfer.ledger import ranges_of
from p2pcopy.transfer.orders import Abandon, FinishStore, ManifestComplete
from p2pcopy.transfer.ports import Gate, Log, Store
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.session import Session, Settled, Tell, at_once
from p2pcopy.transfer.storing import (
    MARKS,
    SLICE_ENTRIES,
    Begin,
    Begun,
    Checked,
    Damaged,
    Done,
    Fate,
    GivenUp,
    Job,
    Stored,
    StoreWork,
    Weigh,
    Weighed,
)
from p2pcopy.transfer.summary import Summary, shown
from p2pcopy.transfer.wire import TEXT, Check
from p2pcopy.transfer.worker import Conveyor

# Files that are whole wait so long for company before they are made final.
_REST_S: Final = 0.2
# What the policy decides on.
_ASKED: Final = tuple(map(MARKS.index, (Mark.EXISTS, Mark.FAILS)))


@dataclass(frozen=True)
class Consent:
    """What the receiving user decided beforehand. existing: for names that are taken; max_bytes: None for no limit.

    dry_run: show everything, and take nothing.
    """

    given: bool
    existing: Existing
    max_bytes: int | None = None
    dry_run: bool = False

    @property
    def at_once(self) -> bool:
        """Whether nothing in the rest of the manifest can change the decision, so that files may come while it does."""
        undecided = self.dry_run or self.max_bytes is not None or self.existing in (Existing.ASK, Existing.REFUSE)
        return self.given and not undecided


Listing = Callable[[], Iterator[events.ManifestLine]]
Ask = Callable[[events.Manifest, Listing], Awaitable[Existing]]


class ReceiveSession(Session):
    """One transfer, seen from the receiver. ask: gets the manifest and its lines, and returns how to treat names that are
    taken, or raises Declined; only used when consent was not given beforehand. stream: the destination is a stream.

    text_store: for a text, which needs no consent since nothing of it is stored; None: texts are files like others.

    Entries are accepted in slices: what is there of the next one is looked for while the last one is sent, so that neither side
    has to remember much of it at a time.
    """

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
        stream: bool = False,
        text_store: Store | None = None,
    ) -> None:
        super().__init__(channel, limits, tell, settled)
        window = min(limits.max_window, channel.window)
        self.machine = Receiver(replace(limits, max_window=window), software, self.now(), stream=stream)
        self.confirmed = True
        self._log = log
        self._store = store
        self._consent = consent
        self._ask = ask
        self._destination = destination
        store.resolve(consent.existing)
        self._work = StoreWork(gate, log, store)
        self._text_store = text_store
        self._is_text = False
        self._disk: Conveyor[Job, Done] = Conveyor("store", self._work, self._work.rest, _REST_S)
        self._released = 0
        self._summary = Summary(destination, consent.existing)
        self._met = bytearray()
        # Entries below these: given a policy, found to have room, sorted out and accepted.
        self._decided = self._weighed = self._begun = 0
        self._agreed = self._slicing = False
        self._compared: set[int] = set()
        self._room = Room()
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
                        self._choose_store()
                        self._disk.put(action)
        if (released := self.machine.released) != self._released:
            self.channel.consumed(released - self._released)
            self._released = released
        self._begin_slice()

    def _choose_store(self) -> None:
        """Before the first entry: the sender has said whether it is a text."""
        if self._text_store is not None and TEXT in self.machine.peer_features:
            self._store = self._text_store
            self._work.use(self._store)
            self._is_text = True
            self._consent = replace(self._consent, given=True)
        self._text_store = None

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

    def _take(self, done: Done, now: float) -> None:
        match done:
            case Stored():
                self._current = done.path
                if done.failed is not None:
                    self._take_fate(done.failed, now)
                self.machine.stored(done.job.block, now)
                self._check_size(self.machine.bytes_stored)
            case Fate():
                self._take_fate(done, now)
            case Checked():
                self._summary.add(done.listed.entries, [MARKS[met] for met in done.met])
                self._met += done.met
                if done.listed.first == 0:
                    self._free_bytes = done.free_bytes
                self._room += done.room
                self.machine.listed(done.listed.cost, now)
                if self._consent.at_once:
                    self._accept(self._consent.existing)
            case Weighed():
                self._room += done.room
                self._check_room()
                self._weighed = done.job.stop
            case Begun():
                self._take_begun(done, now)
            case Damaged():
                self.machine.damaged(done.job.block, now)
            case GivenUp():
                self._compared.discard(done.job.entry)
                if isinstance(done.job, Abandon):
                    self.tell(events.File(done.path, events.FileStatus.FAILED, done.job.reason))
                else:
                    self.tell(events.Note(done.path, "all of it is sent, whatever was there of it"))
            case ManifestComplete():
                self.left_out, self.omitted = done.left_out, done.omitted
                self._complete.set()
            case FinishStore():
                self.machine.store_finished(now)
            case _:
                assert_never(done)

    def _take_fate(self, fate: Fate, now: float) -> None:
        """Of an entry that was accepted."""
        outcome = fate.outcome
        same = outcome.index in self._compared and outcome.there
        self._compared.discard(outcome.index)
        if outcome.ok or same:
            self.machine.committed([outcome.index], now)
        elif not self.machine.failed_here(outcome.index, outcome.reason, now):
            return
        if same:
            self.machine.was_there(outcome.index)
        if fate.is_file or not outcome.ok:
            # What is skipped after the sender was told to send it counts as failed on both sides.
            status = outcome.status if outcome.ok or same else events.FileStatus.FAILED
            self.tell(events.File(fate.path, status, outcome.reason, outcome.saved_as))

    def _check_room(self) -> None:
        """Whether what is wanted so far may come, and fits."""
        self._check_size(self._room.size)
        needed = self._room.size - self._room.reusable
        if self._free_bytes is not None and needed > self._free_bytes:
            free, wanted = sizes(self._free_bytes, needed)
            raise LocalFileError(
                f"the destination has {free} free, and {wanted} are needed",
                "Free some space there, or choose another place with --output.",
            )

    def _check_size(self, total: int) -> None:
        """Before anything comes, and, since nobody knows the size of a stream, as it comes."""
        if self._consent.max_bytes is not None and total > self._consent.max_bytes:
            offered, allowed = sizes(total, self._consent.max_bytes)
            raise Declined(
                f"the offer has {offered}, more than the {allowed} that the receiver allows",
                "The receiver can allow more with --max-size.",
            )

    async def _decide(self) -> None:
        """Show the manifest when it is complete, ask unless consent was given, and let the sender go."""
        await self._complete.wait()
        manifest = self._summary.manifest()
        if not self._is_text or self._consent.dry_run:
            self.tell(manifest)
        if self._consent.dry_run:
            raise DryRun
        self._check_room()  # what has free names needs it in any case
        if not self._consent.given:
            self._accept(await self._ask(manifest, self._lines))
        elif not self._consent.at_once or self._decided == 0:
            self._accept(self._consent.existing)
        self.perform()

    def _lines(self) -> Iterator[events.ManifestLine]:
        """Every entry of the complete manifest, read from the log on the way. For any thread, until something is accepted."""
        for index, met in enumerate(self._met):
            yield shown(self._log[index][0], MARKS[met])

    def _accept(self, policy: Existing) -> None:
        """Raises Declined when names are taken and nobody has said what to do about it."""
        met = bytes(self._met[self._decided :])
        taken = sum(map(met.count, _ASKED))
        if taken and policy in (Existing.ASK, Existing.REFUSE):
            first = self._decided + min(met.index(mark) for mark in _ASKED if mark in met)
            raise Declined(
                f"{count(taken, 'name')} {'is' if taken == 1 else 'are'} taken at the destination: "
                f"{display(self._log[first][0].path)}{'' if taken == 1 else ' is the first'}",
                "The receiver can choose --existing skip, rename, replace or resume, or another place with --output.",
            )
        self._disk.put(Weigh(self._decided, policy, self.machine.block_size, met))
        self._decided = self._summary.entries
        self._agreed = True

    def _begin_slice(self) -> None:
        """Sort the next slice out, while so little of those before it is not sent that both sides can remember more."""
        if self._slicing or not self._agreed or not self.machine.may_tell:
            return
        stop = min(self._weighed, self._begun + SLICE_ENTRIES)
        if self._begun < stop or (self._decided == 0 and not self.machine.consented):
            self._slicing = True
            self._disk.put(Begin(self._begun, bytes(self._met[self._begun : stop])))

    def _take_begun(self, begun: Begun, now: float) -> None:
        self._slicing = False
        self._begun = begun.stop
        skipped = [fate for fate in begun.fates if fate.outcome.status is events.FileStatus.SKIPPED]
        self._compared.update(file.entry for file in begun.held if file.check is not Check.SAMPLE)
        self.begin()
        useless = [file for file, _ in begun.useless]
        self.machine.accept(begun.stop, ranges_of(fate.outcome.index for fate in skipped), now, begun.held, useless)
        for fate in begun.fates:
            if fate.outcome.status is not events.FileStatus.SKIPPED:
                self._take_fate(fate, now)
                continue
            if fate.outcome.there:
                self.machine.was_there(fate.outcome.index)
            self.tell(events.File(fate.path, fate.outcome.status, fate.outcome.reason, fate.outcome.saved_as))
        for file, path in begun.useless:
            self.tell(events.Note(path, f"it starts over: {file.reason}"))

    def progress(self) -> events.Progress | None:
        machine = self.machine
        if not machine.accepted:
            return None
        complete = self._complete.is_set() and machine.accepted == self._summary.entries
        return events.Progress(
            bytes_done=machine.bytes_stored + machine.bytes_resumed,
            bytes_total=machine.accepted_bytes if complete and not self._summary.streams else None,
            files_done=machine.files_done,
            files_total=self._summary.files - machine.files_skipped if complete else None,
            file=self._current,
            bytes_resumed=machine.bytes_resumed,
            waits_for="destination" if self._disk.is_busy else "",
        )
