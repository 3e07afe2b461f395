"""Numbers as people read them. Pure."""

from __future__ import annotations

import math


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


def sizes(one: int, other: int) -> tuple[str, str]:
    """Both as size(), to the byte where different ones would read the same."""
    if one != other and size(one) == size(other):
        return f"{one:,} B", f"{other:,} B"
    return size(one), size(other)


def share(done: int, total: int) -> str:
    """A part of a whole: "1.2 of 2.0 GiB", "512 B of 2.0 GiB"."""
    part, unit = size(done).split(" ")
    whole = size(total)
    return f"{part} of {whole}" if whole.endswith(f" {unit}") else f"{part} {unit} of {whole}"


def rate(bytes_per_s: float) -> str:
    """Bytes a second: "23.1 MiB/s"."""
    return f"{size(round(bytes_per_s))}/s"


def duration(seconds: float) -> str:
    """A time span in its two largest units: "3.2 s", "42 s", "2 min 05 s", "1 h", "1 h 02 min", "3 d 04 h"."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    return _two_units(round(seconds))


def limit(seconds: float) -> str:
    """A time that was asked for, and not measured: "1 s" instead of "1.0 s"."""
    return _two_units(round(seconds)) if round(seconds) else duration(seconds)


def left(seconds: float) -> str:
    """What is left of a wait or a transfer, rounded up, so that it changes once a minute above two minutes."""
    whole = math.ceil(seconds)
    return _two_units(whole if whole < 120 else math.ceil(whole / 60) * 60)


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
        return _units(minute, "min", second, "s")
    days, hour = divmod(hours, 24)
    return _units(days, "d", hour, "h") if days else _units(hour, "h", minute, "min")


def _units(large: int, name: str, small: int, small_name: str) -> str:
    return f"{large} {name} {small:02} {small_name}" if small else f"{large} {name}"
