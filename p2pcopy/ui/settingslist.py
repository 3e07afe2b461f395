"""Every setting and where it comes from, as lines of text. Pure; text from outside is escaped here."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from p2pcopy import events
from p2pcopy.files.names import display

_HEADINGS: Final = ("SETTING", "FROM", "FLAG", "VALUE")
_NARROWEST: Final = 20  # columns for values


def as_text(configuration: events.Configuration, columns: int = 80) -> str:
    """A table, each value of a list on a line of its own. columns: of the terminal; long values are wrapped at it."""
    heads = [_HEADINGS[:-1], *((each.key, each.origin, _flags(each)) for each in configuration.settings)]
    widths = [max(map(len, column)) + 2 for column in zip(*heads, strict=True)]
    room = max(columns - sum(widths), _NARROWEST)
    lines = [_line(_HEADINGS[:-1], _HEADINGS[-1], widths)]
    for head, setting in zip(heads[1:], configuration.settings, strict=True):
        first, *others = (line for value in _values(setting) for line in _wrapped(value, room))
        lines += [_line(head, first, widths), *(_line(("", "", ""), other, widths) for other in others)]
    where = "Config file" if configuration.exists else "Config file, which is not there"
    change = "To change one: its flag, else the variable P2PCOPY_ and its name in capitals, else the config file."
    make = [] if configuration.exists else ['"p2pcopy config --write" makes one, with every setting in comments.']
    return "\n".join([f"{where}: {display(configuration.path)}", "", *lines, "", change, *make]) + "\n"


def _line(head: Sequence[str], value: str, widths: Sequence[int]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(head, widths, strict=True)) + value


def _flags(setting: events.SettingLine) -> str:
    return ", ".join(flag for flag in setting.flags if flag.startswith("--") and not flag.startswith("--no-"))


def _wrapped(value: str, room: int) -> Sequence[str]:
    """One line at least."""
    return textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) or [value]


def _values(setting: events.SettingLine) -> list[str]:
    match setting.value:
        case None:
            return [f"({setting.otherwise})"]
        case bool():
            return ["yes" if setting.value else "no"]
        case tuple():
            return [*map(display, setting.value)] or ["(none)"]
        case _:
            return [display(setting.value)]
