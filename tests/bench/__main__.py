"""The command line: which conditions, how often; then the rounds, the table and the plot."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatch

from bench import charts, equipment, report, rounds
from bench.conditions import Condition, plan, scaled
from bench.runs import Outcome, from_json, to_json

_RESULTS = equipment.HOME / "results"
_PAGE = equipment.ROOT / "docs" / "performance.md"
_PLOT = _PAGE.with_suffix(".svg")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made goes, too
    options = _options()
    conditions = plan(options.minutes)
    chosen = [each for each in conditions if any(fnmatch(each.name, name) for name in options.conditions)]
    if not chosen:
        sys.exit("there is no such condition: --list tells which there are")
    if options.scale != 1:
        chosen = [scaled(each, options.scale) for each in chosen]
    if options.list:
        print("\n".join(f"{each.name:15} about {each.about_s():4.0f} s a round: {each.title}" for each in conditions))
        return
    is_whole = options.scale == 1 and set(options.contenders) == set(rounds.CONTENDERS)
    if options.write and not is_whole:
        sys.exit("--write is for all contenders, at full scale")
    with _alone():
        outcomes: dict[str, Outcome] = {}
        for outcome in [] if options.report else _measured(chosen, options.rounds, options.contenders):
            outcomes[outcome.condition] = outcome
            if is_whole:  # at once: the rest takes its time
                _keep(outcome)
        if is_whole:
            outcomes = _kept(conditions)
        text = report.section(conditions, outcomes)
        print(text)
        if options.write:
            _write(conditions, outcomes, text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured, in turn (default: 5)")
    parser.add_argument(
        "--conditions", type=_names, default=["*"], help="some of them, parted by commas, such as clean,rtt100*"
    )
    parser.add_argument(
        "--contenders",
        type=_contenders,
        default=list(rounds.CONTENDERS),
        help=f"some of {', '.join(rounds.CONTENDERS)}",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the endurance run (default: 10)")
    parser.add_argument("--scale", type=float, default=1.0, help="times and sizes, to try things out (default: 1)")
    parser.add_argument("--write", action="store_true", help="put table and plot into docs/performance.md")
    parser.add_argument("--report", action="store_true", help="measure nothing: tell what is known")
    parser.add_argument("--list", action="store_true", help="tell which conditions there are")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return text.split(",")


def _contenders(text: str) -> list[str]:
    if unknown := set(names := _names(text)) - set(rounds.CONTENDERS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two at a time would measure each other."""
    equipment.HOME.mkdir(exist_ok=True)
    with (equipment.HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("make bench runs already")
        yield


def _measured(conditions: Sequence[Condition], wanted: int, contenders: Sequence[str]) -> Iterator[Outcome]:
    if os.geteuid() != 0:
        sys.exit("make bench makes network namespaces, which needs root")
    seconds = sum(each.about_s() * (each.rounds or wanted) for each in conditions)
    _say(f"this takes about {seconds / 60:.0f} minutes")
    missing = rounds.missing(contenders)
    for each in conditions:
        _say(each.title)
        yield rounds.measure(each, each.rounds or wanted, contenders, missing, _say)


def _keep(outcome: Outcome) -> None:
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / f"{outcome.condition}.json").write_text(json.dumps(to_json(outcome)))


def _kept(conditions: Sequence[Condition]) -> dict[str, Outcome]:
    """What was measured last under each condition, in this run or in others."""
    files = {each.name: _RESULTS / f"{each.name}.json" for each in conditions}
    return {name: from_json(json.loads(file.read_text())) for name, file in files.items() if file.exists()}


def _write(conditions: Sequence[Condition], outcomes: Mapping[str, Outcome], text: str) -> None:
    _PAGE.write_text(report.replaced(_PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    try:
        python = equipment.plotter()
    except equipment.Missing as error:
        _say(f"no plot: {error}")
        return
    panels = json.dumps([asdict(each) for each in charts.panels(conditions, outcomes)])
    subprocess.run([python, equipment.HERE / "plot.py", _PLOT], input=panels, text=True, check=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
