"""Play all hostile cases, and tell how many there are, and the longest time and the largest memory of any.

From tests/: `python -m hostile [PYTEST_ARGUMENTS]`, such as `-n 2` or `-k silence`; some ten minutes in one process. What is too
much for the test suite is played as well. Writes Markdown for docs/reliability.md to standard output, behind what pytest says.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MB = 1_000_000


@dataclass(frozen=True)
class Played:
    """A case that was played. peak: in bytes, 0 where the victim was in this process."""

    name: str
    seconds: float
    peak: int


class Tally:
    """A plugin for pytest that collects what was measured, from its worker processes as well."""

    def __init__(self) -> None:
        self.played: list[Played] = []
        self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest."""
        self.failed += report.failed
        if report.when == "call":
            self.played += [_played(value) for name, value in report.user_properties if name == "hostile"]


def _played(value: object) -> Played:
    match value:
        case (str(name), int(seconds) | float(seconds), int(peak)):
            return Played(name, seconds, peak)
    raise TypeError(f"{value!r} was never measured")


def main() -> int:
    os.environ["HOSTILE_EVERYTHING"] = "1"
    tally = Tally()
    here = Path(__file__).parent
    code = pytest.main(["-q", "--rootdir", str(here.parent.parent), str(here), *sys.argv[1:]], plugins=[tally])
    if tally.played:
        print("\n".join(table(tally)))
    return int(code)


def table(tally: Tally) -> Iterator[str]:
    """The cases by kind, and the extremes."""
    played, processes = tally.played, [each for each in tally.played if each.peak]
    kinds = Counter((each.name.split(":")[0], _kind(each.name)) for each in played)
    yield "| peer | what it does | cases |"
    yield "|---|---|---:|"
    for (role, kind), count in kinds.items():
        yield f"| {role} | {kind} | {count} |"
    slowest = max(played, key=lambda each: each.seconds)
    yield ""
    yield f"{len(played)} cases, {len(processes)} of them against a process over a real connection; {tally.failed} failed."
    yield f"Longest: {slowest.seconds:.1f} s ({slowest.name})."
    if processes:
        largest = max(processes, key=lambda each: each.peak)
        yield f"Largest memory: {largest.peak / MB:.0f} MB ({largest.name})."


def _kind(name: str) -> str:
    """The first words: of "sender: nonsense at open: deep arrays" it is "nonsense"."""
    kind = name.split(": ")[1]
    for few in (" at ", " after ", " '", " that ", " is "):
        kind = kind.partition(few)[0]
    return kind


if __name__ == "__main__":
    sys.exit(main())
