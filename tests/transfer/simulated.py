"""A Sender and a Receiver joined by a simulated pair of channels, on a clock that jumps. Everything follows from a seed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import zstandard
from blake3 import blake3

from p2pcopy.config import TransferLimits
from p2pcopy.errors import P2PCopyError
from p2pcopy.transfer import orders as receiving
from p2pcopy.transfer import sender as sending
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.conversation import Ended, Finished, SendControl, SendData, State
from p2pcopy.transfer.held import Digests, Held
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.receiver import Receiver
from p2pcopy.transfer.records import Piece, decode_records, encode_end
from p2pcopy.transfer.sender import Sender
from p2pcopy.transfer.wire import Entry, FaultReason, Kind

BLOCK = 4096
LIMITS = TransferLimits(block_size=BLOCK, max_window=1024 * 1024)
OUTCOME = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Source:
    """An entry of the sender. stream: its size is not announced. fault_at: the block at which reading fails."""

    entry: Entry
    content: bytes = b""
    fault_at: int | None = None
    compressed: bool = False
    unreadable_again: bool = False


@dataclass(frozen=True)
class World:
    """What happens. Times in seconds, rates in bytes per second; chances from 0 to 1.

    held: the blocks that the receiver has of some entries; stale: of these entries they are of another file.
    """

    seed: int = 0
    limits: TransferLimits = LIMITS
    message_size: int = 16384
    delay: tuple[float, float] = (0.001, 0.001)
    disorder: float = 0.0
    damage: float = 0.0
    damage_times: int = 1
    disk_rate: float = 1e9
    group: int = 5
    consent: Literal["at once", "at the end"] = "at once"
    think: float = 0.0
    skip: frozenset[int] = frozenset()
    refuse: frozenset[int] = frozenset()
    held: tuple[tuple[int, frozenset[int]], ...] = ()
    stale: frozenset[int] = frozenset()
    commit_fails: frozenset[int] = frozenset()
    write_fails: frozenset[int] = frozenset()
    abort: tuple[float, Literal["sender", "receiver"], P2PCopyError] | None = None


@dataclass
class Ending:
    """How one side ended, and what it told its user of each entry."""

    error: P2PCopyError | None = None
    over: bool = False
    told: dict[int, OUTCOME] = field(default_factory=dict)

    def tell(self, entry: int, outcome: OUTCOME) -> None:
        assert entry not in self.told, f"entry {entry} is told as {outcome} after {self.told[entry]}"
        self.told[entry] = outcome


class Simulation:
    """run() returns when both sides are over, or fails when nothing happens any more."""

    def __init__(self, sources: Sequence[Source], world: World) -> None:
        self.sources = sources
        self.world = world
        self.now = 0.0
        self.random = random.Random(world.seed)
        self.sender = Sender(world.limits, "simulated", 0.0)
        self.packer = Packer(world.message_size)
        self.receiver = Receiver(world.limits, "simulated", 0.0)
        self.sending = Ending()
        self.receiving = Ending()
        self.disk: dict[int, bytearray] = {}
        self.final: dict[int, bytes] = {}
        self.messages: Counter[str] = Counter()
        self.most_held = 0
        self.sent = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._ordered = {"to sender": 0.0, "to receiver": 0.0}
        self._held: dict[int, Held] = {}
        self._over: set[int] = set()
        self._reader = self._read()
        self._listed = 0
        self._upto = 0
        self._skipped: set[int] = set()
        self._dropped: set[int] = set()
        self._read_to_end = False
        self._disk_free_at = 0.0
        self._group: list[int] = []
        self._checked = 0
        self._damaged: Counter[tuple[int, int]] = Counter()

    def run(self) -> None:
        self._at(0.0, self._tick)
        if self.world.abort is not None:
            at, side, error = self.world.abort
            machine = self.sender if side == "sender" else self.receiver
            self._at(at, lambda: machine.fail(error))
        self._perform()
        while not (self.sending.over and self.receiving.over):
            assert self._events, "nothing happens any more"
            assert self.now < 3600, "an hour has passed"
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._perform()
            self._check_bounds()

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, event))

    def _tick(self) -> None:
        self.sender.tick(self.now)
        self.receiver.tick(self.now)
        self._at(self.now + 0.1, self._tick)

    def _check_bounds(self) -> None:
        window = self.receiver._window
        credit = self.sender._outbox.credit
        self.most_held = max(self.most_held, window.held)
        assert 0 <= window.held <= self.world.limits.max_window
        assert credit.spent - window.consumed <= self.world.limits.max_window
        assert self.sender._outbox.queued <= 16 * self.world.limits.block_size + self.world.limits.max_control_message

    # The path.

    def _perform(self) -> None:
        while self._perform_sender() or self._perform_receiver():
            pass

    def _control(self, to: str, message: bytes) -> None:
        machine = self.sender if to == "to sender" else self.receiver
        at = max(self._ordered[to], self.now + self.random.uniform(*self.world.delay))
        self._ordered[to] = at
        self.messages["control"] += 1
        self._at(at, lambda: machine.control_received(message, self.now))

    def _data(self, message: bytes) -> None:
        late = 0.5 if self.random.random() < self.world.disorder else 0.0
        if self.random.random() < self.world.damage:
            message = self._damage(message)
        self.messages["data"] += 1
        at = self.now + self.random.uniform(*self.world.delay) + late * self.random.random()
        self._at(at, lambda: self.receiver.data_received(message, self.now))

    def _damage(self, message: bytes) -> bytes:
        position = 0
        for record in decode_records(message, limit=2**20):
            position += record.size
            if isinstance(record, Piece) and self._damaged[record.entry, record.block] < self.world.damage_times:
                self._damaged[record.entry, record.block] += 1
                return message[: position - 1] + bytes((message[position - 1] ^ 1,)) + message[position:]
        return message

    # The sender's side.

    def _perform_sender(self) -> bool:
        actions = self.sender.actions()
        for action in actions:
            match action:
                case SendControl():
                    self._control("to receiver", action.message)
                case SendData():
                    self._data(action.message)
                case sending.Accepted():
                    self._upto = action.upto
                    self._held.update((file.entry, file) for file in action.held)
                    for start, stop in action.skips:
                        for index in range(start, stop):
                            self._skipped.add(index)
                            self.sending.tell(index, "skipped")
                case sending.Reread():
                    self._reread(action.entry, action.block)
                case sending.Reported():
                    for start, stop in action.done:
                        for index in range(start, stop):
                            self.sending.tell(index, "done")
                    for index, _ in action.failed:
                        self._dropped.add(index)
                        self.sending.tell(index, "failed")
                case Finished():
                    self.sending.over = True
                case Ended():
                    self.sending.over, self.sending.error = True, action.error
        return self._feed() or bool(actions)

    def _feed(self) -> bool:
        sender, fed = self.sender, False
        if sender.manifest_room:
            batch = [source.entry for source in self.sources[self._listed : self._listed + 7]]
            self._listed += len(batch)
            if batch:
                sender.entries(batch)
            else:
                sender.manifest_complete(0)
            fed = True
        while sender.room > 0:
            more = next(self._reader, False)
            if not more:
                self.packer.close()
            messages = self.packer.take()
            sender.data(messages)
            fed = fed or more or bool(messages)
            if not more:
                break
        sender.flush()
        if sender.all_accepted and self._read_to_end:
            sender.all_read()
            fed = True
        return fed

    def _read(self) -> Iterator[bool]:
        """Gives one block or end to the sender at each step; False while the next entry is not accepted."""
        for index, source in enumerate(self.sources):
            while index >= self._upto:
                yield False
            if index not in self._skipped and source.entry.kind is Kind.FILE:
                yield from self._read_file(index, source)
        self._read_to_end = True

    def _read_file(self, index: int, source: Source) -> Iterator[bool]:
        digest = blake3()
        block_size = self.world.limits.block_size
        blocks = -(-len(source.content) // block_size)
        held = self._held.pop(index, Held(index, Digests()))
        over = index in self.world.stale and len(held.digests) > 0
        if over:
            self._over.add(index)
        for number in range(blocks):
            fault = FaultReason.DROPPED if index in self._dropped else FaultReason.CHANGED
            if index in self._dropped or source.fault_at == number:
                self._fault(index, fault)
                return
            raw = source.content[number * block_size : (number + 1) * block_size]
            digest.update(blake3(raw).digest())
            if number in held.digests and not over:
                assert held.digests[number] == blake3(raw).digest()
                continue
            self.sent += len(raw)
            self._block(index, number, raw, source.compressed)
            yield True
        if source.fault_at is not None and source.fault_at >= blocks:
            self._fault(index, FaultReason.CHANGED)
            return
        self.packer.record(encode_end(index, blocks, len(source.content), digest.digest(), over))
        self.sender.file_end(index, len(source.content), digest.digest())
        yield True

    def _block(self, index: int, number: int, raw: bytes, compressed: bool) -> None:
        body = zstandard.compress(raw) if compressed else raw
        shorter = len(body) < len(raw)
        self.packer.block(
            index, number, len(raw), body if shorter else raw, blake3(raw).digest(), shorter, index in self._over
        )

    def _fault(self, index: int, reason: FaultReason) -> None:
        if self.sender.fault(index, reason):
            self.sending.tell(index, "failed")

    def _reread(self, index: int, number: int) -> None:
        source = self.sources[index]
        if source.unreadable_again:
            self._fault(index, FaultReason.CHANGED)
        else:
            start = number * self.world.limits.block_size
            self._block(index, number, source.content[start : start + self.world.limits.block_size], compressed=False)
        self.packer.close()
        self.sender.data(self.packer.take())
        self.sender.sent_again(index, number)

    # The receiver's side: one disk, one job after another.

    def _perform_receiver(self) -> bool:
        actions = self.receiver.actions()
        for action in actions:
            match action:
                case SendControl():
                    self._control("to sender", action.message)
                case Finished():
                    self.receiving.over = True
                    self.receiver.say_bye()
                case Ended():
                    self.receiving.over, self.receiving.error = True, action.error
                case receiving.Listed():
                    self._job(0.001, partial(self._check, action))
                case receiving.ManifestComplete():
                    self._job(0.001, self._complete)
                case receiving.StoreBlock():
                    seconds = action.block.raw_size / self.world.disk_rate
                    self._job(seconds, partial(self._store, action))
                case receiving.Commit():
                    self._job(0.0, partial(self._whole, action))
                case receiving.StartOver():
                    assert action.entry in self.world.stale
                    self._job(0.0, partial(self._forget, action.entry))
                case receiving.Abandon():
                    self.receiving.tell(action.entry, "failed")
                    self._job(0.0, partial(self._forget, action.entry))
                case receiving.FinishStore():
                    self._job(0.001, self._finish)
        return bool(actions)

    def _job(self, seconds: float, job: Callable[[], None]) -> None:
        self._disk_free_at = max(self._disk_free_at, self.now) + seconds
        self._at(self._disk_free_at, job)

    def _forget(self, entry: int) -> None:
        self.disk.pop(entry, None)

    def _check(self, listed: receiving.Listed) -> None:
        assert list(listed.entries) == [source.entry for source in self.sources[listed.first :][: len(listed.entries)]]
        self._checked += len(listed.entries)
        self.receiver.listed(listed.cost, self.now)
        if self.world.consent == "at once":
            self._accept()

    def _complete(self) -> None:
        if self.world.consent == "at the end" or not self.sources:
            self._at(self.now + self.world.think, self._accept)

    def _accept(self) -> None:
        first = self.receiver.accepted
        skips = [(index, index + 1) for index in range(first, self._checked) if index in self.world.skip]
        held = [self._there(entry, blocks) for entry, blocks in self.world.held if first <= entry < self._checked]
        self.receiver.accept(self._checked, skips, self.now, [file for file in held if file.digests])
        for index in range(first, self._checked):
            if index in self.world.skip:
                self.receiving.tell(index, "skipped")
            elif index in self.world.refuse:
                self._fail_here(index)
            elif self.sources[index].entry.kind is Kind.DIRECTORY:
                self._commit([index])

    def _there(self, entry: int, numbers: frozenset[int]) -> Held:
        """These blocks of an entry, which are put on the disk."""
        source, block_size = self.sources[entry], self.world.limits.block_size
        digests = Digests()
        if source.entry.kind is not Kind.FILE or source.entry.size is None or entry in self.world.skip:
            return Held(entry, digests)
        content = self.random.randbytes(len(source.content)) if entry in self.world.stale else source.content
        for number in sorted(numbers):
            if raw := content[number * block_size : (number + 1) * block_size]:
                digests.append(number, blake3(raw).digest())
        if digests:
            self.disk[entry] = bytearray(content)
        return Held(entry, digests)

    def _store(self, job: receiving.StoreBlock) -> None:
        block = job.block
        parts = unpack_block(block)
        if parts is None:
            self.receiver.damaged(block, self.now)
            return
        data = b"".join(parts)
        if block.entry in self.world.write_fails:
            self._fail_here(block.entry)
        else:
            content = self.disk.setdefault(block.entry, bytearray())
            content.extend(bytes(max(0, job.offset + len(data) - len(content))))
            content[job.offset : job.offset + len(data)] = data
        self.receiver.stored(block, self.now)

    def _whole(self, job: receiving.Commit) -> None:
        assert len(self.disk.get(job.entry, b"")) == job.size
        if job.entry in self.world.commit_fails:
            self._fail_here(job.entry)
            return
        self._group.append(job.entry)
        if len(self._group) >= self.world.group:
            self._flush()
        else:
            self._at(self.now + 0.2, self._flush)

    def _flush(self) -> None:
        group, self._group = self._group, []
        self._commit(group)

    def _commit(self, entries: Sequence[int]) -> None:
        if self.receiving.over:
            return
        for entry in entries:
            self.final[entry] = bytes(self.disk.pop(entry, b""))
            self.receiving.tell(entry, "done")
        self.receiver.committed(entries, self.now)

    def _fail_here(self, entry: int) -> None:
        if self.receiver.failed_here(entry, "the disk does not want it", self.now):
            self.receiving.tell(entry, "failed")
            self.disk.pop(entry, None)

    def _finish(self) -> None:
        self._flush()
        for index, source in enumerate(self.sources):
            if source.entry.kind is Kind.LINK and index not in self.receiving.told:
                self._commit([index])
        self.receiver.store_finished(self.now)


def check_agreement(simulation: Simulation) -> None:
    """Both sides ended well, and say the same of every entry; what is final is what was sent."""
    sender, receiver = simulation.sender, simulation.receiver
    assert simulation.sending.error is None, simulation.sending.error
    assert simulation.receiving.error is None, simulation.receiving.error
    assert sender.state is State.OVER
    assert receiver.state is State.OVER
    assert simulation.sending.told == simulation.receiving.told
    assert len(simulation.receiving.told) == len(simulation.sources)
    for index, outcome in simulation.receiving.told.items():
        assert (index in simulation.final) == (outcome == "done")
        if outcome == "done":
            assert simulation.final[index] == simulation.sources[index].content
    counts = ("files_done", "files_skipped", "files_failed", "files_damaged", "bytes_stored", "accepted")
    assert [getattr(sender, name) for name in counts] == [getattr(receiver, name) for name in counts]
    assert receiver._window.held == 0
    assert len(receiver._files) == 0


def file(path: str, content: bytes, *, stream: bool = False, fault_at: int | None = None, **more: bool) -> Source:
    """A file to send."""
    return Source(Entry(Kind.FILE, path, None if stream else len(content)), content, fault_at, **more)
