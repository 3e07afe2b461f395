"""The entries of a transfer, in order, on the disk instead of in memory."""

from __future__ import annotations

import tempfile
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from p2pcopy.errors import LocalFileError
from p2pcopy.transfer.wire import Entry, Kind

_PAGE_ENTRIES: Final = 128
# As many as files may be on their way: who asks for the oldest and who asks for the newest of them share these.
_PAGES_KEPT: Final = 32

# kind, path, size, mode, mtime_ns, target, local
_Row = tuple[Kind, bytes, int | None, int, int, bytes, bytes]
_Page = list[tuple[Entry, str]]


class EntryLog:
    """An append-only list of (entry, local): what was agreed with the peer, and where it is on this machine.

    Entries are numbered from 0 and never change. They are kept in an unnamed temporary file, in pages; memory holds the page that
    grows, a few that were read last, and 8 bytes for each of the others. Any thread may call anything at any time.
    An entry must have passed names.check_entry: the file has room for 64-bit numbers only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[_Row])
        self._starts = array("Q", [0])
        self._kept: OrderedDict[int, _Page] = OrderedDict()
        self._growing: _Page = []
        try:
            self._file = tempfile.TemporaryFile(prefix="p2pcopy-", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise _no_room(error) from error

    def __len__(self) -> int:
        with self._lock:
            return self._length()

    def append(self, entry: Entry, local: str = "") -> int:
        """The number of the new entry. Raises LocalFileError when the temporary directory is full."""
        with self._lock:
            if len(self._growing) == _PAGE_ENTRIES:
                self._store(self._growing)
                self._growing = []
            self._growing.append((entry, local))
            return self._length() - 1

    def __getitem__(self, index: int) -> tuple[Entry, str]:
        """Raises IndexError outside of 0 to len - 1, LocalFileError when the temporary file cannot be read."""
        with self._lock:
            if not 0 <= index < self._length():
                raise IndexError(index)
            page, place = divmod(index, _PAGE_ENTRIES)
            return (self._growing if page == self._pages_stored() else self._load(page))[place]

    def __iter__(self) -> Iterator[tuple[Entry, str]]:
        """In order, up to the last entry at the time when it is reached."""
        index = 0
        while index < len(self):
            yield self[index]
            index += 1

    def close(self) -> None:
        """Give the temporary file back. May be called twice."""
        with self._lock:
            self._file.close()

    def _length(self) -> int:
        return self._pages_stored() * _PAGE_ENTRIES + len(self._growing)

    def _pages_stored(self) -> int:
        return len(self._starts) - 1

    def _store(self, page: _Page) -> None:
        data = memoryview(self._encoder.encode([_row(entry, local) for entry, local in page]))
        start = self._starts[-1]
        try:
            self._file.seek(start)
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            raise _no_room(error) from error
        self._starts.append(start + len(data))

    def _load(self, number: int) -> _Page:
        if (page := self._kept.get(number)) is not None:
            self._kept.move_to_end(number)
            return page
        start, end = self._starts[number], self._starts[number + 1]
        try:
            self._file.seek(start)
            data = self._file.read(end - start)
        except OSError as error:
            raise _no_room(error) from error
        page = [_entry(row) for row in self._decoder.decode(data)]
        self._kept[number] = page
        if len(self._kept) > _PAGES_KEPT:
            self._kept.popitem(last=False)
        return page


# Names may hold surrogates, which msgpack text may not: as bytes they survive whatever they are.
def _row(entry: Entry, local: str) -> _Row:
    path, target = entry.path.encode("utf-8", "surrogatepass"), entry.target.encode("utf-8", "surrogatepass")
    return entry.kind, path, entry.size, entry.mode, entry.mtime_ns, target, local.encode("utf-8", "surrogatepass")


def _entry(row: _Row) -> tuple[Entry, str]:
    kind, path, size, mode, mtime_ns, target, local = row
    path_text, target_text = path.decode("utf-8", "surrogatepass"), target.decode("utf-8", "surrogatepass")
    return Entry(kind, path_text, size, mode, mtime_ns, target_text), local.decode("utf-8", "surrogatepass")


def _no_room(error: OSError) -> LocalFileError:
    return LocalFileError(
        f"the list of files could not be kept in {tempfile.gettempdir()}: {error.strerror}",
        "Free some space there, or set TMPDIR to another directory.",
    )
