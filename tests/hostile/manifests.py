"""What a sender offers: manifests that are wrong, absurd or without end, and its first words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import zstandard

from hostile.case import DECLINED, LOCAL, OK, PROTOCOL, Case, Play, Receiving
from hostile.forging import (
    BLOCK,
    Entry,
    Json,
    digest,
    directory,
    entry,
    message,
    piece,
    whole,
)
from hostile.nonsense import EVIL
from hostile.rogue import Rogue
from p2pcopy.config import MIB, Existing, TransferLimits


def cases() -> Iterator[Case]:
    yield from _manifests()
    yield from _hellos()
    yield from _texts()


def _manifests() -> Iterator[Case]:
    many = [entry(path=f"tree/{number}") for number in range(4097)]

    def saying(*messages: bytes) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.greet()
            for each in messages:
                rogue.raw(each)

        return play

    first = message("manifest", first=0, entries=[directory()])
    bad = {
        "begins in the middle": [message("manifest", first=1, entries=[directory()])],
        "has a gap": [first, message("manifest", first=2, entries=[entry()])],
        "begins again": [first, first],
        "has a negative beginning": [message("manifest", first=-1, entries=[directory()])],
        "is empty": [message("manifest", first=0, entries=[])],
        "has no entries": [message("manifest", first=0)],
        "has null for entries": [message("manifest", first=0, entries=None)],
        "has too many entries in a message": [first, message("manifest", first=1, entries=many)],
        "ends with a count too high": [first, message("manifest_end", entries=2)],
        "ends with a count too low": [first, message("manifest_end", entries=0)],
        "ends with a negative count": [first, message("manifest_end", entries=-1)],
        "ends twice": [first, message("manifest_end", entries=1), message("manifest_end", entries=1)],
        "goes on after its end": [
            first,
            message("manifest_end", entries=1),
            message("manifest", first=1, entries=[entry()]),
        ],
        "left out too much": [first, message("manifest_end", entries=1, left_out=2**53)],
    }
    for name, messages in bad.items():
        yield Case(f"manifest: {name}", saying(*messages), really=name == "goes on after its end")

    async def too_many(rogue: Rogue) -> None:
        await rogue.greet()
        batches = (
            message("manifest", first=first, entries=[entry("f", f"{number}") for number in range(first, first + 100)])
            for first in range(0, 2100, 100)
        )
        await rogue.pour(batches, control=True)

    yield Case(
        "manifest: of more entries than there may be",
        too_many,
        limits=TransferLimits(block_size=BLOCK, max_entries=2000),
    )

    async def a_million(rogue: Rogue) -> None:
        """As fast as credit allows: a thousand times a thousand entries, and one."""
        await rogue.greet()
        granted, spent = 32 * MIB, 0
        for first in range(0, 1_001_000, 1000):
            batch = message(
                "manifest", first=first, entries=[entry("f", f"{n:07}") for n in range(first, first + 1000)]
            )
            spent += len(batch) + 256 * 1000
            while spent > granted:
                granted = (await rogue.hear("credit"))["limit"]
            rogue.raw(batch)
            await rogue.channel.drain(MIB)

    yield Case(
        "manifest: of a million entries and more",
        a_million,
        victim=Receiving(asks=True),
        seconds=300,
        memory=300_000_000,
        really=True,
        heavy=True,
    )

    async def without_credit(rogue: Rogue) -> None:
        await rogue.greet()
        batches = (
            message("manifest", first=first, entries=[entry("f", f"{number}") for number in range(first, first + 4000)])
            for first in range(0, 200_000, 4000)
        )
        await rogue.pour(batches, control=True)

    yield Case("manifest: that waits for no credit", without_credit, really=True)

    async def sizes(rogue: Rogue) -> None:
        await rogue.greet()
        largest = min(2**53 - 1, 2**32 * BLOCK)
        rogue.offer([directory(), *(entry(path=f"tree/{number}", size=largest) for number in range(3000))])

    for asks in (False, True):
        yield Case(f"manifest: of 700 PiB{', and a person' * asks}", sizes, (LOCAL,), Receiving(asks=asks), really=asks)
    yield Case("manifest: of 700 PiB, with a limit", sizes, (DECLINED,), Receiving(max_bytes=10**9), really=True)
    yield Case("manifest: of 700 PiB, at once", sizes, (LOCAL, PROTOCOL), Receiving(Existing.SKIP), options=("--json",))

    async def endless(rogue: Rogue) -> None:
        """A stream of zeros that are sent in a few bytes a block, and never ends."""
        await rogue.greet()
        rogue.offer([entry(path="stream", size=None)])
        await rogue.accepted(1)
        body = zstandard.ZstdCompressor().compress(bytes(BLOCK))
        check = digest(bytes(BLOCK))
        block = (piece(0, number, body, size=BLOCK, flags=1, check=check) for number in itertools.count())
        await rogue.pour(block)

    yield Case(
        "manifest: a stream without end, with a limit", endless, (DECLINED,), Receiving(max_bytes=5 * MIB), really=True
    )

    async def larger(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path="stream", size=None)])
        await rogue.accepted(1)
        rogue.throw(*whole(0, 70_000, bytes(BLOCK)))

    yield Case("manifest: a stream that begins far behind its beginning", larger)


def _hellos() -> Iterator[Case]:
    honest = {"version": 1, "role": "sender", "software": "x", "block_size": BLOCK}
    lies: dict[str, dict[str, Json]] = {
        "version 0": {"version": 0},
        "version 2": {"version": 2},
        "version 2**32": {"version": 2**32},
        "version -1": {"version": -1},
        "version 1.5": {"version": 1.5},
        "a version of many digits": {"version": int("9" * 4000)},
        "a version that is text": {"version": "1"},
        "version 2, and a name that is none": {"version": 2, "software": EVIL * 100},
        "a receiver": {"role": "receiver"},
        "another role": {"role": "relay"},
        "a long name": {"software": "x" * 401},
        "a name that is a number": {"software": 1},
        "blocks of 0": {"block_size": 0},
        "negative blocks": {"block_size": -1},
        "small blocks": {"block_size": 4095},
        "large blocks": {"block_size": 2 * MIB + 1},
        "huge blocks": {"block_size": 2**53},
        "negative credit": {"credit": -1},
        "credit out of range": {"credit": 2**53},
        "many features": {"features": ["zstd"] * 65},
        "long features": {"features": ["x" * 401]},
        "features that are none": {"features": [1]},
    }

    def greeting(fields: dict[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            rogue.say("hello", **(honest | fields))

        return play

    for name, fields in lies.items():
        really = name in ("version 2, and a name that is none", "a version of many digits", "huge blocks")
        yield Case(f"hello: {name}", greeting(fields), really=really, options=("--json",) if "name" in name else ())

    async def twice(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.say("hello", **honest)

    yield Case("hello: twice", twice)


def _texts() -> Iterator[Case]:
    """Announced as a text, which is shown without a question: nothing of it may be stored, or be long."""

    def offering(*entries: Entry) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.greet(features=["text"])
            rogue.offer([*entries])

        return play

    offers: dict[str, list[Entry]] = {
        "a directory": [directory()],
        "two files": [entry(path="a"), entry(path="b")],
        "a long file": [entry(path="a", size=64 * 1024 + 1)],
    }
    for name, entries in offers.items():
        yield Case(f"text: {name}", offering(*entries), (DECLINED,))

    async def stream(rogue: Rogue) -> None:
        await rogue.greet(features=["text"])
        rogue.offer([entry(path="a", size=None)])
        await rogue.accepted(1)
        rogue.throw(*whole(0, 0, bytes(BLOCK)), *whole(0, 1, bytes(BLOCK)))

    yield Case("text: a stream that goes on", stream, (DECLINED,))

    async def evil(rogue: Rogue) -> None:
        """It is shown, and the destination stays empty."""
        content = EVIL.encode("utf-8", "surrogatepass")
        await rogue.greet(features=["text"])
        rogue.offer([entry(path="a", size=len(content))])
        await rogue.accepted(1)
        rogue.send_files({0: content})
        rogue.end({0: content})
        await rogue.part()

    yield Case("text: control sequences", evil, (OK,))
