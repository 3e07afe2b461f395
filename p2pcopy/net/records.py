"""The record layer of a DTLS session: OpenSSL called straight, many records a call. The one place that touches pyOpenSSL's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

MAX_RECORD: Final = 16384  # bytes of plain text (RFC 6347 section 4.1, RFC 9147 section 4)
MAX_SEALED: Final = 140000  # bytes of records that wait to be taken
_FEEDERS: Final = 8
_SPARE: Final = 4096  # OpenSSL wants a little more than the plain text


class Records:
    """The record layer of a session that is up: OpenSSL called straight, many records a call.

    Out: put a packet into plain, seal() it, and take() the records, one after the other, when enough are sealed. They are at the
    beginning of `sealed` then.
    In: feed() datagrams, then open() gives one packet after the other in opened. All of it in one thread.

    seal(size): the first size bytes of plain; returns size, anything else is a failure. open(): the number of bytes, or not
    more than 0 when there is nothing more (see is_over). With a memory BIO the bounds of datagrams are lost, but not those of
    records, and OpenSSL reads ahead: what is fed at once must be at most MAX_RECORD bytes.
    """

    def __init__(self, session: SSL.Connection) -> None:
        self._session = session  # keeps the pointers below alive
        ssl, self._in, self._out = session._ssl, session._into_ssl, session._from_ssl
        self.plain = bytearray(MAX_RECORD)
        self.opened = ffi.buffer(ffi.new("char[]", MAX_RECORD + _SPARE))
        self.sealed = bytearray(MAX_SEALED)
        self._sealed_view = memoryview(self.sealed)
        self._pointers: dict[int, tuple[Any, bytearray]] = {}
        self.seal: Callable[[int], int] = partial(lib.SSL_write, ssl, ffi.from_buffer(self.plain))
        self.open: Callable[[], int] = partial(lib.SSL_read, ssl, ffi.from_buffer(self.opened), len(self.opened))
        self._take: Callable[[], int] = partial(lib.BIO_read, self._out, ffi.from_buffer(self.sealed), MAX_SEALED)
        self._error: Callable[[int], int] = partial(lib.SSL_get_error, ssl)

    def take(self) -> memoryview:
        """All records that are sealed, and what the session itself has to say. Good until the next take()."""
        return self._sealed_view[: max(0, self._take())]

    def feed(self, data: bytearray, start: int, stop: int) -> None:
        """Whole datagrams: data[start:stop]. The object is remembered: best the same few again and again."""
        known = self._pointers.get(id(data))
        if known is None or known[1] is not data:
            if len(self._pointers) >= _FEEDERS:
                self._pointers.clear()
            known = self._pointers[id(data)] = (ffi.from_buffer(data), data)
        if lib.BIO_write(self._in, known[0] + start, stop - start) != stop - start:
            raise MemoryError("OpenSSL has no room for what has arrived")

    def feed_record(self, record: bytes, size: int) -> None:
        """One record, the first size bytes."""
        if lib.BIO_write(self._in, record, size) != size:
            raise MemoryError("OpenSSL has no room for what has arrived")

    def is_over(self, result: int) -> bool:
        """What open() has returned: does it mean that the session has ended? A record that is damaged or forged does not
        end it (RFC 9147 section 4.5.2); what else OpenSSL complains of does."""
        if self._error(result) == lib.SSL_ERROR_WANT_READ:
            return False
        lib.ERR_clear_error()
        return True
