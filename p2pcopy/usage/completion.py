"""What a shell may put where the cursor is. The scripts in shells/ ask for it, with "p2pcopy __complete WORD...".

The answer is lines: first the kind and what of the word stays as it is, parted by a tab; then, for values, each with what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from p2pcopy.usage.commands import Command, Option, Program

SHELLS: Final = ("bash", "zsh", "fish")


class Kind(StrEnum):
    VALUES = "values"
    FILES = "files"
    DIRECTORIES = "directories"


@dataclass(frozen=True)
class Reply:
    """kept: the beginning of the word that stays as it is, such as "--output=". values: with their meaning, or ""."""

    kind: Kind = Kind.VALUES
    kept: str = ""
    values: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return "".join(f"{one}\t{two}\n" for one, two in ((self.kind, self.kept), *self.values))


# What stands for a value in help, and what to offer for it. CODE, SRC and DEST may be @FILE, a code also a picture.
FILES: Final = frozenset({"PATH", "FILE", "PNG", "CODE"})
DIRECTORIES: Final = frozenset({"DIR"})
AT_FILES: Final = frozenset({"CODE", "SRC", "DEST"})
NOTHING: Final = frozenset({"DURATION", "SIZE", "URL", "NAME", "PATTERN", "TEXT", "COMMAND"})

Interfaces = Callable[[], Iterable[str]]


def complete(program: Program, words: Sequence[str], interfaces: Interfaces) -> Reply:
    """words: those before the cursor, without p2pcopy itself; the last is the one that is being written, perhaps "".

    interfaces: names of the network interfaces, asked for only when they are wanted.
    """
    *done, word = words or [""]
    place = next((at for at, each in enumerate(done) if not each.startswith("-")), None)
    if place is None:
        if word.startswith("-"):
            return _flags(program.itself, word, done)
        return _matching([(each.name, each.summary) for each in program.commands], word)
    command = program.command(done[place])
    return Reply() if command is None else _in_command(program, command, done[place + 1 :], word, interfaces)


def _in_command(program: Program, command: Command, done: list[str], word: str, interfaces: Interfaces) -> Reply:
    positional, pending, only_arguments = 0, None, False
    for each in done:
        if pending is not None:
            pending = None
        elif only_arguments or each == "-" or not each.startswith("-"):
            positional += 1
        elif each == "--":
            only_arguments = True
        else:
            option = command.option(each)
            pending = option if option is not None and option.metavar else None
    if pending is not None:
        return _value(pending, word, "", interfaces)
    if word.startswith("-") and not only_arguments:
        flag, equals, value = word.partition("=")
        option = command.option(flag)
        if equals:
            return Reply() if option is None or not option.metavar else _value(option, value, f"{flag}=", interfaces)
        return _flags(command, word, done)
    return _argument(program, command, positional, word)


def _flags(command: Command, word: str, done: Sequence[str]) -> Reply:
    """Long names only, without what has been given already and cannot be given twice."""
    given = {each.partition("=")[0] for each in done}
    offered = [
        (flag, _sentence(each.help))
        for each in command.options
        if each.is_repeatable or not given.intersection(each.flags)
        for flag in each.flags
        if flag.startswith("--")
    ]
    return _matching(offered, word)


def _value(option: Option, word: str, kept: str, interfaces: Interfaces) -> Reply:
    if "--interface" in option.names:
        return _matching([(each, "") for each in interfaces()], word, kept)
    if "|" in option.metavar:
        return _matching([(each, "") for each in option.metavar.split("|")], word, kept)
    return _file(option.metavar, word, kept)


def _argument(program: Program, command: Command, positional: int, word: str) -> Reply:
    if positional >= len(command.arguments) and not (command.arguments and command.arguments[-1].is_many):
        return Reply()
    name = command.arguments[min(positional, len(command.arguments) - 1)].name
    if name == "COMMAND":
        return _matching([(each.name, each.summary) for each in program.commands], word)
    if name == "SHELL":
        return _matching([(each, "") for each in SHELLS], word)
    return _file(name, word, "")


def _file(metavar: str, word: str, kept: str) -> Reply:
    if word.startswith("@") and metavar in AT_FILES:
        return Reply(Kind.FILES, f"{kept}@")
    if metavar in FILES:
        return Reply(Kind.FILES, kept)
    if metavar in DIRECTORIES:
        return Reply(Kind.DIRECTORIES, kept)
    return Reply()


def _matching(offered: Iterable[tuple[str, str]], word: str, kept: str = "") -> Reply:
    return Reply(Kind.VALUES, kept, tuple(each for each in offered if each[0].startswith(word)))


def _sentence(text: str) -> str:
    """The first of a help text, without the full stop."""
    return text.partition(" (default:")[0].partition(". ")[0].rstrip(".")
