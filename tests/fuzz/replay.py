"""What a target reaches with its corpus and with what was found besides: lines and branches of its modules, by coverage.py."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import coverage

from fuzz.catalogue import load


def covered(name: str, found: Path) -> float:
    """Percent. Before any module of the target is imported."""
    measuring = coverage.Coverage(branch=True, data_file=None, config_file=False, include=["*/p2pcopy/*"])
    measuring.start()
    target = load(name)
    for path in sorted((*target.corpus.iterdir(), *found.glob("corpus/*"))):
        # A breach has been reported when it was found.
        with contextlib.suppress(Exception):
            target.one(path.read_bytes())
    measuring.stop()
    files = [str(sys.modules[module].__file__) for module in target.modules]
    return measuring.report(include=files, file=io.StringIO())


if __name__ == "__main__":
    print(f"{covered(sys.argv[1], Path(sys.argv[2])):.1f}")
