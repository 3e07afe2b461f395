"""What the receiver reports of its entries, gathered into few messages. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from p2pcopy.transfer import wire
from p2pcopy.transfer.ledger import ranges_of

_MANY: Final = 1000
_AGE_S: Final = 0.1
# So many fit into a control message whatever is in them: a range has 24 bytes, a reason six for each character.
_RANGES: Final = 2000
_REASONS: Final = 50


class Results:
    """Entries that are finished and not yet reported. failed: how many failed ones there were in all."""

    def __init__(self, now: float) -> None:
        self.failed = 0
        self._done: list[int] = []
        self._failed: list[tuple[int, str]] = []
        self._taken = now

    def add_done(self, entry: int) -> None:
        self._done.append(entry)

    def add_failed(self, entry: int, reason: str) -> None:
        self._failed.append((entry, wire.shown(reason)))
        self.failed += 1

    def take(self, now: float, *, everything: bool = False) -> Iterator[wire.Results]:
        """The messages that are due: a thousand results or more, the first after a tenth of a second, or everything."""
        pending = len(self._done) + len(self._failed)
        if not (everything or pending >= _MANY or now - self._taken >= _AGE_S):
            return
        self._taken = now
        done, self._done = ranges_of(sorted(self._done)), []
        failed, self._failed = self._failed, []
        for start in range(0, len(done), _RANGES):
            yield wire.Results(done=done[start : start + _RANGES])
        for start in range(0, len(failed), _REASONS):
            yield wire.Results(failed=failed[start : start + _REASONS])
