"""What a receiver tells the sender of what it has, within what a sender takes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from p2pcopy.transfer import wire
from p2pcopy.transfer.held import AHEAD, MOST_OF_A_FILE, Held, Told
from p2pcopy.transfer.items import Useless
from p2pcopy.transfer.offer import Sizes
from p2pcopy.transfer.wire import Check

_TOO_MUCH: Final = "more of it is there than can be told"


class Claims:
    """Files of which something is there, until the sender has closed them. bytes_there: what still counts of them."""

    def __init__(self) -> None:
        self.bytes_there = 0
        self._told = Told()
        self._only: set[int] = set()

    @property
    def may_grow(self) -> bool:
        """Whether so little is told and not closed that more may be, of one file as much as MOST_OF_A_FILE."""
        return self._told.cost < AHEAD

    def add(self, held: Sequence[Held], sizes: Sizes) -> tuple[list[Held], list[Useless]]:
        """Those that are told now, and those that are too much. sizes: of all entries."""
        told: list[Held] = []
        beyond: list[Useless] = []
        for file in held:
            cost = file.digests.cost
            if cost > MOST_OF_A_FILE or self._told.cost + cost > wire.MAX_HELD:
                beyond.append(Useless(file.entry, _TOO_MUCH))
                continue
            told.append(file)
            self._told.add(file.entry, cost)
            self.bytes_there += self._told.accept(file.entry, sizes.bytes_of(file), file.check)
            if file.check is Check.ONLY:
                self._only.add(file.entry)
        return told, beyond

    def is_only_compared(self, entry: int) -> bool:
        """Whether the sender was asked to send nothing of this file."""
        return entry in self._only

    def start_over(self, entry: int) -> None:
        """All of the file is sent."""
        self.bytes_there -= self._told.start_over(entry)

    def end(self, entry: int) -> None:
        """The sender has sent what was missing."""
        self._only.discard(entry)
        self.bytes_there += self._told.end(entry)

    def give_up(self, entry: int) -> None:
        """The sender sends no more of it."""
        self._only.discard(entry)
        self.bytes_there -= self._told.close(entry)


def messages(held: Sequence[Held], useless: Sequence[Useless]) -> Iterator[wire.Have | wire.Over]:
    """All that tells of these, in the order of the protocol."""
    for file in held:
        for number, digests in file.digests.runs(wire.MAX_DIGESTS):
            yield wire.Have(file.entry, number, digests, file.check)
    for over in sorted(useless, key=lambda each: each.entry):
        yield wire.Over(over.entry, wire.shown(over.reason))
