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
    PartsSettings,
    ReceiveSettings,
    SendSettings,
    VerifyResume,
    layered,
    parse_duration,
    parse_size,
)
from p2pcopy.errors import ExitCode, InternalError, LocalFileError, P2PCopyError, UsageError
from p2pcopy.options import Meeting, Network, Talking, grouped


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


@app.command(cls=_Command, no_args_is_help=True)
@grouped
def send(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, directories, or - for standard input.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="CODE",
            help="The code of a receiver that started (or -, @FILE, a picture).",
            rich_help_panel="Codes",
        ),
    ] = None,
    keep_open: Annotated[
        bool,
        typer.Option(
            "--keep-open", help="Go on with a fresh code for the next receiver, until Ctrl-C.", rich_help_panel="Codes"
        ),
    ] = False,
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
    verify_resume: Annotated[
        VerifyResume | None,
        typer.Option(
            "--verify-resume",
            help="How much of what the receiver has of a file is read and compared before it goes on. (default: sample)",
        ),
    ] = None,
    *,
    network: Network,
    meeting: Meeting,
    talking: Talking,
) -> None:
    """Send files and directories.

    Prints a code; the other side runs "p2pcopy receive CODE". If that shows an answer code, paste it here.
    """
    with _telling(talking.json):
        if keep_open and to is not None:
            raise UsageError(
                "--keep-open needs codes of our own, and --to brings the other side's", "Drop one of them."
            )
        if keep_open and "-" in paths:
            raise UsageError("standard input can be sent only once, so not with --keep-open", "Name files instead.")
        table = configfile.load()
        chosen = SendSettings(
            net=settings.net(table, network, meeting, offering=to is None),
            talk=settings.talk(talking),
            paths=tuple(paths),
            name=name,
            excludes=tuple(exclude or ()),
            follow_symlinks=follow_symlinks,
            compress=Compress(layered(compress, {}, "", table, "compress", Compress.AUTO)),
            to=to,
            keep_open=keep_open,
            verify_resume=settings.verify_resume(table, verify_resume, paths),
        )
        from p2pcopy.app import run_send

        raise typer.Exit(run_send(chosen))


@app.command(cls=_Command)
@grouped
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
            "--existing",
            help="What to do about names that are taken. (default: ask on a terminal, else refuse)",
        ),
    ] = None,
    checksum: Annotated[
        bool | None,
        typer.Option(
            "--checksum/--no-checksum",
            help="The content tells whether a file is there already, not its time. (default: no)",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen to each entry, and take nothing.")
    ] = False,
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Decline offers larger than this, such as 2G.")
    ] = None,
    *,
    network: Network,
    meeting: Meeting,
    talking: Talking,
) -> None:
    """Receive files.

    With the sender's CODE, or without one: then a code is printed and the sender runs "p2pcopy send --to CODE PATH...".
    """
    with _telling(talking.json):
        if output == "-" and talking.json:
            raise UsageError("--json and --output - both need standard output", "Choose one of them.")
        table = configfile.load()
        to = os.path.expanduser(layered(output, {}, "", table, "output", "."))
        chosen = ReceiveSettings(
            net=settings.net(table, network, meeting, offering=code is None),
            talk=settings.talk(talking),
            code=code,
            output=to,
            yes=yes,
            existing=settings.existing(table, existing),
            max_bytes=None if max_size is None else parse_size(max_size),
            checksum=settings.checksum(table, checksum, output=to),
            dry_run=dry_run,
        )
        from p2pcopy.app import run_receive

        raise typer.Exit(run_receive(chosen))


@app.command(cls=_Command)
def parts(
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="Where to look, with all that is below. None: here.")
    ] = ".",
    remove: Annotated[bool, typer.Option("--remove", help="Remove those that no transfer is writing.")] = False,
    older: Annotated[
        str | None,
        typer.Option("--older", metavar="DURATION", help="Only those that have not changed for so long, such as 7d."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Tell everything as JSON lines.")] = False,
) -> None:
    """List what unfinished transfers have left of files, and remove it.

    Running the same two commands again goes on with it; it is never removed by itself.
    """
    with _telling(json):
        chosen = PartsSettings(
            directory=os.path.expanduser(directory),
            remove=remove,
            older_s=0.0 if older is None else parse_duration(older),
            json=json,
        )
        from p2pcopy.unfinished import run_parts

        raise typer.Exit(run_parts(chosen, _print))


@app.command(cls=_Command)
@grouped
def doctor(
    network: Network,
    json: Annotated[bool, typer.Option("--json", help="Tell everything as one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Find out what this network allows, and what to do about it.

    Ends with exit code 0 when connections are possible.
    """
    with _telling(json):
        chosen = settings.net(configfile.load(), network, Meeting(), offering=False)
        from p2pcopy.doctor import run_doctor

        raise typer.Exit(run_doctor(chosen, json=json, verbose=verbose))


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

        with Quiet(sys.stderr, None) as reporter:
            reporter.tell(failed)


def _print(text: str) -> None:
    """To standard output, at once. Raises LocalFileError; what comes later goes nowhere."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise LocalFileError(f"standard output cannot be written: {error.strerror}", "Send it elsewhere.") from error
