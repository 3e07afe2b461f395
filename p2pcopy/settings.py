"""What counts among arguments, environment variables and the config file, put into settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from p2pcopy import keys
from p2pcopy.config import CAMERA, Compress, Existing, Family, IceServer, NetSettings, Relay, Talk, VerifyResume
from p2pcopy.errors import LocalFileError, UsageError
from p2pcopy.keys import Kind, Origin
from p2pcopy.options import Meeting, Network, Talking

if TYPE_CHECKING:
    from p2pcopy.events import Configuration

_MAX_SECRET: Final = 1024  # characters
_CREDENTIALS: Final = ("turn_password_file", "turn_secret_file")


def net(table: Mapping[str, Any], network: Network, meeting: Meeting, *, offering: bool) -> NetSettings:
    """table: the config file's. offering: this side makes the offer, so no code can bring it a TURN server.

    Raises UsageError for what contradicts itself or is missing, LocalFileError for a secret that cannot be read.
    """
    turn = _turn(table, network)
    relay = Relay(_value("relay", meeting.relay, table))
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
        wait_s=_value("wait", meeting.wait, table),
        stall_limit_s=_value("stall_limit", meeting.stall_limit, table),
        interfaces=_value("interface", network.interface, table) or (),
        family=_family(table, network),
        turn_insecure=_value("turn_insecure", network.turn_insecure, table),
        share_relay=_value("share_relay", meeting.share_relay, table),
        two_way=_value("two_way", meeting.two_way, table),
        confirm=_value("confirm", meeting.confirm, table),
        fast_path=_value("fast_path", network.fast_path, table),
        gso=_value("gso", None, table),
        gro=_value("gro", None, table),
    )


def talk(talking: Talking, theirs: str | None, *, sending: bool) -> tuple[Talk, str | None]:
    """theirs: the code of a side that started, or where it comes from; so is what is returned. Raises UsageError."""
    if talking.quiet and talking.verbose:
        raise UsageError("--quiet and --verbose exclude each other", "Drop one of them.")
    if talking.camera is not None and not talking.scan:
        raise UsageError("--camera is the camera for --scan", "Add --scan, or drop --camera.")
    if talking.via is not None and not talking.via.strip():
        raise UsageError("the command of --via is empty", "Write it in quotes, such as --via 'ssh host ...'.")
    if talking.qr and (talking.json or talking.quiet):
        raise UsageError(
            f"--qr draws on the screen, and {'--json' if talking.json else '--quiet'} leaves that empty",
            "Drop one of them, or take --qr-file.",
        )
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
        qr_file=None if talking.qr_file is None else os.path.expanduser(talking.qr_file),
        json=talking.json,
        quiet=talking.quiet,
        verbose=talking.verbose,
        progress=not talking.no_progress,
    ), theirs


def check_standard_output(talking: Talking, output: str = "") -> None:
    """output: where what arrives goes. Raises UsageError when that, the events and our code would be mixed."""
    wanted = {
        "--json": talking.json,
        "--output -": output == "-",
        f"--answer-to {talking.answer_to}": talking.answer_to in ("-", "fd:1"),
    }
    one, *others = [name for name in wanted if wanted[name]] or [""]
    if others:
        raise UsageError(f"{one} and {others[0]} both need standard output", "Choose one of them.")


def sources(paths: Sequence[str], text: str | None, name: str | None) -> tuple[str, ...]:
    """What is sent; a text is a stream like standard input. Raises UsageError."""
    if text is None:
        if not paths:
            raise UsageError(
                "PATH is missing", "Name what to send, such as p2pcopy send photos/ notes.txt, or give a --text."
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
    return tuple(IceServer(url) for url in _value("stun", network.stun, table))


def _turn(table: Mapping[str, Any], network: Network) -> tuple[IceServer, ...]:
    urls = _value("turn", network.turn, table)
    if not urls:
        if network.turn_user or network.turn_password_file or network.turn_secret_file:
            raise UsageError(
                "there is a credential for TURN servers, but no TURN server",
                "Name one with --turn, or set P2PCOPY_TURN.",
            )
        return ()
    username = _value("turn_user", network.turn_user, table) or ""
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
    return Family(_value("family", flag, table))


def compress(table: Mapping[str, Any], flag: str | None) -> Compress:
    """Raises UsageError."""
    return Compress(_value("compress", flag, table))


def existing(table: Mapping[str, Any], flag: str | None) -> Existing | None:
    """What happens where names are taken; None where nothing says. Raises UsageError."""
    chosen = _value("existing", flag, table)
    return None if chosen is None else Existing(chosen)


def output(table: Mapping[str, Any], flag: str | None) -> str:
    """The directory for what arrives, or "-"."""
    return os.path.expanduser(str(_value("output", flag, table)))


def checksum(table: Mapping[str, Any], flag: bool | None, *, output: str) -> bool:
    """Whether the content tells what is there already. Raises UsageError."""
    if output == "-":
        if flag:
            raise UsageError(
                "--checksum compares files, and --output - has none that could be there already", "Drop one of them."
            )
        return False
    return bool(_value("checksum", flag, table))


def verify_resume(table: Mapping[str, Any], flag: str | None, paths: Sequence[str]) -> VerifyResume:
    """Raises UsageError."""
    if flag is not None and set(paths) == {"-"}:
        raise UsageError(
            "--verify-resume is about files that go on where they stopped, and standard input cannot",
            "Drop it, or send a file.",
        )
    return VerifyResume(_value("verify_resume", flag, table))


def told(table: Mapping[str, Any], path: str, exists: bool) -> Configuration:
    """Every setting as it is without any flag. table: that of the config file at path. Raises UsageError."""
    from p2pcopy.events import Configuration, SettingLine

    credential = _chosen_credential(table, Network())
    lines = []
    for key, setting in keys.SETTINGS.items():
        found = keys.find(key, None, os.environ, table)
        value = found.given if setting.kind is Kind.DURATION else found.value
        origin, variable, otherwise = found.origin, setting.variable, setting.otherwise
        if key in _CREDENTIALS:
            if credential is None or credential.key != key:  # one in the environment makes those in the file void
                value, origin = None, Origin.DEFAULT
            elif credential.is_text:
                value, origin, variable, otherwise = None, Origin.VARIABLE, credential.where, "not shown"
        lines.append(SettingLine(key, value, origin, variable, setting.all_flags, setting.default, otherwise))
    return Configuration(path, exists, tuple(lines))


def _value(key: str, flag: Any, table: Mapping[str, Any]) -> Any:
    return keys.find(key, flag, os.environ, table).value


class _Credential(NamedTuple):
    password: str
    secret: str


@dataclass(frozen=True)
class _Chosen:
    """A credential that was given. key: the setting that it is for; is_text: value is itself, not the name of a file with it."""

    key: str
    value: str
    where: str
    is_text: bool = False


def _credential(table: Mapping[str, Any], network: Network) -> _Credential:
    """A password or a shared secret, from where one is given first: the flags, the environment, the config file."""
    chosen = _chosen_credential(table, network)
    if chosen is None:
        return _Credential("", "")
    if chosen.key == "turn_password_file":
        return _Credential(_content("the TURN password", chosen), "")
    return _Credential("", _content("the TURN secret", chosen))


def _chosen_credential(table: Mapping[str, Any], network: Network) -> _Chosen | None:
    flags = [
        _Chosen("turn_password_file", network.turn_password_file or "", "--turn-password-file"),
        _Chosen("turn_secret_file", network.turn_secret_file or "", "--turn-secret-file"),
    ]
    variables = [
        _Chosen(key, os.environ.get(variable, ""), variable, is_text)
        for key, variable, is_text in (
            ("turn_password_file", "P2PCOPY_TURN_PASSWORD", True),
            ("turn_password_file", "P2PCOPY_TURN_PASSWORD_FILE", False),
            ("turn_secret_file", "P2PCOPY_TURN_SECRET", True),
            ("turn_secret_file", "P2PCOPY_TURN_SECRET_FILE", False),
        )
    ]
    file = [_Chosen(key, table.get(key, ""), f"{key} in the config file") for key in _CREDENTIALS]
    for place in (flags, variables, file):
        given = [each for each in place if each.value]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(each.where for each in given)} exclude each other",
                "The password belongs to one user of the TURN server; with the secret it gets credentials for a limited time.",
            )
        if given:
            return given[0]
    return None


def _content(what: str, chosen: _Chosen) -> str:
    return _text(chosen.where, chosen.value) if chosen.is_text else _read(what, chosen.value)


def _text(variable: str, value: str) -> str:
    if not value.isprintable():
        raise UsageError(f"{variable} has a character that is not text", "Set it to what the TURN server expects.")
    return value


def _read(what: str, name: str) -> str:
    """The one line of the file."""
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
