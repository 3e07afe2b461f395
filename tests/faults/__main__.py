"""`python -m faults` in tests/, with the paths that pytest uses: many trials of all kinds, and a table of what came of them."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.kinds import KINDS, Kind
from faults.place import bench
from faults.trial import Bench, Verdict


def main() -> None:
    options = _options()
    kinds = [kind for kind in KINDS if options.kind in kind.name]
    if not kinds:
        sys.exit("there is no such kind: " + ", ".join(kind.name for kind in KINDS))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        benches = [stack.enter_context(_bench()) for _ in range(options.jobs)]
        possible = [kind for kind in kinds if benches[0].can(kind)]
        for kind in kinds:
            if kind not in possible:
                print(f"left out, as it needs root: {kind.name}")
        trials = queue.SimpleQueue[tuple[Kind, int]]()
        for number in range(options.runs):
            trials.put((possible[number % len(possible)], options.seed + number // len(possible)))
        workers = stack.enter_context(ThreadPoolExecutor(options.jobs))
        found = [
            verdict
            for verdicts in workers.map(lambda bench: list(_work(bench, trials)), benches)
            for verdict in verdicts
        ]
    print(table(sorted(found, key=lambda verdict: [kind.name for kind in KINDS].index(verdict.kind))))
    wrong = sum(bool(verdict.wrong) for verdict in found)
    print(f"\n{len(found)} runs in {time.monotonic() - began:.0f} s, {wrong} with something wrong")
    sys.exit(wrong > 0)


@contextlib.contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="p2pcopy-faults-") as work, bench(Path(work)) as here:
        yield here


def _work(here: Bench, trials: queue.SimpleQueue[tuple[Kind, int]]) -> Iterator[Verdict]:
    """Trials until there are no more."""
    while True:
        try:
            kind, seed = trials.get_nowait()
        except queue.Empty:
            return
        verdict = here.run(kind, seed)
        if os.environ.get('V'):
            print(time.strftime('%T'), verdict.kind, verdict.seed, verdict.codes, f'{verdict.seconds:.1f} {verdict.outlived:.1f}', verdict.struck, flush=True)
        for wrong in verdict.wrong:
            print(f"WRONG: {kind.name}, seed {seed}: {wrong}", flush=True)
        yield verdict


def table(verdicts: Iterable[Verdict]) -> str:
    """A line for each kind, in Markdown."""
    by_kind: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_kind[verdict.kind].append(verdict)
    lines = [
        "| fault | runs | struck | wrong | longest, s | one side outlived the other by at most, s | exit codes, sender/receiver |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, found in by_kind.items():
        counts = Counter("/".join(map(str, each.codes)) if each.codes else "none" for each in found)
        codes = ", ".join(f"{codes} ({count})" for codes, count in counts.most_common())
        struck, wrong = sum(bool(each.struck) for each in found), sum(bool(each.wrong) for each in found)
        longest, outlived = max(each.seconds for each in found), max(each.outlived for each in found)
        lines.append(f"| {kind} | {len(found)} | {struck} | {wrong} | {longest:.1f} | {outlived:.1f} | {codes} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="how many trials, of all kinds in turn")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; each round of all kinds has the next one")
    parser.add_argument("--jobs", type=int, default=4, help="how many at a time: most of them wait most of the time")
    parser.add_argument("--kind", default="", help="only kinds whose name contains this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
