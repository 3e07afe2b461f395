"""One trial: a transfer with a fault, a look at what is left, and the same two commands again."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from processes import Ended

from faults import world
from faults.injections import Injection
from faults.kinds import OK, Kind, Side, allowed
from faults.nursery import Child, Nursery

# Until one side has ended, and from then on until the other has: docs/reliability.md states 14 s, a busy machine needs longer.
ENDS_S = 150.0
OUTLIVES_S = 20.0
# The time that a code waits for somebody, here instead of an hour.
_OPTIONS = ("--no-stun", "--wait", "15s")
_PAUSE_S = 2.0
_CUT_S = 3.0


@dataclass(frozen=True)
class Verdict:
    """What came of a trial. codes: of sender and receiver, None when it could not be carried out; seconds: of the first run;
    outlived: how many seconds there are between the two ends of it; struck: the call at which the fault
    happened, "" when it did not; wrong: what must not be."""

    kind: str
    seed: int
    codes: tuple[int, int] | None
    seconds: float
    outlived: float
    struck: str
    wrong: Sequence[str] = ()


@dataclass(frozen=True)
class _Run:
    """How a transfer ended. seconds, outlived: as in Verdict; hung: of each side that had to be killed, what is wrong with it."""

    sender: Ended
    receiver: Ended
    seconds: float
    outlived: float
    hung: Sequence[str]

    @property
    def codes(self) -> tuple[int, int]:
        return self.sender.exit_code, self.receiver.exit_code

    @property
    def said(self) -> str:
        return f"{self.sender.err}\n{self.receiver.err}"


class Bench:
    """Where trials take place. cut: breaks the path between the processes as long as its context lasts; None where it cannot."""

    def __init__(
        self, nursery: Nursery, work: Path, cut: Callable[[], contextlib.AbstractContextManager[None]] | None
    ) -> None:
        self._nursery = nursery
        self._work = work
        self._cut = cut
        self._source = work / "tree"
        self._struck = work / "struck"
        self._calls: dict[tuple[str, str], int] = {}
        world.make_source(self._source, seed=1)

    def can(self, kind: Kind) -> bool:
        return kind.outside != "cut" or self._cut is not None

    def run(self, kind: Kind, seed: int, share: float = 1.0) -> Verdict:
        """A transfer with this fault at a moment that follows from the seed, and another one without.

        share: of the calls, from the first on, among which the moment is chosen. Their number differs from run to run, so that the
        moment may not come when it is 1.
        """
        began = time.monotonic()
        try:
            return self._run(kind, seed, share)
        except AssertionError as failure:
            self._nursery.end_all()
            return Verdict(kind.name, seed, None, time.monotonic() - began, 0.0, "", (f"no trial: {failure}",))

    def _run(self, kind: Kind, seed: int, share: float) -> Verdict:
        chance = random.Random(f"{kind.name} {seed}")
        place = self._work / "trial"
        shutil.rmtree(place, ignore_errors=True)
        source = self._source
        if kind.mutates:
            source = place / self._source.name
            place.mkdir()
            world.copy(self._source, source)
        destination = place / "out"
        world.make_old(destination, source)
        old, new = world.facts(destination), self._expected(source)
        self._struck.unlink(missing_ok=True)
        injection = kind.injection(chance, self._count(kind), source, destination, self._struck, share)
        injections = {kind.victim: injection, kind.peer: kind.at_peer(source, destination)}
        run = self._transfer(source, destination, kind, injections)
        struck = self._struck.read_text() if self._struck.exists() else ""
        wrong = [*run.hung, *self._truth(kind, struck, run, destination, old, new)]
        if kind.mutates:
            new = self._expected(source)
        wrong += self._again(source, destination, new, mutated=kind.mutates)
        return Verdict(kind.name, seed, run.codes, run.seconds, run.outlived, struck, tuple(wrong))

    def _truth(
        self,
        kind: Kind,
        struck: str,
        run: _Run,
        destination: Path,
        old: dict[str, world.Facts],
        new: dict[str, world.Facts],
    ) -> Iterator[str]:
        victim, peer = (run.sender, run.receiver) if kind.victim == "sender" else (run.receiver, run.sender)
        if not allowed(kind, victim.exit_code, peer.exit_code, struck, met="connected: " in peer.err):
            ends = f"the {kind.victim} ended with {victim.exit_code} and the other side with {peer.exit_code}"
            yield f"struck at {struck or 'nothing'}, {ends}\n{run.said}"
        for name, ended in (("sender", run.sender), ("receiver", run.receiver)):
            if "Traceback" in ended.err:
                yield f"a traceback of the {name}: {ended.err}"
            if ended.exit_code > 0 and "error" not in ended.err and "failed" not in ended.err:
                yield f"the {name} ends with {ended.exit_code} and does not say why: {ended.err}"
        found = world.facts(destination) if destination.exists() else {}
        if kind.what == "remove the destination":
            old = {}
        yield from world.breaches(found, old, new)
        if OK in run.codes:
            missing = [name for name in new if found.get(name) != new[name] and new[name].kind != "directory"]
            if missing:
                yield f"a side ended with 0, but {missing[:3]} are not there\n{run.said}"

    def _again(self, source: Path, destination: Path, new: dict[str, world.Facts], *, mutated: bool) -> Iterator[str]:
        run = self._transfer(source, destination, None, {})
        yield from (f"again: {hung}" for hung in run.hung)
        if run.codes != (OK, OK):
            yield f"again: {run.codes}\n{run.said}"
            return
        found = world.facts(destination)
        wrong = [name for name in new if found.get(name) != new[name]]
        if wrong:
            yield f"again: {wrong[:3]} are not as they were sent"
        if not mutated and (rest := world.unfinished(destination)):
            yield f"again: {rest[:3]} are left"

    def _expected(self, source: Path) -> dict[str, world.Facts]:
        return {
            source.name: world.facts_of(source),
            **{f"{source.name}/{name}": each for name, each in world.facts(source).items()},
        }

    def _count(self, kind: Kind) -> int:
        """How many such calls a transfer has in which nothing goes wrong."""
        key = kind.victim, kind.calls
        if key not in self._calls:
            destination, tally = self._work / "count", self._work / "tally"
            shutil.rmtree(destination, ignore_errors=True)
            world.make_old(destination, self._source)
            root = self._source if kind.victim == "sender" else destination
            counting = Injection("count", kind.calls, 0, str(root), count_to=str(tally))
            run = self._transfer(self._source, destination, None, {kind.victim: counting})
            assert run.codes == (OK, OK), run.said
            self._calls[key] = int(tally.read_text())
            tally.unlink()
        return self._calls[key]

    def _transfer(
        self, source: Path, destination: Path, kind: Kind | None, injections: Mapping[Side, Injection | None]
    ) -> _Run:
        home = self._work / "home"
        began = time.monotonic()
        sender = self._nursery.start(
            "send", *_OPTIONS, str(source), work=self._work, home=home, injection=injections.get("sender")
        )
        receiver = self._nursery.start(
            "receive", *_OPTIONS, "--yes", "--existing", "replace", "--output", str(destination), sender.code(),
            work=self._work, home=home, injection=injections.get("receiver"),
        )  # fmt: skip
        if kind is not None and kind.outside:
            self._go_on(kind, sender if kind.victim == "sender" else receiver)
        hung = [*self._wait({"sender": sender, "receiver": receiver})]
        ends = [child.ended_at or began for child in (sender, receiver)]
        return _Run(sender.end(), receiver.end(), max(ends) - began, max(ends) - min(ends), hung)

    def _wait(self, sides: dict[str, Child]) -> Iterator[str]:
        """Until both have ended. What does not is told of, and killed."""

        def running() -> list[str]:
            return [name for name, child in sides.items() if child.ended_at is None]

        def at_most(count: int) -> bool:
            return len(running()) <= count

        for count, limit in ((1, ENDS_S), (0, OUTLIVES_S)):
            if not self._nursery.wait(partial(at_most, count), limit):
                for name in running():
                    said = sides[name].err.content.decode(errors="replace")
                    yield f"the {name} does not end within {limit:.0f} s\n{said}"
                self._nursery.end_all()
                return

    def _go_on(self, kind: Kind, victim: Child) -> None:
        """A process has stopped itself: continue it after a while, or at once on a path that is cut."""
        self._nursery.wait(lambda: victim.has_stopped or victim.ended_at is not None, ENDS_S)
        if not victim.has_stopped:
            return
        if kind.outside == "continue":
            time.sleep(_PAUSE_S)
            victim.signal(signal.SIGCONT)
        elif self._cut is not None:
            with self._cut():
                victim.signal(signal.SIGCONT)
                time.sleep(_CUT_S)
