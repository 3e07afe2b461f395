"""What all stores have in common that take one file, and have nothing at its place."""

from __future__ import annotations

from p2pcopy.config import Existing
from p2pcopy.errors import Declined, InternalError
from p2pcopy.events import Mark
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Clash, Outcome
from p2pcopy.transfer.wire import Entry, Kind


class SingleFileStore:
    """Most of a Store; subclasses add write(), whole(), abandon(), interrupt() and close().

    message, hint: for whoever is offered more.
    """

    def __init__(self, message: str, hint: str) -> None:
        self._refusal = message, hint
        self._index: int | None = None

    def admit(self, index: int, entry: Entry) -> Clash | None:
        """Raises Declined for anything but a single file."""
        if entry.kind is not Kind.FILE or self._index is not None:
            raise Declined(*self._refusal)
        self._index = index
        return None

    def mark(self, entry: Entry, clash: Clash | None) -> Mark:
        return Mark.NEW

    def resolve(self, existing: Existing) -> None:
        """Nothing can be in its way."""

    def begin(self, block_size: int) -> None:
        """Blocks are put in order by their offsets."""

    def free_bytes(self) -> int | None:
        """Nobody knows."""
        return None

    def reusable_bytes(self, entry: Entry) -> int:
        return 0

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        return None

    def held(self, index: int, entry: Entry) -> Held | None:
        """Nothing is left of an earlier run."""
        return None

    def start_over(self, index: int, entry: Entry) -> None:
        raise InternalError("nothing of this file was held")

    def other(self, index: int, entry: Entry) -> list[Outcome]:
        raise InternalError("directories and links were not admitted")

    def flush(self) -> list[Outcome]:
        return []

    def finish(self) -> list[Outcome]:
        return []
