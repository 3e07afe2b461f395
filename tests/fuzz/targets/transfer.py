"""Both machines of the transfer, with somebody between them: no message may bring them out of order, or have them keep too much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fuzz.feed import Feed
from fuzz.transfers import CONTENT, Transfer
from p2pcopy.transfer.conversation import Finished

MODULES = (
    "p2pcopy.transfer.assembly",
    "p2pcopy.transfer.conversation",
    "p2pcopy.transfer.flow",
    "p2pcopy.transfer.held",
    "p2pcopy.transfer.ledger",
    "p2pcopy.transfer.offer",
    "p2pcopy.transfer.outbox",
    "p2pcopy.transfer.receiver",
    "p2pcopy.transfer.results",
    "p2pcopy.transfer.sender",
)

STEPS: Final = 100
_END: Final = 40  # rounds in which a transfer that is left alone is done


def one(data: bytes) -> None:
    transfer = Transfer(Feed(data))
    for _ in range(STEPS):
        if not transfer.feed:
            break
        transfer.step()
    if not transfer.is_attacked and transfer.now < 10:
        done(transfer)


def done(transfer: Transfer) -> None:
    """Nobody has touched it, and nobody waited too long."""
    for _ in range(4):
        transfer.go_on(_END)
    assert [type(end) for ends in transfer.ends.values() for end in ends] == [Finished, Finished]
    for entry, content in transfer.final.items():
        assert content == CONTENT[entry]
    assert transfer.receiver._window.held == 0


def seeds() -> Iterator[bytes]:
    # Options, then steps; 8 goes on for so many rounds, from 10 on there is an attack.
    for options in (0, 1, 2, 4, 8, 16, 48, 80, 112, 128, 255):
        yield bytes([options, 8, 40, 8, 40])
    for rounds in (2, 6, 12, 18):
        begun = bytes([2, 8, rounds])
        yield begun + bytes([10, 0, 2, 0, 9, 1]) + b"\x08\x10"
        yield begun + bytes([10, 0, 0, 1, 10, 2, 1, 0]) + b"\x08\x28"
        yield begun + bytes([10, 0, 4, 1, 2, 1, 0, 0, 1, 0]) + b"\x08\x10"
        yield begun + bytes([10, 2, 7, 5, 1, 1, 0]) + b"\x08\x10" + bytes([10, 2, 6, 1, 0, 0]) + b"\x08\x08"
        yield begun + bytes([10, 0, 6]) + b"\x08\x20" + bytes([7, 5, 7, 4])
        yield b"\x12" + begun[1:] + bytes([10, 0, 4, 4, 0, 1, 2, 0, 1]) + b"\x08\x20"
    yield bytes([16, 8, 5, 10, 2, 7, 3, 1, 0, 1, 9, 0, 8, 20])
