"""`make breaks`: answers that are pasted late, paths that break during a transfer, and how fast relays are, with real processes.

Writes the tables into docs/networks.md, between their markers. Takes about half an hour, as some answers are 20 minutes late.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lab import broken, late, network, throughput, turn
from lab.broken import Broken, Case, Way

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
PARTS = {"late": "Late answers", "breaks": "Breaks", "throughput": "Relay throughput"}
LATE_S, QUICK_LATE_S = (10.0, 60.0, 300.0, 1200.0), (10.0,)
MIB, QUICK_MIB = 96, 64
T = TypeVar("T")
R = TypeVar("R")


def cases() -> list[Case]:
    """The longest first, so that the others fill the time."""
    return [
        broken.cut("a", 400),
        broken.cut("b", 120),
        broken.stopped("a", 60),
        broken.stopped("b", 60),
        broken.cut("a", 30),
        broken.cut("b", 30, receiver_offers=True),
        broken.cut("a", 30, Way.RELAYED),
        broken.cut("b", 5),
        broken.cut("a", 5, Way.PUBLIC),
        *(broken.undisturbed(way) for way in (Way.NATS, Way.RELAYED) * 2),
        *(broken.flushed(host) for host in "ab"),
        broken.flushed("b", Way.RELAYED),
        *(broken.rebound(host, Way.RESERVE) for host in "ab"),
        broken.rebound("a", Way.RESERVE, receiver_offers=True),
        *(broken.roamed(host, Way.PUBLIC) for host in "ab"),
        broken.roamed("a", Way.PUBLIC, receiver_offers=True),
        *(broken.roamed(host, Way.RESERVE) for host in "ab"),
        broken.roamed("b", Way.RELAYED),
        broken.restarted(0),
        broken.restarted(10),
        broken.restarted(0, Way.TWO_RELAYS),
        broken.killed(),
        broken.killed(receiver_offers=True),
    ]


def quick_cases() -> list[Case]:
    return [
        *(broken.undisturbed(way) for way in (Way.NATS, Way.RELAYED)),
        broken.cut("a", 5, Way.RESERVE),
        broken.stopped("b", 8),
        broken.flushed("a"),
        broken.roamed("b", Way.PUBLIC),
        broken.killed(),
    ]


def late_answers(options: argparse.Namespace) -> tuple[list[str], bool]:
    """The text, and whether all is as it should be."""
    results = _in_parallel(late.measure, QUICK_LATE_S if options.quick else LATE_S, 4)
    return [_machine(), "", *late.table(results)], all(each.good for each in results)


def breaks(options: argparse.Namespace) -> tuple[list[str], bool]:
    mib = QUICK_MIB if options.quick else MIB
    chosen = [each for each in (quick_cases() if options.quick else cases()) if _is_wanted(each, options.cases)]
    results = broken.compared(_in_parallel(lambda case: _told(broken.measure(case, mib)), chosen, options.labs))
    results.sort(key=lambda each: each.case.what != broken.NOTHING)
    good = sum(each.good for each in results)
    head = f"{len(results)} transfers of {mib} MiB over a link of {broken.LINK_MBIT} Mbit/s, {good} within the goals. {_machine()}"
    return [head, "", *broken.table(results)], good == len(results)


def speeds(options: argparse.Namespace) -> tuple[list[str], bool]:
    rounds, mib = (1, 32) if options.quick else (options.rounds, 100)
    runs = throughput.measure(rounds, mib)
    head = f"{rounds} rounds in turn, {mib} MiB each. {_machine()}"
    return [head, "", *throughput.table(runs)], not any(run.trouble for run in runs)


def main() -> int:
    options = _options()
    for reason in (network.why_not(), turn.why_not()):
        if reason:
            print(f"breaks: {reason}", file=sys.stderr)
            return 2
    texts: dict[str, list[str]] = {}
    good = True
    measured: dict[str, Callable[[argparse.Namespace], tuple[list[str], bool]]] = {
        "breaks": breaks,
        "throughput": speeds,
        "late": late_answers,
    }
    for part, measure in measured.items():
        if part in options.only:
            texts[part], is_good = measure(options)
            good = good and is_good
    for part, lines in texts.items():
        text = "\n".join(lines) + "\n"
        if options.quick or options.cases or options.no_write:
            print(f"## {PARTS[part]}\n\n{text}")
        else:
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(inserted(page, part, text), encoding="utf-8")
    return 0 if good else 1


def inserted(page: str, part: str, text: str) -> str:
    """The page with the text between the markers of this part; a section that is not there comes at the end."""
    begin, end = f"<!-- lab.breaks {part} begins -->", f"<!-- lab.breaks {part} ends -->"
    if begin not in page:
        page = f"{page.rstrip()}\n\n## {PARTS[part]}\n\n{begin}\n{end}\n"
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}"


def _in_parallel(measure: Callable[[T], R], what: Sequence[T], labs: int) -> list[R]:
    stop = threading.Event()

    def one(each: T) -> R:
        if stop.is_set():
            raise concurrent.futures.CancelledError
        return measure(each)

    with concurrent.futures.ThreadPoolExecutor(labs) as pool:
        try:
            return list(pool.map(one, what))
        finally:
            stop.set()


def _told(result: Broken) -> Broken:
    """One line for who is watching."""
    print(f"{time.strftime('%H:%M:%S')} {result.case}: {result.trouble or 'done'}", file=sys.stderr, flush=True)
    return result


def _is_wanted(case: Case, words: str) -> bool:
    return case.what == broken.NOTHING or words in str(case)


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given again")
    parser.add_argument("--cases", default="", metavar="WORDS", help="only breaks with these words in their names")
    parser.add_argument("--quick", action="store_true", help="a few of each, in three minutes; prints the tables")
    parser.add_argument("--labs", type=int, default=3, help="how many breaks at a time (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of the throughput (default: 3)")
    parser.add_argument(
        "--no-write", action="store_true", help="print the tables instead of writing them into the page"
    )
    options = parser.parse_args()
    options.only = options.only or list(PARTS)
    return options


if __name__ == "__main__":
    sys.exit(main())
