"""Memory of both sides does not grow with what is sent."""

from __future__ import annotations

from pathlib import Path

from processes import Processes
from trees import MIB, make_sparse

MOST = 150 * MIB


def peaks(work: Path) -> tuple[int, int]:
    """Send tree, and return the largest memory of the sender and of the receiver, in bytes."""
    with Processes(work) as start:
        sender = start.send("tree", "--compress", "never")
        receiver = start.receive(sender.code(), "-o", "out", "-y")
        sent, received = sender.ended(100), receiver.ended(100)
        assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
        return sent.peak_bytes, received.peak_bytes


def test_a_large_file(tmp_path: Path) -> None:
    make_sparse(tmp_path / "tree" / "large", 96 * MIB)
    assert max(peaks(tmp_path)) < MOST
    assert (tmp_path / "out/tree/large").stat().st_size == 96 * MIB


def test_many_files(tmp_path: Path) -> None:
    for directory in range(100):
        (tmp_path / "tree" / str(directory)).mkdir(parents=True)
        for number in range(200):
            (tmp_path / "tree" / str(directory) / f"{number}.txt").touch()
    assert max(peaks(tmp_path)) < MOST
    assert sum(1 for _ in (tmp_path / "out").glob("*/*/*")) == 20_000
