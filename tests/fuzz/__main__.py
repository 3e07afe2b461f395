"""The command line: which targets, for how long; then executions, crashes and coverage of each."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzz.catalogue import load, names
from fuzz.drive import is_guided

HOME: Final = Path(__file__).resolve().parents[2] / ".fuzz"
_SPARE_S: Final = 60  # for the start, and for making a breach small
_EXECUTIONS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_SO_FAR: Final = re.compile(r"^#(\d+)\s", re.MULTILINE)
_CRASHES: Final = ("crash-*", "timeout-*", "oom-*", "leak-*", "slow-unit-*")


@dataclass(frozen=True)
class Outcome:
    """coverage: percent of lines and branches of the target's modules."""

    name: str
    executions: int
    seconds: float
    crashes: tuple[Path, ...]
    coverage: str

    def line(self) -> str:
        rate = self.executions / max(self.seconds, 1e-3)
        return f"{self.name:14} {self.executions:10} {rate:8.0f} {len(self.crashes):8} {self.coverage:>8} %"


def main() -> int:
    options = _options()
    if options.input is not None:
        for name in options.targets or names():
            load(name).one(bytes.fromhex(options.input))
        return 0
    print(f"guided by {'coverage' if is_guided() else 'nothing: atheris is not there, hypothesis draws'}", flush=True)
    print(f"{'target':14} {'executions':>10} {'a second':>8} {'crashes':>8} {'coverage':>10}", flush=True)
    outcomes = []
    for name in options.targets or names():
        outcomes.append(fuzz(name, options.seconds))
        print(outcomes[-1].line(), flush=True)
    for outcome in outcomes:
        for path in outcome.crashes:
            print(f"\n{path}\npython -m fuzz --input {path.read_bytes().hex()} {outcome.name}")
    return int(any(outcome.crashes for outcome in outcomes))


def fuzz(name: str, seconds: int) -> Outcome:
    """In a process of its own, which a breach ends."""
    found = HOME / name
    began, before = time.monotonic(), _crashes(found)
    log = _run("fuzz.drive", name, str(seconds), str(found), limit_s=seconds + _SPARE_S)
    took = time.monotonic() - began
    (found / "log").write_text(log, encoding="utf-8")
    executions = _EXECUTIONS.findall(log) or _SO_FAR.findall(log) or ["0"]
    coverage = _run("fuzz.replay", name, str(found), limit_s=10 * _SPARE_S).strip().splitlines()
    return Outcome(name, int(executions[-1]), took, tuple(sorted(_crashes(found) - before)), (coverage or ["?"])[-1])


def _run(*arguments: str, limit_s: float) -> str:
    """What it says on either stream."""
    try:
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace") + "\nit did not end\n"
    return ended.stdout.decode(errors="replace")


def _crashes(found: Path) -> set[Path]:
    return {path for pattern in _CRASHES for path in found.glob(pattern)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--input", metavar="HEX", help="run the targets with this input only")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names())} (default: all)")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(names()):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
