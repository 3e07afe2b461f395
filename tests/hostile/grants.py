"""What a receiver grants and asks for."""

from __future__ import annotations

from collections.abc import Iterator

from hostile.case import OK, Case, Play, Sending
from hostile.forging import Json, message
from hostile.receivers import saying, then
from hostile.rogue import WINDOW, Rogue, Step


def cases() -> Iterator[Case]:
    yield from _consent()
    yield from _credit()
    yield from _again()


def _consent() -> Iterator[Case]:
    bad: dict[str, list[dict[str, Json]]] = {
        "of more than there is": [{"upto": 6}],
        "of 2**32 entries": [{"upto": 2**32 - 1}],
        "of 2**32 + 1 entries": [{"upto": 2**32}],
        "of less than before": [{"upto": 4}, {"upto": 3}],
        "of -1": [{"upto": -1}],
        "of text": [{"upto": "5"}],
        "of nothing": [{}],
        "with an empty range": [{"upto": 5, "skip": [[1, 1]]}],
        "with a range that goes back": [{"upto": 5, "skip": [[2, 1]]}],
        "with ranges out of order": [{"upto": 5, "skip": [[3, 4], [1, 2]]}],
        "with ranges that overlap": [{"upto": 5, "skip": [[1, 3], [2, 4]]}],
        "with a range behind": [{"upto": 3, "skip": [[1, 5]]}],
        "with a range before": [{"upto": 3}, {"upto": 5, "skip": [[1, 2]]}],
        "with a range of 2**32": [{"upto": 5, "skip": [[0, 2**32 - 1]]}],
        "with a range of three": [{"upto": 5, "skip": [[0, 1, 2]]}],
        "with ranges that are none": [{"upto": 5, "skip": [1, 2]}],
        "with null for ranges": [{"upto": 5, "skip": None}],
    }
    for name, goes in bad.items():
        says = [saying("go", **go) for go in goes]
        yield Case(f"go: {name}", then(Step.LISTED, *says), victim=Sending(), really=name == "of 2**32 entries")

    async def nothing_at_all(rogue: Rogue) -> None:
        """Legal: everything is skipped."""
        await rogue.receive_up_to(Step.LISTED)
        rogue.go(skip=[[0, 5]])
        await rogue.hear("end")
        rogue.totals(skipped=3)
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("go: of nothing, and all is skipped", nothing_at_all, (OK,), Sending())

    async def one_by_one(rogue: Rogue) -> None:
        """Legal, however often it is said."""
        await rogue.receive_up_to(Step.LISTED)
        await rogue.pour((message("go", upto=number // 2000) for number in range(10_000)), control=True)
        rogue.go()
        await rogue.hear("end")
        await rogue.until(lambda: len(rogue.ends) == 3)
        rogue.done()
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("go: ten thousand times", one_by_one, (OK,), Sending(), really=True)


def _credit() -> Iterator[Case]:
    bad: dict[str, list[dict[str, Json]]] = {
        "negative": [{"limit": -1}],
        "out of range": [{"limit": 2**53}],
        "of many digits": [{"limit": int("9" * 4000)}],
        "that is infinite": [{"limit": float("inf")}],
        "with a fraction": [{"limit": WINDOW + 0.5}],
        "that is text": [{"limit": "1"}],
        "that is missing": [{}],
        "that is taken back": [{"limit": WINDOW - 1}],
        "that is taken back later": [{"limit": 2**50}, {"limit": 2**50 - 1}],
        "that stored less than nothing": [{"limit": WINDOW, "stored": -1}],
        "that stored less than before": [{"limit": WINDOW, "stored": 1}, {"limit": WINDOW, "stored": 0}],
    }
    for name, grants in bad.items():
        for step in (Step.OPEN, Step.ENDED):
            says = [saying("credit", **grant) for grant in grants]
            yield Case(
                f"credit {name} at {step.name.lower()}",
                then(step, *says),
                victim=Sending(),
                really=step is Step.ENDED and name in ("that is taken back", "of many digits"),
            )

    async def without_end(rogue: Rogue) -> None:
        """Legal: more than there will ever be to send. What waits for the network is bounded all the same."""
        await rogue.receive_up_to(Step.LISTED)
        rogue.say("credit", limit=2**53 - 1)
        rogue.go()
        await rogue.hear("end")
        await rogue.until(lambda: len(rogue.ends) == 3)
        rogue.done()
        await rogue.hear("bye")
        rogue.say("bye")

    yield Case("credit: without end", without_end, (OK,), Sending(large=True), really=True)

    async def again_and_again(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.LISTED)
        await rogue.pour((message("credit", limit=WINDOW + number) for number in range(50_000)), control=True)
        rogue.say("credit", limit=0)

    yield Case("credit: fifty thousand times", again_and_again, victim=Sending(), really=True)


def _again() -> Iterator[Case]:
    def asking(*asked: tuple[str, Json]) -> Play:
        async def play(rogue: Rogue) -> None:
            await rogue.receive_up_to(Step.ENDED)
            for name, block in asked:
                rogue.say("again", entry=rogue.index(name), block=block)

        return play

    bad = {
        "of a directory": ("tree", 0),
        "behind the end": ("tree/a", 2**20),
        "of the last block of all": ("tree/a", 2**32 - 1),
        "negative": ("tree/a", -1),
        "out of range": ("tree/a", 2**32),
    }
    for name, asked in bad.items():
        yield Case(f"again: {name}", asking(asked), victim=Sending(), really=name == "of the last block of all")
    yield Case(
        "again: of an entry that there is not", then(Step.ENDED, saying("again", entry=5, block=0)), victim=Sending()
    )
    yield Case("again: before consent", then(Step.LISTED, saying("again", entry=1, block=0)), victim=Sending())
    yield Case("again: thousands at once", asking(*[("tree/a", 0)] * 5000), victim=Sending(), really=True)

    async def of_the_skipped(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.LISTED)
        rogue.go(skip=[[0, 5]])
        rogue.say("again", entry=rogue.index("tree/a"), block=0)

    yield Case("again: of a file that was skipped", of_the_skipped, victim=Sending())

    async def of_the_done(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.ENDED)
        rogue.say("results", done=[[0, 5]])
        rogue.say("again", entry=rogue.index("tree/a"), block=0)

    yield Case("again: of a file that is final", of_the_done, victim=Sending())

    async def early(rogue: Rogue) -> None:
        await rogue.receive_up_to(Step.LISTED)
        rogue.go(upto=len(rogue.entries))
        rogue.say("again", entry=rogue.index("tree/large"), block=0)
        rogue.say("again", entry=rogue.index("tree/large"), block=2**31)

    yield Case("again: of what was not sent yet", early, victim=Sending(large=True))
