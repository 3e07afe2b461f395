"""Memory of both sides does not grow with what is sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import Processes
from trees import MIB, copied, make, noise

pytestmark = [
    pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is there VmHWM"),
    pytest.mark.timeout(300),
]
PATIENCE_S = 250.0  # many files are much work on a busy machine

MOST = 150 * MIB
# The resource usage that the parent gets would count what the parent itself had when it forked.
TELLS_ITS_PEAK = r"""
import atexit, pathlib, re, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print("peak:", re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1], file=sys.stderr))
"""


def peaks(work: Path, *, disk: str = "") -> list[int]:
    """Send tree, and return the largest memory of both sides, in bytes. disk: Python that makes the receiver's slow."""
    with Processes(work) as start:
        sender = start.send("tree", "--compress", "never", before=TELLS_ITS_PEAK)
        receiver = start.receive(sender.code(), "-o", "out", "-y", before=TELLS_ITS_PEAK + disk)
        ends = sender.ended(PATIENCE_S), receiver.ended(PATIENCE_S)
    assert [end.exit_code for end in ends] == [0, 0], ends
    found = [re.search(r"^peak: (\d+)$", end.err, re.MULTILINE) for end in ends]
    return [int(peak[1]) * 1024 for peak in found if peak]


# Nothing is written for some seconds: without credit, all of the file would wait in the memory of one side.
STUCK_DISK = """
import time
from p2pcopy.files.directory import DirectoryStore
write = DirectoryStore.write
def stuck(*arguments, **named):
    DirectoryStore.write = write
    time.sleep(6)
    return write(*arguments, **named)
DirectoryStore.write = stuck
"""


def test_a_large_file_and_a_disk_that_is_stuck(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "large", noise(96 * MIB))
    sender, receiver = peaks(tmp_path, disk=STUCK_DISK)
    assert max(sender, receiver) < 150_000_000
    assert copied(tmp_path / "tree", tmp_path / "out")


def test_many_files(tmp_path: Path) -> None:
    for directory in range(100):
        (tmp_path / "tree" / str(directory)).mkdir(parents=True)
        for number in range(200):
            (tmp_path / "tree" / str(directory) / f"{number}.txt").touch()
    sender, receiver = peaks(tmp_path)
    assert max(sender, receiver) < MOST
    assert sum(1 for _ in (tmp_path / "out").glob("*/*/*")) == 20_000
