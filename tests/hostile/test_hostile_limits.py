"""What a peer may take of time, memory and patience, where the whole suite would take too long to show it."""

from __future__ import annotations

import asyncio
import base64
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import joined
from hostile.case import INTEGRITY, PROTOCOL, Case, Sending
from hostile.forging import message
from hostile.rogue import Rogue, Step
from hostile.verdict import Scene
from p2pcopy.config import MIB, TransferLimits
from p2pcopy.errors import ExitCode
from p2pcopy.files.stream import StreamStore
from p2pcopy.transfer.conversation import Ended, State
from p2pcopy.transfer.held import Holdings
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.sender import Sender
from p2pcopy.transfer.wire import MAX_HELD, Entry, Have, Kind

LIMITS = TransferLimits()
HOUR_S = 3600


async def _ask_without_end(rogue: Rogue) -> None:
    """For one block, again and again; in the end all is well."""
    await rogue.receive_up_to(Step.ENDED)
    rogue.say("credit", limit=2**40)
    for _ in range(100):
        pieces = len(rogue.pieces)
        rogue.say("again", entry=rogue.index("tree/a"), block=0)
        await rogue.until(lambda pieces=pieces: len(rogue.pieces) > pieces)  # type: ignore[misc]
    rogue.done()
    await rogue.hear("bye")
    rogue.say("bye")


async def _store_more_than_there_is(rogue: Rogue) -> None:
    await rogue.receive_up_to(Step.ENDED)
    rogue.say("credit", limit=2**40, stored=2**53 - 1)
    rogue.done()
    await rogue.hear("bye")
    rogue.say("bye")


@pytest.mark.parametrize(
    "case",
    [
        Case("again: without end", _ask_without_end, (INTEGRITY, PROTOCOL), Sending()),
        Case("credit: for more than was sent", _store_more_than_there_is, (PROTOCOL,), Sending()),
    ],
    ids=str,
)
def test_it_holds(case: Case, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    scene = Scene(case, tmp_path)
    outcome = asyncio.run(joined.play(case, tmp_path))
    record_property("hostile", (str(case), outcome.seconds, outcome.peak))
    scene.check(outcome)


def test_a_receiver_that_never_gives_credit_again_is_left_within_an_hour() -> None:
    """Whatever the rule is: within an hour in which nothing was stored and nothing may be sent."""
    sender = Sender(LIMITS, "test", 0.0)
    hello = message("hello", version=1, role="receiver", software="", block_size=MIB, credit=4 * MIB, features=["zstd"])
    sender.control_received(hello, 0.0)
    sender.entries([Entry(Kind.FILE, "large", 100 * MIB)])
    sender.manifest_complete(0)
    sender.control_received(message("go", upto=1), 0.0)
    packer = Packer(LIMITS.max_data_message)
    for number in range(8):
        packer.block(0, number, MIB, bytes(MIB), bytes(32), compressed=False)
    sender.data(packer.take())
    assert _ending(sender) in ([ExitCode.LOST], [ExitCode.PEER])


def test_a_receiver_that_never_says_done_is_left_within_an_hour() -> None:
    """Everything was sent, and nothing is told of it any more."""
    sender = Sender(LIMITS, "test", 0.0)
    sender.control_received(
        message("hello", version=1, role="receiver", software="", block_size=MIB, credit=4 * MIB), 0.0
    )
    sender.manifest_complete(0)
    sender.control_received(message("go", upto=0), 0.0)
    sender.all_read()
    assert _ending(sender) in ([ExitCode.LOST], [ExitCode.PEER])


def _ending(sender: Sender) -> list[ExitCode]:
    """How an hour ends in which the receiver pings."""
    ended: list[Ended] = []
    for second in range(HOUR_S):
        if second % 3 == 0:
            sender.control_received(message("ping", number=second), float(second))
        sender.tick(float(second))
        ended += [action for action in sender.actions() if isinstance(action, Ended)]
    return [each.error.exit_code for each in ended]


def test_a_stream_has_room_for_what_comes_while_a_damaged_block_is_asked_for() -> None:
    """A sender with nothing but bad memory: for each time that it is asked, a window is under way and a batch is being read."""
    batch = 4 * MIB
    under_way = (LIMITS.max_bad_blocks - 1) * (LIMITS.max_window + batch)
    entry = Entry(Kind.FILE, "stream", 200 * MIB)
    block = bytes(MIB)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    store = StreamStore(nowhere)
    try:
        store.admit(0, entry)
        for offset in range(MIB, under_way + MIB, MIB):
            store.write(0, entry, offset, block)
        store.write(0, entry, 0, block)
    finally:
        store.close()
        os.close(nowhere)


@pytest.mark.parametrize("files", [1, 2**14])
def test_blocks_that_are_told_cost_a_sender_little(files: int) -> None:
    """As many as a receiver may tell of, with gaps between them or each in a file of its own, in 64 MB."""
    count = 2**14
    holdings = Holdings()
    tracemalloc.start()
    try:
        for number in range(count):
            holdings.add(Have(number % files, 2 * number, bytes(32)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / holdings.told.cost * MAX_HELD < 64 * MIB


def test_a_sender_that_is_told_too_much_ends_before_it_has_no_memory() -> None:
    """Of a file that has all these blocks."""
    machine = Sender(TransferLimits(), "victim", 0.0)
    machine.control_received(
        message("hello", version=1, role="receiver", software="", block_size=MIB, credit=4 * MIB), 0.0
    )
    machine.entries([Entry(Kind.FILE, "huge", 2**22 * MIB)])
    digests = base64.b64encode(bytes(32 * 4096)).decode()
    tracemalloc.start()
    try:
        for number in range(1000):
            first = number * 4096
            machine.control_received(message("have", entry=0, first=first, digests=digests), 0.0)
            if machine.state is State.OVER:
                break
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert machine.state is State.OVER
    assert held < 70 * MIB
