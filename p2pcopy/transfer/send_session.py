"""Sending: the tree is walked and blocks are read in threads, the machine decides what goes out when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol, assert_never

from p2pcopy import events
from p2pcopy.channel import Channel
from p2pcopy.config import MIB, TransferLimits
from p2pcopy.errors import IntegrityError
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.items import Block, End, Fault, Found, Item, Left
from p2pcopy.transfer.sender import Accepted, Reported, Reread, Sender
from p2pcopy.transfer.session import Session, Tell
from p2pcopy.transfer.wire import Entry, FaultReason, Kind
from p2pcopy.transfer.worker import Worker

_WALK_BATCH: Final = 256
_READ_BYTES: Final = 2 * MIB
_READ_ITEMS: Final = 512
_BACKLOG: Final = 1 * MIB

_FAULT_TEXT: Final = {
    FaultReason.VANISHED: "it vanished",
    FaultReason.UNREADABLE: "it cannot be read",
    FaultReason.CHANGED: "it changed while it was being sent",
    FaultReason.DROPPED: "the other side could not keep it",
}


class Log(Protocol):
    """The entries, in order."""

    def append(self, entry: Entry, local: str = "") -> int: ...

    def __getitem__(self, index: int) -> tuple[Entry, str]: ...


class Reader(Protocol):
    """Reads the blocks of accepted entries in order."""

    def allow(self, upto: int, skips: Sequence[tuple[int, int]]) -> None: ...

    def drop(self, entry: int) -> None: ...

    def next(self) -> Item | None: ...

    def reread(self, entry: int, number: int) -> Block | Fault: ...


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
    ) -> None:
        super().__init__(channel, limits, tell)
        self.machine = Sender(limits, software, self.now(), channel.message_size)
        self.left_out = 0
        self.faults = 0
        self._found = found
        self._log = log
        self._reader = reader
        self._walker = Worker("walk")
        self._disk = Worker("read")
        self._listed = False
        self._moved = asyncio.Event()
        self._wake_read = asyncio.Event()
        self._rereads: list[Reread] = []
        self._files = 0
        self._bytes = 0
        self._current = ""
        self._progress: events.Progress | None = None

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._walker.close()
            self._disk.close()

    def work(self) -> list[Coroutine[None, None, None]]:
        return [self._walk(), self._read()]

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
                        self._reader.allow(action.upto, action.skips)
                        self._tell_skipped(action.skips)
                        self._wake_read.set()
                    case Reread():
                        self._rereads.append(action)
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
            self._files += sum(entry.kind is Kind.FILE for entry in found)
            self._bytes += sum(entry.size or 0 for entry in found)
            self.machine.entries(found)
            self.perform()
        self.machine.manifest_complete(self.left_out)
        self._listed = True
        self._wake_read.set()
        self.perform()

    def _next_entries(self) -> list[Found | Left]:
        batch = list(islice(self._found, _WALK_BATCH))
        for thing in batch:
            if isinstance(thing, Found):
                self._log.append(thing.entry, thing.local)
        return batch

    async def _read(self) -> None:
        """Blocks into messages, as fast as credit and the network take them; one batch is read while another goes out."""
        ahead = asyncio.create_task(self._read_batch())
        try:
            while True:
                items = await ahead
                if items:
                    ahead = asyncio.create_task(self._read_batch())
                    self._take(items)
                    await self.channel.drain(_BACKLOG)
                    await self._until(lambda: self.machine.room > 0)
                else:
                    if self._everything_read():
                        self.machine.all_read()
                        self.perform()
                    self._wake_read.clear()
                    await self._wake_read.wait()
                    ahead = asyncio.create_task(self._read_batch())
        finally:
            ahead.cancel()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    def _everything_read(self) -> bool:
        machine = self.machine
        return self._listed and machine.state is State.LISTED and machine.accepted == machine.manifest_entries

    async def _read_batch(self) -> list[Item]:
        rereads, self._rereads = self._rereads, []
        return await self._disk.run(self._next_items, rereads)

    def _next_items(self, rereads: Sequence[Reread]) -> list[Item]:
        items: list[Item] = [self._reader.reread(reread.entry, reread.block) for reread in rereads]
        size = 0
        while size < _READ_BYTES and len(items) < _READ_ITEMS:
            item = self._reader.next()
            if item is None:
                break
            items.append(item)
            size += len(item.body) if isinstance(item, Block) else 0
        if items:
            self._current = self._log[items[-1].entry][0].path
        return items

    def _take(self, items: Sequence[Item]) -> None:
        for item in items:
            match item:
                case Block():
                    self.machine.block(item.entry, item.number, item.raw_size, item.body, item.digest, item.compressed)
                case End():
                    self.machine.file_end(item.entry, item.size, item.blocks, item.digest)
                case Fault():
                    self._fault(item)
        self.machine.flush()
        self.perform()

    def _fault(self, fault: Fault) -> None:
        if self.machine.state is State.ENDED:
            self.machine.fail(
                IntegrityError(
                    "a block arrived damaged and could not be read again",
                    "Run the same two commands again, with fresh codes.",
                )
            )
            return
        self.machine.fault(fault.entry, fault.reason)
        if fault.reason is not FaultReason.DROPPED:
            self.faults += 1
            path = self._log[fault.entry][0].path
            self.tell(events.File(path, events.FileStatus.FAILED, _FAULT_TEXT[fault.reason]))

    def _tell_skipped(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, stop in ranges:
            for entry in range(start, stop):
                skipped = self._log[entry][0]
                self._bytes -= skipped.size or 0
                self._files -= skipped.kind is Kind.FILE
                self.tell(events.File(skipped.path, events.FileStatus.SKIPPED, "the other side has it already"))

    def _tell_reported(self, reported: Reported) -> None:
        for start, stop in reported.done:
            for index in range(start, stop):
                entry = self._log[index][0]
                if entry.kind is Kind.FILE:
                    self.tell(events.File(entry.path, events.FileStatus.DONE))
        for index, reason in reported.failed:
            self._reader.drop(index)
            self.tell(events.File(self._log[index][0].path, events.FileStatus.FAILED, f"the other side: {reason}"))

    def progress(self) -> None:
        machine = self.machine
        progress = events.Progress(
            bytes_done=machine.bytes_stored,
            bytes_total=self._bytes if self._listed else None,
            files_done=machine.files_done,
            files_total=self._files if self._listed else None,
            file=self._current,
        )
        if machine.accepted and progress != self._progress:
            self._progress = progress
            self.tell(progress)
