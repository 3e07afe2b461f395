"""The command line: arguments to settings, errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from p2pcopy import __version__, configfile, events, settings
from p2pcopy.config import (
    Compress,
    Existing,
    ReceiveSettings,
    Relay,
    SendSettings,
    layered,
    parse_size,
)
from p2pcopy.errors import ExitCode, InternalError, LocalFileError, P2PCopyError, UsageError


class _Command(TyperCommand):
    """A command whose help shows arguments as their metavar alone, and flags without a type."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = (each for each in self.params if not isinstance(each, TyperOption))
        return [self.options_metavar or "", *(each.metavar or "" for each in arguments)]

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def _without_types(params: list[Any]) -> list[Any]:
    for each in params:
        if not isinstance(each, TyperOption):
            each.display_type_rich = lambda **_: ""
        elif each.is_flag:
            each.metavar = ""
    return params


app = typer.Typer(
    name="p2pcopy",
    cls=_Group,
    help="Copy files straight from one machine to another, with a short code and no server in between.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_NETWORK = "Network"
_CODES = "Codes"
_OUTPUT = "Output"

Stun = Annotated[
    list[str] | None,
    typer.Option(
        "--stun", metavar="URL", help="STUN server, such as stun:host:3478. Repeatable.", rich_help_panel=_NETWORK
    ),
]
NoStun = Annotated[bool, typer.Option("--no-stun", help="Ask no STUN server.", rich_help_panel=_NETWORK)]
Turn = Annotated[
    list[str] | None,
    typer.Option(
        "--turn",
        metavar="URL",
        help="TURN server, such as turn:host:3478 or turns:host?transport=tcp. Repeatable.",
        rich_help_panel=_NETWORK,
    ),
]
TurnUser = Annotated[
    str | None,
    typer.Option("--turn-user", metavar="NAME", help="User name for the TURN servers.", rich_help_panel=_NETWORK),
]
TurnPasswordFile = Annotated[
    str | None,
    typer.Option(
        "--turn-password-file",
        metavar="FILE",
        help="File with the password for the TURN servers; P2PCOPY_TURN_PASSWORD works too.",
        rich_help_panel=_NETWORK,
    ),
]
RelayOption = Annotated[
    Relay | None,
    typer.Option("--relay", help="May a TURN relay carry the transfer? (default: auto)", rich_help_panel=_NETWORK),
]
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait", metavar="DURATION", help="How long the code is good for. (default: 1h)", rich_help_panel=_NETWORK
    ),
]
AnswerFrom = Annotated[
    str | None,
    typer.Option(
        "--answer",
        metavar="SRC",
        help="Where the other side's answer code comes from: -, @FILE or fd:N. (default: -)",
        rich_help_panel=_CODES,
    ),
]
AnswerTo = Annotated[
    str | None,
    typer.Option(
        "--answer-to",
        metavar="DEST",
        help="Where our code goes: -, stderr, @FILE or fd:N. (default: -)",
        rich_help_panel=_CODES,
    ),
]
Qr = Annotated[
    bool | None,
    typer.Option("--qr/--no-qr", help="Draw codes as QR codes. (default: where they fit)", rich_help_panel=_CODES),
]
QrFile = Annotated[
    str | None,
    typer.Option("--qr-file", metavar="PNG", help="Write the code as a QR picture, too.", rich_help_panel=_CODES),
]
Json = Annotated[
    bool, typer.Option("--json", help="Tell everything as JSON lines on standard output.", rich_help_panel=_OUTPUT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=_OUTPUT)]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress.", rich_help_panel=_OUTPUT)]


@app.command(cls=_Command, no_args_is_help=True)
def send(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, directories, or - for standard input.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="CODE",
            help="The code of a receiver that started (or -, @FILE, a picture).",
            rich_help_panel=_CODES,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="File name for standard input. (default: stdin)")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="Leave out what matches, as in .gitignore. Repeatable."),
    ] = None,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Send what symbolic links lead to, not the links.")
    ] = False,
    compress: Annotated[Compress | None, typer.Option("--compress", help="Compress with zstd? (default: auto)")] = None,
    stun: Stun = None,
    no_stun: NoStun = False,
    turn: Turn = None,
    turn_user: TurnUser = None,
    turn_password_file: TurnPasswordFile = None,
    relay: RelayOption = None,
    wait: Wait = None,
    answer: AnswerFrom = None,
    answer_to: AnswerTo = None,
    qr: Qr = None,
    qr_file: QrFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> None:
    """Send files and directories.

    Prints a code; the other side runs "p2pcopy receive CODE". If that shows an answer code, paste it here.
    """
    with _telling(json):
        table = configfile.load()
        chosen = SendSettings(
            net=settings.net(table, stun, no_stun, turn, turn_user, turn_password_file, relay, wait),
            talk=settings.talk(answer, answer_to, qr, qr_file, json, quiet, verbose, no_progress),
            paths=tuple(paths),
            name=name,
            excludes=tuple(exclude or ()),
            follow_symlinks=follow_symlinks,
            compress=Compress(layered(compress, {}, "", table, "compress", Compress.AUTO)),
            to=to,
        )
        from p2pcopy.app import run_send

        raise typer.Exit(run_send(chosen))


