"""Manual pages in roff, with the macros of man(7); `make man` writes them to docs/man."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from p2pcopy import __version__
from p2pcopy.errors import ExitCode
from p2pcopy.keys import OTHER_VARIABLES, SETTINGS, Setting
from p2pcopy.usage.commands import Command, Program
from p2pcopy.usage.examples import EXAMPLES

EXIT_CODES: Final = {
    ExitCode.OK: "Done. Both sides know it.",
    ExitCode.INTERNAL: "A defect of p2pcopy.",
    ExitCode.USAGE: "The command line, an environment variable or the config file makes no sense.",
    ExitCode.LOCAL: "A file, directory, disk or standard stream of one side cannot be read or written.",
    ExitCode.CODE: "No code came, or what came cannot be used.",
    ExitCode.CONNECT: "The two sides found no path to each other in time.",
    ExitCode.LOST: "The connection ended before the transfer did. Run the same two commands again: they go on with it.",
    ExitCode.DECLINED: "A person or a policy said no, here or on the other side.",
    ExitCode.INTEGRITY: "Data arrived damaged again and again.",
    ExitCode.PEER: "The other side is incompatible, or broke the protocol.",
    ExitCode.INTERRUPTED: "Ctrl-C. What has arrived stays, and the same two commands go on with it.",
    ExitCode.TERMINATED: "SIGTERM or SIGHUP, with the same effect.",
}
_WITH_SETTINGS: Final = ("", "send", "receive", "doctor", "config")


def pages(program: Program) -> dict[str, str]:
    """All of them by the name of their file."""
    return {f"{_name(each)}.1": page(each, program) for each in program.all}


def page(command: Command, program: Program) -> str:
    lines = [
        f'.TH {_name(command).upper().replace("-", chr(92) + "-")} 1 "" "p2pcopy {__version__}" "p2pcopy"',
        ".SH NAME",
        f"{_text(_name(command))} \\- {_text(command.summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        *_synopsis(command),
    ]
    if command.paragraphs[1:] or command.arguments:
        lines += [".SH DESCRIPTION", *_paragraphs(command.paragraphs[1:])]
        lines += _tagged((_bold(each.metavar), each.help) for each in command.arguments)
    if not command.name:
        lines += [".SH COMMANDS", *_tagged((_bold(each.name), each.summary) for each in program.commands)]
    for group, options in command.groups.items():
        title = group.upper() if group == "Options" else f"{group.upper()} OPTIONS"
        lines += [f'.SH "{title}"', *_tagged((_bold(each.label.strip()), each.help) for each in options)]
    if command.name in _WITH_SETTINGS:
        lines += _environment(command)
    lines += _exit_status(command)
    lines += _examples(command)
    others = [each for each in program.all if each != command]
    lines += [".SH SEE ALSO", *_joined(f"\\fB{_text(_name(each))}\\fR(1)" for each in others)]
    return "\n".join(lines) + "\n"


def _name(command: Command) -> str:
    return f"p2pcopy-{command.name}" if command.name else "p2pcopy"


def _synopsis(command: Command) -> Iterator[str]:
    invocation, _, rest = command.usage.partition(" [OPTIONS]")
    yield f"{_bold(invocation)} [OPTIONS]{_text(rest)}"


def _environment(command: Command) -> Iterator[str]:
    """Which variables count; what each means only where all settings are told of."""
    yield ".SH ENVIRONMENT"
    if command.name != "config":
        yield from _sentences(
            "A flag counts most, then the environment variable P2PCOPY_ and the setting's name, then the config file."
        )
        yield "All of them are in"
        yield r"\fBp2pcopy\-config\fR(1)."
        return
    yield from _tagged((_bold(name), said) for name, said in OTHER_VARIABLES.items())
    yield from _tagged((_bold(each.variable), _setting(each)) for each in SETTINGS.values())
    yield ".SH FILES"
    yield from _tagged(
        [(_bold("~/.config/p2pcopy/config.toml"), "The config file on Linux; p2pcopy config --path says where it is.")]
    )


def _setting(setting: Setting) -> str:
    choices = f" One of {', '.join(setting.choices)}." if setting.choices else ""
    return f"{setting.help}{choices} Default: {setting.default_said}. In the config file: {setting.key}."


def _exit_status(command: Command) -> Iterator[str]:
    yield ".SH EXIT STATUS"
    if command.name in ("", "send", "receive"):
        yield from _tagged((_bold(str(int(code))), said) for code, said in EXIT_CODES.items())
    else:
        yield from ("They are listed in", r"\fBp2pcopy\fR(1).")


def _examples(command: Command) -> Iterator[str]:
    """Every command has some; the macro before each but the first parts it from the one before."""
    yield ".SH EXAMPLES"
    for number, each in enumerate(EXAMPLES[command.name]):
        yield from [".PP"] * bool(number)
        yield from _sentences(each.what)
        yield from (".RS 4", ".nf", _text(each.line), ".fi", ".RE")


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield from [".PP"] * bool(number)
        yield from _sentences(text)


def _tagged(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for tag, text in rows:
        yield from (".TP", tag, *_sentences(text))


def _joined(texts: Iterable[str]) -> Iterator[str]:
    *others, last = texts
    yield from (f"{each}," for each in others)
    yield last


def _sentences(text: str) -> Iterator[str]:
    """Each begins on a line of its own, as roff wants them."""
    for sentence in re.split(r"(?<=[.?!]) +(?=[A-Z(])", text):
        yield from map(_text, textwrap.wrap(sentence, 70, break_long_words=False, break_on_hyphens=False))


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _text(text: str) -> str:
    """With what roff would take for something else escaped."""
    escaped = (
        text.replace("\\", "\\(rs")
        .replace("-", "\\-")
        .replace("'", "\\(aq")
        .replace("~", "\\(ti")
        .replace("^", "\\(ha")
    )
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
