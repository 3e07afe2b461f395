"""What issues ask of p2pcopy, and whether it is reached. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.conditions import BIG, NATIVE, P2PCOPY, RAW, SCP, STREAM, WORMHOLE
from bench.runs import MIB, Outcome, Run, Sample

Outcomes = Mapping[str, Outcome]

MEMORY_MB = 150
_LINK_MIB_S = 1e9 / 8 / MIB
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Verdict:
    """One line: measured as text, "" when it was not; reached: None when it was not."""

    condition: str
    goal: str
    measured: str
    reached: bool | None


def verdicts(outcomes: Outcomes) -> list[Verdict]:
    """In the order of the issue."""
    raw_native = (RAW, NATIVE)
    return [
        _ratio(outcomes, "clean", "raw channel: at least 5 times libdatachannel", raw_native, _rate, 5),
        _cpu(outcomes),
        _ratio(outcomes, "clean", "whole file: at least 1.0 times scp", (P2PCOPY, SCP), _rate, 1),
        _ratio(outcomes, "clean", "whole file: at least 2 times magic-wormhole", (P2PCOPY, WORMHOLE), _rate, 2),
        _ratio(outcomes, "no-offload", "raw channel: at least 1.3 times libdatachannel", raw_native, _rate, 1.3),
        _ratio(outcomes, "rtt100-loss1", "at least 20 times libdatachannel", raw_native, _rate, 20),
        _share(outcomes, "1gbit-far", "at least half of the link", RAW, _LINK_MIB_S, 0.5),
        _share(outcomes, "100mbit", "raw channel: at least 92 % of the link", RAW, _LINK_MIB_S / 10, 0.92),
        _share(outcomes, "100mbit", "whole file: at least 92 % of the link", P2PCOPY, _LINK_MIB_S / 10, 0.92),
        _resent(outcomes),
        *(_relayed(outcomes, relay) for relay in ("UDP", "TCP", "TLS")),
        *(_beside_native(outcomes, relay) for relay in ("UDP", "TCP", "TLS")),
        _memory(outcomes),
        _ratio(outcomes, "small-files", "no slower than scp -r", (P2PCOPY, SCP), _rate, 1),
        _ratio(outcomes, "medium-files", "no slower than scp -r", (P2PCOPY, SCP), _rate, 1),
        _ratio(outcomes, "medium-files", "at least 0.7 of the rate of a big file", (P2PCOPY, BIG), _rate, 0.7),
        *_endurance(outcomes, STREAM),
        *_endurance(outcomes, RAW),
    ]


def ratios(outcome: Outcome, one: str, other: str, value: Callable[[Run], float]) -> list[float]:
    """Of the two in each round in which both have succeeded."""
    others = {run.round: value(run) for run in outcome.of(other)}
    return [value(run) / others[run.round] for run in outcome.of(one) if others.get(run.round)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range as text, "" for none."""
    if not values:
        return ""
    median, low, high = (f"{each:.{digits}f}" for each in (statistics.median(values), min(values), max(values)))
    return median if low == high else f"{median} ({low}-{high})"


def spread_of_rates(runs: Sequence[Run]) -> str:
    """In MiB/s, with more digits for slow ones."""
    rates = [run.mib_s for run in runs]
    median = statistics.median(rates) if rates else 0.0
    return spread(rates, 1 if median >= 10 else 2 if median >= 1 else 3)


