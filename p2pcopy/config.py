"""Settings of one run, and every limit and timeout in one place. Pure: who reads flags, files and the environment is cli.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from p2pcopy.errors import UsageError

CAMERA: Final = "camera:"  # then its name: where a code comes from
KIB: Final = 1024
MIB: Final = 1024 * KIB


class Relay(StrEnum):
    """May a TURN relay carry the transfer?"""

    AUTO = "auto"
    ONLY = "only"
    NEVER = "never"


class Existing(StrEnum):
    """What to do with a file whose name is already taken at the destination."""

    ASK = "ask"
    REFUSE = "refuse"
    SKIP = "skip"
    RENAME = "rename"
    REPLACE = "replace"
    RESUME = "resume"


class VerifyResume(StrEnum):
    """How much of what the receiver has of a file a sender reads again before it goes on behind it."""

    SAMPLE = "sample"
    ALL = "all"


class Compress(StrEnum):
    """When blocks are compressed with zstd."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


# Two independent operators, both open to the public and answering over UDP on the standard ports.
DEFAULT_STUN: Final = ("stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478")
DEFAULT_WAIT_S: Final = 3600.0
DEFAULT_STALL_LIMIT_S: Final = 600.0


class Family(StrEnum):
    """Which addresses may be used."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server. url is a URI as in RFC 7064 and RFC 7065; the credential is for TURN only.

    secret: shared with the TURN server; then a credential that ends with the session is made of it for each allocation, and
    username is the name that goes into that, "" for none.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class NetSettings:
    """How this side looks for a path to the other.

    interfaces: names of those that may be used, none: all; turn_insecure: certificates of TURN servers are not
    verified; share_relay: TURN servers travel in our offer, None: those whose credential ends by itself; stall_limit_s: for
    how long a broken path may come back; two_way: both codes carry pins; confirm: people compare the verification number.
    fast_path: data goes the fast way where this machine can; gso, gro: so do its sockets, in segments that the kernel cuts
    and joins.
    """

    stun: tuple[IceServer, ...] = tuple(IceServer(url) for url in DEFAULT_STUN)
    turn: tuple[IceServer, ...] = ()
    relay: Relay = Relay.AUTO
    wait_s: float = DEFAULT_WAIT_S
    stall_limit_s: float = DEFAULT_STALL_LIMIT_S
    interfaces: tuple[str, ...] = ()
    family: Family = Family.ANY
    turn_insecure: bool = False
    share_relay: bool | None = None
    two_way: bool = False
    confirm: bool = False
    fast_path: bool = True
    gso: bool = True
    gro: bool = True


@dataclass(frozen=True)
class NetTimes:
    """Times of the connection, in seconds. Constants in use; tests shorten them."""

    gather_limit_s: float = 2.5
    gather_grace_s: float = 1.0
    relay_delay_s: float = 1.5
    keepalive_s: float = 15.0
    recheck_s: float = 0.3
    handshake_s: float = 10.0
    close_s: float = 2.0


@dataclass(frozen=True)
class TransferLimits:
    """Bounds of the protocol; docs/protocol.md repeats those that the peer has to know. Sizes in bytes, times in seconds."""

    block_size: int = MIB
    max_control_message: int = 256 * KIB
    max_data_message: int = 256 * KIB
    max_entries: int = 1_000_000
    max_path_bytes: int = 4096
    max_name_bytes: int = 255
    max_depth: int = 128
    max_open_files: int = 4096
    max_bad_blocks: int = 3
    max_window: int = 32 * MIB
    ping_s: float = 3.0
    silence_s: float = 14.0
    hello_s: float = 14.0
    goodbye_s: float = 5.0
    busy_s: float = 15.0
    waiting_s: float = 60.0
    idle_s: float = 1800.0


def parse_duration(text: str) -> float:
    """Seconds from "90", "90s", "15m", "1h30m", "2d". Raises UsageError for anything else, for zero and for more than 30 days."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    total, number = 0.0, ""
    for character in text.strip().lower():
        if character.isascii() and (character.isdigit() or character == "."):
            number += character
        elif character in units and number:
            total += _number(number, text) * units[character]
            number = ""
        else:
            raise _bad_duration(text)
    if number:
        total += _number(number, text)
    if not 0 < total <= 30 * 86400:
        raise _bad_duration(text)
    return total


