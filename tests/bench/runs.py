"""What was measured, as data that can be kept in a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Side:
    """cpu_s: of the transfer for raw channels, of the whole program otherwise; peak_mib: of memory, always of the program."""

    cpu_s: float = 0.0
    peak_mib: float = 0.0


@dataclass(frozen=True)
class Sample:
    """In the middle of a run: seconds and bytes since its beginning, memory of both sides now."""

    at: float
    bytes: int
    send_mib: float
    receive_mib: float


@dataclass(frozen=True)
class Run:
    """One transfer. bytes: that arrived, and were right, in so many seconds; trouble: why it failed, "" if it did not.

    whole_s: of a program, with start and meeting, from when its code was known; figures: others, by name.
    """

    entry: str
    round: int
    bytes: int = 0
    seconds: float = 0.0
    send: Side = Side()
    receive: Side = Side()
    whole_s: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    trouble: str = ""

    @property
    def mib_s(self) -> float:
        return self.bytes / MIB / self.seconds if self.seconds else 0.0

    @property
    def cpu_s_per_gib(self) -> tuple[float, float]:
        """Of the sender and of the receiver; 0 when nothing arrived."""
        gib = self.bytes / GIB
        return (self.send.cpu_s / gib, self.receive.cpu_s / gib) if gib else (0.0, 0.0)

    @property
    def peak_mib(self) -> float:
        """Of the side that needed more."""
        return max(self.send.peak_mib, self.receive.peak_mib)


@dataclass(frozen=True)
class Outcome:
    """All runs of one condition. left_out: why, by entry; machine, date: where and when."""

    condition: str
    machine: str
    date: str
    runs: Sequence[Run]
    left_out: Mapping[str, str]

    def of(self, entry: str) -> list[Run]:
        """Those that did not fail."""
        return [run for run in self.runs if run.entry == entry and not run.trouble]

    @property
    def rounds(self) -> int:
        return max((run.round for run in self.runs), default=-1) + 1


def to_json(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome)


def from_json(kept: Mapping[str, Any]) -> Outcome:
    runs = [
        Run(
            **{
                **run,
                "send": Side(**run["send"]),
                "receive": Side(**run["receive"]),
                "samples": tuple(Sample(**each) for each in run["samples"]),
            }
        )
        for run in kept["runs"]
    ]
    return Outcome(**{**kept, "runs": runs})
