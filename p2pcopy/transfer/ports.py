"""What the sessions need of the files on either side, and all they know of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from p2pcopy.config import Existing
from p2pcopy.events import Mark
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Block, Clash, Fault, Item, Outcome, Useless
from p2pcopy.transfer.wire import Entry


class Gate(Protocol):
    """Lets the names of entries through, or raises a ProtocolError."""

    def admit(self, entry: Entry) -> None: ...


class Log(Protocol):
    """The entries of a transfer, in order, with where they are on this machine."""

    def append(self, entry: Entry, local: str = "") -> int: ...

    def __getitem__(self, index: int) -> tuple[Entry, str]: ...


class Reader(Protocol):
    """Reads the blocks of accepted entries in order."""

    def allow(self, upto: int, skips: Sequence[tuple[int, int]], held: Sequence[Held]) -> None: ...

    def never_compress(self) -> None: ...

    def drop(self, entry: int) -> None: ...

    def next(self) -> Item | None: ...

    def reread(self, entry: int, number: int) -> Block | Fault: ...


class Store(Protocol):
    """What the session needs of a destination. Synchronous, driven by one thread; it gets verified data only.

    Every method raises LocalFileError when the destination as a whole fails (full, read-only, broken): the transfer is over then,
    and close() keeps what the next run can go on with. What concerns one entry only becomes its Outcome.
    """

    def admit(self, index: int, entry: Entry) -> Clash | None:
        """Once for every entry before consent, parents before children. Changes nothing."""

    def mark(self, entry: Entry, clash: Clash | None) -> Mark:
        """What becomes of an entry that admit() has just let in, under the policy of now. Changes nothing."""

    def resolve(self, existing: Existing) -> None:
        """What happens to entries whose names are taken: as it looks before consent, and what the user has said then."""

    def free_bytes(self) -> int | None:
        """What may still be written; None where nobody knows."""

    def reusable_bytes(self, entry: Entry) -> int:
        """What an old part file of this entry takes on the disk: the entry needs that much less."""

    def begin(self, block_size: int) -> None:
        """Once, before the first held() or write(): all blocks of this transfer have this size in bytes, but for the last ones."""

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        """After the policy is known: the outcome of an entry that will not be stored, so that its data need not be sent."""

    def held(self, index: int, entry: Entry) -> Held | Useless | Outcome | None:
        """Which blocks of an accepted file are here; before its first write(), and after resolve(). May read the disk for a while.

        An Outcome when the file has failed now: what comes for it later is ignored.
        With Check.SAMPLE they are what an earlier run left: the other blocks are to be written, then whole(). With another check
        they are all blocks of a finished file whose name is taken: whole() alone skips the entry. Raises Interrupted after
        interrupt().
        """

    def start_over(self, index: int, entry: Entry) -> None:
        """All blocks of a file that held() told of will be written: what there was of it does not count any more."""

    def write(
        self, index: int, entry: Entry, offset: int, *parts: bytes | memoryview, digest: bytes = b""
    ) -> Outcome | None:
        """Store a block; blocks come in any order. parts: what it consists of, in order; digest: BLAKE3 of it, for the next run.

        An Outcome when the file has failed now: what comes for it later is ignored.
        """

    def whole(self, index: int, entry: Entry, size: int) -> list[Outcome]:
        """All size bytes were written (an empty file got no write()). Queues the commit. The outcomes of commits that happened now;
        for a file that has failed before, that one (again, if write() told it)."""

    def abandon(self, index: int, keep: bool = False) -> None:
        """Forget a file that will not become whole. No outcome. keep: what came of it is left for the next run."""

    def other(self, index: int, entry: Entry) -> list[Outcome]:
        """A directory is made now, a link at the end. The outcomes that are known now; the others come from finish()."""

    def flush(self) -> list[Outcome]:
        """Commit all that is queued. To be called when no more work is waiting: the store has no clock of its own."""

    def finish(self) -> list[Outcome]:
        """flush(), then the links, then modes and times of directories, deepest first; all synced."""

    def interrupt(self) -> None:
        """From any thread: a write() that waits for a slow reader and a held() that reads for long end, with Interrupted."""

    def close(self) -> None:
        """Close descriptors; of what was not committed, keep what the next run can go on with and remove the rest. Idempotent."""
