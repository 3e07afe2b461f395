"""A descriptor as the destination: one file, to standard output say, its blocks put in order."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import threading
from typing import Final

from p2pcopy.config import MIB
from p2pcopy.errors import InternalError, Interrupted, LocalFileError, ProtocolError
from p2pcopy.events import FileStatus
from p2pcopy.files import faults
from p2pcopy.files.singlefile import SingleFileStore
from p2pcopy.transfer.items import Outcome
from p2pcopy.transfer.wire import Entry

_CHUNK: Final = getattr(select, "PIPE_BUF", 512)
_SHOWN: Final = "standard output"


class StreamStore(SingleFileStore):
    """A Store that is a stream of bytes. The descriptor stays the caller's.

    max_waiting: bytes that may arrive before their turn; a peer that goes beyond breaks the protocol (ProtocolError).
    """

    def __init__(self, fd: int, *, max_waiting: int = 144 * MIB) -> None:
        super().__init__("only a single file can go to standard output", "Receive into a directory with --output DIR.")
        self.folds_names = False
        self._fd = fd
        self._max_waiting = max_waiting
        self._next = 0
        self._early: dict[int, bytes] = {}
        self._early_bytes = 0
        self._stopped = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()
        self._wake_lock = threading.Lock()
        self._closed = False
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        # Windows can wait for sockets only, so a write there ends when its reader lets it.
        self._may_block = not self._is_file and sys.platform != "win32"

    def write(
        self, index: int, entry: Entry, offset: int, *parts: bytes | memoryview, digest: bytes = b""
    ) -> Outcome | None:
        if index != self._index or offset < self._next or offset in self._early:
            raise InternalError(f"a block at {offset} of entry {index} does not belong into the stream")
        if offset > self._next:
            self._early_bytes += sum(map(len, parts))
            if self._early_bytes > self._max_waiting:
                raise ProtocolError(
                    "the other side sent too much before its turn", "Try the same version on both sides."
                )
            self._early[offset] = b"".join(parts)
            return None
        self._put(*parts)
        while (following := self._early.pop(self._next, None)) is not None:
            self._early_bytes -= len(following)
            self._put(following)
        return None

    def whole(self, index: int, entry: Entry, size: int) -> list[Outcome]:
        if index != self._index or size != self._next or self._early:
            raise InternalError(f"entry {index} is not whole: {self._next} of {size} bytes were written")
        if self._is_file:
            try:
                os.fsync(self._fd)
            except OSError as error:
                raise self._failure(error) from error
        return [Outcome(index, FileStatus.DONE)]

    def abandon(self, index: int, keep: bool = False) -> None:
        self._early.clear()
        self._early_bytes = 0

    def interrupt(self) -> None:
        """From any thread, at any time: a write() that waits for a slow reader ends, with Interrupted."""
        self._stopped.set()
        with self._wake_lock:
            if not self._closed:
                os.write(self._wake_writer, b"\0")

    def close(self) -> None:
        self._early.clear()
        with self._wake_lock:
            if not self._closed:
                self._closed = True
                os.close(self._wake_reader)
                os.close(self._wake_writer)

    def _put(self, *parts: bytes | memoryview) -> None:
        self._next += sum(map(len, parts))
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[self._write_some(view) :]
        except OSError as error:
            raise self._failure(error) from error

    def _write_some(self, view: memoryview) -> int:
        if not self._may_block:
            return os.write(self._fd, view)
        # When a pipe is ready it takes PIPE_BUF bytes at once, so this never hangs in write(), whoever has the other end.
        ready, writable, _ = select.select([self._wake_reader], [self._fd], [])
        if ready or self._stopped.is_set():
            raise Interrupted("writing to standard output was stopped")
        try:
            return os.write(self._fd, view[:_CHUNK]) if writable else 0
        except BlockingIOError:
            return 0

    def _failure(self, error: OSError) -> LocalFileError:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return LocalFileError(
                "standard output was closed before everything was written", "See why the program that reads it ended."
            )
        return faults.fatal(error, _SHOWN) or LocalFileError(
            f"standard output cannot be written: {faults.reason(error)}", "Send it elsewhere, or make room there."
        )
