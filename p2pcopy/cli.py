"""The command line: arguments to settings, errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from p2pcopy import __version__, configfile, keys, settings
from p2pcopy.config import PartsSettings, ReceiveSettings, SendSettings, parse_duration, parse_size
from p2pcopy.console import fail, occupy_closed_streams, show, telling, warn
from p2pcopy.errors import ExitCode, InternalError, LocalFileError, P2PCopyError, UsageError
from p2pcopy.options import Meeting, Network, Talking, grouped, option, setting
from p2pcopy.usage import commands, completion, parser
from p2pcopy.usage.parser import Command

T = TypeVar("T")


class _Group(parser.Group):
    def main(self, args: Any = None, *others: Any, **extra: Any) -> NoReturn:
        """Also what the scripts for shells ask. Every failure is told, as an event where that is wanted."""
        given = sys.argv[1:] if args is None else list(args)
        try:
            if given[:1] == ["__complete"]:
                show(str(completion.complete(commands.program(self), given[1:], _interfaces)))
                sys.exit(ExitCode.OK)
            sys.exit(super().main(args, *others, **(extra | {"standalone_mode": False})))
        except P2PCopyError as error:
            fail(error, json=_wants_json(given))
            sys.exit(error.exit_code)


app = typer.Typer(
    name="p2pcopy",
    cls=_Group,
    help="Copy files straight from one machine to another, with a short code and no server in between.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(cls=Command)
@grouped
def send(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Files, directories, or - for standard input.")
    ] = None,
    to: Annotated[
        str | None,
        option(
            "Codes",
            "--to",
            metavar="CODE",
            text="The code of a receiver that started, or where it is: -, @FILE, a picture, env:NAME, camera:NAME.",
        ),
    ] = None,
    keep_open: Annotated[
        bool,
        option("Codes", "--keep-open", text="Go on with a fresh code for the next receiver, until Ctrl-C."),
    ] = False,
    text: Annotated[
        str | None,
        option(
            "Files",
            "--text",
            metavar="TEXT",
            text="Send a text, which the other side shows; - takes it from standard input.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        option("Files", "--name", metavar="NAME", text="File name for standard input. (default: stdin)"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        option("Files", "--exclude", metavar="PATTERN", text="Leave out what matches, as in .gitignore. Repeatable."),
    ] = None,
    follow_symlinks: Annotated[
        bool, option("Files", "--follow-symlinks", text="Send what symbolic links lead to, not the links.")
    ] = False,
    compress: Annotated[str | None, setting("compress")] = None,
    verify_resume: Annotated[str | None, setting("verify_resume")] = None,
    *,
    network: Network,
    meeting: Meeting,
    talking: Talking,
) -> None:
    """Send files and directories.

    Prints a code; the other side runs "p2pcopy receive CODE". If that shows an answer code, paste it here.
    """
    with telling(talking.json):
        talk, to = settings.talk(talking, to, sending=True)
        settings.check_standard_output(talking)
        sources = settings.sources(paths or (), text, name)
        if keep_open and to is not None:
            raise UsageError(
                "--keep-open needs codes of our own, and --to brings the other side's", "Drop one of them."
            )
        if keep_open and "-" in sources and text in (None, "-"):
            raise UsageError("standard input can be sent only once, so not with --keep-open", "Name files instead.")
        if keep_open and talking.via is not None:
            raise UsageError("--keep-open serves many, and the command of --via is one of them", "Drop one of them.")
        _warn_of_strangers(json=talking.json, quiet=talking.quiet)
        table = configfile.load()
        chosen = SendSettings(
            net=settings.net(table, network, meeting, offering=to is None),
            talk=talk,
            paths=sources,
            text=text,
            name=name,
            excludes=tuple(exclude or ()),
            follow_symlinks=follow_symlinks,
            compress=settings.compress(table, compress),
            to=to,
            keep_open=keep_open,
            verify_resume=settings.verify_resume(table, verify_resume, sources),
        )
        from p2pcopy.app import run_send

        raise typer.Exit(run_send(chosen))


@app.command(cls=Command)
@grouped
def receive(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            help="The sender's code, or where it is: -, @FILE, a picture, env:NAME, camera:NAME. None: start here.",
        ),
    ] = None,
    output: Annotated[str | None, setting("output")] = None,
    yes: Annotated[bool, option("Files", "--yes -y", text="Accept whatever the sender offers.")] = False,
    existing: Annotated[str | None, setting("existing")] = None,
    checksum: Annotated[bool | None, setting("checksum")] = None,
    dry_run: Annotated[
        bool, option("Files", "--dry-run", text="Show what would happen to each entry, and take nothing.")
    ] = False,
    max_size: Annotated[
        str | None, option("Files", "--max-size", metavar="SIZE", text="Decline offers larger than this, such as 2G.")
    ] = None,
    *,
    network: Network,
    meeting: Meeting,
    talking: Talking,
) -> None:
    """Receive files.

    With the sender's CODE, or without one: then a code is printed and the sender runs "p2pcopy send --to CODE PATH...".
    """
    with telling(talking.json):
        talk, code = settings.talk(talking, code, sending=False)
        _warn_of_strangers(json=talking.json, quiet=talking.quiet)
        table = configfile.load()
        to = settings.output(table, output)
        settings.check_standard_output(talking, output=to)
        if to == "-" and not dry_run and sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal, which what arrives could take control of",
                "Send it to a file or a program: add > FILE, or | PROGRAM.",
            )
        chosen = ReceiveSettings(
            net=settings.net(table, network, meeting, offering=code is None),
            talk=talk,
            code=code,
            output=to,
            yes=yes,
            existing=settings.existing(table, existing),
            max_bytes=None if max_size is None else _parsed("--max-size", max_size, parse_size),
            checksum=settings.checksum(table, checksum, output=to),
            dry_run=dry_run,
            keep_text=output is not None,
        )
        from p2pcopy.app import run_receive

        raise typer.Exit(run_receive(chosen))


@app.command(cls=Command)
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
    with telling(json):
        chosen = PartsSettings(
            directory=os.path.expanduser(directory),
            remove=remove,
            older_s=0.0 if older is None else _parsed("--older", older, parse_duration),
            json=json,
        )
        from p2pcopy.unfinished import run_parts

        raise typer.Exit(run_parts(chosen, show))


@app.command(cls=Command)
@grouped
def doctor(
    network: Network,
    json: Annotated[bool, typer.Option("--json", help="Tell everything as one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Find out what this network allows, and what to do about it.

    Ends with exit code 0 when connections are possible.
    """
    with telling(json):
        _warn_of_strangers()
        chosen = settings.net(configfile.load(), network, Meeting(), offering=False)
        from p2pcopy.doctor import run_doctor

        raise typer.Exit(run_doctor(chosen, json=json, verbose=verbose))


