"""What a source gives to the sender's session and what a store tells to the receiver's. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from p2pcopy.events import FileStatus
from p2pcopy.transfer.wire import Entry, FaultReason


@dataclass(frozen=True, slots=True)
class Found:
    """Something to send. local: where to read it, without symbolic links that it would be right to follow; "" for a stream."""

    entry: Entry
    local: str


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not sent. reason continues a sentence that begins with "it".

    fault: it should have been sent; otherwise leaving it out is the rule (special files, links that lead out).
    """

    path: str
    reason: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was read. raw_size: its bytes in the file; body: as it goes on the wire; digest: BLAKE3 of the raw block.

    over: the file is read from its beginning although the receiver had blocks of it.
    """

    entry: int
    number: int
    raw_size: int
    body: bytes
    digest: bytes
    compressed: bool
    over: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """A file was read to its end. digest: BLAKE3 over the digests of its blocks in order. over: as in Block.

    same: each block was compared, and is there already.
    """

    entry: int
    size: int
    blocks: int
    digest: bytes
    over: bool = False
    same: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """A block that the receiver has was read to see whether it is the same here."""

    entry: int
    same: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that cannot be read, or the rest of it."""

    entry: int
    reason: FaultReason


Item = Block | End | Fault | Compared


class Obstacle(StrEnum):
    """What is in the way of an entry at the destination."""

    FILE = "file"
    LINK = "link"
    DIRECTORY = "directory"
    SPECIAL = "special file"
    PARENT = "parent"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Clash:
    """What an entry meets at the destination. Nothing is decided by it.

    reason: what is in the way, as half a sentence. hopeless: the entry will fail whatever the policy is.
    size, mtime_ns: of the existing file; 0 for anything else. same: the entry is there already, and is skipped under every policy.
    compare: a file of the same size, whose content tells what becomes of the entry (Store.held()). Neither is to be asked about.
    """

    obstacle: Obstacle
    reason: str
    hopeless: bool = False
    size: int = 0
    mtime_ns: int = 0
    same: bool = False
    compare: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """What files need on the disk. size: their bytes, as far as known; reusable: taken by old part files that they go on with."""

    size: int = 0
    reusable: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.size + other.size, self.reusable + other.reusable)


@dataclass(frozen=True, slots=True)
class Useless:
    """What an earlier run left of a file cannot be used, so that it starts over. reason: why, as half a sentence."""

    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry, told once at most. saved_as: relative path with "/", when that is not the entry's own.

    there: it is skipped because it is there already.
    """

    index: int
    status: FileStatus
    reason: str = ""
    saved_as: str = ""
    there: bool = False

    @property
    def ok(self) -> bool:
        return self.status is FileStatus.DONE
