"""The kinds of faults: where each strikes, and with which exit codes the two sides may end then."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from faults.injections import Injection

Side = Literal["sender", "receiver"]

OK, LOCAL, USED, NOBODY, LOST, INTEGRITY, PEER = 0, 3, 4, 5, 6, 8, 9
KILLED, TERMINATED = -signal.SIGKILL, 143
BIG: Final = "big"


@dataclass(frozen=True)
class Kind:
    """victim: where the fault is; codes: how the victim and the other side may end when it has struck, once they were connected.

    calls, what, more: of the Injection. mutates: the source is another one afterwards. outside: what the trial itself does.
    most: it is one of so many, where that does not follow from the calls. bearable: the calls whose failure does no harm.
    slow_peer: the other side's disk is slow.
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
    bearable: frozenset[str] = frozenset()
    slow_peer: bool = False

    @property
    def peer(self) -> Side:
        """The other side."""
        return "sender" if self.victim == "receiver" else "receiver"

    def injection(
        self, chance: random.Random, calls: int, source: Path, destination: Path, struck: Path, share: float
    ) -> Injection:
        """At a random one of the first share of so many calls."""
        root = source if self.victim == "sender" else destination
        more = self.more(chance, source) if callable(self.more) else self.more
        at = chance.randint(1, max(1, int(share * (self.most or calls))))
        return Injection(self.what, self.calls, at, str(root), more, struck=str(struck))

    def at_peer(self, source: Path, destination: Path) -> Injection | None:
        """What the other side suffers meanwhile."""
        if not self.slow_peer:
            return None
        root, calls = (destination, "writes") if self.victim == "sender" else (source, "reads")
        return Injection("slow", calls, 1, str(root), "on")


def _codes(*pairs: tuple[int, int]) -> frozenset[tuple[int, int]]:
    return frozenset(pairs)


_NO_HARM: Final = _codes((OK, OK))
# A single file fails, or the store as a whole: told by both sides in the same way.
_FAILED: Final = _codes((LOCAL, LOCAL))
# Its error may be about any program's file, so each of ours is synced by itself then.
_SYNCFS: Final = frozenset({"sync_file_system"})
# It may strike when the file it is about has been read already.
_SOURCE: Final = _FAILED | _NO_HARM
# A damaged block is asked for again; where damage makes no sense, it ends.
_MESSAGE: Final = _codes((PEER, PEER), (INTEGRITY, INTEGRITY)) | _NO_HARM


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
    # Who is killed behind its last word has done all it had to do.
    Kind("receiver killed", "receiver", "kill", "changes", _codes((KILLED, LOST), (KILLED, OK))),
    Kind("sender killed", "sender", "kill", "reads", _codes((KILLED, LOST))),
    Kind(
        "receiver killed at the start", "receiver", "kill", "datagrams", _codes((KILLED, LOST), (KILLED, OK)), most=12
    ),
    Kind("sender killed at the start", "sender", "kill", "datagrams", _codes((KILLED, LOST), (KILLED, OK)), most=12),
    Kind("sender killed, slow disk", "sender", "kill", "reads", _codes((KILLED, LOST)), slow_peer=True),
    Kind("receiver terminated", "receiver", "terminate", "changes", _codes((TERMINATED, LOST), (TERMINATED, OK))),
    Kind("sender terminated", "sender", "terminate", "reads", _codes((TERMINATED, LOST))),
    Kind("disk full", "receiver", "no space", "writes", _FAILED, "on"),
    Kind("quota used up", "receiver", "no quota", "writes", _FAILED, "on"),
    Kind("read-only from then on", "receiver", "read-only", "changes", _FAILED, "on"),
    Kind("error on write", "receiver", "input/output error", "writes", _FAILED),
    Kind("error on fsync", "receiver", "input/output error", "syncs", _FAILED, bearable=_SYNCFS),
    Kind("error on rename", "receiver", "input/output error", "renames", _FAILED),
    Kind("one rename not permitted", "receiver", "no permission", "renames", _FAILED),
    Kind("error on read", "sender", "input/output error", "reads", _FAILED),
    Kind("destination removed", "receiver", "remove the destination", "changes", _FAILED),
    Kind("source truncated", "sender", "truncate", "reads", _SOURCE, _path, mutates=True),
    Kind("source grown", "sender", "grow", "reads", _SOURCE, _path, mutates=True),
    Kind("source rewritten", "sender", "rewrite", "reads", _SOURCE, _path, mutates=True),
    Kind("source deleted", "sender", "delete", "reads", _SOURCE, _path, mutates=True),
    Kind("clock of the receiver jumps", "receiver", "clock jumps", "changes", _NO_HARM, _jump),
    Kind("clock of the sender jumps", "sender", "clock jumps", "reads", _NO_HARM, _jump),
    Kind("block damaged once after its hash", "sender", "damaged blocks", "reads", _NO_HARM, 1, most=40),
    Kind("block damaged for good", "sender", "damaged blocks", "reads", _codes((INTEGRITY, INTEGRITY)), 99, most=40),
    Kind("message damaged on the channel", "receiver", "damaged messages", "writes", _MESSAGE, _anywhere, most=40),
    Kind("slow disk", "receiver", "slow", "writes", _NO_HARM, "on"),
    Kind("receiver stopped for 2 s", "receiver", "stop", "changes", _NO_HARM, outside="continue"),
    Kind("sender stopped for 2 s", "sender", "stop", "reads", _NO_HARM, outside="continue"),
    Kind("path cut for 3 s", "receiver", "stop", "changes", _NO_HARM, outside="cut"),
)


def kind_named(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def allowed(kind: Kind, victim: int, peer: int, struck: str, *, met: bool) -> bool:
    """Whether these exit codes tell the truth about such a fault. struck: the call at which it has happened, "" when it has not.
    met: the other side has been connected; else the code waits for somebody else, or nobody listens at its addresses."""
    codes = kind.codes if struck else _NO_HARM
    if struck in kind.bearable:
        codes |= _NO_HARM
    if not met:
        codes = frozenset((code, end) for code, _ in codes if code != OK for end in (USED, NOBODY))
    return (victim, peer) in codes