@app.command(name="code", cls=Command)
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A code, or - (standard input), @FILE or a picture.")],
) -> None:
    """Explain a code: who made it, for whom, until when, and the addresses in it."""
    with telling(False):
        from p2pcopy.explain import explain_code

        show(explain_code(code))


@app.command(cls=Command)
def config(
    write: Annotated[
        bool, typer.Option("--write", help="Make a config file with every setting and its default, in comments.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --write: replace the config file that is there.")
    ] = False,
    path: Annotated[bool, typer.Option("--path", help="Only say where the config file is, or would be.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Tell everything as one JSON object.")] = False,
) -> None:
    """Show every setting, and where its value comes from.

    A flag counts most, then the environment variable, then the config file, then the default. The variable of a setting is
    P2PCOPY_ and its name in capitals. Passwords and secrets are not shown.
    """
    with telling(json):
        if write + path + json > 1:
            raise UsageError("--write, --path and --json exclude each other", "Choose one of them.")
        if force and not write:
            raise UsageError("--force belongs to --write", "Add --write, or drop it.")
        if path:
            show(f"{configfile.path()}\n")
        elif write:
            show(f"{configfile.write(configfile.template(), replace=force)}\n")
        else:
            from p2pcopy.ui.screen import Out
            from p2pcopy.ui.settingslist import as_text

            _warn_of_strangers()
            file = configfile.path()
            told = settings.told(configfile.load(), str(file), file.exists())
            if json:
                from p2pcopy.ui.jsonlines import to_json

                show(to_json(told) + "\n")
            else:
                out = Out(sys.stdout)
                show(out.encodable(out.fitted(as_text(told, out.size.columns))))


@app.command(name="completion", cls=Command)
def completion_script(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that makes a shell complete commands, options and their values."""
    with telling(False):
        if shell not in completion.SHELLS:
            raise UsageError(f"there is no completion for {shell!r}", f"Choose {', '.join(completion.SHELLS)}.")
        show((Path(completion.__file__).parent / "shells" / f"p2pcopy.{shell}").read_text(encoding="utf-8"))


@app.command(name="help", cls=Command)
def show_help(
    context: typer.Context,
    command: Annotated[str | None, typer.Argument(metavar="[COMMAND]", help="Which. None: all of them.")] = None,
) -> None:
    """Show the help of a command."""
    root = context.find_root()
    with telling(False):
        if command is None:
            show(root.get_help() + "\n")
        else:
            _, found, _ = root.command.resolve_command(root, [command])  # type: ignore[attr-defined]
            show(found.get_help(context) + "\n")


def _parsed(flag: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"{flag} cannot be used: {error.message}", error.hint) from None


def _version(value: bool) -> None:
    if value:
        with telling(False):
            show(f"p2pcopy {__version__}\n")
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
        if "standard output" in occupy_closed_streams():
            fail(LocalFileError("standard output is closed", "Send it somewhere, such as to /dev/null."))
            sys.exit(ExitCode.LOCAL)
        app(prog_name="p2pcopy")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # a defect: no traceback unless it is wanted
        if {"-v", "--verbose"} & set(sys.argv):
            raise
        fail(InternalError.from_defect(error), json=_wants_json(sys.argv[1:]))
        sys.exit(ExitCode.INTERNAL)
    sys.exit(ExitCode.OK)


def _wants_json(given: list[str]) -> bool:
    """Whether events are wanted, as far as arguments say that have not been parsed."""
    return "--json" in given[: given.index("--") if "--" in given else None]


def _warn_of_strangers(*, json: bool = False, quiet: bool = False) -> None:
    if not quiet:
        for message in keys.strangers(os.environ):
            warn(message, json=json)


def _interfaces() -> list[str]:
    from p2pcopy.net.interfaces import interface_names

    return interface_names()
