"""Journals of part files, as a crash, a bad disk or another program left them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from fuzz.feed import Feed
from p2pcopy.files.journal import (
    HEADER_SIZE,
    RECORD_SIZE,
    Header,
    Identity,
    Journal,
    JournalFault,
    Place,
    beginning,
    decode,
)

MODULES = ("p2pcopy.files.journal",)

_SIZES: Final = (1, 4095, 4096, 5 * 4096 + 1, 2**63, 2**64 - 1)
_BLOCK_SIZES: Final = (4096, 1, 2**20)
_CHECK: Final = 4
_RECORDS: Final = 60


def one(data: bytes) -> None:
    feed = Feed(data)
    match feed.number(3):
        case 0:
            read(feed.rest())
        case 1:
            read(with_check(feed.rest()))
        case _:
            written(feed)


def read(data: bytes) -> Journal | None:
    try:
        journal = decode(data)
    except JournalFault as fault:
        assert str(fault)
        return None
    blocks = journal.header.blocks
    assert not journal.synced.keys() & journal.written.keys()
    assert all(number < blocks for number in (*journal.synced, *journal.written))
    assert HEADER_SIZE <= journal.synced_end.offset <= journal.end.offset <= len(data)
    assert journal.end.offset % RECORD_SIZE == HEADER_SIZE % RECORD_SIZE
    assert 0 <= journal.claimed_bytes <= journal.header.size
    assert decode(data[: journal.end.offset]) == journal
    trusted = decode(data[: journal.synced_end.offset])
    assert trusted.end == trusted.synced_end == journal.synced_end
    assert not trusted.written
    goes_on(data, journal, journal.end)
    goes_on(data, journal, journal.synced_end)
    return journal


def goes_on(data: bytes, journal: Journal, place: Place) -> None:
    """What is appended is read, and nothing that was behind it before."""
    record, behind = place.block(0, bytes(32))
    longer = decode(data[: place.offset] + record + data[place.offset + RECORD_SIZE :])
    assert longer.end.offset >= behind.offset
    shorter = decode(data[: place.offset] + record)
    assert shorter.written[0] == bytes(32)
    assert shorter.end == behind
    assert shorter.header == journal.header


def with_check(data: bytes) -> bytes:
    """The bytes as a header that is sound, as far as they go."""
    magic = beginning(header(Feed(b"")))[0][:12]
    checked = magic + data[: HEADER_SIZE - len(magic) - _CHECK]
    return checked + crc32(checked).to_bytes(_CHECK, "little") + data[HEADER_SIZE:]


def header(feed: Feed) -> Header:
    birth = (feed.number(256), feed.number(256)) if feed.flag() else None
    mtime_ns = feed.choice((0, -1, 2**62))
    size, block_size = feed.choice(_SIZES), feed.choice(_BLOCK_SIZES)
    return Header(size, mtime_ns, block_size, Identity(feed.number(256), birth), bytes(16))


def written(feed: Feed) -> None:
    """A real journal says what was written to it, up to where it is torn or changed."""
    about = header(feed)
    data, place = beginning(about)
    synced: dict[int, bytes] = {}
    since: dict[int, bytes] = {}
    history = [(dict(synced), dict(since))]
    for _ in range(feed.number(_RECORDS)):
        if feed.number(4):
            number, digest = feed.number(8) % about.blocks, bytes([feed.number(256)]) * 32
            synced.pop(number, None)
            since[number] = digest
            record, place = place.block(number, digest)
        else:
            synced |= since
            since.clear()
            record, place = place.synced()
        data += record
        history.append((dict(synced), dict(since)))
    assert read(data) == Journal(about, *history[-1], place, decode(data).synced_end)
    torn = feed.number(len(data) + 1)
    if torn >= HEADER_SIZE:
        there = (torn - HEADER_SIZE) // RECORD_SIZE
        journal = read(data[:torn] + feed.chunk())
        assert journal is not None
        assert (journal.synced, journal.written) == history[there]
    changed = bytearray(data)
    at = feed.number(len(data))
    changed[at] ^= 1 + feed.number(255)
    journal = read(bytes(changed))
    assert (journal is None) == (at < HEADER_SIZE)
    if journal is not None:
        assert (journal.synced, journal.written) == history[(at - HEADER_SIZE) // RECORD_SIZE]


def seeds() -> Iterator[bytes]:
    numbers = bytes([0, 0, 3, 0, 5, 9])
    yield b"\x02" + numbers
    steps = bytes([1, 0, 1, 1, 1, 2, 0, 1, 0, 7, 1, 4, 9, 0, 1, 2, 2])
    for torn in (b"\x00\x60", b"\x00\x90", b"\x01\x00"):
        yield b"\x02\x01\x07\x08" + numbers[1:] + b"\x07" + steps + torn + b"\x03abc" + torn + b"\x01"
        yield b"\x02" + numbers + b"\x07" + steps + torn + b"\x00\x00\x40\x01"
    data, place = beginning(header(Feed(numbers)))
    block, place = place.block(3, bytes(range(32)))
    synced, place = place.synced()
    yield b"\x00" + data + block + synced + block
    yield b"\x01" + data[12:-_CHECK] + block
    yield b"\x00" + data + block[:20]
