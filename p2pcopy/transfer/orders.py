"""What the receiving end of the protocol wants done. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from p2pcopy.transfer.assembly import WholeBlock
from p2pcopy.transfer.conversation import Ended, Finished, SendControl
from p2pcopy.transfer.records import FileFault
from p2pcopy.transfer.wire import Entry, FaultReason

_FAULT_TEXT: Final = {
    FaultReason.VANISHED: "it vanished at the sender",
    FaultReason.UNREADABLE: "the sender cannot read it",
    FaultReason.CHANGED: "it changed while it was being sent",
    FaultReason.DROPPED: "it was left out",
    FaultReason.DIFFERS: "it differs from the one that is there",
}
_MAY_RETURN: Final = frozenset({FaultReason.VANISHED, FaultReason.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Listed:
    """New entries of the manifest, the first with index first. cost: what listed() must be called with when they are checked."""

    first: int
    entries: tuple[Entry, ...]
    cost: int


@dataclass(frozen=True, slots=True)
class ManifestComplete:
    """No more entries will come. left_out: what the sender could not read; omitted: what else it does not send."""

    entries: int
    left_out: int
    omitted: int


@dataclass(frozen=True, slots=True)
class StoreBlock:
    """Decompress, check the digest, write at offset; then call stored() or damaged(), also when the file failed meanwhile."""

    block: WholeBlock
    offset: int


@dataclass(frozen=True, slots=True)
class Commit:
    """All blocks of this file are stored: make it final; then call committed() or failed_here()."""

    entry: int
    size: int


@dataclass(frozen=True, slots=True)
class StartOver:
    """The sender sends all of this file: what was there of it does not count any more. Before its first StoreBlock."""

    entry: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """The sender cannot send this file, or it arrived damaged again and again. keep: what came of it may be of use later."""

    entry: int
    reason: str
    keep: bool = False

    @classmethod
    def of(cls, fault: FileFault) -> Self:
        """What came is kept where it is the file's, which may be there and readable the next time."""
        return cls(fault.entry, _FAULT_TEXT[fault.reason], fault.reason in _MAY_RETURN)


@dataclass(frozen=True, slots=True)
class FinishStore:
    """Everything is here: commit what is left, links and directories; then call store_finished()."""


ReceiverAction = (
    SendControl | Listed | ManifestComplete | StartOver | StoreBlock | Commit | Abandon | FinishStore | Finished | Ended
)
