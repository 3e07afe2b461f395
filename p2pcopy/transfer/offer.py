"""What the sender offers, as both sides keep it: eight bytes an entry, besides the ledger. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.held import Held, bytes_of
from p2pcopy.transfer.ledger import Ranges
from p2pcopy.transfer.wire import Entry

_STREAM: Final = -1
# So many ranges fit into a control message: one has 24 bytes.
_SKIPS: Final = 8000


class Sizes:
    """The sizes of all entries. block_size: of the sender's blocks, in bytes."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._sizes = array("q")

    def append(self, size: int | None) -> None:
        """Of the next entry; None for a stream."""
        self._sizes.append(_STREAM if size is None else size)

    def size(self, entry: int) -> int | None:
        """Bytes of a file; None for a stream."""
        size = self._sizes[entry]
        return None if size == _STREAM else size

    def blocks(self, entry: int) -> int:
        """How many blocks a file has; 0 for a stream."""
        return -(-(self.size(entry) or 0) // self.block_size)

    def known_bytes(self, start: int, stop: int) -> int:
        """The sum over a range of entries, streams left out."""
        return sum(size for size in self._sizes[start:stop] if size != _STREAM)

    def bytes_of(self, file: Held) -> int:
        """What the receiver has of a file."""
        return bytes_of(file.digests, self.size(file.entry) or 0, self.block_size)


class Offer(Sizes):
    """What came of the manifest. max_entries: how many there may be."""

    def __init__(self, max_entries: int) -> None:
        super().__init__(wire.MAX_BLOCK_SIZE)
        self._max_entries = max_entries

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
            self.append(entry.size)
        return entries


def consent(upto: int, skips: Ranges) -> Iterator[wire.Go]:
    """The messages that accept the entries below upto, except these."""
    for start in range(_SKIPS, len(skips), _SKIPS):
        part = skips[start - _SKIPS : start]
        yield wire.Go(upto=part[-1][1], skip=list(part))
    yield wire.Go(upto=upto, skip=list(skips[max(0, len(skips) - 1) // _SKIPS * _SKIPS :]))
