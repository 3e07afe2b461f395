"""Seeds changed a little, as the same random numbers always do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

MAX_SIZE: Final = 4096  # bytes of an input
_EDITS: Final = 4
_TELLING: Final = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 63, 64, 127, 128, 129, 192, 254, 255)


def mutations(seeds: Sequence[bytes], count: int, random: Random) -> Iterator[bytes]:
    """count inputs, each a seed with one to four edits."""
    for _ in range(count):
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, _EDITS)):
            edit(data, random.choice(seeds), random)
        yield bytes(data[:MAX_SIZE])


def edit(data: bytearray, other: bytes, random: Random) -> None:
    """Change, insert, repeat, remove or exchange a few bytes. other: a seed to take some from."""
    at = random.randint(0, len(data))
    size = min(random.choice((1, 1, 2, 4, 8, 16, 64)), len(data) - at)
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice(_TELLING)
        case 2:
            data[at:at] = random.randbytes(random.choice((1, 2, 4, 8)))
        case 3:
            del data[at : at + size]
        case 4:
            data[at:at] = data[at : at + size] * random.choice((1, 1, 2, 16))
        case 5:
            start = random.randint(0, len(other))
            data[at : at + size] = other[start : start + random.choice((1, 4, 16, 64, 256))]
        case _:
            data[at : at + size] = random.randbytes(size)
