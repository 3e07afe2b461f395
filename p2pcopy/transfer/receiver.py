"""The receiving end of the protocol, without I/O (docs/protocol.md)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, IntegrityError, P2PCopyError, ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.assembly import BlockAssembler, FileProgress, WholeBlock
from p2pcopy.transfer.conversation import (
    Conversation,
    Ended,
    Finished,
    SendControl,
    State,
    Table,
    abort_message,
    error_from_abort,
)
from p2pcopy.transfer.flow import ReceiveWindow
from p2pcopy.transfer.sender import TotalDigest
from p2pcopy.transfer.wire import Entry, FaultReason, FileEnd, FileFault, Kind, Piece, Role

_HINT: Final = "Use the same version of p2pcopy on both sides."
_STREAM: Final = -1
_RESULTS_S: Final = 0.1
_CREDIT_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Listed:
    """New entries of the manifest, the first with index first. cost: what listed() must be called with when they are checked."""

    first: int
    entries: tuple[Entry, ...]
    cost: int


@dataclass(frozen=True, slots=True)
class ManifestComplete:
    """No more entries will come. left_out: what the sender could not or would not put in."""

    entries: int
    left_out: int


@dataclass(frozen=True, slots=True)
class StoreBlock:
    """Decompress, check the digest, write at offset; then call stored() or damaged()."""

    block: WholeBlock
    offset: int


@dataclass(frozen=True, slots=True)
class Commit:
    """All blocks of this file are stored: make it final; then call committed()."""

    entry: int
    size: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """The sender cannot send this file, or it arrived damaged again and again."""

    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class FinishStore:
    """Everything is here: commit what is left, links and directories; then call store_finished()."""


ReceiverAction = (
    SendControl | Listed | ManifestComplete | StoreBlock | Commit | Abandon | FinishStore | Finished | Ended
)

_TABLE: Final[Table] = {
    (State.HELLO, wire.Hello): State.OPEN,
    (State.OPEN, wire.Manifest): State.OPEN,
    (State.OPEN, wire.ManifestEnd): State.LISTED,
    (State.LISTED, wire.End): State.ENDED,
    (State.PARTING, wire.Bye): State.OVER,
    **{
        (state, message): state
        for state in (State.OPEN, State.LISTED, State.ENDED, State.PARTING)
        for message in (wire.Ping, wire.Pong)
    },
    **{(state, wire.Abort): State.OVER for state in State if state is not State.OVER},
}

_FAULT_TEXT: Final = {
    FaultReason.VANISHED: "it vanished at the sender",
    FaultReason.UNREADABLE: "the sender cannot read it",
    FaultReason.CHANGED: "it changed while it was being sent",
    FaultReason.DROPPED: "it was left out",
}


class _Is(IntEnum):
    """What became of an entry so far."""

    OFFERED = 0
    ACCEPTED = 1
    SKIPPED = 2
    OPEN = 3
    COMMITTING = 4
    DONE = 5
    FAILED = 6
    FAILED_HERE = 7


class Receiver(Conversation):
    """Feed it messages and what became of actions(); carry out actions() after every call."""

    role: ClassVar[Role] = Role.RECEIVER
    table: ClassVar[Table] = _TABLE

    def __init__(self, limits: TransferLimits, software: str, now: float) -> None:
        super().__init__(limits, software, now)
        self.accepted = 0
        self.accepted_bytes = 0
        self.bytes_stored = 0
        self.files_done = 0
        self.files_skipped = 0
        self.files_failed = 0
        self._block_size = limits.block_size
        self._window = ReceiveWindow(limits.first_window, limits.max_window)
        self._assembler = BlockAssembler(limits.max_window + 4 * limits.block_size)
        self._sizes = array("q")
        self._kinds = bytearray()
        self._is = bytearray()
        self._files: dict[int, FileProgress] = {}
        self._unresolved = 0
        self._failed_here = 0
        self._faults = 0
        self._totals = TotalDigest()
        self._end: wire.End | None = None
        self._last_data = now
        self._results_done: list[int] = []
        self._results_failed: list[tuple[int, str]] = []
        self._results_sent = now
        self._credit_sent = now
        self._stored_told = 0
        self._finishing = False
        self.parted: float | None = None
        self._actions: list[ReceiverAction] = [self.open(self._window.limit, ["zstd"])]

    # What comes in from the peer.

    def control_received(self, message: bytes, now: float) -> None:
        """A message on the control channel."""
        if self.state is State.OVER:
            return
        try:
            decoded = wire.decode(message, limit=self.limits.max_control_message)
            self.enter(decoded, now)
            self._handle(decoded, len(message), now)
        except P2PCopyError as error:
            self.fail(error)

    def data_received(self, message: bytes, now: float) -> None:
        """A message on the data channel."""
        if self.state is State.OVER:
            return
        try:
            if self.state not in (State.OPEN, State.LISTED, State.ENDED):
                raise ProtocolError("the other side sent data out of turn", _HINT)
            self.heard_data(now)
            self._last_data = now
            self._window.take(len(message))
            for record in wire.decode_records(message, limit=self.limits.max_data_message):
                self._take_record(record, now)
            self._advance(now)
        except P2PCopyError as error:
            self.fail(error)

    def tick(self, now: float) -> None:
        """Call a few times a second: announces credit and results that are due, and keeps the connection alive."""
        if self.state is State.OVER:
            return
        try:
            ping = self.keep_alive(now)
            if self.parted is not None and now - self.parted > self.limits.silence_s:
                raise ConnectionLost("the other side did not confirm the end", _HINT)
            if self.state is State.ENDED and self._waits_in_vain(now):
                raise ProtocolError("the other side says that it has sent everything, but it has not", _HINT)
        except P2PCopyError as error:
            self.fail(error)
            return
        if ping is not None:
            self._actions.append(ping)
        self._announce(now, always=now - self._credit_sent >= _CREDIT_S)
        self._report(now, always=now - self._results_sent >= _RESULTS_S)

    def _handle(self, message: wire.Control, size: int, now: float) -> None:
        match message:
            case wire.Hello():
                self.greet(message)
                if message.block_size > self.limits.first_window // 2:
                    raise ProtocolError(f"the other side wants blocks of {message.block_size} bytes", _HINT)
                self._block_size = message.block_size
            case wire.Manifest():
                self._list(message, size)
            case wire.ManifestEnd():
                self._credited(size, now)
                if message.entries != len(self._kinds):
                    raise ProtocolError("the other side's manifest is not complete", _HINT)
                self._actions.append(ManifestComplete(message.entries, message.left_out))
            case wire.End():
                self._credited(size, now)
                if self.accepted != len(self._kinds):
                    raise ProtocolError("the other side ends before its manifest was accepted", _HINT)
                self._end, self._last_data = message, now
                self._advance(now)
            case wire.Bye():
                self._actions.append(Finished())
            case wire.Ping():
                self._actions.append(self.answer_ping(message))
            case wire.Pong():
                self.take_pong(message, now)
            case wire.Abort():
                self._actions.append(Ended(error_from_abort(message)))
            case _:
                raise ProtocolError("a message that only a receiver sends", _HINT)

    def _credited(self, size: int, now: float) -> None:
        self._window.take(size)
        self._window.consume(size, now, self.rtt_s)

    def _list(self, message: wire.Manifest, size: int) -> None:
        self._window.take(size)
        first = len(self._kinds)
        if message.first != first:
            raise ProtocolError("the other side's manifest has a gap", _HINT)
        if first + len(message.entries) > self.limits.max_entries:
            raise ProtocolError(
                f"the other side offers more than {self.limits.max_entries} entries",
                "Send fewer files at a time, or a tar file.",
            )
        entries = tuple(wire.from_wire(entry) for entry in message.entries)
        for entry in entries:
            self._sizes.append(_STREAM if entry.size is None else entry.size)
        self._kinds += "".join(entry.kind.value for entry in entries).encode()
        self._is.extend(bytes(len(entries)))
        self._actions.append(Listed(first, entries, size))

    def _take_record(self, record: wire.Record, now: float) -> None:
        if record.entry >= self.accepted:
            raise ProtocolError("the other side sent a file that was not accepted", _HINT)
        state = self._is[record.entry]
        if state == _Is.FAILED_HERE or (state == _Is.FAILED and isinstance(record, Piece)):
            self._take_late(record, now)
            return
        if self._kinds[record.entry] != ord(Kind.FILE) or state not in (_Is.ACCEPTED, _Is.OPEN):
            raise ProtocolError("the other side sent a file that was not accepted, or twice", _HINT)
        match record:
            case Piece():
                self._take_piece(record)
            case FileEnd():
                file = self._open(record.entry)
                if file.end is not None:
                    raise ProtocolError("the other side ended a file twice", _HINT)
                file.end = record
                self._count_end(record)
                self._window.consume(record.cost, now, self.rtt_s)
                self._complete(record.entry)
            case FileFault():
                self._window.consume(record.cost, now, self.rtt_s)
                self._take_fault(record, now)

    def _take_late(self, record: wire.Record, now: float) -> None:
        """The rest of a file that has failed: counted, not kept. Data messages may overtake each other."""
        self._window.consume(record.cost, now, self.rtt_s)
        if isinstance(record, FileEnd):
            self._count_end(record)
        elif isinstance(record, FileFault):
            self._faults += 1

    def _take_piece(self, piece: Piece) -> None:
        file = self._open(piece.entry)
        if file.end is not None and piece.block >= file.end.blocks:
            raise ProtocolError("the other side sent a block behind the end of its file", _HINT)
        if not self._assembler.begun(piece.entry, piece.block):
            file.expect(piece)
        block = self._assembler.add(piece)
        if block is not None:
            file.in_work.add(block.number)
            self._actions.append(StoreBlock(block, block.number * self._block_size))

    def _take_fault(self, fault: FileFault, now: float) -> None:
        self._faults += 1
        self.files_failed += 1
        self._release(fault.entry, now)
        self._resolve(fault.entry, _Is.FAILED)
        self._actions.append(Abandon(fault.entry, _FAULT_TEXT[fault.reason]))

    def _count_end(self, end: FileEnd) -> None:
        self._totals.add(end.entry, end.size, end.digest)

    # What comes in from this side.

    def listed(self, cost: int, now: float) -> None:
        """The entries of a Listed action are checked and kept."""
        self._window.consume(cost, now, self.rtt_s)
        self._announce(now)

    def accept(self, upto: int, skips: Sequence[tuple[int, int]], now: float) -> None:
        """Entries below upto are wanted, except these half-open ranges of indices since the last call, in order."""
        if self.state is State.OVER:
            return
        first = self.accepted
        self._is[first:upto] = bytes([_Is.ACCEPTED]) * (upto - first)
        self._unresolved += upto - first
        self.accepted_bytes += sum(size for size in self._sizes[first:upto] if size > 0)
        for start, stop in skips:
            self._is[start:stop] = bytes([_Is.SKIPPED]) * (stop - start)
            self._unresolved -= stop - start
            self.accepted_bytes -= sum(size for size in self._sizes[start:stop] if size > 0)
            self.files_skipped += self._kinds[start:stop].count(b"f")
        self.accepted = upto
        self._send_go(upto, skips)
        self._advance(now)

    def _send_go(self, upto: int, skips: Sequence[tuple[int, int]]) -> None:
        ranges = list(skips)
        most = self.limits.max_control_message // 32
        while len(ranges) > most:
            part, ranges = ranges[:most], ranges[most:]
            self._actions.append(SendControl(wire.encode(wire.Go(upto=part[-1][1], skip=part))))
        self._actions.append(SendControl(wire.encode(wire.Go(upto=upto, skip=ranges))))

    def stored(self, block: WholeBlock, now: float) -> None:
        """A block is verified and written."""
        self._window.consume(block.cost, now, self.rtt_s)
        if self.state is State.OVER:
            return
        file = self._files.get(block.entry)
        if file is not None:
            try:
                file.verified(block.number, block.raw_size, block.digest)
                self.bytes_stored += block.raw_size
                self._complete(block.entry)
            except P2PCopyError as error:
                self.fail(error)
                return
        self._announce(now)
        self._advance(now)

    def damaged(self, block: WholeBlock, now: float) -> None:
        """A block's digest did not fit its content."""
        self._window.consume(block.cost, now, self.rtt_s)
        file = self._files.get(block.entry)
        if self.state is State.OVER or file is None:
            return
        file.in_work.discard(block.number)
        file.bad[block.number] = file.bad.get(block.number, 0) + 1
        if file.bad[block.number] >= self.limits.max_bad_blocks:
            self.fail(
                IntegrityError(
                    f"a block arrived damaged {self.limits.max_bad_blocks} times",
                    "Check the memory and disk of both machines, then run the same two commands again.",
                )
            )
            return
        self._actions.append(SendControl(wire.encode(wire.Again(block.entry, block.number))))
        self._announce(now)

    def committed(self, entries: Iterable[int], now: float) -> None:
        """These entries are final: files verified, synced and renamed, directories and links made."""
        for entry in entries:
            if self._is[entry] in (_Is.COMMITTING, _Is.ACCEPTED):
                self._resolve(entry, _Is.DONE)
                self._results_done.append(entry)
                self.files_done += self._kinds[entry] == ord(Kind.FILE)
        self._report(now)
        self._advance(now)

    def failed_here(self, entry: int, reason: str, now: float) -> None:
        """This side cannot keep this entry; the rest goes on."""
        if self.state is State.OVER or self._is[entry] not in (_Is.ACCEPTED, _Is.OPEN, _Is.COMMITTING):
            return
        self._release(entry, now)
        self._resolve(entry, _Is.FAILED_HERE)
        self._failed_here += 1
        self.files_failed += 1
        self._results_failed.append((entry, reason[: wire.MAX_TEXT]))
        self._report(now)
        self._advance(now)

    def store_finished(self, now: float) -> None:
        """The FinishStore action is carried out: tell the sender."""
        if self.state is not State.ENDED:
            return
        if self._unresolved:
            self.fail(ProtocolError(f"{self._unresolved} entries of the manifest never came", _HINT))
            return
        self._report(now, always=True)
        done = wire.Done(
            files=self._totals.files,
            bytes=self._totals.bytes,
            faults=self._faults,
            digest=self._totals.hex(),
            failed=self._failed_here,
            skipped=self.files_skipped,
        )
        self._announce(now, always=True)
        self._actions.append(SendControl(wire.encode(done)))
        self.state = State.PARTING
        self.parted = now

    def fail(self, error: P2PCopyError) -> None:
        """End the conversation with an error of this side, and tell the peer."""
        if self.state is not State.OVER:
            self.state = State.OVER
            self._actions += [SendControl(abort_message(error)), Ended(error)]

    # What goes out.

    def say_bye(self) -> None:
        """Answer to the peer's bye, after Finished."""
        self._actions.append(SendControl(wire.encode(wire.Bye())))

    @property
    def entries_listed(self) -> int:
        return len(self._kinds)

    def actions(self) -> list[ReceiverAction]:
        """What is to be done now, in order; each is given out once."""
        actions, self._actions = self._actions, []
        return actions

    # Inside.

    def _open(self, entry: int) -> FileProgress:
        file = self._files.get(entry)
        if file is None:
            if len(self._files) >= self.limits.max_open_files:
                raise ProtocolError("the other side has begun too many files at once", _HINT)
            size = self._sizes[entry]
            file = self._files[entry] = FileProgress(None if size == _STREAM else size, self._block_size)
            self._is[entry] = _Is.OPEN
        return file

    def _complete(self, entry: int) -> None:
        file = self._files.get(entry)
        if file is not None and file.whole():
            del self._files[entry]
            self._is[entry] = _Is.COMMITTING
            self._actions.append(Commit(entry, file.stored))

    def _release(self, entry: int, now: float) -> None:
        self._files.pop(entry, None)
        cost = self._assembler.forget(entry)
        if cost:
            self._window.consume(cost, now, self.rtt_s)

    def _resolve(self, entry: int, state: _Is) -> None:
        self._is[entry] = state
        self._unresolved -= 1

    def _advance(self, now: float) -> None:
        """After the sender's end: compare totals once every entry has come to its own end."""
        end = self._end
        if end is None or self._finishing or self.state is not State.ENDED:
            return
        if self._totals.files > end.files or self._faults > end.faults:
            self.fail(ProtocolError("the other side sent more than it says", _HINT))
        elif (self._totals.files, self._faults) == (end.files, end.faults) and not self._files:
            if (self._totals.bytes, self._totals.hex()) != (end.bytes, end.digest):
                self.fail(IntegrityError("the totals of the two sides differ", "Run the same two commands again."))
                return
            self._finishing = True
            self._actions.append(FinishStore())

    def _waits_in_vain(self, now: float) -> bool:
        busy = self._finishing or self._window.held > 0
        return not busy and now - self._last_data > 2 * self.limits.silence_s

    def _announce(self, now: float, *, always: bool = False) -> None:
        if self.state in (State.HELLO, State.PARTING, State.OVER):
            return
        limit = self._window.announce(always=always)
        if limit is not None or (always and self._stored_told != self.bytes_stored):
            self._credit_sent = now
            self._stored_told = self.bytes_stored
            self._actions.append(SendControl(wire.encode(wire.Credit(self._window.limit, self.bytes_stored))))

    def _report(self, now: float, *, always: bool = False) -> None:
        pending = len(self._results_done) + len(self._results_failed)
        if self.state is State.OVER or not pending or not (always or pending >= 1000):
            return
        done, self._results_done = self._results_done, []
        failed, self._results_failed = self._results_failed, []
        self._results_sent = now
        ranges = _ranges(sorted(done))
        while ranges or failed:
            part = wire.Results(done=ranges[:2000], failed=failed[:100])
            ranges, failed = ranges[2000:], failed[100:]
            self._actions.append(SendControl(wire.encode(part)))


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Half-open ranges that cover these ascending numbers."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
