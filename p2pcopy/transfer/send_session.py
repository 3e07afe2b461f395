"""Sending: the tree is walked and blocks are read in threads, the machine decides what goes out when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Final, assert_never

from p2pcopy import events
from p2pcopy.channel import Channel
from p2pcopy.config import MIB, TransferLimits
from p2pcopy.errors import P2PCopyError
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.items import Fault, Found, Left
from p2pcopy.transfer.ledger import ranges_of
from p2pcopy.transfer.pace import Pace
from p2pcopy.transfer.ports import Log, Reader
from p2pcopy.transfer.reading import Batch, BatchReader
from p2pcopy.transfer.sender import Accepted, Reported, Reread, Sender, Unusable
from p2pcopy.transfer.session import Session, Settled, Tell, at_once
from p2pcopy.transfer.summary import Summary
from p2pcopy.transfer.telling import Teller
from p2pcopy.transfer.wire import Entry, FaultReason, Kind
from p2pcopy.transfer.worker import Worker

_WALK_BATCH: Final = 256
_MANIFEST_BACKLOG: Final = 1 * MIB

_FAULT_TEXT: Final = {
    FaultReason.VANISHED: "it vanished",
    FaultReason.UNREADABLE: "it cannot be read",
    FaultReason.CHANGED: "it changed while it was being sent",
    FaultReason.DROPPED: "the other side could not keep it",
    FaultReason.DIFFERS: "the other side keeps another file in its place",
}
_STARTS_OVER: Final = "what the other side has of it is of another file, so all of it is sent"
_SAME: Final = "the other side has the same content"
_KEPT: Final = "the other side keeps what it has under this name"


class SendSession(Session):
    """One transfer, seen from the sender. stream: something of it comes from a stream.

    is_text: the one file is a text, which is for showing rather than for storing.
    """

    machine: Sender

    def __init__(
        self,
        channel: Channel,
        limits: TransferLimits,
        tell: Tell,
        *,
        found: Iterator[Found | Left],
        log: Log,
        reader: Reader,
        software: str,
        settled: Settled = at_once,
        stream: bool = False,
        is_text: bool = False,
    ) -> None:
        super().__init__(channel, limits, tell, settled)
        self.machine = Sender(limits, software, self.now(), stream=stream, text=is_text)
        self._found = found
        self._log = log
        self._reader = reader
        self._most = limits.max_data_message
        self._batches = BatchReader(reader, log, block_size=limits.block_size, message_size=self._message_size)
        self._pace = Pace()
        self._walker = Worker("walk")
        self._disk = Worker("read")
        self._teller = Teller(log, self._walker, tell, settled)
        self._listed = False
        self._moved = asyncio.Event()
        self._wake_read = asyncio.Event()
        self._again: list[tuple[int, int]] = []
        self._summary = Summary()
        self._same: set[int] = set()
        self._current = ""
        self._is_reading = False

    async def run(self) -> None:
        try:
            try:
                await super().run()
            except P2PCopyError:
                await self._teller.rest()
                raise
            await self._teller.rest()
        finally:
            self._walker.close()
            self._disk.close()

    def work(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        return [self._walk, self._read, self._teller.run]

    def perform(self) -> None:
        while actions := self.machine.actions():
            for action in actions:
                match action:
                    case SendControl():
                        self.send_control(action.message)
                    case SendData():
                        self.send_data(action.message)
                    case Accepted():
                        self.begin()
                        if "zstd" not in self.machine.peer_features:
                            self._reader.never_compress()
                        self._reader.allow(action.upto, action.skips, action.held)
                        for start, stop in action.skips:
                            self._teller.put(start, stop, _skipped)
                        self._wake_read.set()
                    case Unusable():
                        self._note(action.entry, f"it starts over; the other side says: {action.reason}")
                    case Reread():
                        self._again.append((action.entry, action.block))
                        self._wake_read.set()
                    case Reported():
                        self._tell_reported(action)
                    case Finished():
                        self.end(None)
                    case Ended():
                        self.end(action.error)
                    case _:
                        assert_never(action)
        self._moved.set()

    def tick_machine(self) -> None:
        self.machine.backlog = self.channel.backlog
        super().tick_machine()

    def connection_ended(self) -> None:
        if self.machine.state is State.PARTING:
            self.machine.state = State.OVER
            self.end(None)
        else:
            super().connection_ended()

    async def _walk(self) -> None:
        """Entries into the log and the manifest, as fast as the peer takes them."""
        while True:
            await self._until(lambda: self.machine.manifest_room)
            batch = await self._walker.run(self._next_entries)
            if not batch:
                break
            found = [thing.entry for thing in batch if isinstance(thing, Found)]
            for thing in batch:
                if isinstance(thing, Left):
                    self.left_out += thing.fault
                    self.omitted += not thing.fault
                    self.tell(events.Note(thing.path, f"not sent: it {thing.reason}"))
            self._summary.add(found)
            self.machine.entries(found)
            self.perform()
            await self.channel.drain(_MANIFEST_BACKLOG)
            await self.settled()
        self.machine.manifest_complete(self.left_out, self.omitted)
        self._listed = True
        self._wake_read.set()
        self.perform()
        self.tell(self._summary.manifest())

    def _next_entries(self) -> list[Found | Left]:
        batch = list(islice(self._found, _WALK_BATCH))
        for thing in batch:
            if isinstance(thing, Found):
                self._log.append(thing.entry, thing.local)
        return batch

    async def _read(self) -> None:
        """Blocks into messages, as fast as credit and the network take them; one batch is read while another goes out."""
        ahead = asyncio.create_task(self._read_batch())
        began = self._loop.time()
        try:
            while True:
                batch, last = await ahead
                if batch.is_empty:
                    if last and self.machine.all_accepted:
                        self.machine.all_read()
                        self.perform()
                    await self._wake_read.wait()
                    ahead = asyncio.create_task(self._read_batch())
                    began = self._loop.time()
                    continue
                ahead = asyncio.create_task(self._read_batch())
                self._take(batch)
                await self.channel.drain(self._pace.size)
                await self.settled()
                await self._until(lambda: self.machine.room > 0)
                ended = self._loop.time()
                self._pace.took(batch.size, ended - began)
                began = ended
        finally:
            ahead.cancel()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    async def _read_batch(self) -> tuple[Batch, bool]:
        """The next items, and whether everything had been accepted when they were asked for: then none means the end."""
        self._wake_read.clear()
        last = self.machine.all_accepted
        again, self._again = self._again, []
        self._is_reading = True
        batch = await self._disk.run(self._batches.next, again, self._pace.size, self._message_size)
        self._is_reading = False
        return batch, last

    @property
    def _message_size(self) -> int:
        """Of this moment: a path is found out about, and may change."""
        return min(self.channel.message_size, self._most)

    def _take(self, batch: Batch) -> None:
        self._current = batch.path
        self.machine.data(batch.messages)
        for entry, number in batch.again:
            self.machine.sent_again(entry, number)
        # Before the ends: both may be of one file.
        for compared in batch.compared:
            if not compared.same:
                self.machine.started_over(compared.entry)
                self._note(compared.entry, _STARTS_OVER)
        for end in batch.ends:
            self.machine.file_end(end.entry, end.size, end.digest)
            if end.same:
                self._same.add(end.entry)
        for fault in batch.faults:
            self._fault(fault)
        self.machine.flush()
        self.perform()

    def _note(self, entry: int, reason: str) -> None:
        self._teller.put(entry, entry + 1, lambda of: events.Note(of.path, reason))

    def _fault(self, fault: Fault) -> None:
        # Where a block could not be read again, the rest of the file is of no use either.
        self._reader.drop(fault.entry)
        if self.machine.fault(fault.entry, fault.reason):
            self._tell_failed(fault.entry, _FAULT_TEXT[fault.reason])

    def _tell_reported(self, reported: Reported) -> None:
        for start, stop in reported.done:
            same = self._same.intersection(range(start, stop))
            self._same -= same
            for first, last in ranges_of(sorted(same)):
                self._teller.put(start, first, _done)
                self._teller.put(first, last, _there)
                start = last
            self._teller.put(start, stop, _done)
        for index, reason in reported.failed:
            self._reader.drop(index)
            self._same.discard(index)
            self._tell_failed(index, f"the other side: {reason}")

    def _tell_failed(self, entry: int, reason: str) -> None:
        self._teller.put(entry, entry + 1, lambda of: events.File(of.path, events.FileStatus.FAILED, reason))

    def progress(self) -> events.Progress | None:
        machine, summary = self.machine, self._summary
        if not machine.accepted:
            return None
        complete = self._listed and machine.accepted == machine.manifest_entries
        return events.Progress(
            bytes_done=machine.bytes_stored + machine.bytes_resumed,
            bytes_total=summary.bytes - machine.bytes_skipped if complete and not summary.streams else None,
            files_done=machine.files_done,
            files_total=summary.files - machine.files_skipped if complete else None,
            file=self._current,
            bytes_resumed=machine.bytes_resumed,
            waits_for="source" if self._is_reading else "" if machine.room > 0 else "other_side",
        )


def _skipped(entry: Entry) -> events.Event:
    return events.File(entry.path, events.FileStatus.SKIPPED, _KEPT)


def _there(entry: Entry) -> events.Event:
    return events.File(entry.path, events.FileStatus.SKIPPED, _SAME)


def _done(entry: Entry) -> events.Event | None:
    return events.File(entry.path, events.FileStatus.DONE) if entry.kind is Kind.FILE else None
