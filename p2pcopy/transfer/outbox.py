"""The sender's messages on their way out: records packed together, everything in order, nothing without credit. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from p2pcopy.transfer.conversation import SendControl, SendData
from p2pcopy.transfer.flow import SendCredit, cost
from p2pcopy.transfer.records import MAX_RECORDS, PIECE_HEADER, piece_head
from p2pcopy.transfer.wire import DIGEST_SIZE

# A block is not cut for less room than this: the rest of the message stays empty.
_LEAST_PIECE: Final = 4096


class Outbox:
    """message_size: of a data message, in bytes, at least 8192 whatever is given."""

    def __init__(self, message_size: int) -> None:
        self.credit = SendCredit()
        self._message_size = max(2 * _LEAST_PIECE, message_size)
        self._queue: deque[tuple[SendControl | SendData, int]] = deque()
        self._queued = 0
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._records = 0

    @property
    def queued(self) -> int:
        """What everything in here will cost, in bytes of credit."""
        return self._queued + cost(self._size, self._records)

    def control(self, message: bytes, items: int = 0) -> None:
        """A control message that costs credit. items: manifest entries in it."""
        self._put(SendControl(message), cost(len(message), items))

    def record(self, record: bytes) -> None:
        """A whole record without a body."""
        self._make_room(len(record))
        self._parts.append(record)
        self._added(len(record))

    def block(self, entry: int, number: int, raw_size: int, body: bytes, digest: bytes, compressed: bool) -> None:
        """The records of a block. body: as it goes on the wire; it is copied when its message is closed, not before."""
        total = len(body)
        offset = 0
        while offset < total:
            head_size = PIECE_HEADER.size + (DIGEST_SIZE if offset == 0 else 0)
            self._make_room(head_size + min(total - offset, _LEAST_PIECE))
            length = min(total - offset, self._message_size - self._size - head_size)
            part = body if length == total else memoryview(body)[offset : offset + length]
            self._parts += (piece_head(entry, number, raw_size, total, offset, length, compressed, digest), part)
            self._added(head_size + length)
            offset += length

    def close_message(self) -> None:
        """What is gathered goes out as it is, before anything that comes later."""
        if self._records:
            self._put(SendData(b"".join(self._parts)), cost(self._size, self._records))
            self._parts, self._size, self._records = [], 0, 0

    def take(self) -> Iterator[SendControl | SendData]:
        """The messages for which there is credit now; each is given out once."""
        while self._queue and self._queue[0][1] <= self.credit.available:
            action, price = self._queue.popleft()
            self._queued -= price
            self.credit.spend(price)
            yield action

    def _put(self, action: SendControl | SendData, price: int) -> None:
        self._queue.append((action, price))
        self._queued += price

    def _make_room(self, size: int) -> None:
        if self._size + size > self._message_size or self._records == MAX_RECORDS:
            self.close_message()

    def _added(self, size: int) -> None:
        self._size += size
        self._records += 1
