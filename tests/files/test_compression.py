"""When compressing pays, on a clock that the tests move."""

from __future__ import annotations

import itertools
import random

import pytest

from p2pcopy.config import MIB, Compress
from p2pcopy.files import compression
from p2pcopy.files.compression import Balance, Compression

TEXT = random.Random(1).randbytes(64).hex().encode() * 64
NOISE = random.Random(2).randbytes(8192)


class World:
    """A sender of blocks of 1 MiB. Times in seconds for each MiB: to compress, to send raw, to send compressed."""

    def __init__(self, compress: float, plain: float, squeezed: float) -> None:
        self.compress, self.plain, self.squeezed = compress, plain, squeezed
        self.balance = Balance()
        self.now = 0.0

    def send(self, mib: int) -> float:
        """The time for so many MiB. Every 16th block is compressed while that does not pay."""
        began = self.now
        for number in range(mib):
            self.balance.block(MIB, self.now)
            tried = self.balance.pays or number % 16 == 0
            if tried:
                self.balance.compressed(MIB, self.compress)
            spent = self.compress if tried else 0.0
            # One block is compressed while the one before it is sent.
            self.now += max(spent, self.squeezed if tried else self.plain)
        return self.now - began


@pytest.mark.parametrize(
    ("world", "pays"),
    [
        pytest.param(World(0.003, 0.1, 0.05), True, id="a slow path"),
        pytest.param(World(0.0005, 0.003, 0.0001), True, id="a fast path, and zeros"),
        pytest.param(World(0.004, 0.003, 0.002), False, id="a fast path, and what is slow to compress"),
        pytest.param(World(0.003, 0.1, 0.1), True, id="a slow source"),
    ],
)
def test_the_faster_way_is_found_and_kept(world: World, pays: bool) -> None:
    world.send(64)
    best = world.plain if not pays else max(world.compress, world.squeezed)
    assert world.send(2048) < 1.12 * 2048 * best
    assert world.balance.pays is pays


def test_a_path_that_changes_is_followed() -> None:
    world = World(0.004, 0.003, 0.002)
    for plain, mib, pays in ((0.003, 64, False), (0.1, 32, True), (0.001, 3000, False)):
        world.plain, world.squeezed = plain, plain / 2
        world.send(mib)
        assert world.balance.pays is pays


def timed(compress_s: float) -> Compression:
    """Between two blocks 0.1 s pass."""
    now = 0.0
    steps = itertools.cycle((0.1, compress_s))

    def tick() -> float:
        nonlocal now
        now += next(steps)
        return now

    return Compression(Compress.AUTO, tick)


def test_what_shrinks_is_compressed_and_what_does_not_is_tried_seldom() -> None:
    packing = timed(0.0)
    text, noise = packing.kind("a.TXT"), packing.kind("b.bin")
    assert packing.kind("c.txt") is text
    assert packing.kind("d.zip") is None
    assert packing.body(text, TEXT) is not None
    assert [packing.body(noise, NOISE) for _ in range(40)] == [None] * 40
    tries = [packing.body(noise, TEXT) is not None for _ in range(16)]
    assert tries.count(True) >= 1
    assert tries[-1]
    assert packing.body(text, b"t" * 100) is None


def test_compressing_that_takes_all_the_time_is_left() -> None:
    packing = timed(0.5)
    kind = packing.kind("a")
    bodies = [packing.body(kind, bytes(MIB)) for _ in range(64)]
    assert None in bodies


def test_modes() -> None:
    always = Compression(Compress.ALWAYS)
    kind = always.kind("a.zip")
    assert always.body(kind, TEXT) is not None
    assert always.body(kind, NOISE) is None
    assert always.body(kind, b"t" * 100) is None
    always.never()
    assert always.kind("a") is None
    assert always.body(kind, TEXT) is None
    assert Compression(Compress.NEVER).kind("a") is None


def test_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_MOST_KINDS", 1)
    packing = Compression(Compress.AUTO)
    assert packing.kind("a.x") is packing.kind("b.x")
    assert packing.kind("a.y") is not packing.kind("b.y")
