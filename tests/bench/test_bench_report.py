"""What `make bench` makes of its measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from bench import charts, goals, report
from bench.conditions import BIG, NATIVE, P2PCOPY, RAW, SCP, WORMHOLE, Source, plan, scaled
from bench.payload import Arrivals, Messages
from bench.runs import GIB, MIB, Outcome, Run, Sample, Side, from_json, to_json


def runs(entry: str, rates: Sequence[float], *, cpu_s: float = 1.0, peak_mib: float = 70.0) -> list[Run]:
    """Each of a second; cpu_s: a GiB, on either side."""
    return [
        Run(
            entry,
            number,
            bytes=round(rate * MIB),
            seconds=1.0,
            send=Side(cpu_s * rate * MIB / GIB, peak_mib),
            receive=Side(cpu_s * rate * MIB / GIB, peak_mib - 1),
        )
        for number, rate in enumerate(rates)
    ]


def outcome(condition: str, *groups: list[Run], left_out: dict[str, str] | None = None) -> Outcome:
    return Outcome(condition, "a machine", "a day", [run for group in groups for run in group], left_out or {})


def verdict(found: Sequence[goals.Verdict], condition: str, goal: str) -> goals.Verdict:
    (one,) = [each for each in found if each.condition == condition and goal in each.goal]
    return one


def test_goals_are_judged_by_the_median_of_the_ratios_of_the_rounds() -> None:
    native, ours = runs(NATIVE, [10, 20, 40], cpu_s=10), runs(RAW, [60, 90, 400], cpu_s=2)
    found = goals.verdicts({"clean": outcome("clean", native, ours)})
    fast = verdict(found, "clean", "5 times libdatachannel")
    assert (fast.measured, fast.reached) == ("6.00 (4.50-10.00)", True)
    thrifty = verdict(found, "clean", "a quarter of its CPU")
    assert (thrifty.measured, thrifty.reached) == ("0.20", True)


def test_a_goal_that_is_missed_is_told() -> None:
    found = goals.verdicts(
        {"clean": outcome("clean", runs(P2PCOPY, [90.0]), runs(SCP, [100.0]), runs(WORMHOLE, [30.0]))}
    )
    assert verdict(found, "clean", "scp").reached is False
    assert verdict(found, "clean", "magic-wormhole").reached is True
    assert verdict(found, "small-files", "scp").reached is None


def test_rounds_in_which_one_failed_do_not_count() -> None:
    native = [*runs(NATIVE, [10, 10]), Run(NATIVE, 2, trouble="it broke")]
    assert goals.ratios(outcome("clean", native, runs(RAW, [20, 30, 500])), RAW, NATIVE, lambda run: run.mib_s) == [
        2,
        3,
    ]


def test_a_share_of_a_link_counts_megabits() -> None:
    found = goals.verdicts({"100mbit": outcome("100mbit", runs(RAW, [11.0]), runs(P2PCOPY, [10.9]))})
    assert verdict(found, "100mbit", "raw channel: at least 92 %").reached is True
    assert verdict(found, "100mbit", "whole file").reached is False


@pytest.mark.parametrize(("peak_mib", "reached"), [(142.0, True), (144.0, False)])
def test_the_limit_of_memory_is_in_megabytes_and_ours_alone(peak_mib: float, *, reached: bool) -> None:
    clean = outcome("clean", runs(P2PCOPY, [1.0], peak_mib=peak_mib), runs(SCP, [1.0], peak_mib=900.0))
    assert verdict(goals.verdicts({"clean": clean}), "all of these", "memory").reached is reached


@pytest.mark.parametrize(("grown_mib", "slower", "steady"), [(0.5, 1.0, (True, True)), (9.0, 0.5, (False, False))])
def test_endurance_compares_the_first_minute_with_the_last(
    grown_mib: float, slower: float, steady: tuple[bool, bool]
) -> None:
    samples, moved = [], 0.0
    for number in range(1, 121):
        moved += 5 * 100 * MIB * (1 if number <= 60 else slower)
        samples.append(Sample(number * 5.0, round(moved), 80.0 + grown_mib * (number > 60), 70.0))
    run = Run(RAW, 0, bytes=round(moved), seconds=600.0, samples=samples)
    found = goals.verdicts({"endurance": outcome("endurance", [run])})
    reached = [
        verdict(found, "endurance", f"{RAW}: {goal}").reached for goal in ("no growth", "last minute at least 0.95")
    ]
    assert tuple(reached) == steady


def test_an_outcome_can_be_kept() -> None:
    kept = outcome(
        "coturn",
        [Run(RAW, 0, 5, 1.0, Side(1, 2), Side(3, 4), figures={"x": 1.0}, samples=(Sample(1, 2, 3, 4),))],
        left_out={SCP: "not there"},
    )
    assert from_json(json.loads(json.dumps(to_json(kept)))) == kept


def test_the_report_has_a_table_for_each_condition_and_tells_what_is_missing() -> None:
    far = [outcome(f"rtt{rtt}-loss0", runs(RAW, [50.0]), runs(NATIVE, [2.0])) for rtt in (20, 100)]
    clean = outcome("clean", runs(RAW, [300.0, 310.0]), [Run(NATIVE, 0, trouble="it broke")], left_out={SCP: "no sshd"})
    text = report.section(plan(10), {each.condition: each for each in (clean, *far)})
    assert "### Clean link" in text
    assert f"| {RAW} | 305.0 (300.0-310.0) | 1.00 / 1.00 | 70 / 69 |" in text
    assert f"left out: {SCP}: no sshd" in text
    assert f"**failed: {NATIVE}, round 1: it broke**" in text
    assert "| RTT 20 ms, loss 0 % | 50.0 | 2.00 | - | - | 25.0 |" in text
    assert "Not measured: GSO and GRO not used;" in text


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.replaced(page, "new\n") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="the page has no"):
        report.replaced("before\nafter\n", "new\n")


def test_the_plot_shows_what_was_measured() -> None:
    files = outcome("medium-files", runs(P2PCOPY, [100.0, 120.0, 90.0]), runs(BIG, [130.0]))
    (panel,) = charts.panels(plan(10), {"medium-files": files})
    assert panel.groups == {
        "1,000 files of 1 MiB": [charts.Bar(P2PCOPY, 100.0, 90.0, 120.0), charts.Bar(BIG, 130.0, 130.0, 130.0)]
    }


def test_conditions_have_different_names_and_can_be_scaled() -> None:
    conditions = plan(10)
    assert len({each.name for each in conditions}) == len(conditions)
    small = scaled(next(each for each in conditions if each.name == "medium-files"), 0.01)
    assert small.source == Source(10, MIB)
    assert [each.source for each in small.entries] == [None, None, Source(1, 10 * MIB)]
    assert all(each.about_s() > 0 for each in conditions)


def test_messages_are_checked_in_any_order() -> None:
    messages, arrivals = Messages(1000), Arrivals()
    first, second, third = (messages.make() for _ in range(3))
    for message in (second, first, third):
        arrivals.take(message)
    assert arrivals.bytes == 3000
    with pytest.raises(ValueError, match="message 1 came twice"):
        arrivals.take(second)
    with pytest.raises(ValueError, match="message 3 is damaged"):
        arrivals.take(messages.make()[:-1] + b"\0\0")
