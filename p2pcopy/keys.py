"""Every setting that has a default to change: key, flags, environment variable, kind of value, default, and what help says.

The one table that options, config file, environment, `p2pcopy config`, help, man pages and completion are made from; a test
compares docs/settings.md with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from p2pcopy.config import (
    DEFAULT_STUN,
    Compress,
    Existing,
    Family,
    Relay,
    VerifyResume,
    parse_duration,
    parse_switch,
)
from p2pcopy.errors import UsageError

PREFIX: Final = "P2PCOPY_"


class Kind(StrEnum):
    """What a value is. URLs and names are lists; in text, commas part them, and blanks too part URLs."""

    TEXT = "text"
    URLS = "URLs"
    NAMES = "names"
    SWITCH = "switch"
    CHOICE = "choice"
    DURATION = "duration"


class Origin(StrEnum):
    """Where a value comes from, what counts most first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """key: in the config file. flags: those that set it, as help shows them; more_flags: the others that change it.

    default: None where what happens without it is no value; then otherwise says what that is. example: for the template,
    where there is no default.
    """

    key: str
    kind: Kind
    group: str
    help: str
    flags: str = ""
    more_flags: tuple[str, ...] = ()
    metavar: str = ""
    default: str | bool | tuple[str, ...] | None = None
    otherwise: str = ""
    example: str | bool | tuple[str, ...] = ""
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        return PREFIX + self.key.upper()

    @property
    def all_flags(self) -> tuple[str, ...]:
        return (*self.flags.replace("/", " ").split(), *self.more_flags)

    @property
    def default_said(self) -> str:
        """The default for people."""
        match self.default:
            case None:
                return self.otherwise
            case bool():
                return "yes" if self.default else "no"
            case tuple():
                return self.otherwise or ", ".join(self.default)
            case _:
                return self.default


def _table(*settings: Setting) -> dict[str, Setting]:
    return {each.key: each for each in settings}


SETTINGS: Final = _table(
    Setting(
        "compress",
        Kind.CHOICE,
        "Files",
        "Compress with zstd?",
        flags="--compress",
        default=Compress.AUTO.value,
        choices=tuple(Compress),
    ),
    Setting(
        "verify_resume",
        Kind.CHOICE,
        "Files",
        "How much of what the receiver has of a file is read and compared before it goes on.",
        flags="--verify-resume",
        default=VerifyResume.SAMPLE.value,
        choices=tuple(VerifyResume),
    ),
    Setting(
        "output",
        Kind.TEXT,
        "Files",
        "Where files go; - writes one file to standard output.",
        flags="--output -o",
        metavar="DIR",
        default=".",
    ),
    Setting(
        "existing",
        Kind.CHOICE,
        "Files",
        "What to do about names that are taken.",
        flags="--existing",
        otherwise="ask on a terminal, else refuse",
        example=Existing.ASK.value,
        choices=tuple(Existing),
    ),
    Setting(
        "checksum",
        Kind.SWITCH,
        "Files",
        "The content tells whether a file is there already, not its time.",
        flags="--checksum/--no-checksum",
        default=False,
    ),
    Setting(
        "wait",
        Kind.DURATION,
        "Codes",
        "How long the code is good for.",
        flags="--wait",
        metavar="DURATION",
        default="1h",
    ),
    Setting(
        "two_way",
        Kind.SWITCH,
        "Codes",
        "Connect only with the help of both codes: then nobody who merely reads them can get in.",
        flags="--two-way/--no-two-way",
        default=False,
    ),
    Setting(
        "confirm",
        Kind.SWITCH,
        "Codes",
        "Compare a number with the other side before anything is sent.",
        flags="--confirm/--no-confirm",
        default=False,
    ),
    Setting(
        "stun",
        Kind.URLS,
        "Network",
        "STUN server, such as stun:host:3478. Repeatable.",
        flags="--stun",
        more_flags=("--no-stun",),
        metavar="URL",
        default=DEFAULT_STUN,
        otherwise="two public servers",
    ),
    Setting(
        "interface",
        Kind.NAMES,
        "Network",
        "Use this network interface only. Repeatable.",
        flags="--interface",
        metavar="NAME",
        otherwise="all",
        example=("eth0",),
    ),
    Setting(
        "family",
        Kind.CHOICE,
        "Network",
        "Use only IPv4, only IPv6, or both.",
        more_flags=("--ipv4", "--ipv6"),
        default=Family.ANY.value,
        choices=tuple(Family),
    ),
    Setting(
        "stall_limit",
        Kind.DURATION,
        "Network",
        "How long to wait for a broken connection to come back.",
        flags="--stall-limit",
        metavar="DURATION",
        default="10m",
    ),
    Setting(
        "fast_path",
        Kind.SWITCH,
        "Network",
        "Move data the fast way where this machine can.",
        flags="--fast-path/--no-fast-path",
        default=True,
    ),
    Setting("gso", Kind.SWITCH, "Network", "Leave it to the kernel to cut what is sent into packets.", default=True),
    Setting("gro", Kind.SWITCH, "Network", "Leave it to the kernel to join packets that arrive.", default=True),
    Setting(
        "turn",
        Kind.URLS,
        "Relay",
        "TURN server, such as turn:host:3478 or turns:host?transport=tcp. Repeatable, the best first.",
        flags="--turn",
        metavar="URL",
        otherwise="none",
        example=("turn:turn.example.org:3478",),
    ),
    Setting(
        "turn_user",
        Kind.TEXT,
        "Relay",
        "User name for the TURN servers.",
        flags="--turn-user",
        metavar="NAME",
        otherwise="none",
        example="me",
    ),
    Setting(
        "turn_password_file",
        Kind.TEXT,
        "Relay",
        "File with the password for the TURN servers; P2PCOPY_TURN_PASSWORD can hold the password itself.",
        flags="--turn-password-file",
        metavar="FILE",
        otherwise="none",
        example="~/.config/p2pcopy/turn-password",
    ),
    Setting(
        "turn_secret_file",
        Kind.TEXT,
        "Relay",
        "File with the secret that the TURN servers share with their users; P2PCOPY_TURN_SECRET can hold the secret itself.",
        flags="--turn-secret-file",
        metavar="FILE",
        otherwise="none",
        example="~/.config/p2pcopy/turn-secret",
    ),
    Setting(
        "turn_insecure",
        Kind.SWITCH,
        "Relay",
        "Accept any certificate from TURN servers. For laboratories only.",
        flags="--turn-insecure/--no-turn-insecure",
        default=False,
    ),
    Setting(
        "relay",
        Kind.CHOICE,
        "Relay",
        "May a TURN relay carry the transfer?",
        flags="--relay",
        default=Relay.AUTO.value,
        choices=tuple(Relay),
    ),
    Setting(
        "share_relay",
        Kind.SWITCH,
        "Relay",
        "Lend TURN servers to the other side, by way of the code.",
        flags="--share-relay/--no-share-relay",
        otherwise="those with a secret",
        example=True,
    ),
)

