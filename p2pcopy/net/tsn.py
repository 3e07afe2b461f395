"""Transmission sequence numbers: 32 bits that wrap around (RFC 9260 section 1.6, RFC 1982). Pure.

Two numbers can be compared while they are less than 2**31 apart.
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000


def plus(tsn: int, count: int) -> int:
    """The number that is count (any integer) after tsn."""
    return (tsn + count) & MASK


def distance(tsn: int, origin: int) -> int:
    """How many after origin tsn comes: from -2**31 to 2**31 - 1, negative if it comes before."""
    return ((tsn - origin + HALF) & MASK) - HALF
