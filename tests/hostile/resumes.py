"""Attacks on what goes on from one transfer to the next: what a receiver says it has, and what a sender makes of that."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from trees import make, noise

from hostile import joined
from hostile.case import INTEGRITY, LIMITS, LOCAL, LOST, OK, PROTOCOL, Case, Play, Receiving, Sending
from hostile.forging import BLOCK, Json, blocks, directory, end, entry, file_digest, piece, total, whole
from hostile.rogue import Rogue, Step
from p2pcopy.config import MIB, Existing, TransferLimits

_SIZE = 5 * MIB + 1000
_OLD = noise(_SIZE, 2)
_NEW = noise(_SIZE, 3)
_CAME = 3 * MIB // BLOCK
_ENTRIES = [directory(), entry(path="tree/large", size=_SIZE)]
_BRIEF = TransferLimits(block_size=BLOCK, ping_s=0.1, silence_s=1.2)


def cases() -> Iterator[Case]:
    yield from _of_senders()
    yield from _of_comparing()
    yield from _of_receivers()


# The receiver has the first blocks of a file


async def _half(rogue: Rogue) -> None:
    """Three MiB of the file, and no more."""
    await rogue.greet()
    rogue.offer(_ENTRIES)
    await rogue.accepted(2)
    for number, block in enumerate(blocks(_OLD)[:_CAME]):
        rogue.throw(*whole(1, number, block))
    await rogue.until(lambda: rogue.stored >= _CAME * BLOCK)
    rogue.say("abort", error="interrupted", message="x")


def _interrupted(work: Path) -> None:
    outcome = asyncio.run(joined.play(Case("half of a file", _half, (LOST,)), work))
    assert outcome.exit_code == LOST, outcome


async def _held(rogue: Rogue, entries: list[list[Json]] = _ENTRIES) -> set[int]:
    """Offer it again; which of its blocks the receiver has."""
    await rogue.greet(features=["zstd", "resume"])
    rogue.offer(entries)
    held: set[int] = set()
    while True:
        heard = await rogue.hear("have", "go")
        if heard["type"] == "have":
            count = len(base64.b64decode(heard["digests"])) // 32
            held |= set(range(heard["first"], heard["first"] + count))
        elif heard["upto"] == len(entries):
            return held


def _flagged(index: int, content: bytes, flag: Callable[[int], int]) -> Iterator[bytes]:
    """All blocks of a file, each of one piece with its own flags."""
    for number, block in enumerate(blocks(content)):
        yield piece(index, number, block, flags=flag(number))


def _of_senders() -> Iterator[Case]:
    last = len(blocks(_OLD)) - 1

    def totals(rogue: Rogue, content: bytes, check: bytes | None = None) -> None:
        digests = {1: file_digest(content) if check is None else check}
        rogue.end({}, files=1, bytes=len(content), digest=total(digests))

    async def go_on(rogue: Rogue) -> None:
        """Legal: the rest of it."""
        held = await _held(rogue)
        assert held == set(range(_CAME)), held
        for number, block in enumerate(blocks(_OLD)):
            if number not in held:
                rogue.throw(*whole(1, number, block))
        rogue.throw(end(1, _OLD))
        totals(rogue, _OLD)
        await rogue.part()

    async def whatever_is_missing(rogue: Rogue) -> None:
        held = await _held(rogue)
        await rogue.pour(
            message
            for number, block in enumerate(blocks(_OLD))
            if number not in held
            for message in whole(1, number, block)
        )
        rogue.throw(end(1, _OLD))
        totals(rogue, _OLD)
        await rogue.part()

    async def a_held_block(rogue: Rogue) -> None:
        await _held(rogue)
        rogue.throw(*whole(1, 0, blocks(_OLD)[0]))

    async def another_file(rogue: Rogue) -> None:
        """Goes on with other content, as if it were the same file."""
        held = await _held(rogue)
        for number, block in enumerate(blocks(_NEW)):
            if number not in held:
                rogue.throw(*whole(1, number, block))
        rogue.throw(end(1, _NEW))
        totals(rogue, _NEW)
        await rogue.part()

    async def end_at_once(rogue: Rogue) -> None:
        await _held(rogue)
        rogue.throw(end(1, _OLD))
        totals(rogue, _OLD)

    async def over(rogue: Rogue) -> None:
        """Legal: the file is another one by now."""
        await _held(rogue)
        await rogue.pour(_flagged(1, _NEW, lambda number: 2))
        rogue.throw(end(1, _NEW, flags=2))
        totals(rogue, _NEW)
        await rogue.part()

    async def sometimes_over(rogue: Rogue) -> None:
        await _held(rogue)
        rogue.throw(*_flagged(1, _OLD, lambda number: 2 * (number != last)))

    async def over_too_late(rogue: Rogue) -> None:
        held = await _held(rogue)
        rogue.throw(*(each for number, each in enumerate(_flagged(1, _OLD, lambda number: 0)) if number not in held))
        rogue.throw(end(1, _OLD, flags=2))

    async def over_at_the_end(rogue: Rogue) -> None:
        await _held(rogue)
        rogue.throw(end(1, _OLD, flags=2))
        totals(rogue, _OLD)

    async def over_and_bad(rogue: Rogue) -> None:
        await _held(rogue)
        bad = piece(1, 0, blocks(_OLD)[0], flags=2, check=bytes(32))
        rogue.throw(bad)
        for _ in range(2):
            await rogue.hear("again")
            rogue.throw(bad)
        await rogue.hear("results")
        rogue.throw(end(1, _OLD, flags=2))
        totals(rogue, _OLD)
        await rogue.part()

    async def unreadable(rogue: Rogue) -> None:
        await _held(rogue)
        rogue.throw(b"\x03\x05\x00\x00\x00\x01")
        rogue.end({}, faults=1)
        await rogue.part()

    async def another_size(rogue: Rogue) -> None:
        """Legal, and nothing that is there counts."""
        content = _NEW[:-1]
        held = await _held(rogue, [directory(), entry(path="tree/large", size=len(content))])
        assert not held, held
        rogue.send_files({1: content})
        rogue.end({1: content})
        await rogue.part()

    async def at_once_again(rogue: Rogue) -> None:
        """A sender that does not go on."""
        await rogue.greet()
        rogue.offer(_ENTRIES)
        await rogue.accepted(2)
        rogue.send_files({1: _NEW})
        rogue.end({1: _NEW})
        await rogue.part()

    plays: dict[str, tuple[Play, int, bytes]] = {
        "as it should be": (go_on, OK, _OLD),
        "a block that is there": (a_held_block, PROTOCOL, b""),
        "with another file": (another_file, INTEGRITY, b""),
        "with the end": (end_at_once, PROTOCOL, b""),
        "from the beginning": (over, OK, _NEW),
        "from the beginning, now and then": (sometimes_over, PROTOCOL, b""),
        "from the beginning, too late": (over_too_late, PROTOCOL, b""),
        "from the beginning, without anything": (over_at_the_end, PROTOCOL, b""),
        "from the beginning, with bad blocks": (over_and_bad, INTEGRITY, b""),
        "with no": (unreadable, LOCAL, b""),
        "with another size": (another_size, OK, _NEW[:-1]),
        "without the feature": (at_once_again, OK, _NEW),
    }
    for name, (play, code, arrives) in plays.items():
        yield Case(
            f"goes on: {name}",
            play,
            (code,),
            prepare=_interrupted,
            arrives={"tree/large": arrives} if arrives else {},
            limits=_BRIEF if name in ("with the end", "from the beginning, without anything") else LIMITS,
            really=name in ("as it should be", "a block that is there", "with another file", "from the beginning"),
        )

    for name, tamper in _TAMPERED.items():

        def tampered(work: Path, tamper: Callable[[Path, Path], None] = tamper) -> None:
            _interrupted(work)
            tree = work / "out" / "tree"
            tamper(tree / ".large.p2pcopy-part", tree / ".large.p2pcopy-journal")

        yield Case(
            f"finds {name}",
            whatever_is_missing,
            (OK, LOCAL, INTEGRITY),
            prepare=tampered,
            arrives={"tree/large": _OLD, "tree/.large.p2pcopy-part/file": b"", "tree/.large.p2pcopy-journal/file": b""},
            really=name in ("a journal that is a link", "a part file that is a hard link"),
        )


def _link(left: Path) -> None:
    left.unlink()
    left.symlink_to("../../beside/secret")


def _hard_link(left: Path) -> None:
    left.unlink()
    left.hardlink_to(left.parents[2] / "beside" / "secret")


def _directory(left: Path) -> None:
    left.unlink()
    left.mkdir()
    (left / "file").write_bytes(b"")


def _overwrite(left: Path, start: int) -> None:
    with left.open("r+b") as file:
        file.seek(start)
        file.write(bytes(1000))


_TAMPERED: dict[str, Callable[[Path, Path], None]] = {
    "a journal that is a link": lambda part, journal: _link(journal),
    "a journal that is a hard link": lambda part, journal: _hard_link(journal),
    "a journal that is a directory": lambda part, journal: _directory(journal),
    "a journal that is empty": lambda part, journal: os.truncate(journal, 0),
    "a journal that ends early": lambda part, journal: os.truncate(journal, journal.stat().st_size - 7),
    "a journal that is damaged": lambda part, journal: _overwrite(journal, 200),
    "a part file that is a link": lambda part, journal: _link(part),
    "a part file that is a hard link": lambda part, journal: _hard_link(part),
    "a part file that is a directory": lambda part, journal: _directory(part),
    "a part file that ends early": lambda part, journal: os.truncate(part, BLOCK),
    "a part file with another beginning": lambda part, journal: _overwrite(part, 0),
    "no part file": lambda part, journal: part.unlink(),
    "no journal": lambda part, journal: journal.unlink(),
}


# The receiver has a file of that name and size, and compares


def _there(work: Path) -> None:
    make(work / "out" / "tree" / "large", _OLD)


def _of_comparing() -> Iterator[Case]:
    """With --checksum. What is there may be replaced by what is whole, and where the user wants that, by nothing else."""

    def sending(content: bytes, flags: int, check: bytes | None = None) -> Play:
        async def play(rogue: Rogue) -> None:
            await _held(rogue)
            await rogue.pour(_flagged(1, content, lambda number: flags))
            rogue.throw(end(1, content, flags=flags, **({} if check is None else {"check": check})))
            rogue.end({1: content}, **({} if check is None else {"digest": total({1: check})}))
            await rogue.part()

        return play

    async def the_same(rogue: Rogue) -> None:
        """Legal: says that it is."""
        assert len(await _held(rogue)) == len(blocks(_OLD))
        rogue.throw(end(1, _OLD))
        rogue.end({1: _OLD})
        await rogue.part()

    async def not_the_same(rogue: Rogue) -> None:
        """Says that nothing has to be sent, of another file."""
        await _held(rogue)
        rogue.throw(end(1, _NEW))
        rogue.end({1: _NEW})
        await rogue.part()

    plays: dict[str, tuple[Play, dict[Existing, tuple[int, ...]]]] = {
        "the same": (the_same, {Existing.REPLACE: (OK,), Existing.SKIP: (OK,)}),
        "another, and nothing is sent": (not_the_same, {Existing.REPLACE: (INTEGRITY,), Existing.SKIP: (INTEGRITY,)}),
        "another, and it is sent": (sending(_NEW, 0), {Existing.REPLACE: (PROTOCOL,), Existing.SKIP: (PROTOCOL,)}),
        "another, from the beginning": (
            sending(_NEW, 2),
            {Existing.SKIP: (OK, LOCAL, PROTOCOL), Existing.RESUME: (OK, LOCAL, PROTOCOL), Existing.REPLACE: (OK,)},
        ),
        "another, from the beginning, and bad": (sending(_NEW, 2, bytes(32)), {Existing.REPLACE: (INTEGRITY,)}),
    }
    for name, (play, policies) in plays.items():
        for policy, codes in policies.items():
            replaced = policy is Existing.REPLACE and codes == (OK,)
            yield Case(
                f"compares: {name}, {policy}",
                play,
                codes,
                Receiving(policy),
                prepare=_there,
                arrives={"tree/large": _OLD if "same" in name else _NEW} if replaced else {},
                options=("--checksum",),
                really=True,
                apart=True,
            )


# The receiver says what it has


def _of_receivers() -> Iterator[Case]:
    one = base64.b64encode(bytes(32)).decode()

    def has(count: int) -> str:
        return base64.b64encode(bytes(32 * count)).decode()

    def saying(*haves: dict[str, Json], then: tuple[tuple[str, dict[str, Json]], ...] = (("go", {"upto": 5}),)) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.receive_up_to(Step.LISTED)
            for each in haves:
                fields = {"entry": rogue.index("tree/a"), "first": 0, "digests": one} | each
                rogue.say("have", **fields)
            for kind, fields in then:
                rogue.say(kind, **fields)

        return play

    a, b = {"first": 0}, {"first": 1}
    bad: dict[str, Play] = {
        "blocks of a directory": saying({"entry": 0}),
        "blocks of what there is not": saying({"entry": 5}),
        "blocks of the last entry of all": saying({"entry": 2**32 - 1}),
        "blocks behind the end": saying({"first": 3}),
        "the last block of all": saying({"first": 2**32 - 1}),
        "more blocks than there are": saying({"digests": has(4)}),
        "blocks twice": saying(a, a),
        "blocks backwards": saying(b, a),
        "blocks that overlap": saying({"digests": has(2)}, b),
        "files backwards": saying({"entry": 4}, {"entry": 1}),
        "files twice": saying({"entry": 1}, {"entry": 2}, {"entry": 1, "first": 1}),
        "two kinds of checks": saying(a, b | {"check": "all"}),
        "an unknown check": saying({"check": "none"}),
        "no digest": saying({"digests": ""}),
        "half a digest": saying({"digests": base64.b64encode(bytes(16)).decode()}),
        "a digest and a half": saying({"digests": base64.b64encode(bytes(48)).decode()}),
        "no base64": saying({"digests": "@" * 44}),
        "digests that are a number": saying({"digests": 1}),
        "a negative block": saying({"first": -1}),
        "4097 digests": saying({"digests": has(4097)}),
        "blocks after consent": saying(then=(("go", {"upto": 5}), ("have", {"entry": 2, "first": 0, "digests": one}))),
    }
    really = ("the last block of all", "more blocks than there are", "4097 digests")
    for name, play in bad.items():
        yield Case(f"has: {name}", play, (PROTOCOL,), Sending(), really=name in really)

    def taking(haves: Callable[[Rogue], list[dict[str, Json]]], failed: int = 0) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.receive_up_to(Step.LISTED)
            for each in haves(rogue):
                rogue.say("have", **each)
            rogue.go()
            await rogue.hear("end")
            await rogue.until(lambda: len(rogue.ends) + failed == len(rogue.files))
            rogue.done()
            await rogue.hear("bye")
            rogue.say("bye")

        return play

    def wrong(rogue: Rogue) -> list[dict[str, Json]]:
        return [{"entry": index, "first": 0, "digests": one, "check": "all"} for index in rogue.files]

    yield Case("has: blocks that are none of the file's", taking(wrong), (OK,), Sending(), really=True)

    def skipped(rogue: Rogue) -> list[dict[str, Json]]:
        return [{"entry": index, "first": 0, "digests": one} for index in rogue.files]

    async def of_the_skipped(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.LISTED)
        for each in skipped(rogue):
            rogue.say("have", **each)
        rogue.go(skip=[[0, 5]])
        await rogue.hear("end")
        rogue.totals(skipped=3)
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("has: blocks of what it skips", of_the_skipped, (OK,), Sending())

    async def too_many(rogue: Rogue) -> None:
        """A million and more, as if the file were larger than it is."""
        await rogue.receive_up_to(Step.LISTED)
        digests = has(4096)
        for number in range(300):
            rogue.say("have", entry=rogue.index("tree/a"), first=number * 4096, digests=digests)
            await rogue.pour([])
            await rogue.channel.drain(MIB)

    yield Case("has: a million blocks", too_many, (PROTOCOL,), Sending(), seconds=60, really=True)

    async def one_by_one(rogue: Rogue) -> None:
        """Each with a gap behind it, which costs most."""
        await rogue.receive_up_to(Step.LISTED)
        index = rogue.index("tree/a")
        messages = (
            b'{"type":"have","entry":%d,"first":%d,"digests":"%s"}' % (index, number * 2, one.encode())
            for number in range(30_000)
        )
        await rogue.pour(messages, control=True)
        rogue.go()

    yield Case("has: many blocks with gaps", one_by_one, (PROTOCOL,), Sending(), seconds=60, really=True)

    def starting_over(*entries: Json, reason: Json = "\x1b[2J\u202e" * 80) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.receive_up_to(Step.LISTED)
            for each in entries:
                rogue.say("over", entry=each, reason=reason)
            rogue.go()
            await rogue.hear("end")
            await rogue.until(lambda: len(rogue.ends) == len(rogue.files))
            rogue.done()
            await rogue.hear("bye")
            rogue.say("bye")

        return play

    yield Case("over: every file, for a reason that is none", starting_over(1, 2, reason=""), (OK,), Sending())
    yield Case("over: a reason that would clear the screen", starting_over(1), (OK,), Sending(), really=True)
    wrong_ones: dict[str, Play] = {
        "a directory": starting_over(0),
        "what there is not": starting_over(5),
        "the last entry of all": starting_over(2**32 - 1),
        "a file twice": starting_over(1, 1),
        "files backwards": starting_over(2, 1),
        "a long reason": starting_over(1, reason="x" * 401),
        "a reason that is none": starting_over(1, reason=None),
    }
    for name, play in wrong_ones.items():
        yield Case(f"over: {name}", play, (PROTOCOL,), Sending())
