"""Blocks from pieces, and what the receiver checks of a file's blocks."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import TransferLimits
from p2pcopy.errors import IntegrityError, ProtocolError
from p2pcopy.transfer import assembly
from p2pcopy.transfer.assembly import OpenFiles, WholeBlock
from p2pcopy.transfer.blocks import unpack_block
from p2pcopy.transfer.records import FileEnd, Piece

BLOCK = 100
ENTRY = 7


def pieces(number: int, raw: bytes, *cuts: int, entry: int = ENTRY) -> list[Piece]:
    """A block cut at these offsets."""
    bounds = [0, *cuts, len(raw)]
    digest = blake3(raw).digest()
    return [
        Piece(entry, number, len(raw), len(raw), start, False, b"" if start else digest, raw[start:stop], stop - start)
        for start, stop in pairwise(bounds)
    ]


def end(content: bytes, entry: int = ENTRY) -> FileEnd:
    digest = blake3()
    blocks = [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)]
    for raw in blocks:
        digest.update(blake3(raw).digest())
    return FileEnd(entry, len(blocks), len(content), digest.digest())


def files(**changes: Any) -> OpenFiles:
    return OpenFiles(replace(TransferLimits(), **changes))


def give(open_files: OpenFiles, *parts: Piece, size: int | None = None) -> WholeBlock | None:
    block = None
    for piece in parts:
        block = open_files.take_piece(piece, size, BLOCK)
    return block


@given(st.binary(min_size=1, max_size=BLOCK * 6), st.booleans(), st.integers(1, BLOCK), st.integers(0, 2**32))
def test_a_file_is_put_together_in_any_order(content: bytes, stream: bool, cut: int, seed: int) -> None:
    raws = [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)]
    steps: list[Piece | FileEnd] = [end(content)]
    for number, raw in enumerate(raws):
        steps += pieces(number, raw, *([cut] if cut < len(raw) else []))
    random.Random(seed).shuffle(steps)
    open_files, size = files(), None if stream else len(content)
    stored = []
    for step in steps:
        if isinstance(step, FileEnd):
            open_files.take_end(step, size, BLOCK)
        elif (block := open_files.take_piece(step, size, BLOCK)) is not None:
            assert b"".join(unpack_block(block) or ()) == raws[block.number]
            own = [piece for piece in steps if getattr(piece, "block", None) == block.number]
            assert (block.size, len(block.parts)) == (sum(piece.size for piece in own), len(own))
            open_files.verified(block)
            stored.append(block.number)
    assert sorted(stored) == list(range(len(raws)))
    file = open_files.take_whole(ENTRY)
    assert file is not None
    assert file.intact()
    assert file.stored == len(content)
    assert len(open_files) == 0


def test_an_empty_file_is_whole_with_its_end() -> None:
    open_files = files()
    open_files.take_end(end(b""), 0, BLOCK)
    file = open_files.take_whole(ENTRY)
    assert file is not None
    assert file.intact()


def test_a_wrong_file_digest_is_noticed() -> None:
    open_files = files()
    open_files.take_end(FileEnd(ENTRY, 0, 0, bytes(32)), None, BLOCK)
    file = open_files.take_whole(ENTRY)
    assert file is not None
    assert not file.intact()


def test_a_stream_may_end_at_the_border_of_a_block() -> None:
    open_files, content = files(), bytes(2 * BLOCK)
    for number in (0, 1):
        block = give(open_files, *pieces(number, bytes(BLOCK)))
        assert block is not None
        open_files.verified(block)
    assert open_files.take_whole(ENTRY) is None
    open_files.take_end(end(content), None, BLOCK)
    assert open_files.take_whole(ENTRY) is not None


RAW = b"r" * BLOCK


@pytest.mark.parametrize(
    ("size", "bad"),
    [
        pytest.param(None, pieces(0, RAW, 10, 50)[:2] + pieces(0, RAW, 10)[:1], id="piece twice"),
        pytest.param(None, pieces(0, RAW, 60)[:1] + pieces(0, RAW, 50)[1:], id="pieces overlap"),
        pytest.param(None, pieces(0, RAW, 60)[:1] + pieces(0, RAW + b"x", 60)[1:], id="other total"),
        pytest.param(None, pieces(0, RAW) + pieces(0, RAW), id="block twice"),
        pytest.param(None, pieces(0, RAW + b"x"), id="block too long"),
        pytest.param(150, pieces(1, RAW), id="longer than the file"),
        pytest.param(150, pieces(2, RAW[:50]), id="behind the file"),
        pytest.param(150, pieces(0, RAW[:50]), id="shorter than a block"),
        pytest.param(0, pieces(0, RAW[:1]), id="file is empty"),
        pytest.param(None, [msgspec.structs.replace(pieces(0, RAW)[0], raw_size=0)], id="block of nothing"),
        pytest.param(None, [msgspec.structs.replace(pieces(0, RAW)[0], compressed=True)], id="not compressed at all"),
        pytest.param(None, pieces(assembly.MAX_AHEAD, RAW), id="far ahead"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(size: int | None, bad: list[Piece]) -> None:
    with pytest.raises(ProtocolError):
        give(files(), *bad, size=size)


def test_a_block_that_is_stored_does_not_come_again() -> None:
    open_files = files()
    for number in (0, 2):
        block = give(open_files, *pieces(number, RAW))
        assert block is not None
        open_files.verified(block)
        with pytest.raises(ProtocolError):
            give(open_files, *pieces(number, RAW))


def test_a_stream_has_one_short_block() -> None:
    open_files = files()
    short = [give(open_files, *pieces(number, RAW[:9])) for number in (0, 1)]
    assert short[0] is not None
    assert short[1] is not None
    open_files.verified(short[0])
    with pytest.raises(ProtocolError):
        open_files.verified(short[1])


@pytest.mark.parametrize(
    ("size", "bad"),
    [
        pytest.param(None, FileEnd(ENTRY, 3, 250, bytes(32)), id="short block before the last"),
        pytest.param(None, FileEnd(ENTRY, 1, 100, bytes(32)), id="fewer blocks than came"),
        pytest.param(None, FileEnd(ENTRY, 3, 150, bytes(32)), id="blocks do not give the size"),
        pytest.param(250, FileEnd(ENTRY, 2, 150, bytes(32)), id="not the announced size"),
    ],
)
def test_an_end_that_does_not_fit_is_refused(size: int | None, bad: FileEnd) -> None:
    open_files = files()
    raw = RAW if size else RAW[:50]
    block = give(open_files, *pieces(1, raw), size=size)
    assert block is not None
    open_files.verified(block)
    with pytest.raises(ProtocolError):
        open_files.take_end(bad, size, BLOCK)


def test_a_stream_as_long_as_its_end_says() -> None:
    open_files = files()
    block = give(open_files, *pieces(0, RAW[:50]))
    assert block is not None
    open_files.take_end(FileEnd(ENTRY, 1, 60, bytes(32)), None, BLOCK)
    open_files.verified(block)
    with pytest.raises(ProtocolError):
        open_files.take_whole(ENTRY)


def test_files_that_wait_for_the_peer_are_bounded() -> None:
    open_files = files(max_open_files=3)
    for entry in range(3):
        give(open_files, *pieces(0, RAW, entry=entry))
    with pytest.raises(ProtocolError):
        give(open_files, *pieces(0, RAW, entry=3))


def test_files_that_wait_for_the_store_are_not_bounded_by_number() -> None:
    open_files = files(max_open_files=1)
    for entry in range(50):
        give(open_files, *pieces(0, RAW, entry=entry), size=BLOCK)
        open_files.take_end(end(RAW, entry), BLOCK, BLOCK)
    assert len(open_files) == 50


def test_a_file_that_is_dropped_makes_room_and_gives_back_its_credit() -> None:
    open_files = files(max_open_files=1)
    parts = pieces(0, RAW, 10, 20)[:2]
    give(open_files, *parts)
    give(open_files, *pieces(1, RAW))
    assert open_files.drop(ENTRY) == (sum(piece.size for piece in parts), 2)
    assert open_files.drop(ENTRY) == (0, 0)
    give(open_files, *pieces(0, RAW, entry=8))


def test_blocks_ahead_of_a_gap_are_bounded_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_AHEAD", 3)
    open_files = files()
    for entry in range(4):
        block = give(open_files, *pieces(1, RAW, entry=entry))
        assert block is not None
        if entry < 3:
            open_files.verified(block)
        else:
            with pytest.raises(ProtocolError):
                open_files.verified(block)


def test_a_damaged_block_may_come_again() -> None:
    open_files = files()
    for times in (1, 2):
        block = give(open_files, *pieces(0, RAW))
        assert block is not None
        assert open_files.damaged(block) == times
    block = give(open_files, *pieces(0, RAW))
    assert block is not None
    open_files.verified(block)


def test_a_file_that_ends_before_a_block_that_was_damaged_does_not_fit() -> None:
    open_files = files()
    block, behind = give(open_files, *pieces(0, RAW)), give(open_files, *pieces(1, RAW))
    assert block is not None
    assert behind is not None
    open_files.damaged(behind)
    open_files.take_end(FileEnd(ENTRY, 1, len(RAW), bytes(32)), None, BLOCK)
    open_files.verified(block)
    with pytest.raises(ProtocolError):
        open_files.take_whole(ENTRY)


def test_damaged_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "MAX_BAD", 2)
    open_files = files()
    for number in range(3):
        block = give(open_files, *pieces(number, RAW))
        assert block is not None
        if number < 2:
            open_files.damaged(block)
        else:
            with pytest.raises(IntegrityError):
                open_files.damaged(block)


def block_of(body: bytes, raw: bytes, *, compressed: bool, raw_size: int | None = None) -> WholeBlock:
    parts = (memoryview(body)[: len(body) // 2], body[len(body) // 2 :])
    return WholeBlock(0, 0, len(raw) if raw_size is None else raw_size, parts, blake3(raw).digest(), compressed, 0)


@given(st.binary(min_size=1, max_size=5000), st.booleans())
def test_blocks_are_unpacked(raw: bytes, compressed: bool) -> None:
    body = zstandard.compress(raw) if compressed else raw
    assert b"".join(unpack_block(block_of(body, raw, compressed=compressed)) or ()) == raw


ZEROS = bytes(4096)
FRAME = zstandard.compress(ZEROS)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block_of(b"other", b"bytes", compressed=False), id="wrong digest"),
        pytest.param(block_of(b"bytes", b"bytes", compressed=False, raw_size=4), id="wrong size"),
        pytest.param(block_of(b"no frame", ZEROS, compressed=True), id="no frame"),
        pytest.param(block_of(FRAME[:-3], ZEROS, compressed=True), id="frame cut"),
        pytest.param(block_of(FRAME + b"x", ZEROS, compressed=True), id="more than a frame"),
        pytest.param(block_of(zstandard.compress(bytes(2**20)), ZEROS, compressed=True), id="frame of another size"),
        pytest.param(
            block_of(zstandard.ZstdCompressor(write_content_size=False).compress(ZEROS), ZEROS, compressed=True),
            id="frame that does not say its size",
        ),
        pytest.param(block_of(FRAME, b"x" * 4096, compressed=True), id="wrong digest of the content"),
    ],
)
def test_damaged_blocks_are_noticed(block: WholeBlock) -> None:
    assert unpack_block(block) is None
