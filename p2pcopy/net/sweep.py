"""Finding the peer again on a TURN server that both use and that has started again.

Both have new relayed addresses then, and neither can tell the other, because the way there was the one that broke. But they
are on one machine: a check to each of its relay ports (RFC 8656 section 7.2: 49152 to 65535) finds the peer's, which permits
packets from the server's own address. 16384 small packets inside that server, at most 800 a second, as the last resort of a
session that has nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

FIRST_PORT: Final = 49152
LAST_PORT: Final = 65535
AT_ONCE: Final = 16
PAUSE_S: Final = 0.02
AGAIN_S: Final = 30.0


def ports(random: Random) -> Iterator[tuple[int, ...]]:
    """All relay ports, once, in groups, in an order that the other side does not share."""
    order = list(range(FIRST_PORT, LAST_PORT + 1))
    random.shuffle(order)
    for start in range(0, len(order), AT_ONCE):
        yield tuple(order[start : start + AT_ONCE])


async def sweep(send: Callable[[int], bool], random: Random) -> None:
    """send: one check from our relay to this port of its server; says whether to go on. Until it says no, or is cancelled."""
    while True:
        for group in ports(random):
            if not all(send(port) for port in group):
                return
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(AGAIN_S)
