"""The receiving end of the protocol, without I/O (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ConnectionLost, IntegrityError, InternalError, P2PCopyError, ProtocolError
from p2pcopy.transfer import claims, wire
from p2pcopy.transfer.assembly import OpenFiles, WholeBlock
from p2pcopy.transfer.conversation import SHARED_TABLE, Conversation, State, Table
from p2pcopy.transfer.flow import ReceiveWindow, cost
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Useless
from p2pcopy.transfer.ledger import Phase, Ranges
from p2pcopy.transfer.offer import Offer, consent
from p2pcopy.transfer.orders import Abandon, Commit, FinishStore, Listed, ManifestComplete, StartOver, StoreBlock
from p2pcopy.transfer.records import FileEnd, FileFault, Piece, Record, decode_records
from p2pcopy.transfer.results import Results
from p2pcopy.transfer.totals import TotalDigest
from p2pcopy.transfer.wire import Role

_CREDIT_S: Final = 0.25

_TABLE: Final[Table] = {
    (State.HELLO, wire.Hello): State.OPEN,
    (State.OPEN, wire.Manifest): State.OPEN,
    (State.OPEN, wire.ManifestEnd): State.LISTED,
    (State.LISTED, wire.End): State.ENDED,
    **SHARED_TABLE,
}
# In PARTING the rest of a file that has failed may still be under way.
_DATA_STATES: Final = (State.OPEN, State.LISTED, State.ENDED, State.PARTING)


class Receiver(Conversation[Listed | ManifestComplete | StartOver | StoreBlock | Commit | Abandon | FinishStore]):
    """Feed it messages and what became of actions().

    It moves from ENDED to PARTING with store_finished(). Whatever is in work here holds credit until it is done with.
    released: bytes of data messages that are done with.
    """

    role: ClassVar[Role] = Role.RECEIVER
    table: ClassVar[Table] = _TABLE

    def __init__(self, limits: TransferLimits, software: str, now: float, *, stream: bool = False) -> None:
        super().__init__(limits, software, now, credit=limits.max_window, features=["stream"] * stream)
        self.accepted_bytes = 0
        self.bytes_stored = 0
        self.files_damaged = 0
        self.parted: float | None = None
        self.released = 0
        self._window = ReceiveWindow(limits.max_window)
        self._offer = Offer(limits.max_entries)
        self._files = OpenFiles(limits)
        self._totals = TotalDigest()
        self._results = Results(now)
        self._end: wire.End | None = None
        self._finishing = False
        self._in_store = 0
        self._claims = claims.Claims()
        self._last_data = now
        self._credit_told = now
        self._stored_told = 0

    # What comes in from the peer, besides control_received().

    def data_received(self, message: bytes, now: float) -> None:
        """A message on the data channel."""
        if self.state is State.OVER:
            return
        try:
            if self.state not in _DATA_STATES:
                raise ProtocolError("the other side sent data out of turn", wire.UPDATE_HINT)
            self._heard = self._last_data = now
            records = decode_records(message, limit=self.limits.max_data_message)
            self._window.take(cost(len(message), len(records)))
            for record in records:
                self._take_record(record, now)
            self._advance()
        except P2PCopyError as error:
            self.fail(error)

    def _own_handlers(self) -> dict[type[wire.Control], Callable[[Any, int, float], None]]:
        return {
            wire.Hello: self._take_hello,
            wire.Manifest: self._take_manifest,
            wire.ManifestEnd: self._take_manifest_end,
            wire.End: self._take_totals,
        }

    def _take_hello(self, hello: wire.Hello, size: int, now: float) -> None:
        self._greet(hello)
        self._offer.block_size = hello.block_size

    def _take_manifest(self, manifest: wire.Manifest, size: int, now: float) -> None:
        price = cost(size, len(manifest.entries))
        self._window.take(price)
        first = len(self._ledger)
        entries = self._offer.add(manifest)
        self._ledger.add(entry.kind for entry in entries)
        self._actions.append(Listed(first, entries, price))

    def _take_manifest_end(self, message: wire.ManifestEnd, size: int, now: float) -> None:
        self._take_and_consume(size)
        if message.entries != len(self._ledger):
            raise ProtocolError("the other side's manifest is not complete", wire.UPDATE_HINT)
        self._actions.append(ManifestComplete(message.entries, message.left_out, message.omitted))

    def _take_totals(self, end: wire.End, size: int, now: float) -> None:
        self._take_and_consume(size)
        ledger = self._ledger
        if not ledger.consented or ledger.accepted != len(ledger):
            raise ProtocolError("the other side ends before its manifest was accepted", wire.UPDATE_HINT)
        if end.files + end.faults != ledger.files_accepted:
            raise ProtocolError("the other side ends before it has sent everything", wire.UPDATE_HINT)
        self._end, self._last_data = end, now
        self._advance()

    def _take_and_consume(self, size: int) -> None:
        self._window.take(size)
        self._window.consume(size)

    def _take_record(self, record: Record, now: float) -> None:
        entry = record.entry
        if entry >= self.accepted or not self._ledger.is_file(entry) or self._ledger.phase(entry) == Phase.SKIPPED:
            raise ProtocolError("the other side sent a file that was not accepted", wire.UPDATE_HINT)
        failed = self._ledger.phase(entry) == Phase.FAILED
        if not failed and self._ledger.phase(entry) != Phase.ACCEPTED:
            raise ProtocolError("the other side sent a file that is complete", wire.UPDATE_HINT)
        if not isinstance(record, FileFault) and record.over and not failed:
            self._start_over(entry)
        match record:
            case FileEnd():
                self._take_end(record, failed, now)
            case FileFault():
                self._take_fault(record, failed, now)
            case _ if failed:
                # Data messages may overtake each other, and a file that failed here takes a while to be known there.
                self._release(record.size, 1)
            case _:
                self._take_piece(record)

    def _start_over(self, entry: int) -> None:
        if self._claims.is_only_compared(entry):
            raise ProtocolError("the other side sends a file that was only to be compared", wire.UPDATE_HINT)
        if self._files.is_held(entry):
            self._claims.start_over(entry)
            self._actions.append(StartOver(entry))

    def _take_piece(self, piece: Piece) -> None:
        block = self._files.take_piece(piece, self._offer.size(piece.entry), self._offer.block_size)
        if block is not None:
            self._in_store += 1
            self._actions.append(StoreBlock(block, block.number * self._offer.block_size))

    def _take_end(self, end: FileEnd, failed: bool, now: float) -> None:
        if self._ledger.ended(end.entry):
            raise ProtocolError("the other side ended a file twice", wire.UPDATE_HINT)
        self._claims.end(end.entry)
        self._ledger.end(end.entry)
        self._totals.add(end.entry, end.file_size, end.digest)
        if failed:
            self._release(end.size, 1)
            return
        # Its credit is held until the file is final: a flood of empty files waits for the store like everything else.
        self._files.take_end(end, self._offer.size(end.entry), self._offer.block_size)
        self._complete(end.entry, now)

    def _take_fault(self, fault: FileFault, failed: bool, now: float) -> None:
        if self._ledger.faulted(fault.entry):
            raise ProtocolError("the other side gave up a file twice", wire.UPDATE_HINT)
        self._claims.give_up(fault.entry)
        self._ledger.fault(fault.entry)
        self._release(fault.size, 1)
        if not failed:
            self._settle(fault.entry, Phase.FAILED, now)
            self._actions.append(Abandon.of(fault))

    def _tick(self, now: float) -> None:
        if self.parted is not None and now - self.parted > self.limits.silence_s:
            raise ConnectionLost("the other side did not confirm the end", "Look whether it is still running.")
        if self.state is State.ENDED and self._waits_in_vain(now):
            raise ProtocolError("the other side says that it has sent everything, but it has not", wire.UPDATE_HINT)
        self._announce(now, always=now - self._credit_told >= _CREDIT_S)
        self._report(now)

    # What comes in from this side.

    def listed(self, cost: int, now: float) -> None:
        """The entries of a Listed action are checked and kept."""
        self._window.consume(cost)
        self._announce(now)

    def accept(
        self, upto: int, skips: Ranges, now: float, held: Sequence[Held] = (), useless: Sequence[Useless] = ()
    ) -> None:
        """Entries below upto are wanted, except these half-open ranges of indices since the last call, in order.

        held: what there is of files among them, to be looked for while may_tell; what is more than a sender takes starts over.
        useless: what there is in vain. The call that accepts the complete manifest is needed also when that is empty.
        """
        if self.state is State.OVER:
            return
        first = self.accepted
        if self.resumes:
            self._claim(held, useless)
        else:
            self._actions.extend(StartOver(file.entry) for file in held)
        self._ledger.accept(upto, skips)
        self.accepted_bytes += self._offer.known_bytes(first, upto)
        for start, stop in skips:
            self.accepted_bytes -= self._offer.known_bytes(start, stop)
        for message in consent(upto, skips):
            self._say(message)

    @property
    def bytes_resumed(self) -> int:
        """Bytes of accepted files that were here before, and still count."""
        return self._claims.bytes_there

    @property
    def block_size(self) -> int:
        """Bytes of the sender's blocks."""
        return self._offer.block_size

    @property
    def may_tell(self) -> bool:
        """Whether accept() may tell of more files that are here, or of parts of them."""
        return self._claims.may_grow

    @property
    def resumes(self) -> bool:
        """Whether the sender leaves out what is here."""
        return "resume" in self.peer_features

    def stored(self, block: WholeBlock, now: float) -> None:
        """A block is verified and written."""
        self._in_store -= 1
        self._release(block.size, len(block.parts))
        if self.state is State.OVER or block.entry not in self._files:
            return
        try:
            self._files.verified(block)
            self.bytes_stored += block.raw_size
            self._complete(block.entry, now)
            self._advance()
        except P2PCopyError as error:
            self.fail(error)
        self._announce(now)

    def damaged(self, block: WholeBlock, now: float) -> None:
        """A block's digest did not fit its content."""
        self._in_store -= 1
        self._release(block.size, len(block.parts))
        if self.state is State.OVER or block.entry not in self._files:
            return
        try:
            if self._files.damaged(block) < self.limits.max_bad_blocks:
                self._say(wire.Again(block.entry, block.number))
            else:
                times = self.limits.max_bad_blocks
                self._spoil(block.entry, f"a block arrived damaged {times} times", now, keep=True)
                self._advance()
        except IntegrityError as error:
            self.fail(error)
        self._announce(now)

    def committed(self, entries: Iterable[int], now: float) -> None:
        """These entries are final: files verified, synced and renamed, directories and links made."""
        for entry in entries:
            final = Phase.STORED if self._ledger.is_file(entry) else Phase.ACCEPTED
            if self._ledger.phase(entry) == final:
                self._settle(entry, Phase.DONE, now)
                self._results.add_done(entry)
        self._report(now)
        self._announce(now)

    def was_there(self, entry: int) -> None:
        """This entry, skipped or committed, was there already."""
        if self._ledger.is_file(entry):
            skipped = self._ledger.phase(entry) == Phase.SKIPPED
            self.files_there += skipped
            self.files_same += not skipped

    def failed_here(self, entry: int, reason: str, now: float) -> bool:
        """This side cannot keep this entry; the rest goes on. False when it had failed before."""
        if self._ledger.phase(entry) not in (Phase.ACCEPTED, Phase.STORED):
            return False
        self._settle(entry, Phase.FAILED, now)
        self._results.add_failed(entry, reason)
        self._report(now)
        self._advance()
        return True

    def store_finished(self, now: float) -> None:
        """The FinishStore action is carried out: tell the sender."""
        if self.state is not State.ENDED:
            return
        if self._ledger.unresolved:
            self.fail(InternalError(f"{self._ledger.unresolved} entries were neither stored nor failed"))
            return
        self._report(now, everything=True)
        self._announce(now, always=True)
        self._say(
            wire.Done(
                files=self._totals.files,
                bytes=self._totals.bytes,
                faults=self._ledger.faults,
                digest=self._totals.hex(),
                failed=self._results.failed,
                damaged=self.files_damaged,
                skipped=self.files_skipped,
                there=self.files_there,
                same=self.files_same,
            )
        )
        self.state = State.PARTING
        self.parted = now

    def say_bye(self) -> None:
        """Answer to the peer's bye, after Finished."""
        self._say(wire.Bye())

    # Inside.

    def _release(self, size: int, records: int) -> None:
        """Records of this size in all are done with."""
        self._window.consume(cost(size, records))
        self.released += size

    def _complete(self, entry: int, now: float) -> None:
        file = self._files.take_whole(entry)
        if file is None:
            return
        if file.intact():
            self._ledger.stored(entry)
            self._in_store += 1
            self._actions.append(Commit(entry, file.stored))
        else:
            self._spoil(entry, "its hash differs from the hash of its blocks", now, keep=False)

    def _spoil(self, entry: int, reason: str, now: float, *, keep: bool) -> None:
        """A file that did not arrive as it was sent."""
        self._settle(entry, Phase.FAILED, now)
        self._results.add_failed(entry, reason)
        self.files_damaged += 1
        self._actions.append(Abandon(entry, reason, keep))

    def _claim(self, held: Sequence[Held], useless: Sequence[Useless]) -> None:
        told, beyond = self._claims.add(held, self._offer)
        for message in claims.messages(told, [*useless, *beyond]):
            self._say(message)
        self._actions.extend(StartOver(file.entry) for file in beyond)
        for file in told:
            self._files.hold(file.entry, file.digests)

    def _settle(self, entry: int, phase: Phase, now: float) -> None:
        ledger = self._ledger
        if ledger.is_file(entry):
            self._in_store -= ledger.phase(entry) == Phase.STORED
            self._release(*self._files.drop(entry))
            if ledger.ended(entry):
                self._release(FileEnd.size, 1)
        ledger.settle(entry, phase)

    def _advance(self) -> None:
        """After the sender's end: compare totals once every file has come to its own end."""
        end = self._end
        if end is None or self._finishing or self._files or self.state is not State.ENDED:
            return
        if (self._totals.files, self._ledger.faults) != (end.files, end.faults):
            return
        if (self._totals.bytes, self._totals.hex()) != (end.bytes, end.digest):
            self.fail(IntegrityError("the totals of the two sides differ", "Run the same two commands again."))
            return
        self._finishing = True
        self._actions.append(FinishStore())

    def _waits_in_vain(self, now: float) -> bool:
        busy = self._finishing or self._in_store > 0
        return not busy and now - self._last_data > 2 * self.limits.silence_s

    def _announce(self, now: float, *, always: bool = False) -> None:
        if self.state not in (State.OPEN, State.LISTED, State.ENDED):
            return
        limit = self._window.announce(always=always)
        # A peer that waits for us hears that we are still at it.
        busy = self._finishing or self._in_store > 0 or self._window.held > 0
        again = busy and now - self._credit_told >= self.limits.busy_s
        if limit is not None or again or (always and self._stored_told != self.bytes_stored):
            self._credit_told = now
            self._stored_told = self.bytes_stored
            self._say(wire.Credit(self._window.limit, self.bytes_stored))

    def _report(self, now: float, *, everything: bool = False) -> None:
        if self.state is not State.OVER:
            for message in self._results.take(now, everything=everything):
                self._say(message)
