"""A slow, lossy stretch of cable: two TAP devices with a process between them.

The process is this: stretch.py DEVICE DEVICE DELAY_S LOSS SEED. Both devices are there when it has said "ready".
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import random
import select
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

# What is on its way in one direction, in bytes: half a second of 1 Gbit/s. More is lost, as in any router.
MAX_UNDERWAY = 64 * 2**20
BATCH = 64
FRAME = 65536

_TUNSETIFF = 0x400454CA
_TAP, _NO_PACKET_INFORMATION = 0x0002, 0x1000


class Lane:
    """One direction. source, sink: descriptors of TAP devices."""

    def __init__(self, source: int, sink: int, delay_s: float, lost: Callable[[], bool]) -> None:
        self.source = source
        self._sink = sink
        self._delay_s = delay_s
        self._lost = lost
        self._underway: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    @property
    def due(self) -> float:
        """When the next packet comes out; far away when there is none."""
        return self._underway[0][0] if self._underway else math.inf

    def take(self, now: float) -> None:
        """What has come in."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                frame = os.read(self.source, FRAME)
                if not self._lost() and self._bytes + len(frame) <= MAX_UNDERWAY:
                    self._underway.append((now + self._delay_s, frame))
                    self._bytes += len(frame)

    def give(self, now: float) -> None:
        """What is due."""
        while self.due <= now:
            _, frame = self._underway.popleft()
            self._bytes -= len(frame)
            with contextlib.suppress(OSError):  # the queue behind it is full, or the device is down: lost
                os.write(self._sink, frame)


def run(devices: Sequence[str], delay_s: float, loss: float, seed: int) -> None:
    """Until the process is killed."""
    one, other = (_tap(each) for each in devices)
    lanes = [
        Lane(one, other, delay_s, _dice(f"{seed} there", loss)),
        Lane(other, one, delay_s, _dice(f"{seed} back", loss)),
    ]
    print("ready", flush=True)
    while True:
        wait_s = min(lane.due for lane in lanes) - time.monotonic()
        ready, _, _ = select.select([one, other], [], [], None if wait_s == math.inf else max(0.0, wait_s))
        now = time.monotonic()
        for lane in lanes:
            if lane.source in ready:
                lane.take(now)
            lane.give(now)


def _dice(seed: str, loss: float) -> Callable[[], bool]:
    numbers = random.Random(seed)
    return lambda: numbers.random() < loss


def _tap(device: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _TAP | _NO_PACKET_INFORMATION))
    return descriptor


if __name__ == "__main__":
    run(sys.argv[1:3], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
