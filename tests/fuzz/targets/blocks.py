"""Compressed bodies of blocks: nothing is unpacked to more than the block has, and only what fits its digest is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import zstandard
from blake3 import blake3

from fuzz.feed import Feed
from p2pcopy.transfer.assembly import WholeBlock
from p2pcopy.transfer.blocks import unpack_block

MODULES = ("p2pcopy.transfer.blocks",)

_RAW_SIZES: Final = (1, 2, 3, 100, 1000, 4096, 65536, 2 * 1024 * 1024)


def one(data: bytes) -> None:
    feed = Feed(data)
    raw_size = feed.choice(_RAW_SIZES) if feed.flag() else 1 + feed.number(65535)
    compressed = feed.number(4) > 0
    cut = feed.number(256)
    body = feed.rest()
    parts = tuple(part for part in (body[:cut], body[cut:]) if part) or (b"",)
    content = reference(body) if compressed else body
    for digest in (bytes(32), blake3(content or b"").digest()):
        unpacked = unpack_block(WholeBlock(0, 0, raw_size, parts, digest, compressed, len(body)))
        if unpacked is not None:
            assert joined(unpacked) == content
            assert len(joined(unpacked)) == raw_size
            assert blake3(joined(unpacked)).digest() == digest


def reference(frame: bytes) -> bytes | None:
    """What a decompressor that works piece by piece makes of one frame; at most what a block may have."""
    try:
        unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(frame[: 1 << 14])
    except zstandard.ZstdError:
        return None
    return unpacked


def joined(parts: Sequence[bytes | memoryview]) -> bytes:
    return b"".join(parts)


def seeds() -> Iterator[bytes]:
    def block(raw: bytes, frame: bytes, cut: int = 0) -> bytes:
        return b"\x00" + len(raw).to_bytes(2, "big") + b"\x01" + bytes([cut]) + frame

    text = b"all work and no play makes jack a dull boy\n" * 20
    for raw in (b"x", text, bytes(4096), bytes(range(256)) * 4):
        for compressor in (
            zstandard.ZstdCompressor(),
            zstandard.ZstdCompressor(write_content_size=False),
            zstandard.ZstdCompressor(write_checksum=True),
        ):
            yield block(raw, compressor.compress(raw))
    frame = zstandard.ZstdCompressor().compress(text)
    yield block(text, frame, 7)
    yield block(text * 2, frame + frame)
    yield block(text, b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + frame)
    yield b"\x01\x07\x01\x00" + zstandard.ZstdCompressor().compress(bytes(2 * 1024 * 1024))
    yield b"\x00\x00\x03\x00\x00abc"
