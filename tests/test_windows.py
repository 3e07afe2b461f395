"""Nothing that only POSIX has is needed to import p2pcopy; what is done with it instead, the tests of each part say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("windows.py")


def imported(*more: str, path: Path = PROGRAM.parent) -> tuple[int, str]:
    """How many modules could not be imported, and which."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])}
    command = [sys.executable, str(PROGRAM), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_module_can_be_imported() -> None:
    assert imported() == (0, "")


@pytest.mark.parametrize("line", ["import fcntl", "from os import O_NOFOLLOW", "from signal import SIGTSTP"])
def test_what_only_posix_has_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "posixly.py").write_text(f"{line}\n")
    count, said = imported("posixly", path=tmp_path)
    assert count == 1
    assert said.startswith("posixly: ")
