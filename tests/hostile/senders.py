"""What a sender says, and does not say, at every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from hostile import nonsense
from hostile.case import DECLINED, IMPATIENT, INTEGRITY, LOCAL, LOST, OK, PROTOCOL, Case, Play, Receiving
from hostile.forging import (
    BLOCK,
    Json,
    end,
    entry,
    fault,
    message,
    whole,
)
from hostile.nonsense import ABORTS, EVIL
from hostile.rogue import FILES, WHOLE, A, B, Rogue, Step
from p2pcopy.config import TransferLimits


def cases() -> Iterator[Case]:
    yield from _nonsense()
    yield from _out_of_turn()
    yield from _totals()
    yield from _silence()
    yield from _floods()
    yield from _aborts()


def then(step: Step, do: Callable[[Rogue], object]) -> Play:
    async def play(rogue: Rogue) -> None:
        await rogue.send_up_to(step)
        do(rogue)

    return play


def _at(step: Step) -> Receiving:
    """The victim with which a conversation stays at this step."""
    return Receiving(asks=step is Step.LISTED)


def _nonsense() -> Iterator[Case]:
    for step, (name, control) in itertools.product(Step, nonsense.CONTROL.items()):
        if step is Step.HELLO and name == "another hello":
            continue
        yield Case(
            f"nonsense at {step.name.lower()}: {name}",
            then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
            victim=_at(step),
            arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            really=(step, name) in ((Step.OPEN, "deep arrays"), (Step.SENDING, "a number of many digits")),
        )


# What docs/protocol.md lets a receiver take; anything else has to end the conversation.


_TAKEN = {
    Step.HELLO: {"hello", "abort"},
    Step.OPEN: {"manifest", "manifest_end", "ping", "abort"},
    Step.LISTED: {"ping", "abort"},
    Step.ACCEPTED: {"ping", "abort"},
    Step.SENDING: {"ping", "abort"},
    Step.ENDED: {"ping", "abort"},
    Step.PARTING: {"ping", "abort", "bye"},
}


_MESSAGES = {
    "hello": message("hello", version=1, role="sender", software="", block_size=BLOCK),
    "manifest": message("manifest", first=3, entries=[entry(path="tree/c")]),
    "manifest_end": message("manifest_end", entries=3),
    "have": message("have", entry=1, first=0, digests="A" * 43 + "="),
    "over": message("over", entry=1, reason="x"),
    "go": message("go", upto=3),
    "credit": message("credit", limit=2**40),
    "again": message("again", entry=1, block=0),
    "results": message("results", done=[[0, 1]]),
    "end": message("end", files=2, bytes=len(A) + len(B), faults=0, digest="0" * 64),
    "done": message("done", files=2, bytes=0, faults=0, digest="0" * 64, failed=0, damaged=0, skipped=0),
    "bye": message("bye"),
    "ping": message("ping", number=1),
    "pong": message("pong", number=10**6),
}


def _out_of_turn() -> Iterator[Case]:
    for step, taken in _TAKEN.items():
        for name, control in _MESSAGES.items():
            if name in taken or (name == "end" and step in (Step.ACCEPTED, Step.SENDING)):
                continue
            yield Case(
                f"out of turn at {step.name.lower()}: {name}",
                then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
                victim=_at(step),
                arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            )
    for step in (Step.HELLO, Step.OPEN, Step.LISTED):
        for name, data in {"a piece": whole(1, 0, A[:BLOCK])[0], "an end": end(1, A), "a fault": fault(1)}.items():
            really = name == "a piece" and step is not Step.OPEN
            yield Case(
                f"data before consent at {step.name.lower()}: {name}",
                then(step, lambda rogue, data=data: rogue.throw(data)),  # type: ignore[misc]
                # A process without a terminal may have declined before it comes.
                (PROTOCOL, DECLINED) if really and step is Step.LISTED else (PROTOCOL,),
                victim=_at(step),
                really=really,
            )

    async def end_at_once(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.LISTED)
        rogue.end(FILES)

    yield Case("out of turn: end before consent", end_at_once, victim=Receiving(asks=True))


def _totals() -> Iterator[Case]:
    lies: dict[str, tuple[dict[str, Json], tuple[int, ...]]] = {
        "one file too few": ({"files": 1}, (PROTOCOL,)),
        "one file too many": ({"files": 3}, (PROTOCOL,)),
        "a fault that was none": ({"files": 1, "faults": 1}, (PROTOCOL,)),
        "a byte too much": ({"bytes": len(A) + len(B) + 1}, (INTEGRITY,)),
        "2**53 bytes": ({"bytes": 2**53}, (PROTOCOL,)),
        "another digest": ({"digest": "f" * 64}, (INTEGRITY,)),
        "no digest": ({"digest": "x"}, (PROTOCOL,)),
    }

    def ending(lie: dict[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.send_up_to(Step.ACCEPTED)
            rogue.send_files(FILES)
            rogue.end(FILES, **lie)

        return play

    brief = TransferLimits(block_size=BLOCK, ping_s=0.1, silence_s=1.2)
    for name, (lie, codes) in lies.items():
        yield Case(f"totals: {name}", ending(lie), codes, arrives=WHOLE, limits=brief, really=name == "another digest")

    async def nothing_sent(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        rogue.end(FILES)

    yield Case("totals: of what was never sent", nothing_sent, limits=brief)

    async def one_missing(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ENDED)

    yield Case("totals: of what was not all sent", one_missing, limits=brief, arrives={"tree/b": B})

    async def no_bye(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.PARTING)

    yield Case("totals: and no bye", no_bye, (OK,), limits=brief, arrives=WHOLE)


def _silence() -> Iterator[Case]:
    for step in Step:
        expected = OK if step is Step.PARTING else LOST
        yield Case(
            f"silence after {step.name.lower()}",
            then(step, Rogue.mute),
            (expected,),
            victim=_at(step),
            arrives=WHOLE if step is Step.PARTING else {"tree/b": B},
            limits=IMPATIENT,
        )
    for step in (Step.HELLO, Step.SENDING):
        yield Case(
            f"silence after {step.name.lower()}, as long as it takes",
            then(step, Rogue.mute),
            (LOST,),
            really=True,
            apart=True,
        )


def _floods() -> Iterator[Case]:
    async def pings(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        await rogue.pour_pings()
        rogue.send_files(FILES)
        rogue.end(FILES)
        await rogue.part()

    yield Case("flood: pings", pings, (OK,), arrives=WHOLE, really=True)

    async def pongs(rogue: Rogue) -> None:
        await rogue.send_up_to(Step.ACCEPTED)
        await rogue.pour((message("pong", number=1) for _ in range(10_000)), control=True)

    yield Case("flood: pongs for no ping", pongs)

    async def faults(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path=f"{number}", size=1) for number in range(1000)])
        await rogue.accepted(1000)
        await rogue.pour(b"".join(map(fault, range(first, first + 100))) for first in range(0, 1000, 100))
        rogue.end({}, faults=1000)
        await rogue.part()

    yield Case("flood: every file fails", faults, (LOCAL,))

    async def ends(rogue: Rogue) -> None:
        await rogue.greet()
        rogue.offer([entry(path=f"{number}") for number in range(3000)])
        await rogue.accepted(3000)
        await rogue.pour(
            b"".join(end(index, b"") for index in range(first, first + 1000)) for first in range(0, 3000, 1000)
        )
        rogue.say("abort", error="declined", message=EVIL)

    yield Case(
        "flood: empty files, and no",
        ends,
        (DECLINED,),
        arrives={f"{number}": b"" for number in range(3000)},
    )

    async def entries_one_by_one(rogue: Rogue) -> None:
        await rogue.greet()
        await rogue.pour(
            (message("manifest", first=n, entries=[entry("d", f"{n}", mode=0o755)]) for n in range(2000)), control=True
        )
        rogue.say("manifest_end", entries=2001)

    yield Case("flood: a manifest of single entries", entries_one_by_one)


def _aborts() -> Iterator[Case]:
    for name, code in ABORTS.items():
        for step in (Step.HELLO, Step.LISTED, Step.SENDING):
            yield Case(
                f"abort {name!r} at {step.name.lower()}",
                then(step, lambda rogue, name=name: rogue.say("abort", error=name, message=EVIL)),  # type: ignore[misc]
                (code,),
                victim=_at(step),
                really=step is Step.SENDING and name == "declined",
                options=("--json",) if step is Step.LISTED else (),
            )
    yield Case(
        "abort with a long message",
        then(Step.OPEN, lambda rogue: rogue.say("abort", error="declined", message="x" * 401)),
    )
    yield Case(
        "abort when all is done",
        then(Step.PARTING, lambda rogue: rogue.say("abort", error="declined", message=EVIL)),
        (OK, DECLINED),
        arrives=WHOLE,
    )
