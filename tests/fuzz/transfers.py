"""A sender and a receiver with somebody between them who changes, drops, repeats and invents messages, a step at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import zstandard
from blake3 import blake3

from fuzz.feed import Feed
from fuzz.messages import drawn
from p2pcopy.config import TransferLimits
from p2pcopy.transfer import orders, wire
from p2pcopy.transfer import sender as sending
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.held import Digests, Held
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.records import encode_end, encode_fault, piece_head
from p2pcopy.transfer.sender import MAX_ASKED, Sender
from p2pcopy.transfer.wire import Check, Entry, FaultReason, Kind

BLOCK: Final = 4096
LIMITS: Final = replace(TransferLimits(), block_size=BLOCK, max_window=64 * 1024, max_entries=20, max_open_files=3)
CONTENT: Final = {1: bytes(range(256)) * 40, 2: b"", 3: b"x", 4: bytes(2 * BLOCK)}
ENTRIES: Final = (
    Entry(Kind.DIRECTORY, "d"),
    Entry(Kind.FILE, "d/large", len(CONTENT[1])),
    Entry(Kind.FILE, "d/empty", 0),
    Entry(Kind.FILE, "d/stream", None),
    Entry(Kind.FILE, "d/zeros", len(CONTENT[4])),
    Entry(Kind.LINK, "d/link", target="large"),
)
# What a sender that is not read from may have waiting: what it has read, and one manifest message.
MAX_QUEUED: Final = LIMITS.max_window + 16 * BLOCK + LIMITS.max_control_message
_PAUSES: Final = (0.0, 0.05, 0.3, 1.0, 4.0, 20.0)

Message = tuple[bool, bytes]  # is it data, and what


class Transfer:
    """step() until the feed is empty. is_attacked: something has been done to the messages."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.now = 0.0
        self.is_attacked = False
        self.sender = Sender(LIMITS, "fuzz", 0.0)
        self.receiver = Receiver(LIMITS, "fuzz", 0.0)
        self.there: deque[Message] = deque()  # to the receiver
        self.back: deque[Message] = deque()
        self.jobs: deque[object] = deque()
        self.ends: dict[str, list[Finished | Ended]] = {"sender": [], "receiver": []}
        self.told: set[int] = set()
        self.disk: dict[int, bytearray] = {}
        self.final: dict[int, bytes] = {}
        self._options = feed.number(256)
        self._packer = Packer(8192)
        self._reader = self._read()
        self._is_listed = self._is_read = False
        self._accepted: sending.Accepted = sending.Accepted(0, ())
        self._skipped: set[int] = set()
        self._held: dict[int, Held] = {}
        self._dropped: set[int] = set()
        self._checked = 0
        self.look()

    # What happens

    def step(self) -> None:
        feed = self.feed
        match feed.number(16):
            case 0 | 1 | 2:
                self.deliver(self.there)
            case 3 | 4:
                self.deliver(self.back)
            case 5:
                self.do_next_job()
            case 6:
                self.send_more()
            case 7:
                self.wait(feed.choice(_PAUSES))
            case 8 | 9:
                self.go_on(feed.number(64))
            case _:
                self.is_attacked = True
                self.attack(feed.choice((self.there, self.there, self.back)))
        self.look()

    def go_on(self, rounds: int) -> None:
        """Nobody does anything to it for a while."""
        for _ in range(rounds):
            self.deliver(self.there)
            self.deliver(self.back)
            self.do_next_job()
            self.send_more()
            self.look()
        self.wait(0.3)

    def wait(self, pause: float) -> None:
        self.now += pause
        self.sender.tick(self.now)
        self.receiver.tick(self.now)

    def attack(self, way: deque[Message]) -> None:
        feed = self.feed
        match feed.number(8):
            case 0 if way:
                way.append(way[feed.number(len(way))])
            case 1 if way:
                del way[feed.number(len(way))]
            case 2 if way:
                is_data, message = way.popleft()
                changed = bytearray(message)
                changed[feed.number(65536) % len(changed)] ^= 1 + feed.number(255)
                way.appendleft((is_data, bytes(changed)))
            case 3 if len(way) > 1:
                way.rotate(1)
            case 4:
                way.appendleft((True, records(feed)))
            case 5:
                way.appendleft((feed.flag(), feed.chunk()))
            case 6:
                way.appendleft((False, self._likely(way is self.there)))
            case _:
                way.appendleft((False, drawn(wire.Control, feed)))

    def _likely(self, is_there: bool) -> bytes:
        """What an honest peer might say, too early or too late."""
        totals = self.receiver._totals if is_there else self.sender._totals
        faults = (self.receiver if is_there else self.sender)._ledger.faults
        message: wire.Control
        if is_there:
            message = wire.End(totals.files, totals.bytes, faults, totals.hex())
        else:
            numbers = (self.feed.number(4), self.feed.number(4), self.feed.number(4))
            message = wire.Done(totals.files, totals.bytes, faults, totals.hex(), *numbers)
        return wire.encode(message)

    # The messages

    def deliver(self, way: deque[Message]) -> None:
        if not way:
            return
        machine = self.receiver if way is self.there else self.sender
        is_data, message = way.popleft()
        (machine.data_received if is_data else machine.control_received)(message, self.now)

    def look(self) -> None:
        """Take what both want done, and see whether the books are in order."""
        for action in self.sender.actions():
            self._of_sender(action)
        for order in self.receiver.actions():
            match order:
                case SendControl():
                    self.back.append((False, order.message))
                case Finished():
                    self.ends["receiver"].append(order)
                    self.receiver.say_bye()
                case Ended():
                    self.ends["receiver"].append(order)
                case _:
                    self.jobs.append(order)
        window, outbox = self.receiver._window, self.sender._outbox
        assert 0 <= window.held <= LIMITS.max_window
        assert window.received <= window.limit
        assert outbox.credit.spent <= outbox.credit.limit
        assert outbox.queued <= MAX_QUEUED
        assert len(self.sender._asked) <= MAX_ASKED
        assert len(self.receiver._files) <= len(self.receiver._ledger) <= LIMITS.max_entries
        for machine in (self.sender, self.receiver):
            ends = self.ends[machine.role]
            assert len(ends) <= 1
            assert bool(ends) == (machine.state is State.OVER)
            assert machine._ledger.unresolved >= 0

    def _of_sender(self, action: object) -> None:
        match action:
            case SendControl():
                self.there.append((False, action.message))
            case SendData():
                self.there.append((True, action.message))
            case sending.Accepted():
                assert action.upto >= self._accepted.upto
                self._accepted = action
                self._held |= {held.entry: held for held in action.held}
                for start, stop in action.skips:
                    self._tell(range(start, stop))
                    self._skipped |= set(range(start, stop))
            case sending.Reread():
                self._reread(action)
            case sending.Reported():
                for start, stop in action.done:
                    self._tell(range(start, stop))
                self._tell(entry for entry, _ in action.failed)
                self._dropped |= {entry for entry, _ in action.failed}
            case Finished() | Ended():
                self.ends["sender"].append(action)

    def _tell(self, entries: Iterator[int] | range) -> None:
        """Of each entry its user hears once."""
        for entry in entries:
            assert entry not in self.told
            assert entry < self._accepted.upto
            self.told.add(entry)

    # The sender's side

    def send_more(self) -> None:
        sender = self.sender
        if sender.manifest_room and not self._is_listed:
            self._is_listed = True
            sender.entries(ENTRIES)
            sender.manifest_complete(0)
        if sender.room > 0:
            next(self._reader, None)
            self._packer.close()
            sender.data(self._packer.take())
        sender.flush()
        if sender.all_accepted and self._is_read and sender.state is State.LISTED:
            sender.all_read()

    def _read(self) -> Iterator[None]:
        for index, entry in enumerate(ENTRIES):
            while index >= self._accepted.upto:
                yield
            if entry.kind is Kind.FILE and index not in self._skipped:
                yield from self._read_file(index)
        self._is_read = True

    def _read_file(self, index: int) -> Iterator[None]:
        content = CONTENT[index]
        blocks = blocks_of(content)
        digests = [blake3(block).digest() for block in blocks]
        held = self._held.get(index)
        fits = held is not None and all(
            number < len(digests) and digests[number] == digest for number, digest in held.digests.items()
        )
        if held is not None and held.check is Check.ONLY and not fits:
            self._fault(index, FaultReason.CHANGED)
            return
        over = held is not None and not fits
        for number, block in enumerate(blocks):
            if index in self._dropped:
                self._fault(index, FaultReason.DROPPED)
                return
            if held is None or over or number not in held.digests:
                self._pack(index, number, block, over=over)
                yield
        if index == 4 and self._options & 1:
            self._fault(index, FaultReason.VANISHED)
        else:
            digest = blake3(b"".join(digests)).digest()
            self._packer.record(encode_end(index, len(blocks), len(content), digest, over))
            self.sender.file_end(index, len(content), digest)
        yield

    def _pack(self, index: int, number: int, block: bytes, *, over: bool = False) -> None:
        body = zstandard.compress(block)
        shorter = len(body) < len(block)
        self._packer.block(index, number, len(block), body if shorter else block, blake3(block).digest(), shorter, over)

    def _fault(self, index: int, reason: FaultReason) -> None:
        if self.sender.fault(index, reason):
            self._tell(range(index, index + 1))

    def _reread(self, action: sending.Reread) -> None:
        blocks = blocks_of(CONTENT[action.entry])
        if action.block < len(blocks):
            self._pack(action.entry, action.block, blocks[action.block])
            self._packer.close()
            self.sender.data(self._packer.take())
            self.sender.sent_again(action.entry, action.block)
        else:
            self._fault(action.entry, FaultReason.CHANGED)

    # The receiver's side

    def do_next_job(self) -> None:
        if not self.jobs:
            return
        receiver, now = self.receiver, self.now
        match self.jobs.popleft():
            case orders.Listed() as job:
                self._checked += len(job.entries)
                receiver.listed(job.cost, now)
                if self._options & 2:
                    self._accept()
            case orders.ManifestComplete():
                self._accept()
            case orders.StartOver() as job:
                self.disk.pop(job.entry, None)
            case orders.StoreBlock() as job:
                self._store(job)
            case orders.Commit() as job:
                if self._options & 4 and job.entry == 3:
                    receiver.failed_here(job.entry, "no room", now)
                elif receiver.state is not State.OVER:
                    self.final[job.entry] = bytes(self.disk.pop(job.entry, b""))
                    receiver.committed([job.entry], now)
            case orders.Abandon() as job:
                self.disk.pop(job.entry, None)
            case orders.FinishStore():
                others = [index for index in range(self._checked) if not receiver._ledger.is_file(index)]
                receiver.committed(others, now)
                receiver.store_finished(now)

    def _accept(self) -> None:
        receiver = self.receiver
        first, upto = receiver.accepted, self._checked
        skips = [(2, 3)] if self._options & 8 and first <= 2 < upto else []
        receiver.accept(upto, skips, self.now, [held for held in self._parts() if first <= held.entry < upto])

    def _parts(self) -> Iterator[Held]:
        """The first blocks of the large file, or what is taken for them. Only of a file of that size."""
        large = self.receiver._offer.size(1) if self._checked > 1 and self.receiver._ledger.is_file(1) else None
        if not self._options & 16 or large != len(CONTENT[1]) or self.receiver.block_size != BLOCK:
            return
        blocks = blocks_of(CONTENT[1])[:2]
        digests = Digests()
        digests.append(0, b"".join(blake3(block).digest() for block in blocks))
        if self._options & 32:
            digests.append(2, bytes(32))
        self.disk[1] = bytearray(b"".join(blocks))
        yield Held(1, digests, Check.ONLY if self._options & 64 else Check.SAMPLE)

    def _store(self, job: orders.StoreBlock) -> None:
        block = job.block
        parts = unpack_block(block)
        if parts is None:
            self.receiver.damaged(block, self.now)
            return
        size = self.receiver._offer.size(block.entry)
        assert size is None or job.offset + block.raw_size <= size
        if self._options & 128 and block.entry == 4:
            self.receiver.failed_here(block.entry, "no room", self.now)
        elif job.offset < 1 << 20:
            content = self.disk.setdefault(block.entry, bytearray())
            content.extend(bytes(max(0, job.offset + block.raw_size - len(content))))
            content[job.offset : job.offset + block.raw_size] = b"".join(parts)
        self.receiver.stored(block, self.now)


def blocks_of(content: bytes) -> list[bytes]:
    return [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]


def records(feed: Feed) -> bytes:
    """A data message that nearly fits."""
    entry = feed.number(len(ENTRIES) + 1)
    match feed.number(4):
        case 0:
            return encode_end(entry, feed.number(4), feed.choice((0, 1, BLOCK, 10240)), bytes(32), feed.flag())
        case 1:
            return encode_fault(entry, feed.choice(list(FaultReason)))
        case _:
            raw = feed.choice((1, BLOCK, 2048))
            total = raw - feed.number(3) if raw > 2 else raw
            offset = feed.choice((0, 0, total - 1, 1))
            length = max(1, total - offset)
            head = partial(piece_head, entry, feed.number(4), raw, total, offset, length)
            return head(total < raw, bytes(32), feed.flag()) + bytes(length)
