"""What became of each entry, in two bytes an entry. The same on both sides. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.wire import UPDATE_HINT, Kind

Ranges = Sequence[tuple[int, int]]


class Phase(IntEnum):
    """How far an entry has come. STORED is for the receiver only: all blocks written, not yet final."""

    OFFERED = 0
    ACCEPTED = 1
    SKIPPED = 2
    STORED = 3
    DONE = 4
    FAILED = 5


_PHASE: Final = 0x0F
_ENDED: Final = 0x10
_FAULTED: Final = 0x20
_REPORTED: Final = 0x40
# Nothing more comes for it: a file after its end, a directory or link from the beginning.
_READY: Final = Phase.ACCEPTED | _ENDED
_ON_ACCEPT: Final = bytes.maketrans(b"fdl", bytes((Phase.ACCEPTED, _READY, _READY)))


class Ledger:
    """Indices are those of the manifest. faults: files with a fault record and no end record. Ranges are half-open."""

    def __init__(self) -> None:
        self.accepted = 0
        self.consented = False
        self.files_accepted = 0
        self.files_done = 0
        self.files_skipped = 0
        self.failed = 0
        self.faults = 0
        self.unresolved = 0
        self._kinds = bytearray()
        self._marks = bytearray()

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, kinds: Iterable[Kind]) -> None:
        """The next entries of the manifest."""
        self._kinds += "".join(kinds).encode()
        self._marks.extend(bytes(len(self._kinds) - len(self._marks)))

    def accept(self, upto: int, skips: Ranges) -> None:
        """Entries below upto are accepted, except these. Raises ProtocolError for what cannot be."""
        first = self.accepted
        if not first <= upto <= len(self):
            raise ProtocolError(f"the other side accepts {upto} of {len(self)} entries", UPDATE_HINT)
        check_ranges(skips, first, upto)
        self.accepted, self.consented = upto, True
        self._marks[first:upto] = self._kinds[first:upto].translate(_ON_ACCEPT)
        self.unresolved += upto - first
        self.files_accepted += self._files(first, upto)
        for start, stop in skips:
            self._marks[start:stop] = bytes((Phase.SKIPPED,)) * (stop - start)
            self.unresolved -= stop - start
            self.files_accepted -= self._files(start, stop)
            self.files_skipped += self._files(start, stop)

    def is_file(self, entry: int) -> bool:
        return self._kinds[entry] == ord(Kind.FILE)

    def phase(self, entry: int) -> int:
        """One of Phase."""
        return self._marks[entry] & _PHASE

    def ended(self, entry: int) -> bool:
        """Whether its end record was there."""
        return self._marks[entry] & _ENDED != 0

    def faulted(self, entry: int) -> bool:
        """Whether its fault record was there."""
        return self._marks[entry] & _FAULTED != 0

    def end(self, entry: int) -> None:
        """Its end record is there, for the first time."""
        if self.faulted(entry):
            self.faults -= 1
        self._marks[entry] |= _ENDED

    def fault(self, entry: int) -> None:
        """Its fault record is there, for the first time."""
        if not self.ended(entry):
            self.faults += 1
        self._marks[entry] |= _FAULTED

    def stored(self, entry: int) -> None:
        """All its blocks are written."""
        self._marks[entry] = Phase.STORED | _ENDED

    def settle(self, entry: int, phase: Phase) -> None:
        """The last phase of an entry: DONE or FAILED."""
        self._marks[entry] = self._marks[entry] & ~_PHASE | phase
        self.unresolved -= 1
        if phase is Phase.FAILED:
            self.failed += 1
        else:
            self.files_done += self.is_file(entry)

    def report_done(self, ranges: Ranges) -> None:
        """The receiver says that these are final. Raises ProtocolError where that cannot be, or was said before."""
        check_ranges(ranges, 0, self.accepted)
        for start, stop in ranges:
            if self._marks.count(_READY, start, stop) != stop - start:
                raise ProtocolError("the other side reports an entry that was not sent, or twice", UPDATE_HINT)
            self._marks[start:stop] = bytes((Phase.DONE | _ENDED,)) * (stop - start)
            self.unresolved -= stop - start
            self.files_done += self._files(start, stop)

    def report_failed(self, entry: int) -> bool:
        """The receiver says that this one failed there. False when it had failed here. Raises ProtocolError as report_done()."""
        open_or_failed = entry < self.accepted and self.phase(entry) in (Phase.ACCEPTED, Phase.FAILED)
        if not open_or_failed or self._marks[entry] & _REPORTED:
            raise ProtocolError("the other side reports an entry that it has not accepted, or twice", UPDATE_HINT)
        self._marks[entry] |= _REPORTED
        if self.phase(entry) == Phase.FAILED:
            return False
        self.settle(entry, Phase.FAILED)
        return True

    def _files(self, start: int, stop: int) -> int:
        return self._kinds.count(b"f", start, stop)


def check_ranges(ranges: Ranges, start: int, stop: int) -> None:
    """Raises ProtocolError unless these are ascending, not empty, apart from each other and within start and stop."""
    position = start
    for first, last in ranges:
        if not position <= first < last <= stop:
            raise ProtocolError("the other side sent ranges out of order", UPDATE_HINT)
        position = last


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges that cover these ascending numbers."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
