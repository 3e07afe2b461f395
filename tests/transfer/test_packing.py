"""Records packed into messages."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.transfer.flow import cost
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.records import MAX_RECORDS, Piece, decode_records, encode_fault
from p2pcopy.transfer.wire import FaultReason

DIGEST = bytes(range(32))


@given(
    st.lists(st.one_of(st.integers(1, 40_000), st.just("end"), st.just("close")), min_size=1, max_size=40),
    st.sampled_from([1, 8192, 20_000, 262144]),
)
def test_blocks_are_packed_into_whole_messages(steps: list[Any], message_size: int) -> None:
    packer, content = Packer(message_size), bytearray()
    for number, step in enumerate(steps):
        if step == "close":
            packer.close()
        elif step == "end":
            packer.record(encode_fault(number, FaultReason.CHANGED))
        else:
            body = bytes([number]) * step
            content += body
            packer.block(0, number, step, body, DIGEST, compressed=False)
    packer.close()
    messages = packer.take()
    assert packer.take() == []
    records = [decode_records(packed.message, limit=max(8192, message_size)) for packed in messages]
    assert [packed.cost for packed in messages] == [
        cost(len(packed.message), len(some)) for packed, some in zip(messages, records, strict=True)
    ]
    pieces = [record for some in records for record in some if isinstance(record, Piece)]
    assert b"".join(piece.body for piece in pieces) == content
    assert all(piece.digest == (DIGEST if piece.offset == 0 else b"") for piece in pieces)


@given(st.lists(st.tuples(st.integers(1, 300_000), st.sampled_from([0, 8192, 51_040, 123_000, 247_104])), min_size=1))
def test_the_size_of_messages_may_change_at_any_time(steps: list[tuple[int, int]]) -> None:
    packer, content, messages = Packer(65536), bytearray(), []
    for number, (size, message_size) in enumerate(steps):
        body = bytes([number % 256]) * size
        content += body
        packer.resize(message_size)
        messages += packer.take()
        packer.block(0, number, size, body, DIGEST, compressed=False)
        full = packer.take()
        assert all(len(packed.message) <= max(8192, message_size) for packed in full)
        messages += full
    packer.close()
    messages += packer.take()
    records = [record for packed in messages for record in decode_records(packed.message, limit=262144)]
    assert b"".join(record.body for record in records if isinstance(record, Piece)) == content


def test_what_is_gathered_already_is_not_lost_by_a_smaller_size() -> None:
    packer = Packer(262144)
    packer.block(0, 0, 100_000, bytes(100_000), DIGEST, compressed=False)
    packer.resize(262144)
    assert packer.take() == []
    packer.resize(65536)
    (packed,) = packer.take()
    assert len(packed.message) > 100_000


def test_a_message_has_a_bounded_number_of_records() -> None:
    packer = Packer(262144)
    for entry in range(MAX_RECORDS + 1):
        packer.record(encode_fault(entry, FaultReason.CHANGED))
    (full,) = packer.take()
    assert len(decode_records(full.message, limit=262144)) == MAX_RECORDS


def test_a_long_block_fills_messages_of_any_size_and_a_full_one_goes_at_once() -> None:
    packer = Packer(247_104)
    packer.block(0, 0, 2**20, bytes(2**20), DIGEST, compressed=False)
    assert [len(packed.message) for packed in packer.take()] == [247_104] * 4
    packer.block(0, 1, 2**20, bytes(2**20), DIGEST, compressed=False)
    assert [len(packed.message) for packed in packer.take()] == [247_104] * 4
    packer = Packer(8192)
    packer.block(0, 0, 8192 - 58, bytes(8192 - 58), DIGEST, compressed=False)
    assert [len(packed.message) for packed in packer.take()] == [8192]
