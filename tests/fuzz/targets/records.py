"""Data messages: bytes to records and back, and records to blocks and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from blake3 import blake3

from fuzz.feed import Feed
from p2pcopy.config import TransferLimits
from p2pcopy.errors import P2PCopyError, ProtocolError
from p2pcopy.transfer.assembly import MAX_AHEAD, MAX_BAD, OpenFiles, WholeBlock
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.records import (
    FileEnd,
    FileFault,
    Piece,
    Record,
    decode_records,
    encode_end,
    encode_fault,
    piece_head,
)
from p2pcopy.transfer.wire import FaultReason

MODULES = ("p2pcopy.transfer.assembly", "p2pcopy.transfer.records")

LIMITS: Final = replace(TransferLimits(), max_open_files=3)
BLOCK: Final = 4096
SIZES: Final = (0, 1, BLOCK, BLOCK + 1, 4 * BLOCK, None, 2**53 - 1)  # of the files that there are


def one(data: bytes) -> None:
    feed = Feed(data)
    files = OpenFiles(LIMITS)
    whole: list[WholeBlock] = []
    try:
        while feed:
            step(feed, files, whole)
            bounded(files)
    except P2PCopyError:
        return


def step(feed: Feed, files: OpenFiles, whole: list[WholeBlock]) -> None:
    match feed.number(7):
        case 0 if feed.number(16):
            take(decoded(message_of(feed)), files, whole)
        case 0:
            take(decoded(feed.chunk(4096)), files, whole)
        case 1 | 2:
            take(decoded(message_of(feed)), files, whole)
        case 3 | 4 if whole:
            block = whole.pop(feed.number(len(whole)))
            if block.entry in files:
                files.verified(block)
                files.take_whole(block.entry)
        case 5 if whole:
            block = whole.pop(feed.number(len(whole)))
            if block.entry in files:
                files.damaged(block)
        case _:
            dropped = feed.number(len(SIZES))
            size, count = files.drop(dropped)
            assert size >= count >= 0
            whole[:] = [block for block in whole if block.entry != dropped]


def message_of(feed: Feed) -> bytes:
    """Records whose numbers nearly fit."""
    made = b""
    for _ in range(1 + feed.number(3)):
        entry = feed.number(len(SIZES))
        match feed.number(8):
            case 0:
                made += encode_end(entry, feed.number(6), feed.choice((0, 1, BLOCK, BLOCK + 1, 4 * BLOCK)), bytes(32))
            case 1:
                made += encode_fault(entry, feed.choice(list(FaultReason)))
            case _:
                number, total = feed.number(5), feed.choice((1, 2, 3, BLOCK, BLOCK - 1))
                offset = min(feed.number(4), total - 1)
                length = feed.choice((1, total - offset))
                raw = feed.choice((1, BLOCK, total))
                head = piece_head(entry, number, raw, total, offset, length, feed.flag(), bytes(32))
                made += head + bytes(length)
    return made


def decoded(message: bytes) -> Sequence[Record]:
    """What is taken from a message is all of it, and can be written as it was."""
    try:
        records = decode_records(message, limit=LIMITS.max_data_message)
    except ProtocolError:
        return ()
    assert b"".join(map(encoded, records)) == message
    assert sum(record.size for record in records) == len(message)
    return records


def encoded(record: Record) -> bytes:
    match record:
        case Piece():
            numbers = (record.entry, record.block, record.raw_size, record.total, record.offset, len(record.body))
            return piece_head(*numbers, record.compressed, record.digest, record.over) + bytes(record.body)
        case FileEnd():
            return encode_end(record.entry, record.blocks, record.file_size, record.digest, record.over)
        case FileFault():
            return encode_fault(record.entry, record.reason)


def take(records: Sequence[Record], files: OpenFiles, whole: list[WholeBlock]) -> None:
    for record in records:
        if record.entry >= len(SIZES):
            continue
        match record:
            case Piece():
                block = files.take_piece(record, SIZES[record.entry], BLOCK)
                if block is not None:
                    fits(block)
                    whole.append(block)
            case FileEnd():
                files.take_end(record, SIZES[record.entry], BLOCK)
                files.take_whole(record.entry)


def fits(block: WholeBlock) -> None:
    size = sum(map(len, block.parts))
    assert 0 < block.raw_size <= BLOCK
    assert size < block.raw_size if block.compressed else size == block.raw_size
    known = SIZES[block.entry]
    assert known is None or block.number * BLOCK + block.raw_size <= known


def bounded(files: OpenFiles) -> None:
    assert len(files) <= len(SIZES)
    inside = files._files.values()
    assert files._waiting == sum(file.waiting for file in inside) <= LIMITS.max_open_files
    assert files._ahead == sum(len(file.ahead) for file in inside) <= MAX_AHEAD
    assert files._bad == sum(len(file.bad) for file in inside) <= MAX_BAD


def seeds() -> Iterator[bytes]:
    content = bytes(range(200))
    packer = Packer(8192)
    packer.block(5, 0, 200, content, blake3(content).digest(), False)
    packer.block(1, 0, 1, b"x", blake3(b"x").digest(), False)
    packer.record(encode_end(1, 1, 1, blake3(blake3(b"x").digest()).digest()))
    packer.record(encode_fault(2, FaultReason.CHANGED))
    packer.close()
    (packed,) = packer.take()
    size = len(packed.message).to_bytes(2, "big")
    yield b"\x00\x00" + size + packed.message + b"\x03\x00\x03\x00"
    # Steps: what, then how many records, and of each its file, kind and numbers.
    for entry, total in ((1, 0), (2, 3), (3, 3), (4, 3), (5, 1)):
        piece = bytes([1, 0, entry, 2, 0, total, 0, 1, 1, 0])
        yield piece + b"\x03\x00" + bytes([1, 0, entry, 0, 1, entry])
    yield bytes([1, 1, 4, 2, 0, 3, 1, 1, 1, 0, 4, 2, 0, 3, 0, 0, 1, 0, 5, 0, 6, 4])
