"""The format of journals: whatever happens to one, what is read of it was written into it, and is no more than its beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.files.journal import HEADER_SIZE, RECORD_SIZE, Header, Identity, Journal, JournalFault, beginning, decode

BLOCKS = 50
Record = tuple[int, bytes] | None  # None: synced

births = st.none() | st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 999_999_999))
headers = st.builds(
    Header,
    size=st.integers(1 + (BLOCKS - 1) * 1000, BLOCKS * 1000),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    block_size=st.just(1000),
    part=st.builds(Identity, st.integers(0, 2**64 - 1), births),
    nonce=st.binary(min_size=16, max_size=16),
)
records: st.SearchStrategy[list[Record]] = st.lists(
    st.none() | st.tuples(st.integers(0, BLOCKS - 1), st.binary(min_size=32, max_size=32)), max_size=12
)
HEADER = Header(BLOCKS * 1000, 7, 1000, Identity(12, (3, 4)), bytes(range(16)))


def encoded(header: Header, written: list[Record]) -> bytes:
    data, place = beginning(header)
    for record in written:
        more, place = place.synced() if record is None else place.block(*record)
        data += more
    assert place.offset == len(data)
    return data


def expected(written: list[Record]) -> tuple[dict[int, bytes], dict[int, bytes]]:
    last = max((place for place, record in enumerate(written) if record is None), default=0)
    synced = dict(record for record in written[:last] if record is not None)
    later = dict(record for record in written[last:] if record is not None)
    return {number: digest for number, digest in synced.items() if number not in later}, later


def is_beginning(journal: Journal, header: Header, written: list[Record]) -> int:
    """Of how many records the journal is exactly the sum."""
    whole, rest = divmod(journal.end.offset - HEADER_SIZE, RECORD_SIZE)
    assert rest == 0
    assert whole <= len(written)
    assert journal.header == header
    assert (journal.synced, journal.written) == expected(written[:whole])
    return whole


@given(headers, records)
def test_what_was_written_is_read(header: Header, written: list[Record]) -> None:
    journal = decode(encoded(header, written))
    assert is_beginning(journal, header, written) == len(written)
    behind_sync = max((place + 1 for place, record in enumerate(written) if record is None), default=0)
    assert journal.synced_end.offset == HEADER_SIZE + behind_sync * RECORD_SIZE


@given(headers, records, records)
def test_it_goes_on_at_either_end(header: Header, written: list[Record], more: list[Record]) -> None:
    data = encoded(header, written)
    journal = decode(data)
    for place in (journal.end, journal.synced_end):
        longer = data[: place.offset]
        for record in more:
            added, place = place.synced() if record is None else place.block(*record)
            longer += added
        kept = written[: (len(longer) - HEADER_SIZE) // RECORD_SIZE - len(more)]
        assert is_beginning(decode(longer), header, kept + more) == len(kept) + len(more)


@given(records, st.data())
def test_every_truncation_leaves_a_beginning(written: list[Record], data: st.DataObject) -> None:
    whole = encoded(HEADER, written)
    size = data.draw(st.integers(0, len(whole)))
    if size < HEADER_SIZE:
        with pytest.raises(JournalFault):
            decode(whole[:size])
    else:
        assert is_beginning(decode(whole[:size]), HEADER, written) == (size - HEADER_SIZE) // RECORD_SIZE


def test_every_flipped_byte_is_seen() -> None:
    written: list[Record] = [(0, b"a" * 32), (3, b"b" * 32), None, (1, b"c" * 32), (3, b"d" * 32)]
    whole = encoded(HEADER, written)
    for place in range(len(whole)):
        for flip in (1, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            if place < HEADER_SIZE:
                with pytest.raises(JournalFault):
                    decode(bytes(damaged))
            else:
                assert is_beginning(decode(bytes(damaged)), HEADER, written) == (place - HEADER_SIZE) // RECORD_SIZE


@given(records, st.binary(max_size=3 * RECORD_SIZE))
def test_garbage_behind_it_adds_nothing(written: list[Record], garbage: bytes) -> None:
    assert is_beginning(decode(encoded(HEADER, written) + garbage), HEADER, written) == len(written)


@given(headers, headers, records)
def test_records_of_another_journal_add_nothing(one: Header, other: Header, written: list[Record]) -> None:
    if one != other:
        foreign = encoded(other, written)[HEADER_SIZE:]
        assert is_beginning(decode(encoded(one, []) + foreign), one, written) == 0


@given(st.binary(max_size=300))
def test_anything_else_is_no_journal(data: bytes) -> None:
    with pytest.raises(JournalFault):
        decode(data)


@pytest.mark.parametrize(
    "header", [Header(0, 7, 1000, HEADER.part, HEADER.nonce), Header(9, 7, 0, HEADER.part, HEADER.nonce)]
)
def test_headers_that_no_store_writes(header: Header) -> None:
    with pytest.raises(JournalFault):
        decode(encoded(header, []))


def test_a_block_that_the_file_does_not_have() -> None:
    with pytest.raises(JournalFault, match="does not have"):
        decode(encoded(HEADER, [(BLOCKS, b"x" * 32)]))


@pytest.mark.parametrize(("numbers", "size"), [((), 0), ((0,), 1000), ((0, 4), 1700), ((4,), 700), ((4, 4), 700)])
def test_how_much_of_the_file_it_stands_for(numbers: tuple[int, ...], size: int) -> None:
    header = Header(4700, 7, 1000, HEADER.part, HEADER.nonce)
    for middle in ([], [None]):
        written: list[Record] = [(number, b"x" * 32) for number in numbers]
        assert decode(encoded(header, written[:1] + middle + written[1:])).claimed_bytes == size
