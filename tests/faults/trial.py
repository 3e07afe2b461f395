"""One trial: a transfer with a fault, a look at what is left, and the same two commands again."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import Ended, Processes, Running

from faults import world
from faults.injections import Injection, injected
from faults.kinds import OK, Kind, Side, allowed

# The longest that one side needs to notice that the other was killed is the protocol's silence limit, 14 s.
BOUND_S = 40.0
IMPATIENCE_S = 25.0
_PAUSE_S = 2.0
_CUT_S = 3.0


@dataclass(frozen=True)
class Verdict:
    """What came of a trial. struck: it came to the moment of the fault; wrong: what must not be; seconds: of the first run."""

    kind: str
    seed: int
    codes: tuple[int, int]
    seconds: float
    struck: bool
    wrong: Sequence[str] = ()


class Bench:
    """Where trials take place. place: the command line that runs a command there; cut: breaks the path between the processes as
    long as its context lasts; None where it cannot."""

    def __init__(
        self, start: Processes, place: Sequence[str], cut: Callable[[], contextlib.AbstractContextManager[None]] | None
    ) -> None:
        self._start = start
        self._place = place
        self._work = start.work
        self._cut = cut
        self._source = self._work / "tree"
        self._calls: dict[tuple[str, str], int] = {}
        world.make_source(self._source, seed=1)

    def can(self, kind: Kind) -> bool:
        return kind.outside != "cut" or self._cut is not None

    def run(self, kind: Kind, seed: int, share: float = 1.0) -> Verdict:
        """A transfer with this fault at a moment that follows from the seed, and another one without.

        share: of the calls, from the first on, among which the moment is chosen. Their number differs from run to run, so that the
        moment may not come when it is 1.
        """
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
        struck = self._work / "struck"
        struck.unlink(missing_ok=True)
        injection = kind.injection(chance, self._count(kind), source, destination, struck, share)
        began = time.monotonic()
        sender, receiver = self._transfer(source, destination, kind, injection)
        seconds = time.monotonic() - began
        codes = (sender.exit_code, receiver.exit_code)
        victim, peer = codes if kind.victim == "sender" else codes[::-1]
        wrong = [*self._truth(kind, victim, peer, source, destination, old, new, sender, receiver)]
        if kind.mutates:
            new = self._expected(source)
        wrong += self._again(source, destination, new, mutated=kind.mutates)
        return Verdict(kind.name, seed, codes, seconds, struck.exists(), tuple(wrong))

    def _truth(
        self,
        kind: Kind,
        victim: int,
        peer: int,
        source: Path,
        destination: Path,
        old: dict[str, world.Facts],
        new: dict[str, world.Facts],
        sender: Ended,
        receiver: Ended,
    ) -> Iterator[str]:
        if not allowed(kind, victim, peer):
            said = f"\n{sender.err}\n{receiver.err}"
            yield f"the {kind.victim} ended with {victim} and the other side with {peer}{said}"
        for name, ended in (("sender", sender), ("receiver", receiver)):
            if "Traceback" in ended.err:
                yield f"a traceback of the {name}: {ended.err}"
            if ended.exit_code > 0 and "error" not in ended.err and "failed" not in ended.err:
                yield f"the {name} ends with {ended.exit_code} and does not say why: {ended.err}"
        found = world.facts(destination) if destination.exists() else {}
        if kind.what == "remove the destination":
            old = {}
        yield from world.breaches(found, old, new)
        if OK in (sender.exit_code, receiver.exit_code) and (kind.victim, kind.what) != ("receiver", "kill"):
            missing = [name for name in new if found.get(name) != new[name] and new[name].kind != "directory"]
            if missing:
                yield f"a side ended with 0, but {missing[:3]} are not there"

    def _again(self, source: Path, destination: Path, new: dict[str, world.Facts], *, mutated: bool) -> Iterator[str]:
        sender, receiver = self._transfer(source, destination, None, None)
        if (sender.exit_code, receiver.exit_code) != (OK, OK):
            yield f"again: {sender.exit_code} and {receiver.exit_code}\n{sender.err}\n{receiver.err}"
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
            root = self._source if kind.victim == "sender" else destination
            counting = Injection("count", kind.calls, 0, str(root), count_to=str(tally))
            ended = self._transfer(self._source, destination, kind, counting)
            assert [each.exit_code for each in ended] == [OK, OK], ended
            self._calls[key] = int(tally.read_text())
            tally.unlink()
        return self._calls[key]

    def _transfer(
        self, source: Path, destination: Path, kind: Kind | None, injection: Injection | None
    ) -> tuple[Ended, Ended]:
        def start(side: Side, *arguments: str) -> Running:
            before = injected(injection) if injection is not None and kind is not None and kind.victim == side else ""
            return self._start.start(*arguments, before=before, place=self._place)

        sender = start("sender", "send", "--no-stun", str(source))
        receiver = start(
            "receiver", "receive", "--no-stun", "--yes", "--existing", "replace", "--output", str(destination),
            sender.code(),
        )  # fmt: skip
        if kind is not None and kind.outside:
            threading.Thread(
                target=self._go_on, args=(kind, sender if kind.victim == "sender" else receiver), daemon=True
            ).start()
        # Where a peer that was killed is taken for a path that is away, a person would stop waiting at some time.
        person = threading.Timer(
            IMPATIENCE_S, (receiver if kind is None or kind.victim == "sender" else sender).signal, [signal.SIGINT]
        )
        if kind is not None and kind.what == "kill":
            person.start()
        try:
            return sender.ended(BOUND_S), receiver.ended(BOUND_S)
        finally:
            person.cancel()

    def _go_on(self, kind: Kind, victim: Running) -> None:
        """A process has stopped itself: continue it after a while, or at once on a path that is cut."""
        if not _stopped(victim):
            return
        if kind.outside == "continue":
            time.sleep(_PAUSE_S)
            victim.signal(signal.SIGCONT)
        elif self._cut is not None:
            with self._cut():
                victim.signal(signal.SIGCONT)
                time.sleep(_CUT_S)


def _stopped(child: Running) -> bool:
    """Wait until it has stopped. False when it ends before."""
    while True:
        try:
            with open(f"/proc/{child.pid}/stat") as stat:
                state = stat.read().rpartition(") ")[2][:1]
        except FileNotFoundError:
            return False
        if state == "T":
            return True
        if state == "Z":
            return False
        time.sleep(0.01)
