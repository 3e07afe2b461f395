"""Sending: the tree is walked and blocks are read in threads, the machine decides what goes out when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Final, assert_never

from p2pcopy import events
from p2pcopy.channel import Channel
from p2pcopy.config import MIB, TransferLimits
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.held import Held, bytes_of
from p2pcopy.transfer.items import Fault, Found, Left
from p2pcopy.transfer.pace import Pace
from p2pcopy.transfer.ports import Log, Reader
from p2pcopy.transfer.reading import Batch, BatchReader
from p2pcopy.transfer.sender import Accepted, Reported, Reread, Sender
from p2pcopy.transfer.session import Session, Settled, Tell, at_once
from p2pcopy.transfer.summary import Summary
from p2pcopy.transfer.wire import Check, FaultReason, Kind
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


class SendSession(Session):
    """One transfer, seen from the sender."""

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
    ) -> None:
        super().__init__(channel, limits, tell, settled)
        self.machine = Sender(limits, software, self.now())
        self.left_out = 0
        self._found = found
        self._log = log
        self._reader = reader
        self._most = limits.max_data_message
        self._batches = BatchReader(reader, log, block_size=limits.block_size, message_size=self._message_size)
        self._pace = Pace()
        self._walker = Worker("walk")
        self._disk = Worker("read")
        self._listed = False
        self._moved = asyncio.Event()
        self._wake_read = asyncio.Event()
        self._again: list[tuple[int, int]] = []
        self._summary = Summary()
        self._skipped_files = 0
        self._skipped_bytes = 0
        self._resumed: dict[int, int] = {}
        self._compared: dict[int, int] = {}  # what counts as resumed once it is found the same
        self._current = ""
        self._is_reading = False

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._walker.close()
            self._disk.close()

    def work(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        return [self._walk, self._read]

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
                        for file in action.held:
                            counted = self._resumed if file.check is Check.SAMPLE else self._compared
                            counted[file.entry] = self._bytes_of(file)
                        self._tell_skipped(action.skips)
                        self._wake_read.set()
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
                    self.tell(events.Note(thing.path, thing.reason))
            self._summary.add(found)
            self.machine.entries(found)
            self.perform()
            await self.channel.drain(_MANIFEST_BACKLOG)
            await self.settled()
        self.machine.manifest_complete(self.left_out)
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
        for end in batch.ends:
            self.machine.file_end(end.entry, end.size, end.digest)
            if (same := self._compared.pop(end.entry, None)) is not None:
                self._resumed[end.entry] = same
        for fault in batch.faults:
            self._fault(fault)
        for compared in batch.compared:
            if not compared.same:
                self._resumed.pop(compared.entry, None)
                self._compared.pop(compared.entry, None)
                self.tell(events.Note(self._log[compared.entry][0].path, _STARTS_OVER))
        self.machine.flush()
        self.perform()

    def _bytes_of(self, file: Held) -> int:
        """What the receiver has of a file."""
        return bytes_of(file.digests, self._log[file.entry][0].size or 0, self.machine.limits.block_size)

    def _fault(self, fault: Fault) -> None:
        # Where a block could not be read again, the rest of the file is of no use either.
        self._reader.drop(fault.entry)
        if self.machine.fault(fault.entry, fault.reason):
            path = self._log[fault.entry][0].path
            self.tell(events.File(path, events.FileStatus.FAILED, _FAULT_TEXT[fault.reason]))

    def _tell_skipped(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, stop in ranges:
            for entry in range(start, stop):
                skipped = self._log[entry][0]
                self._skipped_bytes += skipped.size or 0
                self._skipped_files += skipped.kind is Kind.FILE
                self.tell(
                    events.File(
                        skipped.path, events.FileStatus.SKIPPED, "the other side keeps what it has under this name"
                    )
                )

    def _tell_reported(self, reported: Reported) -> None:
        for start, stop in reported.done:
            for index in range(start, stop):
                entry = self._log[index][0]
                if entry.kind is Kind.FILE:
                    self.tell(events.File(entry.path, events.FileStatus.DONE))
        for index, reason in reported.failed:
            self._reader.drop(index)
            self.tell(events.File(self._log[index][0].path, events.FileStatus.FAILED, f"the other side: {reason}"))

    def progress(self) -> events.Progress | None:
        machine, summary = self.machine, self._summary
        if not machine.accepted:
            return None
        complete = self._listed and machine.accepted == machine.manifest_entries
        resumed = sum(self._resumed.values())
        return events.Progress(
            bytes_done=machine.bytes_stored + resumed,
            bytes_total=summary.bytes - self._skipped_bytes if complete and not summary.streams else None,
            files_done=machine.files_done,
            files_total=summary.files - self._skipped_files if complete else None,
            file=self._current,
            waits_for="source" if self._is_reading else "" if machine.room > 0 else "other_side",
            bytes_resumed=resumed,
        )
