"""What the transfer costs above the channel: both sessions with real files, joined by a channel that costs next to nothing.

`PYTHONPATH=tests python -m bench.transfer_layer random zeros text small medium --mib 1024 --folder /dev/shm`. Each session has an
event loop in a thread of its own, so that CPU seconds can be told apart: of each loop, and of the threads beside it. MiB/s is of
one process with one interpreter lock for both sides: the CPU seconds are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import random
import resource
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from joining import receiving, sending

from p2pcopy.channel import Sink
from p2pcopy.config import MIB, Compress, TransferLimits

LIMITS = TransferLimits()
KINDS = ("random", "zeros", "text", "small", "medium")


class LocalChannel:
    """One end of a pair, each in a loop of its own. Messages are handed over as they are.

    window: bytes of data that wait at the receiver; what is beyond is the sender's backlog.
    """

    message_size = 247_104
    stalled = False
    failure = None

    def __init__(self, window: int) -> None:
        self.window = window
        self.loop = asyncio.get_running_loop()
        self.peer: LocalChannel
        self.backlog = 0
        self._queue: deque[tuple[bool, bytes]] = deque()
        self._is_told = False
        self._sink: Sink | None = None
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._below = 0

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        self._deliver()

    def send_control(self, message: bytes) -> None:
        self.peer._put(False, message)

    def send_data(self, message: bytes) -> None:
        self.backlog += len(message)
        self.peer._put(True, message)

    async def drain(self, below: int) -> None:
        if self.backlog > below:
            self._waiter, self._below = self.loop.create_future(), below
            await self._waiter

    def consumed(self, size: int) -> None:
        self._held -= size
        self._deliver()

    def _put(self, is_data: bool, message: bytes) -> None:
        """From the other end's thread."""
        self._queue.append((is_data, message))
        if not self._is_told:
            self._is_told = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_told = False
        taken = 0
        while self._sink is not None and self._queue and (self._held < self.window or not self._queue[0][0]):
            is_data, message = self._queue.popleft()
            if is_data:
                self._held += len(message)
                taken += len(message)
                self._sink.data_received(message)
            else:
                self._sink.control_received(message)
        if taken:
            self.peer.loop.call_soon_threadsafe(self.peer._sent, taken)

    def _sent(self, size: int) -> None:
        self.backlog -= size
        if self._waiter is not None and not self._waiter.done() and self.backlog <= self._below:
            self._waiter.set_result(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of files: {', '.join(KINDS)}; the default is all")
    parser.add_argument("--mib", type=int, default=1024, help="size of the big file")
    parser.add_argument("--folder", help="on the disk to measure; the default is the one for temporary files")
    parser.add_argument("--window", type=int, default=32, help="MiB that may wait at the receiver")
    parser.add_argument("--profile", action="store_true", help="print where the loops spend their time")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no {', '.join(unknown)}")
    print(f"{'':8}{'MiB/s':>8}{'files/s':>9}  CPU seconds per GiB (small: per 10,000 files) by thread; peak MiB")
    for kind in options.kinds or KINDS:
        with tempfile.TemporaryDirectory(prefix="p2pcopy-bench-", dir=options.folder) as folder:
            source = Path(folder) / "source"
            make(kind, source, options.mib)
            Run(kind, source, Path(folder) / "out", options.window * MIB, profile=options.profile).measure()


def make(kind: str, source: Path, mib: int) -> None:
    source.mkdir()
    match kind:
        case "small" | "medium":
            count, size = (10_000, 1024) if kind == "small" else (mib, MIB)
            for number in range(count):
                directory = source / f"d{number // 500}"
                directory.mkdir(exist_ok=True)
                (directory / f"f{number}").write_bytes(os.urandom(size))
        case _:
            words = [random.randbytes(random.randrange(2, 8)).hex().encode() for _ in range(2000)]
            with (source / "big").open("wb") as file:
                for _ in range(mib):
                    if kind == "text":
                        file.write(b" ".join(random.choices(words, k=MIB // 8))[:MIB].ljust(MIB))
                    else:
                        file.write(os.urandom(MIB) if kind == "random" else bytes(MIB))


class Run:
    """One transfer of source to target."""

    def __init__(self, kind: str, source: Path, target: Path, window: int, *, profile: bool) -> None:
        self.kind = kind
        self.source = source
        self.target = target
        self.window = window
        self.profile = profile
        self.loop_s: dict[str, float] = {}
        self.seconds = 0.0
        self.bytes = self.files = 0
        self._channels: dict[str, LocalChannel] = {}
        self._both = threading.Barrier(2)

    def measure(self) -> None:
        all_before = time.process_time()
        sides = [
            threading.Thread(target=self._side, args=(name, work), name=name)
            for name, work in (("send", self._send), ("receive", self._receive))
        ]
        watch = Watch()
        for side in sides:
            side.start()
        for side in sides:
            side.join()
        beside = watch.stop()
        unit = 2**30 / self.bytes if self.kind != "small" else 10_000 / self.files
        total = time.process_time() - all_before
        shown = {f"{name} loop": spent for name, spent in self.loop_s.items()} | beside
        parts = ", ".join(f"{name} {spent * unit:.3f}" for name, spent in shown.items())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rate, files = self.bytes / MIB / self.seconds, self.files / self.seconds
        print(f"{self.kind:8}{rate:8.0f}{files:9.0f}  {parts}; all {total * unit:.2f}; {peak:.0f}", flush=True)
        shutil.rmtree(self.target)

    def _side(self, name: str, work: Callable[[LocalChannel], Coroutine[Any, Any, None]]) -> None:
        profiler = cProfile.Profile(time.thread_time) if self.profile else None

        async def both() -> None:
            self._channels[name] = channel = LocalChannel(self.window)
            self._both.wait()
            channel.peer = self._channels["send" if name == "receive" else "receive"]
            self._both.wait()
            before = time.thread_time()
            if profiler is not None:
                profiler.enable()
            await work(channel)
            if profiler is not None:
                profiler.disable()
            self.loop_s[name] = time.thread_time() - before

        asyncio.run(both())
        if profiler is not None:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(25)

    async def _send(self, channel: LocalChannel) -> None:
        with sending(channel, LIMITS, self.source, Compress.AUTO) as (session, _):
            await session.run()
            self.seconds = session.seconds
            self.bytes, self.files = session.machine.bytes_stored, session.machine.files_done

    async def _receive(self, channel: LocalChannel) -> None:
        with receiving(channel, LIMITS, self.target) as (session, _):
            await session.run()


class Watch:
    """CPU seconds of the threads that sessions start, by name."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        self._over.set()
        self._thread.join()
        totals: dict[str, float] = {}
        for (name, _), spent in self._seen.items():
            totals[name] = totals.get(name, 0.0) + spent
        return totals

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self._seen.update(thread_seconds())


def thread_seconds() -> dict[tuple[str, int], float]:
    """Of the running threads of sessions, by name and number."""
    found = {}
    for thread in threading.enumerate():
        if thread.name.startswith("p2pcopy-") and thread.native_id is not None:
            try:
                line = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
            except OSError:
                continue  # it has just ended
            found[thread.name.removeprefix("p2pcopy-"), thread.native_id] = int(line.split()[0]) / 1e9
    return found


if __name__ == "__main__":
    main()
