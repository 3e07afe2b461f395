"""Which blocks go out compressed: those that shrink, while compressing is faster than sending what it saves."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zstandard import ZstdCompressor

from p2pcopy.config import MIB, Compress

_ZSTD_LEVEL: Final = 1
_WORTHWHILE: Final = 0.95
_PROBE_EVERY: Final = 16
_SMALLEST: Final = 128
_MOST_KINDS: Final = 256
_COMPRESSED_ALREADY: Final = re.compile(
    r"""[.](7z|aac|apk|avif|br|bz2|cab|deb|docx|epub|flac|gif|gpg|gz|heic|jar|jpe?g|jxl|lz4|lzma|m4a|m4v|mkv|mov|mp3|mp4
    |od[pst]|ogg|opus|pdf|png|pptx|rar|rpm|t[bgx]z2?|web[mp]|whl|xlsx|xz|zip|zst)\Z""",
    re.IGNORECASE | re.VERBOSE,
)


class Balance:
    """Whether compressing pays, judged every 8 MiB of raw blocks. Pure; times in seconds, sizes in bytes.

    It does as long as something else takes longer: the path, or the source. Where it takes most of the time itself,
    a while without it tells how fast that is; from then on the faster way is taken, and compressing is measured in passing.
    """

    PERIOD: Final = 8 * MIB
    MOST: Final = 1024 * MIB

    def __init__(self) -> None:
        self.pays = True
        self._until_trial = self._between_trials = 2 * self.PERIOD
        self._own_s_per_byte = 0.0
        self._began: float | None = None
        self._raw = 0
        self._spent = 0.0

    def block(self, size: int, now: float) -> None:
        """A block of this size was read."""
        if self._began is None:
            self._began = now
        self._raw += size
        if self._raw >= self.PERIOD:
            self._judge(now - self._began)
            self._began, self._raw, self._spent = now, 0, 0.0

    def compressed(self, size: int, seconds: float) -> None:
        """A block of this size was compressed, or it was tried."""
        self._spent += seconds
        self._own_s_per_byte += (seconds / size - self._own_s_per_byte) / 8

    def _judge(self, elapsed: float) -> None:
        if not self.pays:
            self.pays = self._own_s_per_byte < 0.9 * elapsed / self._raw
            return
        self._until_trial -= self._raw
        if self._until_trial <= 0 and self._spent > 0.6 * elapsed:
            self.pays = False
            self._until_trial = self._between_trials = min(2 * self._between_trials, self.MOST)


@dataclass(slots=True)
class Kind:
    """Files with the same extension. left: blocks to come before it is tried again whether they shrink."""

    shrinks: bool = True
    left: int = 0


class Compression:
    """For one thread. AUTO tries again with every 16th block what did not shrink; ALWAYS is for what gains a single byte."""

    def __init__(self, mode: Compress, clock: Callable[[], float] = time.monotonic) -> None:
        self._mode = mode
        self._clock = clock
        self._compressor = ZstdCompressor(level=_ZSTD_LEVEL)
        self._balance = Balance()
        self._kinds: dict[str, Kind] = {}

    def never(self) -> None:
        """The receiver cannot unpack."""
        self._mode = Compress.NEVER

    def kind(self, path: str) -> Kind | None:
        """What to give to body() with the blocks of a file; None for those that are not compressed."""
        if self._mode is Compress.NEVER or (self._mode is Compress.AUTO and _COMPRESSED_ALREADY.search(path)):
            return None
        extension = os.path.splitext(path)[1].lower()
        if extension not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            return Kind()
        return self._kinds.setdefault(extension, Kind())

    def body(self, kind: Kind | None, raw: bytes) -> bytes | None:
        """A block as one zstd frame, None where that does not pay."""
        if kind is None or self._mode is Compress.NEVER:
            return None
        if self._mode is Compress.ALWAYS:
            body = self._compressor.compress(raw) if len(raw) >= _SMALLEST else raw
            return body if len(body) < len(raw) else None
        began = self._clock()
        self._balance.block(len(raw), began)
        kind.left -= 1
        if len(raw) < _SMALLEST or not ((kind.shrinks and self._balance.pays) or kind.left < 0):
            return None
        kind.left = _PROBE_EVERY - 1
        body = self._compressor.compress(raw)
        self._balance.compressed(len(raw), self._clock() - began)
        kind.shrinks = len(body) < len(raw) * _WORTHWHILE
        return body if kind.shrinks else None