def parse_size(text: str) -> int:
    """Bytes from "4096", "10k", "1.5M", "2GiB" (powers of 1024), up to 18 digits. Raises UsageError for anything else."""
    body = text.strip().lower().removesuffix("b").removesuffix("i")
    power = "kmgt".find(body[-1:]) + 1 if body and not body[-1].isdigit() else 0
    digits = body[:-1] if power else body
    if (
        not 0 < len(digits) <= 18
        or not all(c.isascii() and (c.isdigit() or c == ".") for c in digits)
        or digits.count(".") > 1
        or digits == "."
    ):
        raise UsageError(f"{text!r} is not a size", "Write it like 500M, 2G or 1048576.")
    return int(float(digits) * 1024**power)


def parse_switch(text: str) -> bool:
    """ "on", "yes", "true", "1", or the opposite. Raises UsageError for anything else."""
    word = text.strip().lower()
    if word in ("on", "yes", "true", "1"):
        return True
    if word in ("off", "no", "false", "0"):
        return False
    raise UsageError(f"{text!r} is neither on nor off", "Write on or off.")


def _number(digits: str, text: str) -> float:
    if digits.count(".") > 1 or digits == ".":
        raise _bad_duration(text)
    return float(digits)


def _bad_duration(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a duration", "Write it like 90s, 15m, 1h or 1h30m, up to 30d.")


@dataclass(frozen=True)
class Talk:
    """What the run tells whom, and where codes come from and go to (docs/roads.md).

    answer: where an answer comes from, such as - or camera:NAME; via: a shell command that takes our code and gives the other
    side's; copy: ours goes to the clipboard, too.
    """

    answer: str | None = None
    answer_to: str | None = None
    via: str | None = None
    copy: bool = False
    qr: bool | None = None
    qr_file: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    progress: bool = True

    @property
    def scans_answers(self) -> bool:
        return self.answer is not None and self.answer.startswith(CAMERA)

    @property
    def takes_typed_answers(self) -> bool:
        """A person may type or paste an answer, beside a camera as well."""
        return self.via is None and (self.answer is None or self.scans_answers)


@dataclass(frozen=True)
class SendSettings:
    """One run of p2pcopy send. to: the code of a receiver that started, None when this side starts.

    text: is sent instead of paths, "-" for what is on standard input; None for none.
    """

    net: NetSettings
    talk: Talk
    paths: tuple[str, ...] = ()
    text: str | None = None
    name: str | None = None
    excludes: tuple[str, ...] = ()
    follow_symlinks: bool = False
    compress: Compress = Compress.AUTO
    to: str | None = None
    keep_open: bool = False
    verify_resume: VerifyResume = VerifyResume.SAMPLE


@dataclass(frozen=True)
class ReceiveSettings:
    """One run of p2pcopy receive. code: of a sender that started, None when this side starts. output: a directory, or "-".

    existing: None asks on a terminal and refuses elsewhere. checksum: the content tells whether a file is there already, not
    its time. dry_run: show what would happen, and take nothing. keep_text: a text is stored as a file instead of shown.
    """

    net: NetSettings
    talk: Talk
    code: str | None = None
    output: str = "."
    yes: bool = False
    existing: Existing | None = None
    max_bytes: int | None = None
    checksum: bool = False
    dry_run: bool = False
    keep_text: bool = False


@dataclass(frozen=True)
class PartsSettings:
    """One run of p2pcopy parts. older_s: what has changed within so many seconds is left alone."""

    directory: str = "."
    remove: bool = False
    older_s: float = 0.0
    json: bool = False
