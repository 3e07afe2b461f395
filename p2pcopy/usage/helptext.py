"""The text of --help, for a terminal of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from p2pcopy.usage.commands import Command, Program
from p2pcopy.usage.examples import EXAMPLES

_MIN_WIDTH: Final = 40
_MAX_WIDTH: Final = 100
_COLUMN: Final = 28  # where explanations begin; a longer name has a line of its own
_BOLD: Final = ("\x1b[1m", "\x1b[0m")


def help_text(command: Command, program: Program, *, width: int = 80, bold: bool = False) -> str:
    """Ends with a line break. width: columns of the terminal; bold: headings stand out by an escape sequence."""
    width = min(max(width, _MIN_WIDTH), _MAX_WIDTH)
    on, off = _BOLD if bold else ("", "")
    blocks = [[f"{on}Usage:{off} {command.usage}"], *([*_filled(each, width)] for each in command.paragraphs)]
    for title, rows in _sections(command, program):
        blocks.append([f"{on}{title}:{off}", *(line for row in rows for line in _row(*row, width))])
    if examples := EXAMPLES.get(command.name, ()):
        lines = [line for each in examples for line in (*_filled(each.what, width, "  "), f"    {each.line}")]
        blocks.append([f"{on}Examples:{off}", *lines])
    if not command.name:
        blocks.append(
            [*_filled('"p2pcopy COMMAND --help" says more about a command, "man p2pcopy" more about all.', width)]
        )
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _sections(command: Command, program: Program) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if not command.name:
        yield "Commands", [(each.name, each.summary) for each in program.commands]
    if command.arguments:
        yield "Arguments", [(each.metavar, each.help) for each in command.arguments]
    for title, options in command.groups.items():
        yield title, [(each.label, each.help) for each in options]


def _row(name: str, text: str, width: int) -> Iterable[str]:
    lines = [*_filled(text, width, " " * _COLUMN)]
    if len(name) + 4 > _COLUMN:
        return [f"  {name}", *lines]
    return [f"  {name}".ljust(_COLUMN) + lines[0].lstrip(), *lines[1:]]


def _filled(text: str, width: int, indent: str = "") -> Iterable[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
