"""What is wrong with a command line, in our words: a message, and what to write instead."""

from __future__ import annotations

import difflib
from typing import Any, Final

from p2pcopy.errors import UsageError
from p2pcopy.usage.commands import Command, Program
from p2pcopy.usage.examples import EXAMPLES

_LIKE_A_CODE: Final = 40  # characters; the shortest code of a side that starts has more


def refused(error: Any, command: Command) -> UsageError:
    """error: the parser's. Of it only what click has documented for long is used."""
    name = getattr(error, "option_name", None)
    if name is None:
        return UsageError(error.message[:1].lower() + error.message[1:].rstrip("."), _more(command))
    option = command.option(name)
    if option is None:
        near = difflib.get_close_matches(name, command.flags, 1)
        guess = f"Did you mean {near[0]}? " if near else ""
        return UsageError(f"{command.invocation} has no option {name}", guess + _more(command))
    if option.metavar and name in option.names:
        return UsageError(f"{name} needs a value", f"Write {name} {option.metavar}: {option.help}")
    return UsageError(f"{name} takes no value", f"Write {name} alone: {option.help}")


def missing(metavar: str, command: Command) -> UsageError:
    examples = EXAMPLES.get(command.name, ())
    such_as = f", such as: {examples[0].line}" if examples else ""
    return UsageError(f"{metavar.strip('[].')} is missing", f"Write {command.usage}{such_as}. {_more(command)}")


def too_many(argument: str, command: Command) -> UsageError:
    return UsageError(f"{argument!r} is one argument too many", f"Write {command.usage}. {_more(command)}")


def no_command(name: str, program: Program) -> UsageError:
    if len(name) >= _LIKE_A_CODE and name.isalnum():
        return UsageError("a code alone is no command", "Write p2pcopy receive CODE, or p2pcopy send --to CODE PATH...")
    names = [each.name for each in program.commands]
    near = difflib.get_close_matches(name, names, 1)
    guess = f"Did you mean p2pcopy {near[0]}?" if near else f"There are {', '.join(names)}."
    return UsageError(f"p2pcopy has no command {name!r}", f"{guess} {_more(program.itself)}")


def _more(command: Command) -> str:
    return f"{command.invocation} --help says more."
