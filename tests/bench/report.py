"""The section of docs/performance.md that `make bench` writes. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.conditions import NATIVE, RAW, SCP, STOCK, Condition
from bench.goals import first_and_last, rate, ratios, spread, spread_of_rates, verdicts
from bench.runs import Outcome, Run

BEGIN, END = "<!-- bench begins -->", "<!-- bench ends -->"
_FAR = (RAW, NATIVE, STOCK, SCP)


def section(conditions: Sequence[Condition], outcomes: Mapping[str, Outcome]) -> str:
    """Between the marks. conditions: all there are; those without an outcome are left out with a word."""
    known = [(each, outcomes[each.name]) for each in conditions if each.name in outcomes]
    far = [(each, outcome) for each, outcome in known if _is_far(each)]
    near = [(each, outcome) for each, outcome in known if not _is_far(each)]
    lines = ["", *_origin(outcomes), "", *_goals(outcomes)]
    for condition, outcome in near:
        lines += ["", f"### {condition.title}", "", *_table(condition, outcome)]
    if far:
        lines += ["", "### Far away: MiB/s by round trip time and loss", "", *_matrix(far)]
    if absent := [each.title for each in conditions if each.name not in outcomes]:
        lines += ["", f"Not measured: {'; '.join(absent)}."]
    return "\n".join([*lines, ""])


def replaced(page: str, text: str) -> str:
    """The page with another section between the marks. Raises ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def _is_far(condition: Condition) -> bool:
    return condition.name.startswith("rtt")


def _origin(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Where and when; once, unless conditions were measured in different places."""
    origins: dict[tuple[str, str], list[str]] = {}
    for name, outcome in outcomes.items():
        origins.setdefault((outcome.machine, outcome.date), []).append(name)
    if len(origins) == 1:
        return [f"{machine}; {date}." for machine, date in origins]
    return [f"- {', '.join(names)}: {machine}; {date}" for (machine, date), names in origins.items()]


def _goals(outcomes: Mapping[str, Outcome]) -> list[str]:
    lines = ["| condition | goal | median (range) | reached |", "|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: "not measured"}
    return lines + [
        f"| {each.condition} | {each.goal} | {each.measured} | {words[each.reached]} |" for each in verdicts(outcomes)
    ]


def _table(condition: Condition, outcome: Outcome) -> list[str]:
    lines = [
        f"`{condition.name}`, rounds: {outcome.rounds}",
        "",
        "| | MiB/s | CPU s/GiB sending / receiving | peak MiB sending / receiving |",
        "|---|---|---|---|",
    ]
    for entry in condition.entries:
        runs = outcome.of(entry.name)
        lines.append(f"| {entry.name} | {_cells(runs)} |" if runs else f"| {entry.name} | - | - | - |")
    lines += _seconds(condition, outcome) + _cabled(condition, outcome) + _samples(outcome)
    return lines + _remarks(outcome)


def _cells(runs: Sequence[Run]) -> str:
    cpu = " / ".join(f"{statistics.median(run.cpu_s_per_gib[side] for run in runs):.2f}" for side in (0, 1))
    peaks = f"{max(run.send.peak_mib for run in runs):.0f} / {max(run.receive.peak_mib for run in runs):.0f}"
    return f"{spread_of_rates(runs)} | {cpu} | {peaks}"


def _seconds(condition: Condition, outcome: Outcome) -> list[str]:
    """Of programs: the transfer, and all of the command."""
    lines = []
    for entry in condition.entries:
        runs = [run for run in outcome.of(entry.name) if run.whole_s]
        if runs:
            transfer, whole = spread([run.seconds for run in runs]), spread([run.whole_s for run in runs])
            lines.append(f"- {entry.name}: {transfer} s, the whole command {whole} s")
    return ["", *lines] if lines else []


def _samples(outcome: Outcome) -> list[str]:
    """Of long runs."""
    lines = []
    for run in outcome.runs:
        for name, some in zip(("first", "last"), first_and_last(run.samples), strict=True):
            if len(some) > 1:
                send, receive = max(each.send_mib for each in some), max(each.receive_mib for each in some)
                span = f"{some[0].at:.0f} to {some[-1].at:.0f} s"
                moved = f"{rate(some):.1f} MiB/s, memory {send:.1f} / {receive:.1f} MiB"
                lines.append(f"- {run.entry}, {name} minute ({span}): {moved}")
    return ["", *lines] if lines else []


def _cabled(condition: Condition, outcome: Outcome) -> list[str]:
    """What became of packets from the sender before a limited link, and how well the cable kept its time."""
    if condition.cable is None:
        return []
    lines = []
    for entry in condition.entries:
        known = [run.figures for run in outcome.of(entry.name) if run.figures.get("cable_packets")]
        dropped = [100 * each["cable_overflowed"] / each["cable_packets"] for each in known]
        late = spread([each["cable_late_ms"] for each in known], 0)
        if known:
            lines.append(
                f"- {entry.name}: {spread(dropped, 1)} % dropped by the full queue; the cable {late} ms late at worst"
            )
    return ["", *lines] if lines else []


def _matrix(far: Sequence[tuple[Condition, Outcome]]) -> list[str]:
    lines = [
        f"| | {' | '.join(_FAR)} | to libdatachannel |",
        "|---|" + "---|" * (len(_FAR) + 1),
    ]
    for condition, outcome in far:
        cells = [spread_of_rates(outcome.of(name)) or "-" for name in _FAR]
        times = spread(ratios(outcome, RAW, NATIVE, lambda run: run.mib_s), 1) or "-"
        lines.append(f"| {condition.title} | {' | '.join(cells)} | {times} |")
    lines += ["", f"Rounds: {min(outcome.rounds for _, outcome in far)}."]
    return lines + [line for _, outcome in far for line in _remarks(outcome)]


def _remarks(outcome: Outcome) -> list[str]:
    lines = [f"- left out: {name}: {why}" for name, why in outcome.left_out.items()]
    lines += [f"- **failed: {run.entry}, round {run.round + 1}: {run.trouble}**" for run in outcome.runs if run.trouble]
    return ["", *lines] if lines else []
