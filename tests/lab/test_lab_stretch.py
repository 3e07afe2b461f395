from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from lab import stretch

pytestmark = pytest.mark.lab


class Piece:
    """A lane between sockets."""

    def __init__(self, delay_s: float, loss: float, seed: int = 0) -> None:
        self._in, self._out = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
        for each in (*self._in, *self._out):
            each.setblocking(False)
        dice = random.Random(seed)
        self.lane = stretch.Lane(self._in[0].fileno(), self._out[1].fileno(), delay_s, lambda: dice.random() < loss)

    def come(self, *frames: bytes, at: float) -> None:
        for frame in frames:
            self._in[1].send(frame)
            self.lane.take(at)

    def gone(self, at: float) -> list[bytes]:
        self.lane.give(at)
        frames = []
        try:
            while True:
                frames.append(self._out[0].recv(stretch.FRAME))
        except BlockingIOError:
            return frames

    def close(self) -> None:
        for each in (*self._in, *self._out):
            each.close()


@pytest.fixture
def pieces() -> Iterator[list[Piece]]:
    made: list[Piece] = []
    yield made
    for each in made:
        each.close()


def test_what_comes_in_goes_out_later_in_the_same_order(pieces: list[Piece]) -> None:
    pieces.append(piece := Piece(0.5, 0))
    assert piece.lane.due == float("inf")
    piece.come(b"one", b"two", at=10)
    piece.come(b"three", at=10.25)
    assert piece.lane.due == 10.5
    assert piece.gone(10.4) == []
    assert piece.gone(10.5) == [b"one", b"two"]
    assert piece.lane.due == 10.75
    assert piece.gone(11) == [b"three"]


def test_the_same_ones_are_lost_for_the_same_seed(pieces: list[Piece]) -> None:
    frames = [bytes([number]) for number in range(stretch.BATCH)]
    through = []
    for seed in (1, 1, 2):
        pieces.append(piece := Piece(0, 0.3, seed))
        piece.come(*frames, at=0)
        through.append(piece.gone(0))
    assert through[0] == through[1] != through[2]
    assert 20 < len(through[0]) < 64


def test_what_is_on_its_way_is_bounded(pieces: list[Piece], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "MAX_UNDERWAY", 10)
    pieces.append(piece := Piece(1, 0))
    piece.come(b"123456", b"too long", b"7890", at=0)
    assert piece.gone(1) == [b"123456", b"7890"]
    piece.come(b"1234567890", at=1)
    assert piece.gone(2) == [b"1234567890"]