# Environment variables that are no setting of the table: what each is for.
OTHER_VARIABLES: Final = {
    "P2PCOPY_CONFIG": "The config file to use instead of the usual one.",
    "P2PCOPY_TURN_PASSWORD": "The password for the TURN servers itself.",
    "P2PCOPY_TURN_SECRET": "The secret that the TURN servers share with their users, itself.",
}
VARIABLES: Final = frozenset((*(each.variable for each in SETTINGS.values()), *OTHER_VARIABLES))


@dataclass(frozen=True)
class Found:
    """A value and where it is from. where: the name of the flag, variable or key, for messages; "" for the default.

    given: as it was written there.
    """

    value: Any
    origin: Origin
    where: str = ""
    given: Any = None


def find(key: str, flag: Any, environment: Mapping[str, str], table: Mapping[str, Any]) -> Found:
    """By precedence: flag, environment variable, config file (table), default. What is empty was not given; False was.

    The value is parsed: bool, str, tuple of str or seconds. Raises UsageError for one that its kind does not have.
    """
    setting = SETTINGS[key]
    found = _raw(setting, flag, environment, table)
    if found.value is None:
        return found
    try:
        return Found(parse(setting, found.value), found.origin, found.where, found.value)
    except UsageError as error:
        raise UsageError(f"{found.where} cannot be used: {error.message}", error.hint) from None


def _raw(setting: Setting, flag: Any, environment: Mapping[str, str], table: Mapping[str, Any]) -> Found:
    if flag or flag is False:
        return Found(flag, Origin.FLAG, next(iter(setting.all_flags), ""))
    if given := environment.get(setting.variable):
        return Found(given, Origin.VARIABLE, setting.variable)
    if setting.key in table:
        return Found(table[setting.key], Origin.FILE, f"{setting.key!r} in the config file")
    return Found(setting.default, Origin.DEFAULT)


def parse(setting: Setting, raw: Any) -> Any:
    """What a flag, a variable or the config file says, as a value of the setting's kind. Raises UsageError."""
    match setting.kind:
        case Kind.SWITCH:
            return raw if isinstance(raw, bool) else parse_switch(raw)
        case Kind.DURATION:
            return parse_duration(raw)
        case Kind.URLS:
            return tuple(raw.replace(",", " ").split()) if isinstance(raw, str) else tuple(raw)
        case Kind.NAMES:
            return tuple(filter(None, map(str.strip, raw.split(",")))) if isinstance(raw, str) else tuple(raw)
        case Kind.CHOICE if raw not in setting.choices:
            raise UsageError(f"{raw!r} is no choice", f"Choose {', '.join(setting.choices)}.")
        case _:
            return str(raw)


def strangers(environment: Mapping[str, str]) -> Iterable[str]:
    """What to say about each variable that looks like one of ours and is none: a typing error, or one of another version."""
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in VARIABLES and environment[name]:
            near = difflib.get_close_matches(
                name.removeprefix(PREFIX), (each.removeprefix(PREFIX) for each in VARIABLES), 1
            )
            yield f"{name} is no variable of p2pcopy, and is ignored" + (
                f": did you mean {PREFIX}{near[0]}?" if near else ""
            )
