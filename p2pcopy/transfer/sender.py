"""The sending end of the protocol, without I/O (docs/protocol.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from blake3 import blake3

from p2pcopy.config import TransferLimits
from p2pcopy.errors import IntegrityError, P2PCopyError, ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.conversation import (
    Conversation,
    Ended,
    Finished,
    SendControl,
    SendData,
    State,
    Table,
    abort_message,
    error_from_abort,
)
from p2pcopy.transfer.flow import SendCredit
from p2pcopy.transfer.wire import Entry, FaultReason, Role

_HINT: Final = "Use the same version of p2pcopy on both sides."
_DIGEST_MODULUS: Final = 1 << 256


@dataclass(frozen=True, slots=True)
class Accepted:
    """Entries below upto may be read and sent, except these half-open ranges, which are new since the last time."""

    upto: int
    skips: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Reread:
    """A block arrived damaged."""

    entry: int
    block: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The receiver says how entries ended."""

    done: tuple[tuple[int, int], ...]
    failed: tuple[tuple[int, str], ...]


SenderAction = SendControl | SendData | Accepted | Reread | Reported | Finished | Ended

_TABLE: Final[Table] = {
    (State.HELLO, wire.Hello): State.OPEN,
    **{
        (state, message): state
        for state in (State.OPEN, State.LISTED, State.ENDED)
        for message in (wire.Go, wire.Credit, wire.Again, wire.Results)
    },
    (State.ENDED, wire.Done): State.PARTING,
    (State.PARTING, wire.Bye): State.OVER,
    **{
        (state, message): state
        for state in (State.OPEN, State.LISTED, State.ENDED, State.PARTING)
        for message in (wire.Ping, wire.Pong)
    },
    **{(state, wire.Abort): State.OVER for state in State if state is not State.OVER},
}


