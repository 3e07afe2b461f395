"""The sending end of the protocol, without I/O (docs/protocol.md)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from p2pcopy.config import TransferLimits
from p2pcopy.errors import IntegrityError, LocalFileError, ProtocolError
from p2pcopy.quantities import size as size_of
from p2pcopy.transfer import records, wire
from p2pcopy.transfer.conversation import (
    SHARED_TABLE,
    Conversation,
    Ended,
    Finished,
    SendControl,
    SendData,
    State,
    Table,
)
from p2pcopy.transfer.held import Held, Holdings
from p2pcopy.transfer.ledger import Phase
from p2pcopy.transfer.offer import Sizes
from p2pcopy.transfer.outbox import Outbox
from p2pcopy.transfer.packing import Packed, Packer
from p2pcopy.transfer.patience import Patience
from p2pcopy.transfer.totals import TotalDigest
from p2pcopy.transfer.wire import Entry, FaultReason, Role

# Blocks that the peer may have asked for again at a time; an honest one has far fewer.
MAX_ASKED: Final = 1024
# Blocks that may arrive damaged in a transfer. Whoever has more has lost whole files to it.
MAX_DAMAGED: Final = 65536
_REREAD_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Accepted:
    """Entries below upto may be read and sent, except these half-open ranges, which are new since the last time.

    held: what the receiver says it has of files among them.
    """

    upto: int
    skips: tuple[tuple[int, int], ...]
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """The receiver has something of a file that it cannot use, so all of it is sent. reason: the receiver's."""

    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reread:
    """A block arrived damaged: read it once more, and call sent_again() or fault()."""

    entry: int
    block: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The receiver says how entries ended, each once, and none whose fault() it was."""

    done: tuple[tuple[int, int], ...]
    failed: tuple[tuple[int, str], ...]


SenderAction = SendControl | SendData | Accepted | Unusable | Reread | Reported | Finished | Ended

_TABLE: Final[Table] = {
    (State.HELLO, wire.Hello): State.OPEN,
    **{
        (state, message): state
        for state in (State.OPEN, State.LISTED, State.ENDED)
        for message in (wire.Go, wire.Credit, wire.Again, wire.Results)
    },
    **{(state, message): state for state in (State.OPEN, State.LISTED) for message in (wire.Have, wire.Over)},
    (State.ENDED, wire.Done): State.PARTING,
    **SHARED_TABLE,
}


class Sender(Conversation[SendData | Accepted | Unusable | Reread | Reported]):
    """Feed it entries while manifest_room, and messages while room, says so.

    Blocks and end records are packed by whoever reads, with a Packer; file_end() tells of the ends among them.
    bytes_read: of file content given to data(); bytes_skipped: of files that the receiver does not take, streams left out;
    bytes_resumed: of accepted files, that the receiver has and that still count;
    backlog: bytes of messages that the network has not taken, to be set before tick().
    It moves from OPEN to LISTED with manifest_complete(), and to ENDED with all_read().
    """

    role: ClassVar[Role] = Role.SENDER
    table: ClassVar[Table] = _TABLE

    def __init__(
        self, limits: TransferLimits, software: str, now: float, *, stream: bool = False, text: bool = False
    ) -> None:
        super().__init__(limits, software, now, credit=0, features=["stream"] * stream + [wire.TEXT] * text)
        self.bytes_stored = 0
        self.bytes_read = 0
        self.bytes_skipped = 0
        self.bytes_resumed = 0
        self.backlog = 0
        self.files_damaged = 0
        self._outbox = Outbox()
        self._faults = Packer(limits.max_data_message)
        self._totals = TotalDigest()
        self._failed_there = 0
        self._sizes = Sizes(limits.block_size)
        self._holdings = Holdings()
        self._told = self._holdings.told
        self._last_over = -1
        self._asked: deque[tuple[int, int]] = deque()
        self._times_asked: Counter[tuple[int, int]] = Counter()
        self._rereading: set[tuple[int, int]] = set()
        self._patience = Patience(limits, now)
        self._parted: float | None = None

    # What comes in from the peer, besides control_received().

    def data_received(self, message: bytes, now: float) -> None:
        """A message on the data channel: nobody sends data to a sender."""
        self.fail(ProtocolError(f"the other side sent {len(message)} bytes of data to a sender", wire.UPDATE_HINT))

    def _own_handlers(self) -> dict[type[wire.Control], Callable[[Any, int, float], None]]:
        return {
            wire.Hello: self._take_hello,
            wire.Have: self._take_have,
            wire.Over: self._take_over,
            wire.Go: self._take_go,
            wire.Credit: self._take_credit,
            wire.Again: self._take_again,
            wire.Results: self._take_results,
            wire.Done: self._take_done,
        }

    def _take_hello(self, hello: wire.Hello, size: int, now: float) -> None:
        self._greet(hello)
        if hello.credit < min(wire.LEAST_CREDIT, self.limits.max_window):
            raise ProtocolError(f"the other side takes only {hello.credit} bytes at a time", wire.UPDATE_HINT)
        self._outbox.credit.grant(hello.credit)
        self._pump()

    def _take_have(self, have: wire.Have, size: int, now: float) -> None:
        self._check_offered(have.entry)
        if have.first + len(have.digests) // wire.DIGEST_SIZE > self._sizes.blocks(have.entry):
            raise ProtocolError("the other side has blocks that the file does not have", wire.UPDATE_HINT)
        self._holdings.add(have)

    def _take_over(self, over: wire.Over, size: int, now: float) -> None:
        self._check_offered(over.entry)
        if over.entry <= self._last_over:
            raise ProtocolError("the other side says out of order which files start over", wire.UPDATE_HINT)
        self._last_over = over.entry
        self._actions.append(Unusable(over.entry, over.reason))

    def _check_offered(self, entry: int) -> None:
        if not self.accepted <= entry < len(self._ledger) or not self._ledger.is_file(entry):
            raise ProtocolError("the other side has something of a file that was not offered", wire.UPDATE_HINT)

    def _take_go(self, go: wire.Go, size: int, now: float) -> None:
        self._ledger.accept(go.upto, go.skip)
        self.bytes_skipped += sum(self._sizes.known_bytes(start, stop) for start, stop in go.skip)
        held = []
        for file in self._holdings.take(go.upto):
            if self._ledger.phase(file.entry) == Phase.ACCEPTED:
                held.append(file)
                self.bytes_resumed += self._told.accept(file.entry, self._sizes.bytes_of(file), file.check)
            else:
                self._told.close(file.entry)
        self._actions.append(Accepted(go.upto, tuple(go.skip), tuple(held)))

    def _take_credit(self, credit: wire.Credit, size: int, now: float) -> None:
        self._outbox.credit.grant(credit.limit)
        if not self.bytes_stored <= credit.stored <= self.bytes_read:
            raise ProtocolError(
                "the other side has stored less than before, or more than was sent to it", wire.UPDATE_HINT
            )
        queued, stored = self._outbox.queued, self.bytes_stored
        self.bytes_stored = credit.stored
        self._pump()
        # Credit that no message fits into moves nothing.
        self._patience.said(now, moved=credit.stored > stored or self._outbox.queued < queued)

    def _take_again(self, again: wire.Again, size: int, now: float) -> None:
        entry = again.entry
        if entry >= self.accepted or not self._ledger.is_file(entry):
            raise ProtocolError("the other side asks again for what it has not accepted", wire.UPDATE_HINT)
        if self._ledger.faulted(entry):
            return
        self._patience.said(now, moved=False)
        self._times_asked[entry, again.block] += 1
        if (
            self._ledger.phase(entry) != Phase.ACCEPTED
            or len(self._asked) >= MAX_ASKED
            or self._times_asked[entry, again.block] >= self.limits.max_bad_blocks
            or len(self._times_asked) > MAX_DAMAGED
        ):
            raise ProtocolError("the other side asks again for what it cannot be missing", wire.UPDATE_HINT)
        self._asked.append((entry, again.block))
        self._pump()

    def _take_results(self, results: wire.Results, size: int, now: float) -> None:
        self._patience.said(now, moved=bool(results.done or results.failed))
        self._ledger.report_done(results.done)
        failed = tuple(line for line in results.failed if self._ledger.report_failed(line[0]))
        self._failed_there += len(results.failed)
        self._forget_asked({entry for entry, _ in results.failed})
        self._actions.append(Reported(tuple(results.done), failed))

    def _take_done(self, done: wire.Done, size: int, now: float) -> None:
        theirs = (done.files, done.bytes, done.faults, done.digest)
        ours = (self._totals.files, self._totals.bytes, self.faults, self._totals.hex())
        outcomes = (done.failed, done.skipped) == (self._failed_there, self.files_skipped)
        if theirs != ours or not outcomes or self._ledger.unresolved:
            raise IntegrityError(
                f"the totals of the two sides differ: {ours[0]} files and {ours[1]} bytes sent, "
                f"{theirs[0]} files and {theirs[1]} bytes received",
                "Run the same two commands again, with fresh codes.",
            )
        self.files_damaged = min(done.damaged, done.failed)
        self.files_there = min(done.there, self.files_skipped)
        self.files_same = min(done.same, self.files_done)
        self._parted = now
        self._say(wire.Bye())

    def _take_abort(self, abort: wire.Abort, size: int, now: float) -> None:
        # Once the totals agree, everything is stored whatever becomes of the peer.
        if self._parted is not None:
            self._actions.append(Finished())
        else:
            super()._take_abort(abort, size, now)

    @property
    def _waits(self) -> bool:
        """Whether it is the receiver's turn: to make room for what was accepted, to store it, or to say that all is done."""
        if self.state is State.ENDED:
            return True
        return self._ledger.consented and (self._outbox.queued > 0 or self.backlog > 0 or self.room == 0)

    def _tick(self, now: float) -> None:
        self._patience.tick(now, waits=self._waits)
        if self._parted is not None and now - self._parted > self.limits.goodbye_s:
            self.state = State.OVER
            self._actions.append(Finished())

    # What comes in from this side.

    def entries(self, batch: Sequence[Entry]) -> None:
        """The next entries of the manifest, parents before children. Raises LocalFileError for more than fit into a transfer."""
        if self.state is State.OVER:
            return
        first = len(self._ledger)
        self._check_sizes(batch)
        for message, count in wire.manifest_batches(first, batch, self.limits.max_control_message // 4):
            self._outbox.control(message, count)
        self._ledger.add(entry.kind for entry in batch)
        for entry in batch:
            self._sizes.append(entry.size)
        self._pump()

    def manifest_complete(self, left_out: int, omitted: int = 0) -> None:
        """There are no more entries. left_out: things that could not be read; omitted: others that are not sent."""
        if self.state is State.OVER:
            return
        self._outbox.control(wire.encode(wire.ManifestEnd(len(self._ledger), left_out, omitted)))
        self.state = State.LISTED
        self._pump()

    def data(self, messages: Sequence[Packed]) -> None:
        """Data messages with blocks that were read, and with the ends of files."""
        if self.state is not State.OVER:
            self.bytes_read += sum(packed.raw_size for packed in messages)
            self._outbox.data(messages)
            self._pump()

    def sent_again(self, entry: int, block: int) -> None:
        """The block of a Reread action is packed."""
        self._rereading.discard((entry, block))
        self._pump()

    def started_over(self, entry: int) -> None:
        """What the receiver has of this file is of another one."""
        self.bytes_resumed -= self._told.start_over(entry)

    def file_end(self, entry: int, size: int, digest: bytes) -> None:
        """The end record of a file is packed, behind all its blocks."""
        if self.state is not State.OVER:
            self.bytes_resumed += self._told.end(entry)
            self._ledger.end(entry)
            self._totals.add(entry, size, digest)

    def fault(self, entry: int, reason: FaultReason) -> bool:
        """A file that cannot be sent, or not to its end, or not once more. False when its failure was known before."""
        if self.state is State.OVER:
            return False
        self._rereading = {asked for asked in self._rereading if asked[0] != entry}
        if self._ledger.faulted(entry):
            return False
        self.bytes_resumed -= self._told.close(entry)
        news = self._ledger.phase(entry) == Phase.ACCEPTED
        if news or not self._ledger.ended(entry):
            self._ledger.fault(entry)
            self._faults.record(records.encode_fault(entry, reason))
        if news:
            self._ledger.settle(entry, Phase.FAILED)
            self._forget_asked({entry})
        self._pump()
        return news

    def flush(self) -> None:
        """Send what fault() has gathered."""
        self._faults.close()
        self.data(self._faults.take())

    def all_read(self) -> None:
        """Every accepted file was given to file_end() or fault(); only when all_accepted."""
        if not self.all_accepted or self._totals.files + self.faults != self._ledger.files_accepted:
            raise ValueError("entries are left")
        self.flush()
        end = wire.End(self._totals.files, self._totals.bytes, self.faults, self._totals.hex())
        self._outbox.control(wire.encode(end))
        self.state = State.ENDED
        self._pump()

    # What there is to know.

    @property
    def room(self) -> int:
        """Bytes of file content worth reading now."""
        if self.state is State.OVER:
            return 0
        return max(0, self._outbox.credit.available - self._outbox.queued)

    @property
    def manifest_room(self) -> bool:
        """Whether more entries are wanted now."""
        return self.state is State.OPEN and self._outbox.queued <= self.limits.max_control_message

    @property
    def all_accepted(self) -> bool:
        """Whether the manifest is complete, and the receiver has said yes to it as a whole."""
        ledger = self._ledger
        return self.state is State.LISTED and ledger.consented and ledger.accepted == len(ledger)

    @property
    def manifest_entries(self) -> int:
        return len(self._ledger)

    @property
    def faults(self) -> int:
        """Files that were not sent to their end."""
        return self._ledger.faults

    # Inside.

    def _pump(self) -> None:
        if self.state in (State.HELLO, State.PARTING, State.OVER):
            return
        self._actions.extend(self._outbox.take())
        while self._asked and len(self._rereading) < _REREAD_AT_ONCE and self.room > 0:
            asked = self._asked.popleft()
            self._rereading.add(asked)
            self._actions.append(Reread(*asked))

    def _forget_asked(self, entries: set[int]) -> None:
        if self._asked and entries:
            self._asked = deque(asked for asked in self._asked if asked[0] not in entries)

    def _check_sizes(self, batch: Sequence[Entry]) -> None:
        if len(self._ledger) + len(batch) > self.limits.max_entries:
            raise LocalFileError(
                f"there are more than {self.limits.max_entries:,} files and directories to send",
                "Send fewer at a time, or a tar file.",
            )
        most = wire.max_file_size(self.limits.block_size)
        for entry in batch:
            if entry.size is not None and entry.size > most:
                raise LocalFileError(f"a file has {size_of(entry.size)}, more than can be sent", "Leave it out.")
