"""What a contender is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.networks import Hosts
from bench.runs import Run


@dataclass(frozen=True)
class Task:
    """From host a to host b. entry, round: for the record; folder: an empty one.

    source: the file or directory to copy, for programs; limit_s: for how long, for programs that can be stopped; seconds: for
    raw channels; offload: GSO and GRO may be used; relay: udp, tcp or tls, how the sender reaches the TURN server that
    everything goes through, "" for a direct path.
    """

    entry: str
    round: int
    hosts: Hosts
    folder: Path
    source: Path
    seconds: float
    limit_s: float
    offload: bool = True
    relay: str = ""


class Contender(Protocol):
    def missing(self) -> str:
        """Why it cannot take part here, "" if it can. Installs what it needs."""

    def run(self, task: Task) -> Run:
        """Raises Trouble."""
