"""The options that commands share, each declared once: name, text of the help, group in the help."""

# Not "from __future__ import annotations": as text, the annotations would be evaluated again at every start.
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from p2pcopy.keys import SETTINGS


def option(panel: str, names: str, *, metavar: str | None = None, text: str) -> Any:
    return typer.Option(*names.split(), metavar=metavar, help=text, rich_help_panel=panel)


def setting(key: str) -> Any:
    """The option for a setting of the table. What is given is text, checked with what variables and the config file say."""
    found = SETTINGS[key]
    return typer.Option(
        *found.flags.split(),
        metavar="|".join(found.choices) or found.metavar or None,
        help=f"{found.help} (default: {found.default_said})" if found.default_said != "none" else found.help,
        rich_help_panel=found.group,
    )


@dataclass(frozen=True)
class Network:
    """Which servers and addresses may be used."""

    stun: Annotated[list[str] | None, setting("stun")] = None
    no_stun: Annotated[bool, option("Network", "--no-stun", text="Ask no STUN server.")] = False
    interface: Annotated[list[str] | None, setting("interface")] = None
    ipv4: Annotated[bool, option("Network", "--ipv4", text="Use IPv4 only.")] = False
    ipv6: Annotated[bool, option("Network", "--ipv6", text="Use IPv6 only.")] = False
    fast_path: Annotated[bool | None, setting("fast_path")] = None
    turn: Annotated[list[str] | None, setting("turn")] = None
    turn_user: Annotated[str | None, setting("turn_user")] = None
    turn_password_file: Annotated[str | None, setting("turn_password_file")] = None
    turn_secret_file: Annotated[str | None, setting("turn_secret_file")] = None
    turn_insecure: Annotated[bool | None, setting("turn_insecure")] = None


@dataclass(frozen=True)
class Meeting:
    """How the two sides meet, and what holds while they are connected."""

    relay: Annotated[str | None, setting("relay")] = None
    share_relay: Annotated[bool | None, setting("share_relay")] = None
    wait: Annotated[str | None, setting("wait")] = None
    stall_limit: Annotated[str | None, setting("stall_limit")] = None
    two_way: Annotated[bool | None, setting("two_way")] = None
    confirm: Annotated[bool | None, setting("confirm")] = None


@dataclass(frozen=True)
class Talking:
    """Where codes come from and go to, and what is told."""

    answer: Annotated[
        str | None,
        option(
            "Codes",
            "--answer",
            metavar="SRC",
            text="Where the other side's answer code comes from: -, @FILE, fd:N or camera:NAME. (default: -)",
        ),
    ] = None
    answer_to: Annotated[
        str | None,
        option(
            "Codes", "--answer-to", metavar="DEST", text="Where our code goes: -, stderr, @FILE or fd:N. (default: -)"
        ),
    ] = None
    via: Annotated[
        str | None,
        option(
            "Codes",
            "--via",
            metavar="COMMAND",
            text="Run COMMAND, such as one with ssh: it gets our code as a line of input, and prints the other side's.",
        ),
    ] = None
    copy: Annotated[bool, option("Codes", "--copy", text="Copy our code to the clipboard, over ssh as well.")] = False
    paste: Annotated[
        bool, option("Codes", "--paste", text="Take the code of the side that started from the clipboard.")
    ] = False
    scan: Annotated[
        bool, option("Codes", "--scan", text="Read the other side's code with a camera, and draw ours for its camera.")
    ] = False
    camera: Annotated[
        str | None,
        option(
            "Codes",
            "--camera",
            metavar="NAME",
            text="The camera for --scan: a part of its name, its number, or a video file. (default: the first)",
        ),
    ] = None
    qr: Annotated[
        bool | None, option("Codes", "--qr/--no-qr", text="Draw codes as QR codes. (default: where they fit)")
    ] = None
    qr_file: Annotated[
        str | None, option("Codes", "--qr-file", metavar="PNG", text="Write our code as a QR picture, too.")
    ] = None
    json: Annotated[bool, option("Output", "--json", text="Tell everything as JSON lines on standard output.")] = False
    quiet: Annotated[bool, option("Output", "--quiet -q", text="Say nothing but errors.")] = False
    verbose: Annotated[bool, option("Output", "--verbose -v", text="Say more.")] = False
    no_progress: Annotated[bool, option("Output", "--no-progress", text="Show no progress.")] = False


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer has to see it: each parameter that is a class from here is spelled out as its options."""
    hints = get_type_hints(command, include_extras=True)
    options: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if hint in (Network, Meeting, Talking):
            groups[name] = hint
            options += (_parameter(each.name, each.type, each.default) for each in fields(hint))
        else:
            options.append(_parameter(name, hint, parameter.default))

    @wraps(command)
    def spelled_out(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        command(**given)

    spelled_out.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    spelled_out.__annotations__ = {each.name: each.annotation for each in options}
    return spelled_out


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
