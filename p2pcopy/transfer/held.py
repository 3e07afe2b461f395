"""Blocks that a receiver has from an earlier run: their digests, 32 bytes each however many they are. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.wire import DIGEST_SIZE, MAX_HELD, UPDATE_HINT, Check, Have


class Digests(Mapping[int, bytes]):
    """Digests by the number of their block, in ascending order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._runs: list[bytearray] = []
        self._blocks = 0

    def append(self, first: int, digests: bytes) -> None:
        """Those of blocks that follow one another. Raises ValueError unless they are whole, and behind all that are here."""
        blocks, rest = divmod(len(digests), DIGEST_SIZE)
        if rest or not blocks or first < self.end:
            raise ValueError(f"{len(digests)} bytes of digests from block {first} do not follow block {self.end - 1}")
        if self._runs and first == self.end:
            self._runs[-1] += digests
        else:
            self._starts.append(first)
            self._runs.append(bytearray(digests))
        self._blocks += blocks

    @property
    def end(self) -> int:
        """The number behind the last block."""
        return self._starts[-1] + len(self._runs[-1]) // DIGEST_SIZE if self._runs else 0

    def runs(self, most: int) -> Iterator[tuple[int, bytes]]:
        """The first number and the digests of blocks that follow one another, at most so many blocks at a time."""
        step = most * DIGEST_SIZE
        for start, run in zip(self._starts, self._runs, strict=True):
            for position in range(0, len(run), step):
                yield start + position // DIGEST_SIZE, bytes(run[position : position + step])

    def run_at(self, number: int) -> bytes:
        """The digests of this block and of all that follow it without a gap; b"" when it is not here."""
        place = bisect_right(self._starts, number) - 1
        return bytes(self._runs[place][(number - self._starts[place]) * DIGEST_SIZE :]) if place >= 0 else b""

    def __getitem__(self, number: int) -> bytes:
        place = bisect_right(self._starts, number) - 1
        if place >= 0:
            position = (number - self._starts[place]) * DIGEST_SIZE
            if position < len(self._runs[place]):
                return bytes(self._runs[place][position : position + DIGEST_SIZE])
        raise KeyError(number)

    def __iter__(self) -> Iterator[int]:
        for start, run in zip(self._starts, self._runs, strict=True):
            yield from range(start, start + len(run) // DIGEST_SIZE)

    def __len__(self) -> int:
        return self._blocks


@dataclass(frozen=True, slots=True)
class Held:
    """What a receiver has of a file. check: how the sender finds out whether it is the same file."""

    entry: int
    digests: Digests
    check: Check = Check.SAMPLE


class Holdings:
    """What a receiver tells before it accepts the files, in order."""

    def __init__(self) -> None:
        self._files: dict[int, Held] = {}
        self._blocks = 0
        self._last = -1

    def add(self, have: Have) -> None:
        """One message more. Raises ProtocolError for what does not follow the last one, and for too much."""
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
        self._blocks += len(have.digests) // DIGEST_SIZE
        if self._blocks > MAX_HELD:
            raise ProtocolError(f"the other side has more than {MAX_HELD} blocks", UPDATE_HINT)

    def take(self, upto: int) -> list[Held]:
        """The files below this index; each is given out once."""
        taken = [file for entry, file in self._files.items() if entry < upto]
        for file in taken:
            del self._files[file.entry]
        return taken


def _out_of_order() -> ProtocolError:
    return ProtocolError("the other side says out of order which blocks it has", UPDATE_HINT)


def bytes_of(digests: Mapping[int, bytes], size: int, block_size: int) -> int:
    """How many bytes of a file these blocks are. size: of the file, in bytes."""
    last = (size - 1) // block_size
    return len(digests) * block_size - ((last + 1) * block_size - size if last in digests else 0)
