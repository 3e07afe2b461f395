"""Hashing what is on the disk, block by block."""

from __future__ import annotations

import os
import threading

from blake3 import blake3

from p2pcopy.errors import Interrupted


class Readback:
    """The blocks of an open file. size: of the whole file, block_size: of a block, in bytes; stopped: ends it, with Interrupted."""

    def __init__(self, fd: int, size: int, block_size: int, stopped: threading.Event) -> None:
        self._fd = fd
        self._size = size
        self._block_size = block_size
        self._buffer = memoryview(bytearray(min(block_size, size)))
        self._stopped = stopped

    def digest(self, number: int) -> bytes | None:
        """BLAKE3 of a block; None when it cannot be read, or the file ends before it does. Raises Interrupted."""
        if self._stopped.is_set():
            raise Interrupted("reading back what is there was stopped")
        offset = number * self._block_size
        view = self._buffer[: min(self._block_size, self._size - offset)]
        rest = view
        while rest:
            try:
                read = _read_at(self._fd, rest, offset)
            except OSError:
                return None
            if not read:
                return None
            rest = rest[read:]
            offset += read
        return blake3(view).digest()


def _read_at(fd: int, view: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, [view], offset)
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)
