"""What a receiver says, and does not say, at every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from hostile import nonsense
from hostile.case import IMPATIENT, INTEGRITY, LOCAL, LOST, OK, PROTOCOL, Case, Play, Sending
from hostile.forging import BLOCK, Json, entry, message, whole
from hostile.nonsense import ABORTS, EVIL
from hostile.rogue import WINDOW, B, Rogue, Step
from p2pcopy.config import MIB


def cases() -> Iterator[Case]:
    yield from _hellos()
    yield from _nonsense()
    yield from _out_of_turn()
    yield from _results()
    yield from _totals()
    yield from _silence()
    yield from _floods()
    yield from _aborts()


def then(step: Step, *do: Callable[[Rogue], object]) -> Play:
    async def play(rogue: Rogue) -> None:
        await rogue.receive_up_to(step)
        for each in do:
            each(rogue)

    return play


def _at(step: Step) -> Sending:
    """The victim with which a conversation stays at this step."""
    return Sending(large=step is Step.SENDING)


def saying(kind: str, **fields: Json) -> Callable[[Rogue], object]:
    return lambda rogue: rogue.say(kind, **fields)


def _hellos() -> Iterator[Case]:
    honest = {"version": 1, "role": "receiver", "software": "x", "block_size": BLOCK, "credit": WINDOW}
    lies: dict[str, dict[str, Json]] = {
        "version 0": {"version": 0},
        "version 2": {"version": 2},
        "a version of many digits": {"version": int("9" * 4000)},
        "version 2, and a name that is none": {"version": 2, "software": EVIL * 100},
        "version 2, and a name of 200 kB": {"version": 2, "software": "x" * 200_000},
        "a sender": {"role": "sender"},
        "no credit": {"credit": 0},
        "little credit": {"credit": 4 * MIB - 1},
        "negative credit": {"credit": -1},
        "credit out of range": {"credit": 2**53},
        "credit that is text": {"credit": "33554432"},
        "many features": {"features": ["zstd"] * 65},
        "long features": {"features": ["x" * 401]},
    }

    def greeting(fields: dict[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            rogue.say("hello", **(honest | fields))

        return play

    for name, fields in lies.items():
        really = name in ("version 2, and a name that is none", "no credit")
        yield Case(f"hello: {name}", greeting(fields), victim=Sending(), really=really)
    yield Case("hello: twice", then(Step.OPEN, saying("hello", **honest)), victim=Sending())


def _nonsense() -> Iterator[Case]:
    for step, (name, control) in itertools.product(Step, nonsense.CONTROL.items()):
        yield Case(
            f"nonsense at {step.name.lower()}: {name}",
            then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
            victim=_at(step),
            really=(step, name) in ((Step.OPEN, "deep objects in a field"), (Step.SENDING, "bytes that are not UTF-8")),
        )

    for step in Step:
        for name, data in {"a piece": whole(1, 0, B)[0], "nothing": b"", "noise": bytes(100_000)}.items():
            yield Case(
                f"data to a sender at {step.name.lower()}: {name}",
                then(step, lambda rogue, data=data: rogue.throw(data)),  # type: ignore[misc]
                victim=_at(step),
                really=(step, name) in ((Step.HELLO, "a piece"), (Step.SENDING, "noise")),
            )


# What docs/protocol.md lets a sender take, if it makes sense; anything else has to end the conversation.
_IN_WORK = {"again", "credit", "go", "have", "over", "results", "ping", "abort"}
_TAKEN = {
    Step.HELLO: {"hello", "abort"},
    Step.LISTED: _IN_WORK,
    Step.ACCEPTED: _IN_WORK,
    Step.SENDING: _IN_WORK,
    Step.ENDED: _IN_WORK - {"have", "over"} | {"done"},
    Step.PARTING: {"ping", "abort", "bye"},
}
_MESSAGES = {
    "hello": message("hello", version=1, role="receiver", software="", block_size=BLOCK, credit=WINDOW),
    "manifest": message("manifest", first=0, entries=[entry(path="tree/c")]),
    "manifest_end": message("manifest_end", entries=0),
    "have": message("have", entry=1, first=0, digests="A" * 43 + "="),
    "over": message("over", entry=1, reason="x"),
    "go": message("go", upto=0),
    "credit": message("credit", limit=2**40),
    "again": message("again", entry=1, block=0),
    "results": message("results"),
    "end": message("end", files=0, bytes=0, faults=0, digest="0" * 64),
    "done": message("done", files=0, bytes=0, faults=0, digest="0" * 64, failed=0, damaged=0, skipped=0),
    "bye": message("bye"),
    "ping": message("ping", number=1),
    "pong": message("pong", number=10**6),
}


def _out_of_turn() -> Iterator[Case]:
    for step, taken in _TAKEN.items():
        for name, control in _MESSAGES.items():
            if name not in taken:
                yield Case(
                    f"out of turn at {step.name.lower()}: {name}",
                    then(step, lambda rogue, control=control: rogue.raw(control)),  # type: ignore[misc]
                    victim=_at(step),
                )


def _results() -> Iterator[Case]:
    bad: dict[str, list[dict[str, Json]]] = {
        "done twice": [{"done": [[0, 1]]}, {"done": [[0, 1]]}],
        "done and failed": [{"done": [[0, 1]]}, {"failed": [[0, "x"]]}],
        "failed twice": [{"failed": [[1, "x"]]}, {"failed": [[1, "x"]]}],
        "failed and done": [{"failed": [[1, "x"]]}, {"done": [[1, 2]]}],
        "done, of what there is not": [{"done": [[0, 6]]}],
        "done, of 2**32": [{"done": [[0, 2**32 - 1]]}],
        "done, of nothing": [{"done": [[1, 1]]}],
        "done, backwards": [{"done": [[2, 1]]}],
        "failed, of what there is not": [{"failed": [[5, "x"]]}],
        "failed, of 2**32": [{"failed": [[2**32 - 1, "x"]]}],
        "a reason of 401 characters": [{"failed": [[1, "x" * 401]]}],
        "a reason that is a number": [{"failed": [[1, 1]]}],
        "no reason": [{"failed": [[1]]}],
        "half a character as a reason": [{"failed": [[1, "\ud800"]]}],
    }
    for name, results in bad.items():
        says = [saying("results", **each) for each in results]
        yield Case(f"results: {name}", then(Step.ENDED, *says), victim=Sending(), really=name == "failed twice")
    before = {"done": [[0, 1]]}, {"failed": [[1, "x"]]}
    for each in before:
        yield Case(
            f"results: {next(iter(each))} before consent",
            then(Step.LISTED, saying("results", **each)),
            victim=Sending(),
        )

    async def before_they_came(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.SENDING)
        large = rogue.index("tree/large")
        rogue.say("results", done=[[large, large + 1]])

    yield Case("results: done before it was sent", before_they_came, victim=Sending(large=True), really=True)

    async def all_fail(rogue: Rogue) -> None:
        """Legal: the receiver's disk is bad. Its reasons are shown, and are not what they seem."""
        await rogue.receive_up_to(Step.ENDED)
        rogue.say("results", failed=[[index, EVIL] for index in range(5)])
        rogue.totals(failed=5, damaged=0)
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("results: all failed, for nasty reasons", all_fail, (LOCAL,), Sending(), really=True)
    yield Case("results: all failed, for nasty reasons, as JSON", all_fail, (LOCAL,), Sending(), options=("--json",))

    async def all_damaged(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.ENDED)
        rogue.say("results", failed=[[index, "x"] for index in range(5)])
        rogue.totals(failed=5, damaged=2**53 - 1)
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("results: more damaged than there are", all_damaged, (INTEGRITY,), Sending())


