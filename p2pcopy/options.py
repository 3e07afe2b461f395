"""The options that commands share, each declared once: name, text of the help, group in the help."""

# Not "from __future__ import annotations": as text, the annotations would be evaluated again at every start.
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from p2pcopy.config import Relay


def _option(panel: str, names: str, *, metavar: str | None = None, text: str) -> Any:
    return typer.Option(*names.split(), metavar=metavar, help=text, rich_help_panel=panel)


@dataclass(frozen=True)
class Network:
    """Which servers and addresses may be used."""

    stun: Annotated[
        list[str] | None,
        _option("Network", "--stun", metavar="URL", text="STUN server, such as stun:host:3478. Repeatable."),
    ] = None
    no_stun: Annotated[bool, _option("Network", "--no-stun", text="Ask no STUN server.")] = False
    interface: Annotated[
        list[str] | None,
        _option("Network", "--interface", metavar="NAME", text="Use this network interface only. Repeatable."),
    ] = None
    ipv4: Annotated[bool, _option("Network", "--ipv4", text="Use IPv4 only.")] = False
    ipv6: Annotated[bool, _option("Network", "--ipv6", text="Use IPv6 only.")] = False
    fast_path: Annotated[
        bool | None,
        _option(
            "Network",
            "--fast-path/--no-fast-path",
            text="Move data the fast way where this machine can. (default: yes)",
        ),
    ] = None
    turn: Annotated[
        list[str] | None,
        _option(
            "Relay",
            "--turn",
            metavar="URL",
            text="TURN server, such as turn:host:3478 or turns:host?transport=tcp. Repeatable, the best first.",
        ),
    ] = None
    turn_user: Annotated[
        str | None, _option("Relay", "--turn-user", metavar="NAME", text="User name for the TURN servers.")
    ] = None
    turn_password_file: Annotated[
        str | None,
        _option(
            "Relay",
            "--turn-password-file",
            metavar="FILE",
            text="File with the password for the TURN servers; P2PCOPY_TURN_PASSWORD works too.",
        ),
    ] = None
    turn_secret_file: Annotated[
        str | None,
        _option(
            "Relay",
            "--turn-secret-file",
            metavar="FILE",
            text="File with the secret that the TURN servers share with their users; P2PCOPY_TURN_SECRET works too.",
        ),
    ] = None
    turn_insecure: Annotated[
        bool,
        _option("Relay", "--turn-insecure", text="Accept any certificate from TURN servers. For laboratories only."),
    ] = False


@dataclass(frozen=True)
class Meeting:
    """How the two sides meet, and what holds while they are connected."""

    relay: Annotated[
        Relay | None, _option("Relay", "--relay", text="May a TURN relay carry the transfer? (default: auto)")
    ] = None
    share_relay: Annotated[
        bool | None,
        _option(
            "Relay",
            "--share-relay/--no-share-relay",
            text="Lend TURN servers to the other side, by way of the code. (default: those with a secret)",
        ),
    ] = None
    wait: Annotated[
        str | None,
        _option("Codes", "--wait", metavar="DURATION", text="How long the code is good for. (default: 1h)"),
    ] = None
    stall_limit: Annotated[
        str | None,
        _option(
            "Network",
            "--stall-limit",
            metavar="DURATION",
            text="How long to wait for a broken connection to come back. (default: 10m)",
        ),
    ] = None
    two_way: Annotated[
        bool | None,
        _option(
            "Codes",
            "--two-way/--no-two-way",
            text="Connect only with the help of both codes: then nobody who merely reads them can get in. (default: no)",
        ),
    ] = None
    confirm: Annotated[
        bool | None,
        _option(
            "Codes",
            "--confirm/--no-confirm",
            text="Compare a number with the other side before anything is sent. (default: no)",
        ),
    ] = None


@dataclass(frozen=True)
class Talking:
    """Where codes come from and go to, and what is told."""

    answer: Annotated[
        str | None,
        _option(
            "Codes",
            "--answer",
            metavar="SRC",
            text="Where the other side's answer code comes from: -, @FILE, fd:N or camera:NAME. (default: -)",
        ),
    ] = None
    answer_to: Annotated[
        str | None,
        _option(
            "Codes", "--answer-to", metavar="DEST", text="Where our code goes: -, stderr, @FILE or fd:N. (default: -)"
        ),
    ] = None
    via: Annotated[
        str | None,
        _option(
            "Codes",
            "--via",
            metavar="COMMAND",
            text="Run COMMAND, such as one with ssh: it gets our code as a line of input, and prints the other side's.",
        ),
    ] = None
    copy: Annotated[bool, _option("Codes", "--copy", text="Copy our code to the clipboard, over ssh as well.")] = False
    paste: Annotated[
        bool, _option("Codes", "--paste", text="Take the code of the side that started from the clipboard.")
    ] = False
    scan: Annotated[
        bool, _option("Codes", "--scan", text="Read the other side's code with a camera, and draw ours for its camera.")
    ] = False
    camera: Annotated[
        str | None,
        _option(
            "Codes",
            "--camera",
            metavar="NAME",
            text="The camera for --scan: a part of its name, its number, or a video file. (default: the first)",
        ),
    ] = None
    qr: Annotated[
        bool | None, _option("Codes", "--qr/--no-qr", text="Draw codes as QR codes. (default: where they fit)")
    ] = None
    qr_file: Annotated[
        str | None, _option("Codes", "--qr-file", metavar="PNG", text="Write our code as a QR picture, too.")
    ] = None
    json: Annotated[bool, _option("Output", "--json", text="Tell everything as JSON lines on standard output.")] = False
    quiet: Annotated[bool, _option("Output", "--quiet -q", text="Say nothing but errors.")] = False
    verbose: Annotated[bool, _option("Output", "--verbose -v", text="Say more.")] = False
    no_progress: Annotated[bool, _option("Output", "--no-progress", text="Show no progress.")] = False


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
