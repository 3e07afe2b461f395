"""Until when a code is good: 16 bits of minutes, and what they mean at a given time. Pure; see docs/codes.md."""

from __future__ import annotations

from typing import Final

EPOCH_S: Final = 1767225600  # 2026-01-01T00:00Z
EXPIRY_GRACE_S: Final = 600  # the clocks of people's machines differ
MAX_LIFE_S: Final = 31 * 86400  # what would be further ahead is taken as past

_ROUND_S: Final = 65536 * 60  # after that the minutes come back


def expiry_minute(time_s: float) -> int:
    """The first full minute not before time_s (Unix time, at most 31 days ahead), as an offer carries it."""
    return int(-((EPOCH_S - time_s) // 60)) % 65536


def seconds_left(expires_minute: int, now_s: float) -> float:
    """From now_s (Unix time) to the expiry, negative when it is past; right from 31 days before to 14.5 days after it."""
    ahead = (expires_minute * 60 + EPOCH_S - now_s) % _ROUND_S
    return ahead if ahead <= MAX_LIFE_S else ahead - _ROUND_S


def expiry_time(expires_minute: int, now_s: float) -> int:
    """The expiry in Unix time, as far as seconds_left is right."""
    return round(now_s + seconds_left(expires_minute, now_s))


def is_expiry(expires_minute: int, time_s: int) -> bool:
    """May expires_minute stand for just this Unix time?"""
    return (time_s - EPOCH_S) % _ROUND_S == expires_minute * 60


def duration(seconds: float) -> str:
    """In words, rounded down: 119 minutes, 2 hours, 3 days."""
    for size, name in ((86400, "day"), (3600, "hour")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}s"
    return f"{int(seconds // 60)} minutes"
