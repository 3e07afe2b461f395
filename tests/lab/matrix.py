"""`make networks`: every pair of NAT kinds, with every kind of server, with one paste and with two, tried with real processes.

Compares what happens with lab.theory, and writes the tables into docs/networks.md, between its markers.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import platform
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from lab import network, pasting, turn
from lab.kinds import Family, Layout, Nat, Shape, Site
from lab.network import Lab
from lab.pasting import Result
from lab.theory import ALL_SERVERS, Case, Path, expected
from lab.turn import SECRET, Coturn

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "networks.md"
BEGIN, END = "<!-- lab.matrix begins -->", "<!-- lab.matrix ends -->"
SLOW_S = 3.0

PAIRS = tuple(Layout(Site(a), Site(b)) for a in Nat for b in Nat)
SPECIAL = (
    *(Layout(Site(nat), Site(nat), Shape.ISOLATED) for nat in (Nat.PORT_RESTRICTED, Nat.UDP_BLOCKED)),
    *(Layout(Site(nat), Site(nat), Shape.TOGETHER) for nat in (Nat.NONE, Nat.PORT_RESTRICTED, Nat.UDP_BLOCKED)),
    *(
        Layout(Site(a, Family.IPV6), Site(b, Family.IPV6))
        for a in (Nat.NONE, Nat.PORT_RESTRICTED, Nat.UDP_BLOCKED)
        for b in (Nat.NONE, Nat.PORT_RESTRICTED)
    ),
    Layout(Site(Nat.SYMMETRIC, Family.DUAL), Site(Nat.SYMMETRIC, Family.DUAL)),
    Layout(Site(Nat.UDP_BLOCKED, Family.DUAL), Site(Nat.UDP_BLOCKED, Family.DUAL)),
)


def main() -> int:
    options = _options()
    for reason in (network.why_not(), turn.why_not()):
        if reason:
            print(f"matrix: {reason}", file=sys.stderr)
            return 2
    cases = [each for each in all_cases() if re.search(options.only, str(each))]
    begun = time.monotonic()
    results = Run(options.labs).run(cases)
    text = report(results, time.monotonic() - begun)
    if options.only or options.no_write:
        print(text)
    else:
        PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0 if all(each.as_expected for each in results) else 1


def all_cases() -> Iterator[Case]:
    for layout in (*PAIRS, *SPECIAL):
        for servers in ALL_SERVERS:
            for pastes in (1, 2):
                yield Case(layout, servers, pastes)


class Run:
    """Tries cases, in so many laboratories at a time; one laboratory does all cases of its layout."""

    def __init__(self, labs: int) -> None:
        self._labs = labs
        self._stopped = threading.Event()

    def run(self, cases: Sequence[Case]) -> list[Result]:
        by_layout = [list(group) for _, group in groupby(cases, key=lambda case: case.layout)]
        with concurrent.futures.ThreadPoolExecutor(self._labs) as pool:
            try:
                return [result for results in pool.map(self._in_one_lab, by_layout) for result in results]
            finally:
                self._stopped.set()  # only where something has gone wrong is there anything left to stop

    def _in_one_lab(self, cases: Sequence[Case]) -> list[Result]:
        results = []
        with Lab(cases[0].layout) as lab, Coturn(Lab.SERVER, also=(Lab.SERVER6,), lab=lab, secret=SECRET) as server:
            for case in cases:
                if self._stopped.is_set():
                    break
                results.append(pasting.run(lab, server, case))
                print(told(results[-1]), file=sys.stderr, flush=True)
        return results


def told(result: Result) -> str:
    """One line for who is watching."""
    verdict = "" if result.as_expected else f"  <-- {expected(result.case).value} expected"
    return f"{result.case}: {cell(result)}{verdict}" + (f" ({result.trouble})" if result.trouble else "")


def report(results: Sequence[Result], took_s: float) -> str:
    """The tables, and what does not agree with the theory."""
    lines = [
        f"{len(results)} cases, {sum(each.as_expected for each in results)} as expected, in {took_s / 60:.0f} minutes on "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.",
        _slow(results),
        "",
    ]
    for title, shapes in (("Pairs of NATs", True), ("One NAT, one LAN, IPv6", False)):
        for pastes in (1, 2):
            some = [each for each in results if (each.case.layout in PAIRS) is shapes and each.case.pastes == pastes]
            if some:
                lines += [f"### {title}, {'one paste' if pastes == 1 else 'two pastes'}", "", *table(some), ""]
    wrong = [each for each in results if not each.as_expected]
    if wrong:
        lines += ["### Not as expected", "", *(f"- {told(each)}" for each in wrong), ""]
    return "\n".join(lines)


def table(results: Sequence[Result]) -> list[str]:
    servers = [each for each in ALL_SERVERS if any(each == result.case.servers for result in results)]
    lines = [
        "| offering, answering | " + " | ".join(str(each) for each in servers) + " |",
        "|---" * (len(servers) + 1) + "|",
    ]
    for layout, group in groupby(results, key=lambda each: each.case.layout):
        found = {each.case.servers: cell(each) for each in group}
        lines.append(f"| {_name(layout)} | " + " | ".join(found.get(each, "") for each in servers) + " |")
    return lines


def cell(result: Result) -> str:
    """Path and seconds; ↑: it came up over a relay, and was direct later. Bold where it is not as expected."""
    if result.trouble:
        return "**failed**"
    words = "–" if result.path is Path.NONE else f"{result.path.value} {result.seconds:.1f}"
    if result.first not in (result.path, Path.NONE):
        words += " ↑" if result.first is Path.RELAYED else f" ({result.first.value} at first)"
    return words if result.as_expected else f"**{words}**"


def inserted(page: str, text: str) -> str:
    """The page with the text between the markers. Raises ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def _slow(results: Iterable[Result]) -> str:
    connected = [each.seconds for each in results if each.path is not Path.NONE]
    if not connected:
        return "Nothing connected."
    late = sum(each > SLOW_S for each in connected)
    median = sorted(connected)[len(connected) // 2]
    return (
        f"{len(connected)} connected, the median {median:.1f} s after the last paste, the slowest {max(connected):.1f} s; "
        f"{late} took more than {SLOW_S:.0f} s."
    )


def _name(layout: Layout) -> str:
    if layout.shape is Shape.ISOLATED:
        return f"isolated behind one {layout.a.nat.value} NAT"
    if layout.shape is Shape.TOGETHER:
        return "one LAN" if layout.a.nat is Nat.NONE else f"one LAN behind {layout.a}"
    return f"{layout.a}, {layout.b}" if layout.a.family is Family.IPV4 else f"({layout.a}), ({layout.b})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=4, help="how many at a time (default: 4)")
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="only cases whose names it finds; prints the tables"
    )
    parser.add_argument(
        "--no-write", action="store_true", help="print the tables instead of writing them into the page"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
