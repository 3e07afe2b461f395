"""What the plot shows, as data for plot.py. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.conditions import Condition
from bench.runs import Outcome, Run


@dataclass(frozen=True)
class Bar:
    """In MiB/s: the median, and the range."""

    name: str
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """Groups of bars, each with the bars of several contenders."""

    title: str
    groups: Mapping[str, Sequence[Bar]]


def panels(conditions: Sequence[Condition], outcomes: Mapping[str, Outcome]) -> list[Panel]:
    """Those for which there is anything."""
    known = [(each, outcomes[each.name]) for each in conditions if each.name in outcomes]
    wanted = {
        "On a clean link": ("clean", "no-offload"),
        "Through one coturn": ("coturn",),
        "On limited links": ("100mbit", "1gbit", "1gbit-far"),
        "Directories": ("small-files", "medium-files"),
    }
    found = [
        Panel(title, {each.title: _bars(each, outcome) for each, outcome in known if each.name in names})
        for title, names in wanted.items()
    ]
    far = {each.title: _bars(each, outcome) for each, outcome in known if each.name.startswith("rtt")}
    return [panel for panel in (*found, Panel("Far away", far)) if any(panel.groups.values())]


def _bars(condition: Condition, outcome: Outcome) -> list[Bar]:
    return [_bar(entry.name, runs) for entry in condition.entries if (runs := outcome.of(entry.name))]


def _bar(name: str, runs: Sequence[Run]) -> Bar:
    rates = [run.mib_s for run in runs]
    return Bar(name, statistics.median(rates), min(rates), max(rates))
