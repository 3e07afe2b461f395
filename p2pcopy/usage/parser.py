"""typer's command and group with our help and our messages, and without conversion of values that are text anyway.

Of typer, and of click in it, only what both have documented for long is overridden.
"""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size
from types import MethodType
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from p2pcopy.console import show
from p2pcopy.usage import commands, mistakes
from p2pcopy.usage.helptext import help_text

# click's UsageError, wherever typer keeps it.
_Refused: Final[Any] = typer.BadParameter.__bases__[0]


class Command(TyperCommand):
    """Values are taken as they are given: settings says what they mean, wherever they come from."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        try:
            super().parse_args(ctx, args)
        except _Refused as error:
            raise mistakes.refused(error, self._described()) from None
        if ctx.args:
            raise mistakes.too_many(ctx.args[0], self._described())
        for each in self.params:
            if each.required and not ctx.params[each.name]:
                raise mistakes.missing(each.metavar or "", self._described())
        return []

    def get_params(self, ctx: Any) -> Any:
        return _taken_as_given(super().get_params(ctx))

    def get_help(self, ctx: Any) -> str:
        """Without its last line break, as typer wants it."""
        return _help(self._described(), commands.program(ctx.find_root().command))

    def _described(self) -> commands.Command:
        return commands.command(self, self.name or "")


class Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            sys.stderr.write(self.get_help(ctx) + "\n")
            raise typer.Exit(2)
        try:
            return super().parse_args(ctx, args)
        except _Refused as error:
            raise mistakes.refused(error, commands.command(self, "")) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise mistakes.no_command(args[0], commands.program(self))
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> Any:
        return _taken_as_given(super().get_params(ctx))

    def get_help(self, ctx: Any) -> str:
        program = commands.program(self)
        return _help(program.itself, program)


def _taken_as_given(params: list[Any]) -> list[Any]:
    """Without typer's conversion by way of pydantic, whose import takes as long as all the rest before a run."""
    for each in params:
        each.process_value = MethodType(_as_given, each)
        if "--help" in each.opts:
            each.callback = _show_help
    return params


def _show_help(ctx: Any, _: Any, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        show(ctx.command.get_help(ctx) + "\n")
        ctx.exit()


def _as_given(self: Any, ctx: Any, value: Any) -> Any:
    if value is None and (self.nargs == -1 or getattr(self, "multiple", False)):
        value = ()
    return value if self.callback is None else self.callback(ctx, self, value)


def _help(command: commands.Command, program: commands.Program) -> str:
    return help_text(command, program, width=get_terminal_size().columns, bold=_is_bold()).rstrip("\n")


def _is_bold() -> bool:
    return (
        sys.stdout.isatty()
        and os.name == "posix"
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )
