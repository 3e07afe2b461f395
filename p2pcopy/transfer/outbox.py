"""The sender's messages on their way out: everything in order, nothing without credit. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from p2pcopy.transfer.conversation import SendControl, SendData
from p2pcopy.transfer.flow import SendCredit, cost
from p2pcopy.transfer.packing import Packed


class Outbox:
    """Messages that wait for credit."""

    def __init__(self) -> None:
        self.credit = SendCredit()
        self._queue: deque[tuple[SendControl | SendData, int]] = deque()
        self._queued = 0

    @property
    def queued(self) -> int:
        """What everything in here will cost, in bytes of credit."""
        return self._queued

    def control(self, message: bytes, items: int = 0) -> None:
        """A control message that costs credit. items: manifest entries in it."""
        self._put(SendControl(message), cost(len(message), items))

    def data(self, messages: Iterable[Packed]) -> None:
        """Data messages."""
        for packed in messages:
            self._put(SendData(packed.message), packed.cost)

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
