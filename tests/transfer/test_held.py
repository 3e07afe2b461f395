"""Digests of blocks that a receiver has, kept in little memory, and told in order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.errors import ProtocolError
from p2pcopy.transfer import held
from p2pcopy.transfer.held import Digests, Holdings, Told, bytes_of, told_cost
from p2pcopy.transfer.wire import MAX_HELD, Check, Have


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def digests(*numbers: int) -> Digests:
    made = Digests()
    for number in numbers:
        made.append(number, digest(number))
    return made


@given(st.sets(st.integers(0, 40)), st.integers(1, 5))
def test_digests_are_a_mapping_in_order(numbers: set[int], most: int) -> None:
    made = digests(*sorted(numbers))
    assert dict(made) == {number: digest(number) for number in numbers}
    assert list(made) == sorted(numbers)
    assert len(made) == len(numbers)
    assert made.end == max(numbers, default=-1) + 1
    for number in range(42):
        run = made.run_at(number)
        assert (number in made) == bool(run)
        after = number + len(run) // 32
        assert after not in made
        assert run == b"".join(map(digest, range(number, after)))
    told = Digests()
    for first, part in made.runs(most):
        assert len(part) <= 32 * most
        told.append(first, part)
    assert dict(told) == dict(made)


@pytest.mark.parametrize(("first", "data"), [(3, bytes(32)), (5, b""), (5, bytes(33))])
def test_digests_come_whole_and_in_order(first: int, data: bytes) -> None:
    made = digests(2, 3)
    with pytest.raises(ValueError, match="do not follow"):
        made.append(first, data)


@given(st.integers(1, 50), st.integers(1, 9), st.sets(st.integers(0, 49)))
def test_the_bytes_of_blocks(size: int, block_size: int, numbers: set[int]) -> None:
    blocks = -(-size // block_size)
    there = sorted(number for number in numbers if number < blocks)
    expected = sum(min(block_size, size - number * block_size) for number in there)
    assert bytes_of(digests(*there), size, block_size) == expected


def test_what_is_told_is_given_out_once_with_the_files_that_are_accepted() -> None:
    holdings = Holdings()
    holdings.add(Have(3, 0, bytes(64)))
    holdings.add(Have(3, 7, bytes(32)))
    holdings.add(Have(5, 1, bytes(32), Check.ALL))
    assert [(file.entry, list(file.digests), file.check) for file in holdings.take(5)] == [(3, [0, 1, 7], Check.SAMPLE)]
    assert holdings.take(5) == []
    assert [file.entry for file in holdings.take(6)] == [5]


@pytest.mark.parametrize(
    "have",
    [
        Have(3, 2, bytes(32)),
        Have(3, 5, bytes(32), Check.ONLY),
        Have(2, 9, bytes(32)),
        Have(4, 0, bytes(33)),
    ],
)
def test_out_of_order(have: Have) -> None:
    holdings = Holdings()
    holdings.add(Have(2, 0, bytes(32)))
    holdings.add(Have(3, 2, bytes(32)))
    with pytest.raises(ProtocolError, match="out of order"):
        holdings.add(have)


def test_a_file_is_told_once() -> None:
    holdings = Holdings()
    holdings.add(Have(2, 0, bytes(32)))
    holdings.take(3)
    with pytest.raises(ProtocolError, match="out of order"):
        holdings.add(Have(2, 5, bytes(32)))


def test_what_is_told_and_not_closed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MAX_HELD", 2 * told_cost(1) + told_cost(2))
    holdings = Holdings()
    for entry in range(3):
        holdings.add(Have(entry, 0, bytes(32)))
    holdings.take(3)
    with pytest.raises(ProtocolError, match="too many blocks at a time"):
        holdings.add(Have(3, 0, bytes(32)))
    holdings.told.close(1)
    holdings.told.close(3)
    holdings.add(Have(4, 0, bytes(64)))
    assert holdings.told.cost == 2 * told_cost(1) + told_cost(2)


@pytest.mark.parametrize(
    ("numbers", "cost"),
    [((), 0), ((7,), 544), (range(4096), 4096 * 32 + 512), (range(4097), 4097 * 32 + 1024), ((1, 3, 4), 96 + 1024)],
)
def test_the_cost_of_telling(numbers: Sequence[int], cost: int) -> None:
    assert digests(*numbers).cost == cost


def test_bytes_that_were_there_count_until_the_file_starts_over_or_is_closed() -> None:
    told = Told()
    for entry in range(3):
        told.add(entry, 100)
        assert told.accept(entry, 7, Check.SAMPLE) == 7
    assert (told.start_over(0), told.close(0), told.close(0)) == (7, 0, 0)
    assert (told.close(1), told.cost) == (7, 100)
    assert (told.end(2), told.cost) == (0, 0)


@pytest.mark.parametrize("check", [Check.ALL, Check.ONLY])
def test_bytes_that_are_compared_count_at_the_end(check: Check) -> None:
    told = Told()
    for entry in range(3):
        told.add(entry, 100)
        assert told.accept(entry, 7, check) == 0
    assert (told.end(0), told.close(1), told.cost) == (7, 0, 100)
    assert (told.start_over(2), told.end(2), told.cost) == (0, 0, 0)


def test_one_file_fits_whatever_was_told_before() -> None:
    """A journal has at most 2^20 blocks of a file (docs/resume.md), with many gaps between them."""
    assert told_cost(2**20) + 2**13 * held.HAVE_COST < held.MOST_OF_A_FILE == MAX_HELD - 2 * held.AHEAD
