"""Control messages and data records: round trips, and whatever else a peer may send."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import TransferLimits
from p2pcopy.errors import PeerVersionError, ProtocolError
from p2pcopy.transfer import records, wire
from p2pcopy.transfer.records import FileEnd, FileFault, Piece
from p2pcopy.transfer.wire import Entry, FaultReason, Kind

LIMITS = TransferLimits()
INDEX = st.integers(0, 2**32 - 1)
COUNT = st.integers(0, 2**53 - 1)
DIGEST = st.binary(min_size=32, max_size=32)
HEX = DIGEST.map(bytes.hex)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=wire.MAX_TEXT)
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode(errors="surrogateescape")),
)
ENTRIES = st.builds(
    Entry,
    st.sampled_from(Kind),
    NAMES,
    st.one_of(st.none(), COUNT),
    st.integers(0, 0o777),
    st.integers(-(2**33) * 10**9, 2**33 * 10**9 - 1),
    NAMES,
)
RANGES = st.lists(st.tuples(INDEX, INDEX), max_size=5)
MESSAGES = st.one_of(
    st.builds(
        wire.Hello,
        version=st.just(1),
        role=st.sampled_from(wire.Role),
        software=TEXT,
        block_size=st.integers(wire.MIN_BLOCK_SIZE, wire.MAX_BLOCK_SIZE),
        credit=COUNT,
        features=st.lists(TEXT, max_size=3),
    ),
    st.builds(wire.Manifest, INDEX, st.lists(ENTRIES.map(wire.to_wire), min_size=1, max_size=4)),
    st.builds(wire.ManifestEnd, INDEX, COUNT),
    st.builds(wire.Go, INDEX, RANGES),
    st.builds(wire.Credit, COUNT, COUNT),
    st.builds(wire.Again, INDEX, INDEX),
    st.builds(wire.Results, RANGES, st.lists(st.tuples(INDEX, TEXT), max_size=3)),
    st.builds(wire.End, COUNT, COUNT, COUNT, HEX),
    st.builds(wire.Done, COUNT, COUNT, COUNT, HEX, COUNT, COUNT, COUNT),
    st.just(wire.Bye()),
    st.builds(wire.Abort, TEXT, TEXT),
    st.builds(wire.Ping, COUNT),
    st.builds(wire.Pong, COUNT),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


def decode(message: bytes) -> wire.Control:
    return wire.decode(message, limit=LIMITS.max_control_message)


def hello(**changes: Any) -> bytes:
    fields = {"type": "hello", "version": 1, "role": "sender", "software": "x", "block_size": 4096}
    return json.dumps(fields | changes).encode()


@given(MESSAGES)
def test_control_messages_survive_the_way(message: wire.Control) -> None:
    assert decode(wire.encode(message)) == message


@given(st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_a_message_or_a_protocol_error(raw: bytes) -> None:
    try:
        message = decode(raw)
    except ProtocolError:
        return
    assert decode(wire.encode(message)) == message


@given(MESSAGES, st.data())
def test_a_changed_message_is_a_message_or_a_protocol_error(message: wire.Control, data: st.DataObject) -> None:
    fields = json.loads(wire.encode(message))
    key = data.draw(st.sampled_from(sorted(fields)))
    fields[key] = data.draw(VALUES)
    try:
        decoded = decode(json.dumps(fields).encode())
    except ProtocolError:
        return
    assert type(decoded) is type(message) or key == "type"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"type":"ping","number":' + b"9" * 5000 + b"}",
        b'{"type":"ping","number":-1}',
        b'{"type":"ping","number":1.5}',
        b'{"type":"ping","number":1e400}',
        b'{"type":"credit","limit":9007199254740992}',
        b'{"type":"manifest","first":0,"entries":[]}',
        b'{"type":"go","upto":1,"skip":[[0]]}',
        b'{"type":"again","entry":4294967296,"block":0}',
        b'{"type":"nothing"}',
        b"{}",
        b"",
        b'{"type":"abort","error":"x","message":"\\ud800"}',
        b'{"type":"abort","error":"x","message":"' + b"m" * (wire.MAX_TEXT + 1) + b'"}',
        b" " * (LIMITS.max_control_message + 1),
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(raw)


def test_fields_and_features_of_the_future_are_ignored() -> None:
    message = decode(hello(colour="blue", features=["zstd", "teleport"]))
    assert isinstance(message, wire.Hello)
    assert message.features == ["zstd", "teleport"]


@pytest.mark.parametrize(
    ("raw", "who"),
    [
        (hello(version=2), "this side"),
        (hello(version=0), "the other side"),
        (b'{"type":"hello","version":7,"shape":"unknown"}', "this side"),
        (hello(version=2, block_size="large"), "this side"),
    ],
)
def test_a_foreign_version_is_told_from_nonsense(raw: bytes, who: str) -> None:
    with pytest.raises(PeerVersionError) as caught:
        decode(raw)
    assert caught.value.hint == f"Update p2pcopy on {who}."


@pytest.mark.parametrize("raw", [hello(block_size=1), b'{"type":"ping","version":2}', b'{"version":2}'])
def test_nonsense_of_our_version_is_no_version_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(raw)
    assert not isinstance(caught.value, PeerVersionError)


@given(ENTRIES)
def test_entries_survive_the_way(entry: Entry) -> None:
    assert wire.from_wire(wire.to_wire(entry)) == entry


@pytest.mark.parametrize(("mtime_ns", "sent"), [(2**63, 2**33 * 10**9 - 1), (-(2**63), -(2**33) * 10**9)])
def test_times_out_of_range_become_the_nearest(mtime_ns: int, sent: int) -> None:
    assert wire.from_wire(wire.to_wire(Entry(Kind.FILE, "a", mtime_ns=mtime_ns))).mtime_ns == sent


def test_raw_bytes_that_are_text_are_refused() -> None:
    entry = wire.to_wire(Entry(Kind.FILE, "a"))
    for path in (b"text", "käse".encode()):
        raw = wire.WireEntry(entry.kind, wire.RawText(path), 0, 0o644, 0, 0)
        with pytest.raises(ProtocolError):
            wire.from_wire(raw)


@given(st.lists(ENTRIES, max_size=40), st.integers(0, 2**31), st.integers(200, 2000))
def test_batches_are_the_entries_in_order_and_bounded(entries: list[Entry], first: int, limit: int) -> None:
    largest = max((len(wire.encode(wire.Manifest(2**32 - 1, [wire.to_wire(entry)]))) for entry in entries), default=0)
    seen: list[Entry] = []
    for raw, count in wire.manifest_batches(first, entries, limit):
        message = decode(raw)
        assert isinstance(message, wire.Manifest)
        assert message.first == first + len(seen)
        assert len(message.entries) == count
        assert len(raw) <= max(limit, largest + 2)
        seen += map(wire.from_wire, message.entries)
    assert seen == entries


def test_batches_have_a_bounded_number_of_entries() -> None:
    entries = [Entry(Kind.DIRECTORY, "d")] * (wire.MAX_BATCH + 1)
    assert [count for _, count in wire.manifest_batches(0, entries, 2**20)] == [wire.MAX_BATCH, 1]


def test_shown_text_is_text_and_short() -> None:
    assert wire.shown("caf\udce9") == "caf?"
    assert len(wire.shown("x" * 1000)) == wire.MAX_TEXT


PIECES = st.builds(
    lambda entry, block, raw_size, before, body, after, compressed, digest: (
        records.piece_head(entry, block, raw_size, before + len(body) + after, before, len(body), compressed, digest)
        + body,
        Piece(
            entry,
            block,
            raw_size,
            before + len(body) + after,
            before,
            compressed,
            b"" if before else digest,
            body,
            len(body) + records.PIECE_HEADER.size + (0 if before else 32),
        ),
    ),
    INDEX,
    INDEX,
    INDEX,
    st.integers(0, 2**20),
    st.binary(min_size=1, max_size=300),
    st.integers(0, 2**20),
    st.booleans(),
    DIGEST,
)
ENDS = st.builds(
    lambda entry, blocks, size, digest: (
        records.encode_end(entry, blocks, size, digest),
        FileEnd(entry, blocks, size, digest),
    ),
    INDEX,
    INDEX,
    st.integers(0, 2**64 - 1),
    DIGEST,
)
FAULTS = st.builds(
    lambda entry, reason: (records.encode_fault(entry, reason), FileFault(entry, reason)),
    INDEX,
    st.sampled_from(FaultReason),
)
RECORDS = st.one_of(PIECES, ENDS, FAULTS)


def decode_data(message: bytes) -> list[records.Record]:
    return records.decode_records(message, limit=LIMITS.max_data_message)


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_records_survive_the_way(pairs: list[tuple[bytes, records.Record]]) -> None:
    message = b"".join(raw for raw, _ in pairs)
    decoded = decode_data(message)
    assert decoded == [record for _, record in pairs]
    assert sum(record.size for record in decoded) == len(message)


@given(st.lists(RECORDS, min_size=1, max_size=3), st.data())
def test_any_data_is_whole_records_or_a_protocol_error(pairs: list[tuple[bytes, Any]], data: st.DataObject) -> None:
    message = bytearray(b"".join(raw for raw, _ in pairs))
    change = data.draw(st.sampled_from(["cut", "extend", "alter", "replace"]))
    if change == "cut":
        del message[data.draw(st.integers(0, len(message) - 1)) :]
    elif change == "extend":
        message += data.draw(st.binary(max_size=40))
    elif change == "alter":
        message[data.draw(st.integers(0, min(30, len(message)) - 1))] = data.draw(st.integers(0, 255))
    else:
        message = bytearray(data.draw(st.binary(max_size=200)))
    try:
        decoded = decode_data(bytes(message))
    except ProtocolError:
        return
    assert sum(record.size for record in decoded) == len(message)


def pack(*fields: int) -> bytes:
    return records.PIECE_HEADER.pack(*fields)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0" * (LIMITS.max_data_message + 1),
        pack(1, 4, 0, 0, 1, 2, 1, 1) + b"x",
        pack(1, 0, 0, 0, 1, 1, 1, 0),
        pack(1, 0, 0, 0, 1, 1, 1, 1) + b"x",
        pack(1, 0, 0, 0, 2, 2, 1, 1),
        pack(1, 0, 0, 0, 2, 2, 0, 1) + b"x" * 32,
        records.encode_end(0, 0, 0, bytes(32)).replace(b"\2\0", b"\2\1", 1),
        b"\3\0" + bytes(4),
        b"\3\6" + bytes(4),
        b"\4" + bytes(100),
    ],
    ids=lambda message: message[:12].hex(),
)
def test_bad_records_are_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_data(message)


def test_the_number_of_records_in_a_message_is_bounded() -> None:
    fault = records.encode_fault(1, FaultReason.CHANGED)
    assert len(decode_data(fault * records.MAX_RECORDS)) == records.MAX_RECORDS
    with pytest.raises(ProtocolError):
        decode_data(fault * (records.MAX_RECORDS + 1))


@pytest.mark.parametrize(("others", "kept"), [(0, memoryview), (40, bytes)])
def test_a_small_piece_does_not_keep_a_large_message_alive(others: int, kept: Callable[..., Any]) -> None:
    body = b"y" * 200
    message = records.piece_head(1, 0, 200, 200, 0, 200, False, bytes(32)) + body
    (piece, *_) = decode_data(message + others * records.encode_fault(1, FaultReason.CHANGED))
    assert isinstance(piece, Piece)
    assert type(piece.body) is kept
    assert piece.body == body


def test_the_largest_file_is_bounded_by_block_numbers_and_json() -> None:
    assert wire.max_file_size(4096) == 2**44
    assert wire.max_file_size(2**22) == 2**53 - 1
    entry = replace(Entry(Kind.FILE, "a"), size=2**53 - 1)
    assert wire.from_wire(wire.to_wire(entry)) == entry
