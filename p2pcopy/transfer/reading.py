"""What the reading thread does at a time: items from the source, packed into messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from p2pcopy.transfer.items import Block, Compared, End, Fault, Item
from p2pcopy.transfer.packing import Packed, Packer
from p2pcopy.transfer.ports import Log, Reader
from p2pcopy.transfer.records import encode_end

_MOST_ITEMS: Final = 512
# From a slow source a batch is what came within this time.
_LONGEST_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read. messages: with all blocks and ends but those that wait for company; again: blocks that had been asked for.

    compared: blocks that the receiver has; size: bytes of blocks, as they go on the wire; path: of the file in work.
    """

    messages: Sequence[Packed]
    ends: Sequence[End]
    faults: Sequence[Fault]
    compared: Sequence[Compared]
    again: Sequence[tuple[int, int]]
    size: int
    path: str

    @property
    def is_empty(self) -> bool:
        """There was nothing to be read, and nothing waits for company."""
        return not (self.messages or self.ends or self.faults or self.compared or self.again or self.size)


class BatchReader:
    """For one thread. block_size, message_size: bytes."""

    def __init__(self, reader: Reader, log: Log, *, block_size: int, message_size: int) -> None:
        self._reader = reader
        self._log = log
        self._block_size = block_size
        self._packer = Packer(message_size)
        self._path = ""
        self._ends: list[End] = []
        self._faults: list[Fault] = []
        self._compared: list[Compared] = []

    def next(self, again: Sequence[tuple[int, int]], size: int, message_size: int | None = None) -> Batch:
        """Blocks that are asked for again, then about size bytes of new ones; less when there is no more or the source is slow.

        What does not fill a message waits for the next call, unless that could have to wait for the source. message_size: from
        now on; the path has come to like another one.
        """
        self._ends, self._faults, self._compared = [], [], []
        if message_size is not None:
            self._packer.resize(message_size)
        read = 0
        for entry, number in again:
            read += self._add(self._reader.reread(entry, number))
        until = time.monotonic() + _LONGEST_S
        last: Item | None = None
        for _ in range(_MOST_ITEMS):
            item = self._reader.next()
            if item is None:
                self._packer.close()
                break
            last = item
            read += self._add(item)
            if self._may_wait(item):
                self._packer.close()
                break
            if read >= size or time.monotonic() >= until:
                break
        if last is not None:
            self._path = self._log[last.entry][0].path
        return Batch(self._packer.take(), self._ends, self._faults, self._compared, again, read, self._path)

    def _add(self, item: Item) -> int:
        match item:
            case Block():
                self._packer.block(
                    item.entry, item.number, item.raw_size, item.body, item.digest, item.compressed, item.over
                )
                return len(item.body)
            case End():
                self._packer.record(encode_end(item.entry, item.blocks, item.size, item.digest, item.over))
                self._ends.append(item)
            case Fault():
                self._faults.append(item)
            case Compared():
                self._compared.append(item)
        return 0

    def _may_wait(self, item: Item) -> bool:
        """Who writes a stream may take a long time to fill its next block."""
        full = isinstance(item, Block) and item.raw_size == self._block_size
        return full and self._log[item.entry][0].size is None
