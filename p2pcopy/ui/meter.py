"""How fast it goes, and how long it still takes. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from p2pcopy import events

WINDOW_S: Final = 3.0
SPACING_S: Final = 0.05
EARLY_S: Final = 1.0  # until then, whatever is estimated changes too much to be of use
FILE_COST: Final = 32 * 1024  # bytes that move in the time that a file takes by itself, roughly


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

    def eta(self, now: float, left: float) -> float | None:
        """Seconds until left bytes are through; None in the first second, and while nothing moves."""
        speed = self.rate(now)
        is_early = not self._samples or now - self._samples[0][0] < EARLY_S
        return None if is_early or speed <= 0 else left / speed

    def _total_at(self, time: float) -> float:
        """The total at a time within or after the samples, interpolated."""
        before_time, before = self._samples[0]
        for sample_time, total in self._samples:
            if sample_time > time:
                return before + (total - before) * (time - before_time) / (sample_time - before_time)
            before_time, before = sample_time, total
        return before


class Pace:
    """Rate and time left of a transfer. Small files take longer than their bytes do, so the time left counts files as well."""

    def __init__(self) -> None:
        self._bytes = RateMeter()
        self._work = RateMeter()
        self._moved = -1
        self._moved_at = 0.0

    def pause(self) -> None:
        """See RateMeter."""
        self._bytes.pause()
        self._work.pause()

    def resume(self) -> None:
        """See RateMeter."""
        self._bytes.resume()
        self._work.resume()

    def rated(self, progress: events.Progress, now: float) -> events.Progress:
        """The same progress with rate and time left, where whoever told it did not know them: of what moves in this run."""
        moved = progress.bytes_done - progress.bytes_resumed
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        self._bytes.add(now, moved)
        self._work.add(now, moved + FILE_COST * progress.files_done)
        if progress.rate_bytes_per_s or progress.eta_s is not None:
            return progress
        return replace(progress, rate_bytes_per_s=self._bytes.rate(now), eta_s=self._eta(progress, now))

    def still_s(self, now: float) -> float:
        """For how long nothing has moved."""
        return now - self._moved_at

    def _eta(self, progress: events.Progress, now: float) -> float | None:
        if progress.bytes_total is None:
            return None
        others = 0 if progress.files_total is None else progress.files_total - progress.files_done - 1
        return self._work.eta(now, max(0, progress.bytes_total - progress.bytes_done) + FILE_COST * max(0, others))
