"""A receiver that is killed at any moment loses nothing that it had written, and a later one goes on until everything is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killing.py")
PACKAGE = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), str(seed), "40"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    killed, finished = map(int, done.stdout.split())
    assert killed >= 10
    assert finished >= 3
