"""Locks as transfers and those who look for leftovers have them side by side."""

import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from p2pcopy.files import locks

if sys.platform == "win32":
    pytest.skip("only on systems with flock", allow_module_level=True)

import fcntl

TURNS = 5  # of others, that a look takes


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def somebody_looks(path: Path, how: int) -> Iterator[None]:
    """Another descriptor has the lock, and gives it back while the first one waits."""
    with opened(path) as theirs, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(theirs, how)
        turns = itertools.count(1)

        def sleep(seconds: float) -> None:
            if next(turns) == TURNS:
                fcntl.flock(theirs, fcntl.LOCK_UN)

        patch.setattr(locks, "time", SimpleNamespace(sleep=sleep))
        yield


def test_who_looks_is_not_taken_for_a_transfer(tmp_path: Path) -> None:
    with opened(tmp_path) as ours, somebody_looks(tmp_path, fcntl.LOCK_EX):
        assert not locks.is_occupied(ours)


def test_who_is_suspended_while_it_looks_is_not_taken_for_a_transfer(tmp_path: Path) -> None:
    with opened(tmp_path) as ours, opened(tmp_path) as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        assert not locks.is_occupied(ours)
        fcntl.flock(theirs, fcntl.LOCK_UN)
        locks.occupy(theirs)
        assert locks.is_occupied(ours)


def test_many_look_at_once(tmp_path: Path) -> None:
    seen: list[bool] = []

    def look() -> None:
        with opened(tmp_path) as fd:
            seen.extend(locks.is_occupied(fd) for _ in range(500))

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for each in lookers:
        each.start()
    for each in lookers:
        each.join()
    assert len(seen) == 2000
    assert not any(seen)


def test_a_destination_is_occupied_in_spite_of_a_look(tmp_path: Path) -> None:
    with opened(tmp_path) as ours, opened(tmp_path) as looking:
        with somebody_looks(tmp_path, fcntl.LOCK_EX):
            locks.occupy(ours)
        assert locks.is_occupied(looking)


def test_a_part_file_is_taken_in_spite_of_a_look(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.touch()
    with opened(part) as ours, opened(part) as looking:
        with somebody_looks(part, fcntl.LOCK_SH):
            assert locks.take(ours)
        assert not locks.look(looking)


def test_a_destination_that_two_transfers_have(tmp_path: Path) -> None:
    with opened(tmp_path) as first, opened(tmp_path) as looking:
        locks.occupy(first)
        with opened(tmp_path) as second:
            locks.occupy(second)
        assert locks.is_occupied(looking)
        fcntl.flock(first, fcntl.LOCK_UN)
        assert not locks.is_occupied(looking)