class TotalDigest:
    """A sum over files that does not depend on their order: of BLAKE3(index as 4 bytes, file digest), modulo 2^256."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._sum = 0

    def add(self, entry: int, size: int, digest: bytes) -> None:
        self.files += 1
        self.bytes += size
        line = blake3(entry.to_bytes(4, "big") + digest).digest()
        self._sum = (self._sum + int.from_bytes(line, "big")) % _DIGEST_MODULUS

    def hex(self) -> str:
        return f"{self._sum:064x}"


class Sender(Conversation):
    """Feed it entries and blocks while room() says so; carry out actions() after every call."""

    role: ClassVar[Role] = Role.SENDER
    table: ClassVar[Table] = _TABLE

    def __init__(self, limits: TransferLimits, software: str, now: float, message_size: int) -> None:
        super().__init__(limits, software, now)
        self.files_failed = 0
        self.files_done = 0
        self.files_skipped = 0
        self.faults = 0
        self.bytes_stored = 0
        self.bytes_accepted = 0
        self.accepted = 0
        self._message_size = min(message_size, limits.max_data_message)
        self._credit = SendCredit()
        self._kinds = bytearray()
        self._resolved = bytearray()
        self._totals = TotalDigest()
        self._queue: deque[SendControl | SendData] = deque()
        self._queued = 0
        self._records: list[bytes] = []
        self._records_size = 0
        self._parted: float | None = None
        self._actions: list[SenderAction] = [self.open(0, ["zstd"])]

    # What comes in from the peer.

    def control_received(self, message: bytes, now: float) -> None:
        """A message on the control channel."""
        if self.state is State.OVER:
            return
        try:
            decoded = wire.decode(message, limit=self.limits.max_control_message)
            self.enter(decoded, now)
            self._handle(decoded, now)
        except P2PCopyError as error:
            self.fail(error)

    def data_received(self, message: bytes, now: float) -> None:
        """A message on the data channel: nobody sends data to a sender."""
        if self.state is not State.OVER:
            self.fail(ProtocolError(f"the other side sent {len(message)} bytes of data to a sender", _HINT))

    def tick(self, now: float) -> None:
        """Call a few times a second. Once the totals agree, the peer's bye is not waited for longer than goodbye_s."""
        if self.state is State.OVER:
            return
        if self._parted is not None and now - self._parted > self.limits.goodbye_s:
            self.state = State.OVER
            self._actions.append(Finished())
            return
        try:
            ping = self.keep_alive(now)
        except P2PCopyError as error:
            self.fail(error)
            return
        if ping is not None:
            self._actions.append(ping)

    def _handle(self, message: wire.Control, now: float) -> None:
        match message:
            case wire.Hello():
                self.greet(message)
                self._credit.grant(message.credit)
            case wire.Credit():
                self._credit.grant(message.limit)
                if message.stored < self.bytes_stored:
                    raise ProtocolError("the other side has stored less than before", _HINT)
                self.bytes_stored = message.stored
            case wire.Go():
                self._accept(message)
            case wire.Again():
                if message.entry >= self.accepted:
                    raise ProtocolError("the other side asks again for what it has not accepted", _HINT)
                self._actions.append(Reread(message.entry, message.block))
            case wire.Results():
                self._take_results(message)
            case wire.Done():
                self._compare(message)
                self._parted = now
            case wire.Bye():
                self._actions.append(Finished())
            case wire.Ping():
                self._actions.append(self.answer_ping(message))
            case wire.Pong():
                self.take_pong(message, now)
            case wire.Abort():
                self._actions.append(Ended(error_from_abort(message)))
            case _:
                raise ProtocolError("a message that only a sender sends", _HINT)
        self._pump()

    def _accept(self, go: wire.Go) -> None:
        if not self.accepted <= go.upto <= len(self._kinds):
            raise ProtocolError(f"the other side accepts {go.upto} of {len(self._kinds)} entries", _HINT)
        _check_ranges(go.skip, self.accepted, go.upto)
        for start, stop in go.skip:
            self.files_skipped += self._kinds[start:stop].count(b"f")
            self._resolved[start:stop] = b"\1" * (stop - start)
        self.accepted = go.upto
        self._actions.append(Accepted(go.upto, tuple(go.skip)))

    def _take_results(self, results: wire.Results) -> None:
        _check_ranges(results.done, 0, self.accepted)
        for start, stop in results.done:
            if self._resolved.count(b"\1", start, stop):
                raise ProtocolError("the other side reports an entry twice", _HINT)
            self._resolved[start:stop] = b"\1" * (stop - start)
            self.files_done += self._kinds[start:stop].count(b"f")
        for entry, _ in results.failed:
            if entry >= self.accepted or self._resolved[entry]:
                raise ProtocolError("the other side reports an entry twice, or one that it has not accepted", _HINT)
            self._resolved[entry] = 1
            self.files_failed += 1
        self._actions.append(Reported(tuple(results.done), tuple(results.failed)))

    def _compare(self, done: wire.Done) -> None:
        theirs = (done.files, done.bytes, done.faults, done.digest)
        ours = (self._totals.files, self._totals.bytes, self.faults, self._totals.hex())
        if theirs != ours or done.failed != self.files_failed:
            raise IntegrityError(
                f"the totals of the two sides differ: {ours[0]} files and {ours[1]} bytes sent, "
                f"{theirs[0]} files and {theirs[1]} bytes received",
                "Run the same two commands again, with fresh codes.",
            )
        self._actions.append(SendControl(wire.encode(wire.Bye())))

    # What comes in from this side.

    def entries(self, batch: Sequence[Entry]) -> None:
        """The next entries of the manifest, parents before children."""
        if self.state is State.OVER:
            return
        first = len(self._kinds)
        for message in wire.manifest_batches(first, batch, self.limits.max_control_message // 4):
            self._enqueue(SendControl(message))
        self._kinds += "".join(entry.kind.value for entry in batch).encode()
        self._resolved.extend(bytes(len(batch)))
        self._pump()

    def manifest_complete(self, left_out: int) -> None:
        """There are no more entries."""
        if self.state is State.OVER:
            return
        self._enqueue(SendControl(wire.encode(wire.ManifestEnd(len(self._kinds), left_out))))
        self.state = State.LISTED
        self._pump()

    def block(self, entry: int, number: int, raw_size: int, body: bytes, digest: bytes, compressed: bool) -> None:
        """A block that was read. body: as it goes on the wire."""
        if self.state is State.OVER:
            return
        view = memoryview(body)
        offset = 0
        while offset < len(view):
            room = self._message_size - self._records_size - wire.piece_cost(offset, 0)
            if room < min(512, len(view) - offset):
                self._close_message()
                continue
            length = min(room, len(view) - offset)
            self._add(wire.encode_piece(entry, number, raw_size, view, offset, length, compressed, digest))
            offset += length
        self._pump()

    def file_end(self, entry: int, size: int, blocks: int, digest: bytes) -> None:
        """All blocks of a file have been given to block()."""
        if self.state is State.OVER:
            return
        self._totals.add(entry, size, digest)
        self._add(wire.encode_end(entry, blocks, size, digest))

    def fault(self, entry: int, reason: FaultReason) -> None:
        """A file that cannot be sent."""
        if self.state is State.OVER:
            return
        self.faults += 1
        self._add(wire.encode_fault(entry, reason))

    def flush(self) -> None:
        """Send what is gathered for a message that is not full yet."""
        if self.state is not State.OVER:
            self._close_message()
            self._pump()

    def all_read(self) -> None:
        """Every accepted entry was read to its end, and the manifest is complete and accepted."""
        if self.state is not State.LISTED or self.accepted != len(self._kinds):
            raise ValueError("entries are left")
        self._close_message()
        end = wire.End(self._totals.files, self._totals.bytes, self.faults, self._totals.hex())
        self._enqueue(SendControl(wire.encode(end)))
        self.state = State.ENDED
        self._pump()

    def fail(self, error: P2PCopyError) -> None:
        """End the conversation with an error of this side, and tell the peer."""
        if self.state is not State.OVER:
            self.state = State.OVER
            self._queue.clear()
            self._actions += [SendControl(abort_message(error)), Ended(error)]

    # What goes out.

    @property
    def room(self) -> int:
        """Bytes of file content worth reading now."""
        if self.state is State.OVER:
            return 0
        return max(0, self._credit.available - self._queued)

    @property
    def manifest_room(self) -> bool:
        """Whether more entries are wanted now."""
        return self.state is State.OPEN and self._queued <= self.limits.max_control_message

    @property
    def manifest_entries(self) -> int:
        return len(self._kinds)

    def actions(self) -> list[SenderAction]:
        """What is to be done now, in order; each is given out once."""
        actions, self._actions = self._actions, []
        return actions

    def _add(self, record: bytes) -> None:
        if self._records_size + len(record) > self._message_size:
            self._close_message()
        self._records.append(record)
        self._records_size += len(record)

    def _close_message(self) -> None:
        if self._records:
            self._enqueue(SendData(b"".join(self._records)))
            self._records, self._records_size = [], 0

    def _enqueue(self, action: SendControl | SendData) -> None:
        self._queue.append(action)
        self._queued += len(action.message)

    def _pump(self) -> None:
        while self._queue and self.state not in (State.HELLO, State.OVER):
            size = len(self._queue[0].message)
            if size > self._credit.available:
                return
            self._credit.spend(size)
            self._queued -= size
            self._actions.append(self._queue.popleft())


def _check_ranges(ranges: Sequence[tuple[int, int]], start: int, stop: int) -> None:
    position = start
    for first, last in ranges:
        if not position <= first < last <= stop:
            raise ProtocolError("the other side sent ranges out of order", _HINT)
        position = last
