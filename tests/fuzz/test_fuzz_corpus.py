"""Every target with all that is in its corpus, and with a few hundred changes to that, the same in each run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from fuzz import drive
from fuzz.catalogue import CORPUS, Target, load, names
from fuzz.feed import Feed
from fuzz.mutation import MAX_SIZE, mutations

MUTATIONS = 250
MEMORY = 2 * 1024**3  # bytes that a target may take
MAX_CORPUS = 300 * 1024  # bytes, of all targets together


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """What reads for ever and remembers it all fails by itself, and takes nothing else with it."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    limits = [psutil.Process().memory_info().vms + MEMORY, *(each for each in before if each >= 0)]  # -1: none
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("name", names())
def test_nothing_gets_through(name: str) -> None:
    target = load(name)
    seeds = target.seeds()
    for data in (*seeds, b"", *mutations(seeds, MUTATIONS, Random(name))):
        try:
            target.one(data)
        except Exception as error:
            error.add_note(f"python -m fuzz --input {data.hex()} {name}")
            raise


def test_the_corpus_is_small_and_whole() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(names())
    files = [path for directory in CORPUS.iterdir() for path in directory.iterdir()]
    assert sum(path.stat().st_size for path in files) < MAX_CORPUS
    assert all(path.stat().st_size <= MAX_SIZE for path in files)


def test_seeds_are_changed_the_same_way_each_time() -> None:
    seeds = [b"", bytes(range(256)), b"abc" * 100]
    first = list(mutations(seeds, 1000, Random(1)))
    assert first == list(mutations(seeds, 1000, Random(1)))
    assert len(set(first)) > 700
    assert max(map(len, first)) <= MAX_SIZE


def test_a_feed_ends_with_zeros() -> None:
    feed = Feed(b"\x02\x01\x00\x07\x03abcd")
    assert (feed.number(256), feed.number(65536), feed.choice("abc")) == (2, 256, "b")
    assert feed.chunk() == b"abc"
    assert feed
    assert feed.rest() == b"d"
    assert not feed
    assert (feed.number(2**32), feed.flag(), feed.chunk(), feed.take(4)) == (0, False, b"", b"")


def test_without_atheris_a_breach_is_found_and_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(data: bytes) -> None:
        if data[1:2] > b"\x7f":
            raise ValueError("that byte")

    monkeypatch.setattr(drive, "load", lambda name: Target(name, (), one, lambda: ()))
    with pytest.raises(ValueError, match="that byte"):
        drive.at_random("config", 60, tmp_path)
    assert (tmp_path / "crash-shrunk").read_bytes() == b"\x00\x80"
