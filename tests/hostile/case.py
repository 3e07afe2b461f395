"""What a case states: who is attacked and how, and how that has to end. Adding a case is adding a line to a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from p2pcopy.config import Existing, TransferLimits

if TYPE_CHECKING:
    from hostile.rogue import Rogue

Play = Callable[["Rogue"], Awaitable[None]]

MB = 1_000_000
# The program as it stands, without a peer, has about 70 MB; the window adds 32 MiB.
MEMORY = 150 * MB
# Most take a fraction of a second; floods take longer where others use the machine as well.
SECONDS = 60.0
LIMITS = TransferLimits(block_size=65536)
# Silence takes seconds instead of a quarter of a minute.
IMPATIENT = TransferLimits(block_size=65536, ping_s=0.1, silence_s=1.2, hello_s=1.2, goodbye_s=0.3)

OK, LOCAL, LOST, DECLINED, INTEGRITY, PROTOCOL = 0, 3, 6, 7, 8, 9
OURS = b"what was here before"


def nothing(_: Path) -> None:
    """There is nothing to prepare."""


@dataclass(frozen=True)
class Receiving:
    """The victim receives into out. asks: its user is asked, and thinks about it for ever."""

    existing: Existing = Existing.REPLACE
    asks: bool = False
    max_bytes: int | None = None
    to_stdout: bool = False


@dataclass(frozen=True)
class Sending:
    """The victim sends tree: a of two blocks and a half, b of ten bytes, large, and an empty directory.

    large: that file is larger than the least credit, so that the sender has to wait in the middle of it.
    """

    large: bool = False


@dataclass(frozen=True)
class Case:
    """One attack. name: what the peer does; play: how; codes: the exit codes that are true.

    arrives: what may stand under a final name in the destination, by path; seconds, memory: bounds, in seconds and bytes;
    prepare: what is in the victim's directory before; limits: in place of the program's own, where the victim is in this process;
    really: also against a process over a real connection; stock: then the peer has the slow association, with which it can do
    more; settles: whether the peer agrees to begin; options: of the process, besides; heavy: too much for the test suite;
    apart: only against a process; traps: somebody else puts links that lead out into the destination.
    """

    name: str
    play: Play
    codes: tuple[int, ...] = (PROTOCOL,)
    victim: Receiving | Sending = field(default_factory=Receiving)
    arrives: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = SECONDS
    memory: int = MEMORY
    prepare: Callable[[Path], None] = nothing
    limits: TransferLimits = LIMITS
    really: bool = False
    stock: bool = False
    options: tuple[str, ...] = ()
    heavy: bool = False
    apart: bool = False
    settles: bool = True
    traps: bool = False

    @property
    def here(self) -> bool:
        """Whether it can be played with the victim in this process."""
        return not (self.apart or self.heavy or self.stock or not self.settles)

    @property
    def role(self) -> str:
        """Of the attacker."""
        return "sender" if isinstance(self.victim, Receiving) else "receiver"

    @property
    def group(self) -> str:
        """Cases of a kind have the first words of their names in common."""
        kind, colon, _ = self.name.partition(":")
        return f"{self.role}: {kind if colon else self.name.split()[0]}"

    def __str__(self) -> str:
        return f"{self.role}: {self.name}"


@dataclass(frozen=True)
class Outcome:
    """How it ended. said: all that the victim wrote for people and programs; peak: bytes of memory, 0 where nobody knows."""

    exit_code: int
    said: str
    seconds: float
    peak: int = 0
