"""`python -m faults` with the paths that pytest uses: many trials of all kinds, and a table of what came of them."""

from __future__ import annotations

import argparse
import contextlib
import queue
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults.kinds import KINDS, Kind
from faults.place import bench
from faults.trial import Bench, Verdict

_MARKS = "<!-- faults begin -->\n", "<!-- faults end -->\n"


def main() -> None:
    options = _options()
    kinds = [kind for kind in KINDS if options.kind in kind.name]
    if not kinds:
        sys.exit("there is no such kind: " + ", ".join(kind.name for kind in KINDS))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        benches = [stack.enter_context(_bench(options.directory)) for _ in range(options.jobs)]
        possible = [kind for kind in kinds if benches[0].can(kind)]
        for kind in kinds:
            if kind not in possible:
                print(f"left out, as it needs root: {kind.name}")
        trials = queue.SimpleQueue[tuple[Kind, int]]()
        for number in range(options.runs):
            trials.put((possible[number % len(possible)], options.seed + number // len(possible)))
        workers = stack.enter_context(ThreadPoolExecutor(options.jobs))
        work = [workers.submit(_work, each, trials, options.verbose) for each in benches]
        found = [verdict for each in work for verdict in each.result()]
    page = report(found, time.monotonic() - began, options.jobs)
    print(page)
    if options.write is not None:
        _write_between(options.write, page)
    sys.exit(any(verdict.wrong for verdict in found))


@contextlib.contextmanager
def _bench(directory: Path | None) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="p2pcopy-faults-", dir=directory) as work, bench(Path(work)) as here:
        yield here


def _work(here: Bench, trials: queue.SimpleQueue[tuple[Kind, int]], verbose: bool) -> list[Verdict]:
    """Trials until there are no more."""
    found: list[Verdict] = []
    while True:
        try:
            kind, seed = trials.get_nowait()
        except queue.Empty:
            return found
        verdict = here.run(kind, seed)
        if verbose:
            print(
                f"{time.strftime('%T')} {kind.name}, seed {seed}: {_codes(verdict)} after {verdict.seconds:.1f} s "
                f"({verdict.outlived:.1f} s apart), struck at {verdict.struck or 'nothing'}",
                flush=True,
            )
        for wrong in verdict.wrong:
            print(f"WRONG: {kind.name}, seed {seed}: {wrong}", flush=True)
        found.append(verdict)


def report(found: Sequence[Verdict], seconds: float, jobs: int) -> str:
    """A line for each kind, in Markdown, and one about all."""
    by_kind: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in found:
        by_kind[verdict.kind].append(verdict)
    rows = (_row(kind.name, by_kind[kind.name]) for kind in KINDS if kind.name in by_kind)
    wrong = sum(bool(each.wrong) for each in found)
    seeds = [each.seed for each in found]
    return "\n".join(
        (
            "| fault | runs | struck | wrong | longest run | longest wait of one side | exit codes sender/receiver |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{len(found)} runs of {len(by_kind)} kinds, {sum(bool(each.struck) for each in found)} of them struck, "
            f"{wrong} with something wrong; seeds {min(seeds)} to {max(seeds)}, {seconds / 60:.0f} min, {jobs} at a time.",
        )
    )


def _row(kind: str, found: Sequence[Verdict]) -> str:
    codes = ", ".join(f"{codes} ({count})" for codes, count in Counter(map(_codes, found)).most_common())
    struck, wrong = sum(bool(each.struck) for each in found), sum(bool(each.wrong) for each in found)
    longest, outlived = max(each.seconds for each in found), max(each.outlived for each in found)
    return f"| {kind} | {len(found)} | {struck} | {wrong} | {longest:.1f} s | {outlived:.1f} s | {codes} |"


def _codes(verdict: Verdict) -> str:
    return "/".join(map(str, verdict.codes)) if verdict.codes else "none"


def _write_between(page: Path, text: str) -> None:
    """Into a page that has the two marks, in place of what is between them."""
    before, _, rest = page.read_text().partition(_MARKS[0])
    _, mark, after = rest.partition(_MARKS[1])
    if not mark:
        sys.exit(f"{page} has no place for it")
    page.write_text(f"{before}{_MARKS[0]}{text}\n{mark}{after}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=1044, help="how many trials, of all kinds in turn")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; each round of all kinds has the next one")
    parser.add_argument("--jobs", type=int, default=3, help="how many at a time: most of them wait most of the time")
    parser.add_argument("--kind", default="", help="only kinds whose name contains this")
    parser.add_argument("--directory", type=Path, help="where the files are: /dev/shm leaves the disk in peace")
    parser.add_argument("--verbose", action="store_true", help="a line for each trial")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the marks of this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
