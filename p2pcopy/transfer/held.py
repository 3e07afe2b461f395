"""Blocks that a receiver has from an earlier run: their digests, and the bound for all that both sides keep of them. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from p2pcopy.config import MIB
from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.wire import DIGEST_SIZE, MAX_DIGESTS, MAX_HELD, UPDATE_HINT, Check, Have

# Of a file, and of blocks that do not follow those before them, this much is kept beside the digests.
HAVE_COST: Final = 512
# A receiver looks what it has of further files while less than this is told and not done with.
AHEAD: Final = 4 * MIB
# So one file may be told of at any time, whatever was told before it.
MOST_OF_A_FILE: Final = MAX_HELD - 2 * AHEAD


def told_cost(blocks: int) -> int:
    """Of the messages that tell of so many blocks that follow one another: bytes of digests, and HAVE_COST for each message."""
    return blocks * DIGEST_SIZE + -(-blocks // MAX_DIGESTS) * HAVE_COST


class Digests(Mapping[int, bytes]):
    """Digests by the number of their block, in ascending order: 32 bytes a block, and 16 for each gap between them."""

    __slots__ = ("_before", "_digests", "_starts")

    def __init__(self) -> None:
        self._digests = bytearray()
        self._starts = array("Q")  # the first block of each run of blocks that follow one another
        self._before = array("Q")  # how many blocks are here before each run

    def append(self, first: int, digests: bytes) -> None:
        """Those of blocks that follow one another. Raises ValueError unless they are whole, and behind all that are here."""
        if len(digests) % DIGEST_SIZE or not digests or first < self.end:
            raise ValueError(f"{len(digests)} bytes of digests from block {first} do not follow block {self.end - 1}")
        if not self._starts or first > self.end:
            self._starts.append(first)
            self._before.append(len(self))
        self._digests += digests

    @property
    def end(self) -> int:
        """The number behind the last block."""
        return self._starts[-1] + len(self) - self._before[-1] if self._starts else 0

    def number(self, place: int) -> int:
        """Of the block at this place among those that are here, from 0."""
        run = bisect_right(self._before, place) - 1
        return self._starts[run] + place - self._before[run]

    def runs(self, most: int) -> Iterator[tuple[int, bytes]]:
        """The first number and the digests of blocks that follow one another, at most so many blocks at a time."""
        for run, start in enumerate(self._starts):
            for place in range(self._before[run], self._stop(run), most):
                stop = min(place + most, self._stop(run))
                yield start + place - self._before[run], self._slice(place, stop)

    @property
    def cost(self) -> int:
        """Of telling all of them, as told_cost()."""
        return sum(told_cost(self._stop(run) - before) for run, before in enumerate(self._before))

    def run_at(self, number: int) -> bytes:
        """The digests of this block and of all that follow it without a gap; b"" when it is not here."""
        place, stop = self._find(number)
        return self._slice(place, stop) if place < stop else b""

    def __getitem__(self, number: int) -> bytes:
        place, stop = self._find(number)
        if place >= stop:
            raise KeyError(number)
        return self._slice(place, place + 1)

    def __iter__(self) -> Iterator[int]:
        for run, start in enumerate(self._starts):
            yield from range(start, start + self._stop(run) - self._before[run])

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_SIZE

    def _find(self, number: int) -> tuple[int, int]:
        """Where this block would be, and where the run ends in which it is; it is not here when that is not behind it."""
        run = bisect_right(self._starts, number) - 1
        return (self._before[run] + number - self._starts[run], self._stop(run)) if run >= 0 else (0, 0)

    def _stop(self, run: int) -> int:
        return self._before[run + 1] if run + 1 < len(self._before) else len(self)

    def _slice(self, place: int, stop: int) -> bytes:
        return bytes(self._digests[place * DIGEST_SIZE : stop * DIGEST_SIZE])


@dataclass(frozen=True, slots=True)
class Held:
    """What a receiver has of a file. check: how the sender finds out whether it is the same file."""

    entry: int
    digests: Digests
    check: Check = Check.SAMPLE


class Told:
    """What was told of files that the sender has not closed, as both sides count it. cost: the sum, which MAX_HELD bounds."""

    def __init__(self) -> None:
        self.cost = 0
        self._costs: dict[int, int] = {}
        self._there: dict[int, int] = {}
        self._compared: dict[int, int] = {}

    def add(self, entry: int, cost: int) -> None:
        """One message more, or all that there is of a file."""
        self.cost += cost
        self._costs[entry] = self._costs.get(entry, 0) + cost

    def accept(self, entry: int, size: int, check: Check) -> int:
        """So many bytes of the file are there. How many of them count already: what is compared does not before its end."""
        if check is not Check.SAMPLE:
            self._compared[entry] = size
            return 0
        self._there[entry] = size
        return size

    def start_over(self, entry: int) -> int:
        """All of the file is sent: how many bytes do not count any more."""
        self._compared.pop(entry, None)
        return self._there.pop(entry, 0)

    def end(self, entry: int) -> int:
        """The sender has sent what was missing: how many bytes count from now on, as they were found the same."""
        size = self._compared.pop(entry, 0)
        self.close(entry)
        return size

    def close(self, entry: int) -> int:
        """The file is skipped or given up: how many bytes do not count any more."""
        self.cost -= self._costs.pop(entry, 0)
        self._compared.pop(entry, None)
        return self._there.pop(entry, 0)


class Holdings:
    """What a receiver tells before it accepts the files, in order. told: of these, and of those that are not closed."""

    def __init__(self) -> None:
        self._files: dict[int, Held] = {}
        self.told = Told()
        self._last = -1

    def add(self, have: Have) -> None:
        """One message more. Raises ProtocolError for what does not follow the last one, and for too much at a time."""
        known = self._files.get(have.entry)
        if known is None:
            if have.entry <= self._last:
                raise _out_of_order()
            known = self._files[have.entry] = Held(have.entry, Digests(), have.check)
            self._last = have.entry
        elif have.entry != self._last or have.check is not known.check:
            raise _out_of_order()
        try:
            known.digests.append(have.first, have.digests)
        except ValueError as error:
            raise _out_of_order() from error
        self.told.add(have.entry, len(have.digests) + HAVE_COST)
        if self.told.cost > MAX_HELD:
            raise ProtocolError("the other side tells of too many blocks at a time", UPDATE_HINT)

    def take(self, upto: int) -> list[Held]:
        """The files below this index; each is given out once."""
        taken = list(takewhile(lambda file: file.entry < upto, self._files.values()))
        for file in taken:
            del self._files[file.entry]
        return taken


def _out_of_order() -> ProtocolError:
    return ProtocolError("the other side says out of order which blocks it has", UPDATE_HINT)


def bytes_of(blocks: Collection[int], size: int, block_size: int) -> int:
    """How many bytes of a file these blocks are. size: of the file, in bytes."""
    last = (size - 1) // block_size
    return len(blocks) * block_size - ((last + 1) * block_size - size if last in blocks else 0)
