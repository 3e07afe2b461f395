"""Numbers as people read them. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Final

from p2pcopy import events

WINDOW_S: Final = 3.0
SPACING_S: Final = 0.05


def size(count: int) -> str:
    """Bytes in binary units: "0 B", "1023 B", "1.5 GiB"."""
    if count < 1024:
        return f"{count} B"
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        value, unit = value / 1024, larger
        if round(value, 1) < 1024:
            break
    return f"{value:.1f} {unit}"


def share(done: int, total: int) -> str:
    """A part of a whole: "1.2 of 2.0 GiB", "512 B of 2.0 GiB"."""
    part, unit = size(done).split(" ")
    whole = size(total)
    return f"{part} of {whole}" if whole.endswith(f" {unit}") else f"{part} {unit} of {whole}"


def rate(bytes_per_s: float) -> str:
    """Bytes a second: "23.1 MiB/s"."""
    return f"{size(round(bytes_per_s))}/s"


def duration(seconds: float) -> str:
    """A time span in its two largest units: "3.2 s", "42 s", "2 min 05 s", "1 h 02 min", "3 d 04 h"."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    return _two_units(round(seconds))


def left(seconds: float) -> str:
    """What is left of a wait or a transfer, rounded up, so that it changes once a minute above two minutes."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    return f"{minutes} min" if minutes <= 60 else _two_units(minutes * 60)


def percent(done: int, total: int) -> str:
    """Rounded down: "100%" means all. A total of 0 is complete."""
    return f"{100 * done // total if total else 100}%"


def count(number: int, one: str, many: str = "") -> str:
    """ "1 file", "5,000 files"; many: the plural where it is not one + "s"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _two_units(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    if not minutes:
        return f"{second} s"
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute} min {second:02} s"
    days, hour = divmod(hours, 24)
    return f"{days} d {hour:02} h" if days else f"{hour} h {minute:02} min"


class RateMeter:
    """Bytes a second over the last 3 s. Times in seconds of any steady clock; totals in bytes, counted from anywhere."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._paused = False

    def pause(self) -> None:
        """The path is stalled: nothing moves, whatever the last seconds were like."""
        self._paused = True

    def resume(self) -> None:
        """From now on it counts anew."""
        if self._paused:
            self._paused = False
            self._samples.clear()

    def add(self, now: float, total_bytes: int) -> None:
        """The total as of now. Samples closer together than 50 ms are merged, so memory is bounded at any call rate."""
        if self._paused:
            return
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < SPACING_S:
            samples.pop()
        samples.append((now, total_bytes))
        while len(samples) > 2 and samples[1][0] <= now - WINDOW_S:
            samples.popleft()

    def rate(self, now: float) -> float:
        """Bytes a second in the window that ends now; falls to 0 when nothing comes any more."""
        if self._paused or not self._samples:
            return 0.0
        begin = max(self._samples[0][0], now - WINDOW_S)
        moved = self._samples[-1][1] - self._total_at(begin)
        return max(0.0, moved / (now - begin)) if now > begin else 0.0

    def eta(self, now: float, left: int) -> float | None:
        """Seconds until left bytes are through; None while nothing moves."""
        speed = self.rate(now)
        return left / speed if speed > 0 else None

    def _total_at(self, time: float) -> float:
        """The total at a time within or after the samples, interpolated."""
        before_time, before = self._samples[0]
        for sample_time, total in self._samples:
            if sample_time > time:
                return before + (total - before) * (time - before_time) / (sample_time - before_time)
            before_time, before = sample_time, total
        return before


def rated(progress: events.Progress, meter: RateMeter, now: float) -> events.Progress:
    """The same progress with rate and ETA from the meter, where whoever sent it did not know them: of what moves in this run."""
    meter.add(now, progress.bytes_done - progress.bytes_resumed)
    if progress.rate_bytes_per_s or progress.eta_s is not None:
        return progress
    total = progress.bytes_total
    eta = None if total is None else meter.eta(now, max(0, total - progress.bytes_done))
    return replace(progress, rate_bytes_per_s=meter.rate(now), eta_s=eta)
