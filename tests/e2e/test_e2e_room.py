"""What fits arrives, what does not is refused before it comes; names that differ in case; a defect is told on both sides."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Ended, Processes
from trees import MIB, copied, leftovers, make, noise


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A destination of 20 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "p2pcopy-test", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def copy(work: Path, *receive: str, before: str = "") -> tuple[Ended, Ended]:
    with Processes(work) as start:
        sender = start.send("tree")
        receiver = start.receive(sender.code(), "--yes", *receive, before=before)
        return sender.ended(), receiver.ended()


@pytest.mark.lab
def test_what_is_there_already_needs_no_room(tmp_path: Path, small_disk: Path) -> None:
    make(tmp_path / "tree" / "large", noise(12 * MIB))
    for _ in range(2):
        ends = copy(tmp_path, "--output", "disk", "--existing", "skip", "--max-size", "13M")
        assert [end.exit_code for end in ends] == [0, 0], ends[1].err
    ends = copy(tmp_path, "--output", "disk", "--existing", "skip", "--max-size", "1M")
    assert [end.exit_code for end in ends] == [0, 0], ends[1].err
    assert copied(tmp_path / "tree", small_disk)


@pytest.mark.lab
def test_what_has_come_is_not_counted_twice(tmp_path: Path, small_disk: Path) -> None:
    make(tmp_path / "tree" / "a" / "large", noise(12 * MIB))
    for number in range(3000):
        make(tmp_path / "tree" / "b" / str(number), b"")
    ends = copy(tmp_path, "--output", "disk", "--existing", "rename")
    assert [end.exit_code for end in ends] == [0, 0], ends[1].err
    assert copied(tmp_path / "tree", small_disk)


@pytest.mark.lab
@pytest.mark.parametrize("existing", ["refuse", "rename"])
def test_what_does_not_fit_is_refused(tmp_path: Path, small_disk: Path, existing: str) -> None:
    make(tmp_path / "tree" / "large", noise(24 * MIB))
    ends = copy(tmp_path, "--output", "disk", "--existing", existing)
    assert [end.exit_code for end in ends] == [3, 3]
    assert " free, and " in ends[0].err
    assert " free, and " in ends[1].err
    assert not list(small_disk.iterdir())


def test_names_that_differ_in_case_or_normalization(tmp_path: Path) -> None:
    for name in ("README", "readme", "e\u0301", "\u00e9"):
        make(tmp_path / "tree" / name, name.encode())
    if len(os.listdir(tmp_path / "tree")) < 4:
        pytest.skip("only on file systems that tell such names apart")
    ends = copy(tmp_path, "--output", "out")
    assert [end.exit_code for end in ends] == [0, 0], ends[1].err
    assert copied(tmp_path / "tree", tmp_path / "out")


def test_a_defect_ends_both_sides_and_both_say_so(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "file", noise(MIB))
    defect = (
        "from p2pcopy.files.directory import DirectoryStore\n"
        "def whole(*_): raise ValueError('a defect')\n"
        "DirectoryStore.whole = whole\n"
    )
    sent, received = copy(tmp_path, "--output", "out", "--json", before=defect)
    assert (sent.exit_code, received.exit_code) == (1, 1)
    assert "ValueError: a defect" in sent.err
    assert received.told("error")["message"] == "internal error: ValueError: a defect"
    assert not leftovers(tmp_path)
