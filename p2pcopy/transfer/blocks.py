"""The body of a block: digest and compression. Pure."""

from __future__ import annotations

from blake3 import blake3
from zstandard import ZstdDecompressor, ZstdError, frame_content_size

from p2pcopy.transfer.assembly import WholeBlock


def unpack_block(block: WholeBlock) -> bytes | memoryview | None:
    """The raw content of a block, or None when its digest does not fit. No frame is unpacked to more than raw_size."""
    data = _unpack(block) if block.compressed else block.body
    if data is None or len(data) != block.raw_size or blake3(data).digest() != block.digest:
        return None
    return data


def _unpack(block: WholeBlock) -> bytes | None:
    try:
        # The size that the frame states is what gets allocated: it has to be the block's.
        if frame_content_size(block.body) != block.raw_size:
            return None
        # A new one each time: they are not safe to share between threads, and cost little.
        return ZstdDecompressor().decompress(block.body, allow_extra_data=False)
    except ZstdError:
        return None
