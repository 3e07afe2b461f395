"""What is read at a time, and how much ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

import pytest

from p2pcopy.config import KIB, MIB
from p2pcopy.transfer import reading
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Block, Compared, End, Fault, Item
from p2pcopy.transfer.pace import Pace
from p2pcopy.transfer.reading import Batch, BatchReader
from p2pcopy.transfer.records import FileEnd, Piece, Record, decode_records
from p2pcopy.transfer.wire import Entry, FaultReason, Kind

BLOCK = 6000
DIGEST = bytes(32)


@pytest.fixture(autouse=True)
def _in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine is busy: each of them ends a batch by something else than its time."""
    monkeypatch.setattr(reading, "_LONGEST_S", 60.0)


class Source:
    """Items in order; an item None is a pause."""

    def __init__(self, items: Iterable[Item | None], seconds: float = 0.0) -> None:
        self.items = deque(items)
        self.seconds = seconds

    def allow(self, upto: int, skips: Sequence[tuple[int, int]], held: Sequence[Held]) -> None: ...

    def never_compress(self) -> None: ...

    def drop(self, entry: int) -> None: ...

    def next(self) -> Item | None:
        time.sleep(self.seconds)
        return self.items.popleft() if self.items else None

    def reread(self, entry: int, number: int) -> Block | Fault:
        return block(number, entry=entry) if number < 9 else Fault(entry, FaultReason.CHANGED)


class Log:
    """Entry 0 is a file, entry 1 a stream."""

    def append(self, entry: Entry, local: str = "") -> int:
        raise AssertionError

    def __getitem__(self, index: int) -> tuple[Entry, str]:
        return Entry(Kind.FILE, f"file {index}", None if index == 1 else 10**9), ""


def block(number: int, size: int = BLOCK, *, entry: int = 0) -> Block:
    return Block(entry, number, size, bytes(size), DIGEST, compressed=False)


def batches(source: Source) -> BatchReader:
    return BatchReader(source, Log(), block_size=BLOCK, message_size=17_000)


def records(batch: Batch) -> list[Record]:
    return [record for packed in batch.messages for record in decode_records(packed.message, limit=17_000)]


def test_messages_are_filled_across_batches_and_the_last_goes_when_there_is_no_more() -> None:
    reader = batches(Source([block(number) for number in range(5)] + [End(0, 5 * BLOCK, 5, DIGEST)]))
    first = reader.next((), 2 * BLOCK)
    assert (first.messages, first.size, first.is_empty, first.path) == ([], 2 * BLOCK, False, "file 0")
    second = reader.next((), 2 * BLOCK)
    assert [len(packed.message) for packed in second.messages] == [17_000]
    last = reader.next((), 2 * BLOCK)
    assert [end.size for end in last.ends] == [5 * BLOCK]
    every = records(first) + records(second) + records(last)
    assert sum(len(record.body) for record in every if isinstance(record, Piece)) == 5 * BLOCK
    assert isinstance(every[-1], FileEnd)
    assert reader.next((), 2 * BLOCK).is_empty


def test_a_stream_sends_each_block_at_once() -> None:
    reader = batches(Source([block(0, entry=1), block(1, entry=1), block(2, 100, entry=1)]))
    assert [len(records(reader.next((), MIB))) for _ in range(4)] == [1, 1, 1, 0]


def test_a_slow_source_is_not_waited_for_until_a_batch_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LONGEST_S", 0.1)
    reader = batches(Source([block(number) for number in range(100)], seconds=0.03))
    assert 0 < reader.next((), MIB).size <= 4 * BLOCK


def test_blocks_that_compress_to_nothing_are_bounded_by_number() -> None:
    source = Source([block(number, 1) for number in range(reading._MOST_ITEMS + 1)])
    assert batches(source).next((), MIB).size == reading._MOST_ITEMS


def test_blocks_that_are_asked_for_again_come_first() -> None:
    reader = batches(Source([Fault(0, FaultReason.VANISHED)]))
    batch = reader.next([(0, 3), (0, 9)], MIB)
    assert batch.again == [(0, 3), (0, 9)]
    assert [fault.reason for fault in batch.faults] == [FaultReason.CHANGED, FaultReason.VANISHED]
    assert [record.block for record in records(batch) if isinstance(record, Piece)] == [3]


def test_the_pace_is_what_the_path_takes_in_a_while() -> None:
    pace = Pace()
    for _ in range(30):
        pace.took(MIB, 1 / 30)
    assert 1.4 * MIB < pace.size < 1.6 * MIB
    for _ in range(30):
        pace.took(MIB, 0.0)
    assert pace.size > 3.9 * MIB
    for _ in range(30):
        pace.took(KIB, 1.0)
    assert pace.size < 300 * KIB


def test_blocks_that_are_only_compared_make_no_messages_and_are_told() -> None:
    reader = batches(
        Source([Compared(0, True), Compared(0, False), Block(0, 0, BLOCK, bytes(BLOCK), DIGEST, False, True), None])
    )
    batch = reader.next([], BLOCK)
    assert batch.compared == [Compared(0, True), Compared(0, False)]
    assert not batch.is_empty
    pieces = [
        record for message in reader.next([], BLOCK).messages for record in decode_records(message.message, limit=MIB)
    ]
    pieces = pieces or [record for message in batch.messages for record in decode_records(message.message, limit=MIB)]
    assert all(isinstance(piece, Piece) and piece.over for piece in pieces)
    assert len(pieces) == 1
    assert not Batch([], [], [], [Compared(0, True)], [], 0, "").is_empty
