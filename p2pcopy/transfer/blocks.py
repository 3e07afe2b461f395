"""The body of a block: digest and compression. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3
from zstandard import ZstdDecompressor, ZstdError, frame_content_size

from p2pcopy.transfer.assembly import WholeBlock

Parts = Sequence[bytes | memoryview]


def unpack_block(block: WholeBlock) -> Parts | None:
    """The raw content of a block, or None when its digest does not fit. No frame is unpacked to more than raw_size."""
    parts = _unpack(block) if block.compressed else block.parts
    if parts is None or sum(map(len, parts)) != block.raw_size:
        return None
    digest = blake3()
    for part in parts:
        digest.update(part)
    return parts if digest.digest() == block.digest else None


def _unpack(block: WholeBlock) -> Parts | None:
    frame = block.parts[0] if len(block.parts) == 1 else b"".join(block.parts)
    try:
        # The size that the frame states is what gets allocated: it has to be the block's.
        if frame_content_size(frame) != block.raw_size:
            return None
        # A new one each time: they are not safe to share between threads, and cost little.
        return (ZstdDecompressor().decompress(frame, allow_extra_data=False),)
    except ZstdError:
        return None