def _totals() -> Iterator[Case]:
    lies: dict[str, tuple[dict[str, Json], int]] = {
        "a file too few": ({"files": 2}, INTEGRITY),
        "a byte too few": ({"bytes": 1}, INTEGRITY),
        "a fault": ({"faults": 1}, INTEGRITY),
        "another digest": ({"digest": "f" * 64}, INTEGRITY),
        "a failure that was not told": ({"failed": 1}, INTEGRITY),
        "a file skipped": ({"skipped": 1}, INTEGRITY),
        "2**53 files": ({"files": 2**53}, PROTOCOL),
        "no digest": ({"digest": ""}, PROTOCOL),
        "a digest in capitals": ({"digest": "F" * 64}, PROTOCOL),
    }
    for name, (lie, code) in lies.items():
        yield Case(
            f"totals: {name}",
            then(Step.ENDED, lambda rogue, lie=lie: rogue.done(**lie)),  # type: ignore[misc]
            (code,),
            Sending(),
            really=name == "another digest",
        )
    yield Case("totals: without results", then(Step.ENDED, Rogue.totals), (INTEGRITY,), Sending())
    yield Case("totals: in the middle", then(Step.SENDING, Rogue.totals), (PROTOCOL,), Sending(large=True))
    yield Case("totals: twice", then(Step.ENDED, Rogue.done, Rogue.totals), (PROTOCOL,), Sending())


def _silence() -> Iterator[Case]:
    for step in Step:
        yield Case(
            f"silence after {step.name.lower()}",
            then(step, Rogue.mute),
            (OK if step is Step.PARTING else LOST,),
            _at(step),
            limits=IMPATIENT,
        )
    for step in (Step.OPEN, Step.ENDED):
        yield Case(
            f"silence after {step.name.lower()}, as long as it takes",
            then(step, Rogue.mute),
            (LOST,),
            Sending(),
            really=True,
            apart=True,
        )


def _floods() -> Iterator[Case]:
    async def pings(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.ENDED)
        await rogue.pour_pings()
        rogue.done()
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("flood: pings", pings, (OK,), Sending(), really=True)

    async def empty_results(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.ENDED)
        await rogue.pour((message("results") for _ in range(10_000)), control=True)
        rogue.say("results", done=[[0, 6]])

    yield Case("flood: results of nothing", empty_results, victim=Sending())

    async def large(rogue: Rogue) -> None:
        """Messages of 256 KiB of which nothing is kept."""
        await rogue.receive_up_to(Step.LISTED)
        await rogue.pour((message("ping", number=1, x="x" * 250_000) for _ in range(200)), control=True)
        rogue.say("bye")

    yield Case("flood: large pings", large, victim=Sending(), really=True)


def _aborts() -> Iterator[Case]:
    for name, code in ABORTS.items():
        for step in (Step.HELLO, Step.LISTED, Step.SENDING):
            yield Case(
                f"abort {name!r} at {step.name.lower()}",
                then(step, saying("abort", error=name, message=EVIL)),
                (code,),
                _at(step),
                really=step is Step.SENDING and name == "local",
                options=("--json",) if step is Step.LISTED else (),
            )
    yield Case(
        "abort when all is done", then(Step.PARTING, saying("abort", error="local", message=EVIL)), (OK,), Sending()
    )
