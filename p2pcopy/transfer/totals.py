"""The totals that both sides compare at the end. Pure."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

_MODULUS: Final = 1 << 256


class TotalDigest:
    """A sum over files that does not depend on their order: of BLAKE3(index as 4 bytes, file digest), modulo 2^256."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._sum = 0

    def add(self, entry: int, size: int, digest: bytes) -> None:
        """A file of size bytes. digest: BLAKE3 over the digests of its blocks."""
        self.files += 1
        self.bytes += size
        line = blake3(entry.to_bytes(4, "big") + digest).digest()
        self._sum = (self._sum + int.from_bytes(line, "big")) % _MODULUS

    def hex(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum:064x}"
