"""Each port is called once, slowly, in an order of one's own."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from p2pcopy.net import sweep


def test_every_relay_port_is_tried_once_and_not_in_the_same_order_by_both_sides() -> None:
    one, other = ([port for group in sweep.ports(Random(seed)) for port in group] for seed in (1, 2))
    assert sorted(one) == sorted(other) == list(range(49152, 65536))
    assert one != other


def test_it_ends_when_it_is_told_to_and_is_never_faster_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []

    def send(port: int) -> bool:
        called.append(port)
        return len(called) < 100

    started = time.monotonic()
    asyncio.run(sweep.sweep(send, Random(1)))
    assert len(called) == 100
    assert time.monotonic() - started > 99 // sweep.AT_ONCE * sweep.PAUSE_S * 0.9


def test_it_begins_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "LAST_PORT", sweep.FIRST_PORT + 3)
    monkeypatch.setattr(sweep, "AGAIN_S", 0.0)
    called: list[int] = []

    def send(port: int) -> bool:
        called.append(port)
        return len(called) < 10

    asyncio.run(sweep.sweep(send, Random(1)))
    assert len(set(called)) == 4
    assert len(called) == 10