@app.command(cls=_Command)
def receive(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]", help="The sender's code, - (standard input), @FILE or a picture. None: start here."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where files go; - writes one file to standard output. (default: .)"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept whatever the sender offers.")] = False,
    existing: Annotated[
        Existing | None,
        typer.Option(
            "--existing", help="What to do about names that are taken. (default: ask on a terminal, else refuse)"
        ),
    ] = None,
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Decline offers larger than this, such as 2G.")
    ] = None,
    stun: Stun = None,
    no_stun: NoStun = False,
    turn: Turn = None,
    turn_user: TurnUser = None,
    turn_password_file: TurnPasswordFile = None,
    relay: RelayOption = None,
    wait: Wait = None,
    answer: AnswerFrom = None,
    answer_to: AnswerTo = None,
    qr: Qr = None,
    qr_file: QrFile = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> None:
    """Receive files.

    With the sender's CODE, or without one: then a code is printed and the sender runs "p2pcopy send --to CODE PATH...".
    """
    with _telling(json):
        if output == "-" and json:
            raise UsageError("--json and --output - both need standard output", "Choose one of them.")
        table = configfile.load()
        policy = layered(existing, {}, "", table, "existing", None)
        chosen = ReceiveSettings(
            net=settings.net(table, stun, no_stun, turn, turn_user, turn_password_file, relay, wait),
            talk=settings.talk(answer, answer_to, qr, qr_file, json, quiet, verbose, no_progress),
            code=code,
            output=os.path.expanduser(layered(output, {}, "", table, "output", ".")),
            yes=yes,
            existing=None if policy is None else Existing(policy),
            max_bytes=None if max_size is None else parse_size(max_size),
        )
        from p2pcopy.app import run_receive

        raise typer.Exit(run_receive(chosen))


@app.command(name="code", cls=_Command, no_args_is_help=True)
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A code, or - (standard input), @FILE or a picture.")],
) -> None:
    """Explain a code: who made it, for whom, until when, and the addresses in it."""
    with _telling(False):
        from p2pcopy.explain import explain_code

        _print(explain_code(code))


def _version(value: bool) -> None:
    if value:
        with _telling(False):
            _print(f"p2pcopy {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Copy files straight from one machine to another, with a short code and no server in between."""


def main() -> NoReturn:
    """The entry point: always ends with one of the documented exit codes."""
    try:
        if "standard output" in _occupy_closed_streams():
            _say(LocalFileError("standard output is closed", "Send it somewhere, such as to /dev/null."))
            sys.exit(ExitCode.LOCAL)
        app(prog_name="p2pcopy")
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # a defect: no traceback unless it is wanted
        if {"-v", "--verbose"} & set(sys.argv):
            raise
        _say(InternalError.from_defect(error))
        sys.exit(ExitCode.INTERNAL)
    sys.exit(ExitCode.OK)


def _occupy_closed_streams() -> list[str]:
    """Put /dev/null where a standard stream is closed, or the next socket or file would get its number."""
    closed: list[str] = []
    for descriptor, name in enumerate(("standard input", "standard output", "standard error")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            closed.append(name)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    return closed


@contextmanager
def _telling(json: bool) -> Iterator[None]:
    """Failures before the run has a reporter of its own."""
    try:
        yield
    except P2PCopyError as error:
        _say(error, json=json)
        raise typer.Exit(error.exit_code) from None


def _say(error: P2PCopyError, *, json: bool = False) -> None:
    failed = events.Failed.of(error)
    if json:
        from p2pcopy.ui.jsonlines import to_json

        with suppress(LocalFileError):  # nobody reads any more; the exit code still says what happened
            _print(to_json(failed) + "\n")
    else:
        from p2pcopy.ui.plain import Quiet

        Quiet(sys.stderr, None).tell(failed)


def _print(text: str) -> None:
    """To standard output, at once. Raises LocalFileError; what comes later goes nowhere."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise LocalFileError(f"standard output cannot be written: {error.strerror}", "Send it elsewhere.") from error
