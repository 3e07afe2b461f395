"""What counts among arguments, environment variables and the config file, put into settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from p2pcopy.config import (
    CAMERA,
    DEFAULT_STALL_LIMIT_S,
    DEFAULT_STUN,
    DEFAULT_WAIT_S,
    Existing,
    Family,
    IceServer,
    NetSettings,
    Relay,
    Talk,
    VerifyResume,
    layered,
    parse_duration,
    parse_switch,
)
from p2pcopy.errors import LocalFileError, UsageError
from p2pcopy.options import Meeting, Network, Talking

_MAX_SECRET: Final = 1024  # characters
_Choice = TypeVar("_Choice", bound=StrEnum)


def net(table: Mapping[str, Any], network: Network, meeting: Meeting, *, offering: bool) -> NetSettings:
    """table: the config file's. offering: this side makes the offer, so no code can bring it a TURN server.

    Raises UsageError for what contradicts itself or is missing, LocalFileError for a secret that cannot be read.
    """
    turn = _turn(table, network)
    relay = Relay(layered(meeting.relay, {}, "", table, "relay", Relay.AUTO))
    if relay is Relay.ONLY and offering and not turn:
        raise UsageError("--relay only needs a TURN server", "Name one with --turn, or set P2PCOPY_TURN.")
    if meeting.share_relay and offering and not turn:
        raise UsageError("--share-relay needs a TURN server", "Name one with --turn, or set P2PCOPY_TURN.")
    if meeting.share_relay and relay is Relay.NEVER:
        raise UsageError("--share-relay and --relay never exclude each other", "Drop one of them.")
    return NetSettings(
        stun=_stun(table, network),
        turn=turn,
        relay=relay,
        wait_s=_duration(meeting.wait, table, "wait", DEFAULT_WAIT_S),
        stall_limit_s=_duration(meeting.stall_limit, table, "stall_limit", DEFAULT_STALL_LIMIT_S),
        interfaces=_list(layered(network.interface, {}, "", table, "interface", ())),
        family=_family(table, network),
        turn_insecure=network.turn_insecure or table.get("turn_insecure", False),
        share_relay=layered(meeting.share_relay, {}, "", table, "share_relay", None),
        two_way=layered(meeting.two_way, {}, "", table, "two_way", False),
        confirm=layered(meeting.confirm, {}, "", table, "confirm", False),
        fast_path=_switch(network.fast_path, table, "fast_path", default=True),
        gso=_switch(None, table, "gso", default=True),
        gro=_switch(None, table, "gro", default=True),
    )


def talk(talking: Talking, theirs: str | None, *, sending: bool) -> tuple[Talk, str | None]:
    """theirs: the code of a side that started, or where it comes from; so is what is returned. Raises UsageError."""
    if talking.quiet and talking.verbose:
        raise UsageError("--quiet and --verbose exclude each other", "Drop one of them.")
    if talking.camera is not None and not talking.scan:
        raise UsageError("--camera is the camera for --scan", "Add --scan, or drop --camera.")
    _one_road(talking, theirs, "--to" if sending else "CODE")
    answer, camera = talking.answer, CAMERA + (talking.camera or "")
    if talking.paste:
        theirs = "clipboard:"
    elif talking.scan and sending:
        answer = camera
    elif talking.scan:
        theirs = camera
    return Talk(
        answer=answer,
        answer_to=talking.answer_to,
        via=talking.via,
        copy=talking.copy,
        qr=True if talking.qr is None and talking.scan else talking.qr,
        qr_file=talking.qr_file,
        json=talking.json,
        quiet=talking.quiet,
        verbose=talking.verbose,
        progress=not talking.no_progress,
    ), theirs


def sources(paths: Sequence[str], text: str | None, name: str | None) -> tuple[str, ...]:
    """What is sent; a text is a stream like standard input. Raises UsageError."""
    if text is None:
        if not paths:
            raise UsageError(
                "there is nothing to send", "Name files or directories, - for standard input, or a --text."
            )
        return tuple(paths)
    if paths or name is not None:
        raise UsageError(
            f"--text and {'--name' if name is not None else 'PATH'} exclude each other", "Drop one of them."
        )
    if not text:
        raise UsageError("the text is empty", "Write it behind --text, or --text - to take it from standard input.")
    return ("-",)


def _one_road(talking: Talking, theirs: str | None, code: str) -> None:
    """Each of these brings the other side's code, so there can be only one. code: how theirs is given. Raises UsageError."""
    given = {
        code: theirs is not None,
        "--answer": talking.answer is not None,
        "--via": talking.via is not None,
        "--paste": talking.paste,
        "--scan": talking.scan,
    }
    first, *more = (name for name in given if given[name]) if any(given.values()) else ("",)
    # An answer goes with a code only where none is needed, which has always been allowed.
    if more and (first, *more) != (code, "--answer"):
        raise UsageError(
            f"{first} and {more[0]} exclude each other", "Only one of them can bring the other side's code."
        )


def _stun(table: Mapping[str, Any], network: Network) -> tuple[IceServer, ...]:
    if network.no_stun:
        if network.stun:
            raise UsageError("--stun and --no-stun exclude each other", "Drop one of them.")
        return ()
    urls = _urls(layered(network.stun, os.environ, "P2PCOPY_STUN", table, "stun", DEFAULT_STUN))
    return tuple(IceServer(url) for url in urls)


