"""What the sender offers, as the receiver keeps it: eight bytes an entry, besides the ledger. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.ledger import Ranges
from p2pcopy.transfer.wire import Entry

_STREAM: Final = -1
# So many ranges fit into a control message: one has 24 bytes.
_SKIPS: Final = 8000


class Offer:
    """The sizes of all entries. max_entries: how many there may be; block_size: bytes."""

    def __init__(self, max_entries: int) -> None:
        self.block_size = wire.MAX_BLOCK_SIZE
        self._max_entries = max_entries
        self._sizes = array("q")

    def add(self, manifest: wire.Manifest) -> tuple[Entry, ...]:
        """The entries of the next manifest message. Raises ProtocolError for what cannot be offered."""
        first = len(self._sizes)
        if manifest.first != first:
            raise ProtocolError("the other side's manifest has a gap", wire.UPDATE_HINT)
        if first + len(manifest.entries) > self._max_entries:
            raise ProtocolError(
                f"the other side offers more than {self._max_entries} entries",
                "Send fewer files at a time, or a tar file.",
            )
        entries = tuple(map(wire.from_wire, manifest.entries))
        most = wire.max_file_size(self.block_size)
        for entry in entries:
            if entry.size is not None and entry.size > most:
                raise ProtocolError(f"the other side offers a file of {entry.size} bytes", wire.UPDATE_HINT)
            self._sizes.append(_STREAM if entry.size is None else entry.size)
        return entries

    def size(self, entry: int) -> int | None:
        """Bytes of a file; None for a stream."""
        size = self._sizes[entry]
        return None if size == _STREAM else size

    def known_bytes(self, start: int, stop: int) -> int:
        """The sum over a range of entries, streams left out."""
        return sum(size for size in self._sizes[start:stop] if size != _STREAM)


def consent(upto: int, skips: Ranges) -> Iterator[wire.Go]:
    """The messages that accept the entries below upto, except these."""
    for start in range(_SKIPS, len(skips), _SKIPS):
        part = skips[start - _SKIPS : start]
        yield wire.Go(upto=part[-1][1], skip=list(part))
    yield wire.Go(upto=upto, skip=list(skips[max(0, len(skips) - 1) // _SKIPS * _SKIPS :]))
