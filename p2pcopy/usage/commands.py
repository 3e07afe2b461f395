"""What there is to say about the command line: commands, their arguments and options, as plain data.

Made once from the objects that typer parses with; help, man pages, completion and messages are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

# The order in which groups of options are shown. Those that are not named come before the last, which is that of all others.
_GROUPS: Final = ("Files", "Codes", "Output", "Network", "Relay")
_LAST: Final = "Options"


@dataclass(frozen=True)
class Option:
    """names: short ones first; negatives: those that turn it off; metavar: "" for a switch without a value."""

    names: tuple[str, ...]
    negatives: tuple[str, ...]
    metavar: str
    help: str
    group: str
    is_repeatable: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        return self.names + self.negatives

    @property
    def label(self) -> str:
        """As help shows it: "-o, --output DIR", "    --[no-]confirm"."""
        shown = [f"--[no-]{name[2:]}" if f"--no-{name[2:]}" in self.negatives else name for name in self.names]
        indent = "" if len(self.names[0]) == 2 else "    "
        return indent + ", ".join(shown) + (f" {self.metavar}" if self.metavar else "")


@dataclass(frozen=True)
class Argument:
    """metavar: as in the usage line, in brackets when it may be left out, with dots when there may be many."""

    metavar: str
    help: str

    @property
    def name(self) -> str:
        return self.metavar.strip("[].")

    @property
    def is_required(self) -> bool:
        return not self.metavar.startswith("[")

    @property
    def is_many(self) -> bool:
        return "..." in self.metavar


@dataclass(frozen=True)
class Command:
    """name: "" for the program itself. paragraphs: what it does, the first in one sentence."""

    name: str
    paragraphs: tuple[str, ...]
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]

    @property
    def invocation(self) -> str:
        return f"p2pcopy {self.name}".rstrip()

    @property
    def usage(self) -> str:
        metavars = [each.metavar for each in self.arguments] if self.name else ["COMMAND ..."]
        return " ".join([self.invocation, "[OPTIONS]", *metavars])

    @property
    def summary(self) -> str:
        return self.paragraphs[0]

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(flag for each in self.options for flag in each.flags)

    @property
    def groups(self) -> dict[str, tuple[Option, ...]]:
        """The options by the group that help shows them in, in its order."""
        names = sorted({each.group for each in self.options}, key=_place)
        return {name: tuple(each for each in self.options if each.group == name) for name in names}

    def option(self, flag: str) -> Option | None:
        return next((each for each in self.options if flag in each.flags), None)


@dataclass(frozen=True)
class Program:
    """itself: what p2pcopy is without a command."""

    itself: Command
    commands: tuple[Command, ...]

    def command(self, name: str) -> Command | None:
        return next((each for each in self.commands if each.name == name), None)

    @property
    def all(self) -> tuple[Command, ...]:
        return (self.itself, *self.commands)


def program(group: Any) -> Program:
    """group: typer's object for all of the command line."""
    commands = (command(each, name) for name, each in group.commands.items() if not each.hidden)
    return Program(command(group, ""), tuple(commands))


def command(given: Any, name: str) -> Command:
    """given: typer's object for the command."""
    arguments = [each for each in given.params if each.param_type_name == "argument"]
    options = [each for each in given.params if each.param_type_name == "option"]
    return Command(
        name,
        tuple(_paragraphs(given.help or "")),
        tuple(Argument(each.metavar, each.help or "") for each in arguments),
        (*map(_option, options), Option(("-h", "--help"), (), "", "Show this help and end.", _LAST)),
    )


def _option(given: Any) -> Option:
    names = sorted(given.opts, key=len)
    return Option(
        tuple(names),
        tuple(given.secondary_opts),
        "" if given.is_flag else given.metavar,
        given.help or "",
        given.rich_help_panel or _LAST,
        bool(given.multiple),
    )


def _paragraphs(text: str) -> Iterable[str]:
    return (" ".join(each.split()) for each in text.split("\n\n") if each.strip())


def _place(group: str) -> tuple[bool, int, str]:
    return (group == _LAST, _GROUPS.index(group) if group in _GROUPS else len(_GROUPS), group)
