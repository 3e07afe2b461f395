"""Memory of both sides does not grow with what is sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import Processes
from trees import MIB, make_sparse

pytestmark = pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is there VmHWM")

MOST = 150 * MIB
# The resource usage that the parent gets would count what the parent itself had when it forked.
TELLS_ITS_PEAK = r"""
import atexit, pathlib, re, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print("peak:", re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1], file=sys.stderr))
"""


def peaks(work: Path) -> list[int]:
    """Send tree, and return the largest memory of both sides, in bytes."""
    with Processes(work) as start:
        sender = start.send("tree", "--compress", "never", before=TELLS_ITS_PEAK)
        receiver = start.receive(sender.code(), "-o", "out", "-y", before=TELLS_ITS_PEAK)
        ends = sender.ended(100), receiver.ended(100)
    assert [end.exit_code for end in ends] == [0, 0], ends
    found = [re.search(r"^peak: (\d+)$", end.err, re.MULTILINE) for end in ends]
    return [int(peak[1]) * 1024 for peak in found if peak]


def test_a_large_file(tmp_path: Path) -> None:
    make_sparse(tmp_path / "tree" / "large", 64 * MIB)
    sender, receiver = peaks(tmp_path)
    assert max(sender, receiver) < MOST
    assert (tmp_path / "out/tree/large").stat().st_size == 64 * MIB


def test_many_files(tmp_path: Path) -> None:
    for directory in range(100):
        (tmp_path / "tree" / str(directory)).mkdir(parents=True)
        for number in range(200):
            (tmp_path / "tree" / str(directory) / f"{number}.txt").touch()
    sender, receiver = peaks(tmp_path)
    assert max(sender, receiver) < MOST
    assert sum(1 for _ in (tmp_path / "out").glob("*/*/*")) == 20_000