def _turn(table: Mapping[str, Any], network: Network) -> tuple[IceServer, ...]:
    urls = _urls(layered(network.turn, os.environ, "P2PCOPY_TURN", table, "turn", ()))
    if not urls:
        if network.turn_user or network.turn_password_file or network.turn_secret_file:
            raise UsageError(
                "there is a credential for TURN servers, but no TURN server",
                "Name one with --turn, or set P2PCOPY_TURN.",
            )
        return ()
    username = layered(network.turn_user, os.environ, "P2PCOPY_TURN_USER", table, "turn_user", "")
    password, secret = _credential(table, network)
    if not secret and not (username and password):
        raise UsageError(
            "a TURN server needs a user name and a password, or a secret",
            "Give --turn-user and --turn-password-file, or --turn-secret-file; or set P2PCOPY_TURN_USER and "
            "P2PCOPY_TURN_PASSWORD, or P2PCOPY_TURN_SECRET.",
        )
    return tuple(IceServer(url, username, password, secret) for url in urls)


def _family(table: Mapping[str, Any], network: Network) -> Family:
    if network.ipv4 and network.ipv6:
        raise UsageError("--ipv4 and --ipv6 exclude each other", "Drop one of them, or both to use both.")
    flag = Family.IPV4 if network.ipv4 else Family.IPV6 if network.ipv6 else None
    return Family(layered(flag, {}, "", table, "family", Family.ANY))


def existing(table: Mapping[str, Any], flag: Existing | None) -> Existing | None:
    """What happens where names are taken; None where nothing says. Raises UsageError."""
    return _choice(flag, table, "existing", Existing)


def checksum(table: Mapping[str, Any], flag: bool | None, *, output: str) -> bool:
    """Whether the content tells what is there already. Raises UsageError."""
    if output == "-":
        if flag:
            raise UsageError(
                "--checksum compares files, and --output - has none that could be there already", "Drop one of them."
            )
        return False
    return _switch(flag, table, "checksum", default=False)


def verify_resume(table: Mapping[str, Any], flag: VerifyResume | None, paths: Sequence[str]) -> VerifyResume:
    """Raises UsageError."""
    if flag is not None and set(paths) == {"-"}:
        raise UsageError(
            "--verify-resume is about files that go on where they stopped, and standard input cannot",
            "Drop it, or send a file.",
        )
    return _choice(flag, table, "verify_resume", VerifyResume) or VerifyResume.SAMPLE


def _choice(flag: _Choice | None, table: Mapping[str, Any], key: str, kind: type[_Choice]) -> _Choice | None:
    """With a variable of the key's name."""
    variable = f"P2PCOPY_{key.upper()}"
    given = layered(flag, os.environ, variable, table, key, None)
    if given is None or given in tuple(kind):
        return None if given is None else kind(given)
    raise UsageError(f"{variable} cannot be used: {given!r} is no choice", f"Choose {', '.join(kind)}.")


def _duration(flag: str | None, table: Mapping[str, Any], key: str, default_s: float) -> float:
    text = layered(flag, {}, "", table, key, None)
    return default_s if text is None else parse_duration(text)


def _switch(flag: bool | None, table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """With a variable of the key's name."""
    variable = f"P2PCOPY_{key.upper()}"
    given = layered(flag, os.environ, variable, table, key, default)
    if isinstance(given, bool):
        return given
    try:
        return parse_switch(given)
    except UsageError as error:
        raise UsageError(f"{variable} cannot be used: {error.message}", error.hint) from None


def _urls(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(given)


def _list(given: str | Sequence[str]) -> tuple[str, ...]:
    """Of names that may have blanks in them."""
    return (given,) if isinstance(given, str) else tuple(given)


class _Credential(NamedTuple):
    password: str
    secret: str


def _credential(table: Mapping[str, Any], network: Network) -> _Credential:
    """A password or a shared secret, from where one is given first: the flags, the environment, the config file."""
    password, secret = network.turn_password_file, network.turn_secret_file
    _one_of(password, secret, "--turn-password-file and --turn-secret-file")
    if not (password or secret):
        password, secret = os.environ.get("P2PCOPY_TURN_PASSWORD"), os.environ.get("P2PCOPY_TURN_SECRET")
        _one_of(password, secret, "P2PCOPY_TURN_PASSWORD and P2PCOPY_TURN_SECRET")
        if password or secret:
            return _Credential(_text("P2PCOPY_TURN_PASSWORD", password), _text("P2PCOPY_TURN_SECRET", secret))
        password, secret = table.get("turn_password_file"), table.get("turn_secret_file")
        _one_of(password, secret, "turn_password_file and turn_secret_file in the config file")
    return _Credential(_read("the TURN password", password), _read("the TURN secret", secret))


def _one_of(password: str | None, secret: str | None, names: str) -> None:
    if password and secret:
        raise UsageError(
            f"{names} exclude each other",
            "The password belongs to one user of the TURN server; with the secret it gets credentials for a limited time.",
        )


def _text(variable: str, value: str | None) -> str:
    if value and not value.isprintable():
        raise UsageError(f"{variable} has a character that is not text", "Set it to what the TURN server expects.")
    return value or ""


def _read(what: str, name: str | None) -> str:
    """The one line of the file."""
    if not name:
        return ""
    try:
        with open(os.path.expanduser(name), encoding="utf-8") as file:
            text = file.read(_MAX_SECRET + 1).strip("\r\n")
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:
        reason = "it is not text"
    else:
        if text and text.isprintable() and len(text) <= _MAX_SECRET:
            return text
        reason = f"it is not one line of at most {_MAX_SECRET} characters" if text else "it is empty"
    raise LocalFileError(f"{what} cannot be read from {name!r}: {reason}", "Check the name and its mode.")
