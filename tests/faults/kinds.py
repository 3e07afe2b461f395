"""The kinds of faults: where each strikes, and with which exit codes the two sides may end then."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from faults.injections import Injection

Side = Literal["sender", "receiver"]

OK, LOCAL, LOST, INTEGRITY, PEER = 0, 3, 6, 8, 9
KILLED, TERMINATED, INTERRUPTED = -signal.SIGKILL, 143, 130
BIG: Final = "big"


@dataclass(frozen=True)
class Kind:
    """victim: where the fault is; codes: how the victim and the other side may end, besides both with 0.

    calls, what, more: of the Injection. mutates: the source is another one afterwards. outside: what the trial itself does.
    most: it is one of so many, where that does not follow from the calls.
    """

    name: str
    victim: Side
    what: str
    calls: str
    codes: frozenset[tuple[int, int]]
    more: object = None
    mutates: bool = False
    outside: Literal["", "continue", "cut"] = ""
    most: int = 0

    def injection(
        self, chance: random.Random, calls: int, source: Path, destination: Path, struck: Path, share: float
    ) -> Injection:
        """At a random one of the first share of so many calls."""
        root = source if self.victim == "sender" else destination
        more = self.more(chance, source) if callable(self.more) else self.more
        at = chance.randint(1, max(1, int(share * (self.most or calls))))
        return Injection(self.what, self.calls, at, str(root), more, struck=str(struck))


def _codes(*pairs: tuple[int, int]) -> frozenset[tuple[int, int]]:
    return frozenset(pairs)


_DISK = _codes((LOCAL, LOCAL))
# A single file fails, or the store as a whole: told by both sides in the same way.
_FILE = _codes((LOCAL, LOCAL))
_MESSAGE = _codes((PEER, PEER), (INTEGRITY, INTEGRITY))


def _path(chance: random.Random, source: Path) -> str:
    files = sorted(
        path for path in source.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size
    )
    return str(chance.choice([*files, *[source / BIG] * len(files)]))


def _anywhere(chance: random.Random, source: Path) -> float:
    return chance.random() * 0.999


def _jump(chance: random.Random, source: Path) -> float:
    return chance.choice([-1, 1]) * chance.choice([10, 3600, 86400 * 400])


KINDS: Final = (
    Kind("receiver killed", "receiver", "kill", "changes", _codes((KILLED, LOST), (KILLED, INTERRUPTED), (KILLED, OK))),
    Kind("sender killed", "sender", "kill", "reads", _codes((KILLED, LOST), (KILLED, INTERRUPTED))),
    Kind("receiver terminated", "receiver", "terminate", "changes", _codes((TERMINATED, LOST), (TERMINATED, OK))),
    Kind("sender terminated", "sender", "terminate", "reads", _codes((TERMINATED, LOST))),
    Kind("disk full", "receiver", "no space", "writes", _DISK, "on"),
    Kind("quota used up", "receiver", "no quota", "writes", _DISK, "on"),
    Kind("read-only from then on", "receiver", "read-only", "changes", _DISK, "on"),
    Kind("error on write", "receiver", "input/output error", "writes", _DISK),
    Kind("error on fsync", "receiver", "input/output error", "syncs", _DISK),
    Kind("error on rename", "receiver", "input/output error", "renames", _DISK),
    Kind("one rename not permitted", "receiver", "no permission", "renames", _FILE),
    Kind("error on read", "sender", "input/output error", "reads", _FILE),
    Kind("destination removed", "receiver", "remove the destination", "changes", _DISK),
    Kind("source truncated", "sender", "truncate", "reads", _FILE, _path, mutates=True),
    Kind("source grown", "sender", "grow", "reads", _FILE, _path, mutates=True),
    Kind("source rewritten", "sender", "rewrite", "reads", _FILE, _path, mutates=True),
    Kind("source deleted", "sender", "delete", "reads", _FILE, _path, mutates=True),
    Kind("clock of the receiver jumps", "receiver", "clock jumps", "changes", _codes(), _jump),
    Kind("clock of the sender jumps", "sender", "clock jumps", "reads", _codes(), _jump),
    Kind("block damaged once after its hash", "sender", "damaged blocks", "reads", _codes(), 1, most=40),
    Kind("block damaged for good", "sender", "damaged blocks", "reads", _codes((INTEGRITY, INTEGRITY)), 99, most=40),
    Kind("message damaged on the channel", "receiver", "damaged messages", "writes", _MESSAGE, _anywhere, most=40),
    Kind("slow disk", "receiver", "slow", "writes", _codes(), "on"),
    Kind("receiver stopped for 2 s", "receiver", "stop", "changes", _codes(), outside="continue"),
    Kind("sender stopped for 2 s", "sender", "stop", "reads", _codes(), outside="continue"),
    Kind("path cut for 3 s", "receiver", "stop", "changes", _codes(), outside="cut"),
)


def kind_named(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def allowed(kind: Kind, victim: int, peer: int) -> bool:
    """Whether these exit codes tell the truth about such a fault."""
    return (victim, peer) == (OK, OK) or (victim, peer) in kind.codes
