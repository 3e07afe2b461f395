"""A text that is shown and not stored: the one file of an offer, kept in memory."""

from __future__ import annotations

from typing import Final

from p2pcopy.config import KIB
from p2pcopy.errors import Declined, InternalError
from p2pcopy.events import FileStatus
from p2pcopy.files.singlefile import SingleFileStore
from p2pcopy.transfer.items import Clash, Outcome
from p2pcopy.transfer.wire import Entry

MAX_TEXT: Final = 64 * KIB  # bytes
_TOO_LONG: Final = "Receive it as a file, with --output DIR."


class TextStore(SingleFileStore):
    """A Store. text: what came, once it is whole; bytes that are not UTF-8 as surrogate escapes (PEP 383)."""

    def __init__(self) -> None:
        super().__init__("the other side offers more than the text that it has announced", _TOO_LONG)
        self.text: str | None = None
        self._blocks: dict[int, bytes] = {}
        self._size = 0

    def admit(self, index: int, entry: Entry) -> Clash | None:
        """Raises Declined for anything but one short file."""
        super().admit(index, entry)
        self._check(entry.size or 0)
        return None

    def write(
        self, index: int, entry: Entry, offset: int, *parts: bytes | memoryview, digest: bytes = b""
    ) -> Outcome | None:
        """Raises Declined for more than MAX_TEXT bytes."""
        self._size += sum(map(len, parts))
        self._check(self._size)
        self._blocks[offset] = b"".join(parts)
        return None

    def whole(self, index: int, entry: Entry, size: int) -> list[Outcome]:
        content = b"".join(self._blocks[offset] for offset in sorted(self._blocks))
        if index != self._index or size != len(content):
            raise InternalError(f"the text is not whole: there are {len(content)} of {size} bytes")
        self.text = content.decode("utf-8", "surrogateescape")
        return [Outcome(index, FileStatus.DONE)]

    def abandon(self, index: int, keep: bool = False) -> None:
        self._blocks.clear()

    def interrupt(self) -> None:
        """Nothing here waits."""

    def close(self) -> None:
        """There is nothing to close."""

    def _check(self, size: int) -> None:
        if size > MAX_TEXT:
            raise Declined(f"the text is longer than {MAX_TEXT // KIB} KiB", _TOO_LONG)
