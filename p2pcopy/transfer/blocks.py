"""The body of a block: digest and compression. Pure."""

from __future__ import annotations

from typing import Final

import zstandard
from blake3 import blake3

from p2pcopy.transfer.assembly import WholeBlock

_decompressor: Final = zstandard.ZstdDecompressor()


def unpack_block(block: WholeBlock) -> bytes | bytearray | None:
    """The raw content of a block, or None when its digest does not fit. No frame is unpacked to more than raw_size."""
    data: bytes | bytearray = block.body
    if block.compressed:
        unpacked = _unpack(block.body, block.raw_size)
        if unpacked is None:
            return None
        data = unpacked
    if len(data) != block.raw_size or blake3(data).digest() != block.digest:
        return None
    return data


def _unpack(body: bytes | bytearray, raw_size: int) -> bytes | None:
    try:
        # The size that the frame states is what gets allocated: it has to be the block's.
        if zstandard.frame_content_size(body) != raw_size:
            return None
        return _decompressor.decompress(body, max_output_size=raw_size)
    except zstandard.ZstdError:
        return None