def first_and_last(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The samples of the first and of the last minute, of the half when it was shorter than two."""
    span = min(_MINUTE_S, samples[-1].at / 2) if samples else 0.0
    first = [each for each in samples if each.at <= span]
    return first, [each for each in samples if each.at >= samples[-1].at - span]


def rate(samples: Sequence[Sample]) -> float:
    """MiB/s from the first of them to the last."""
    return (samples[-1].bytes - samples[0].bytes) / MIB / (samples[-1].at - samples[0].at)


def _rate(run: Run) -> float:
    return run.mib_s


def _ratio(
    outcomes: Outcomes, condition: str, goal: str, who: tuple[str, str], value: Callable[[Run], float], least: float
) -> Verdict:
    found = ratios(outcomes[condition], *who, value) if condition in outcomes else []
    return _at_least(condition, goal, found, least)


def _share(outcomes: Outcomes, condition: str, goal: str, who: str, whole_mib_s: float, least: float) -> Verdict:
    runs = outcomes[condition].of(who) if condition in outcomes else []
    return _at_least(condition, goal, [run.mib_s / whole_mib_s for run in runs], least)


def _at_least(condition: str, goal: str, found: Sequence[float], least: float) -> Verdict:
    return Verdict(condition, goal, spread(found), statistics.median(found) >= least if found else None)


def _at_most(condition: str, goal: str, found: Sequence[float], most: float, digits: int = 2) -> Verdict:
    return Verdict(condition, goal, spread(found, digits), statistics.median(found) <= most if found else None)


def _cpu(outcomes: Outcomes) -> Verdict:
    found = ratios(outcomes["clean"], RAW, NATIVE, lambda run: sum(run.cpu_s_per_gib)) if "clean" in outcomes else []
    return _at_most("clean", "raw channel: at most a quarter of its CPU per GiB, both sides together", found, 0.25)


def _resent(outcomes: Outcomes) -> Verdict:
    """What was sent again, of all packets with data."""
    runs = outcomes["100mbit"].of(RAW) if "100mbit" in outcomes else []
    known = [run.figures for run in runs if run.figures.get("packets_sent")]
    found = [100 * figures["packets_resent"] / figures["packets_sent"] for figures in known]
    return _at_most("100mbit", "raw channel: less than 3 % sent again", found, 3, digits=1)


def _relayed(outcomes: Outcomes, relay: str) -> Verdict:
    who = (f"{RAW}, {relay}", f"{RAW}, direct")
    return _ratio(outcomes, "coturn", f"{relay}: at least 0.17 of the direct path", who, _rate, 0.17)


def _beside_native(outcomes: Outcomes, relay: str) -> Verdict:
    who = (f"{RAW}, {relay}", f"{NATIVE}, direct")
    return _ratio(outcomes, "coturn", f"{relay}: never below libdatachannel's direct path", who, _rate, 1)


def _memory(outcomes: Outcomes) -> Verdict:
    ours = [
        run.peak_mib * MIB / 1e6
        for outcome in outcomes.values()
        for run in outcome.runs
        if run.entry.startswith(P2PCOPY) and not run.trouble
    ]
    worst = max(ours, default=0.0)
    goal = f"p2pcopy's peak memory below {MEMORY_MB} MB on either side"
    return Verdict("all of these", goal, f"{worst:.0f} MB" if ours else "", worst < MEMORY_MB if ours else None)


def _endurance(outcomes: Outcomes, who: str) -> list[Verdict]:
    """Of the only round. No slowdown is 95 % of the first minute's rate, no growth at most 2 % or 2 MiB more memory."""
    runs = outcomes["endurance"].of(who) if "endurance" in outcomes else []
    first, last = first_and_last(runs[0].samples) if runs else ([], [])
    goals = (f"{who}: last minute at least 0.95 of the first", f"{who}: no growth in memory, sender / receiver")
    if len(first) < 2 or len(last) < 2:
        return [Verdict("endurance", goal, "", None) for goal in goals]
    slower = rate(last) / rate(first)
    grown = [(max(sides[0]), max(sides[1])) for sides in zip(_memories(first), _memories(last), strict=True)]
    told = " / ".join(f"{before:.0f} to {after:.0f} MiB" for before, after in grown)
    is_steady = all(after <= before + max(2, 0.02 * before) for before, after in grown)
    return [
        Verdict("endurance", goals[0], f"{slower:.2f}", slower >= 0.95),
        Verdict("endurance", goals[1], told, is_steady),
    ]


def _memories(samples: Sequence[Sample]) -> tuple[list[float], list[float]]:
    return [each.send_mib for each in samples], [each.receive_mib for each in samples]
