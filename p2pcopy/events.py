"""What a run tells: to people through the terminal, to programs as JSON lines. Pure data; numbers carry their unit in the name.

Text that came from the peer or from a file name is unescaped here: every sink escapes for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from p2pcopy.errors import NoConnection, P2PCopyError
from p2pcopy.roadnews import Copied as Copied  # noqa: PLC0414 - so that all events are found here
from p2pcopy.roadnews import Scanning as Scanning  # noqa: PLC0414
from p2pcopy.roadnews import Text as Text  # noqa: PLC0414
from p2pcopy.roadnews import ViaSays as ViaSays  # noqa: PLC0414


class PathKind(StrEnum):
    """How the two machines reach each other."""

    LOCAL = "local"
    DIRECT = "direct"
    RELAYED = "relayed"


class FileStatus(StrEnum):
    """What became of one entry."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Path:
    """The nominated candidate pair. Addresses as "ip:port" or "[ip]:port"; relay: the TURN server's URL, "" when none is ours."""

    kind: PathKind
    local: str
    remote: str
    local_type: str
    remote_type: str
    rtt_ms: float | None = None
    relay: str = ""


@dataclass(frozen=True)
class Code:
    """A code of ours that the other side needs. kind: offer or answer."""

    event: ClassVar[str] = "code"
    kind: str
    code: str
    expires_in_s: float


@dataclass(frozen=True)
class Waiting:
    """Nothing to do but wait. what: for_answer (a code may still come), for_peer (the other side connects by itself)."""

    event: ClassVar[str] = "waiting"
    what: str
    left_s: float


@dataclass(frozen=True)
class Connecting:
    """Addresses of the other side are known, from its code or since it calls; checks are running."""

    event: ClassVar[str] = "connecting"
    candidates: int


@dataclass(frozen=True)
class Connected:
    event: ClassVar[str] = "connected"
    path: Path


@dataclass(frozen=True)
class DataPath:
    """How data moves, told once it is known and when it changes. fast: by our own association, not by aiortc's; gso, gro: in
    segments that the kernel cuts and joins; packet_bytes: the largest UDP payload, None while that is not known; peer_fast:
    the other side is as fast, None where that cannot be known; reason: why something of it is missing, "" otherwise."""

    event: ClassVar[str] = "data_path"
    fast: bool
    gso: bool = False
    gro: bool = False
    packet_bytes: int | None = None
    peer_fast: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class Verification:
    """What both people compare before anything is sent. asked: of this side's user; else the other side's user compares."""

    event: ClassVar[str] = "verification"
    number: str
    asked: bool


@dataclass(frozen=True)
class Stalled:
    """No sign of life of the other side on any path. The transfer goes on when one is found, or ends with exit code 6."""

    event: ClassVar[str] = "stalled"
    silent_s: float
    left_s: float


@dataclass(frozen=True)
class Recovered:
    """The end of a stall. gap_s: for how long nothing was heard."""

    event: ClassVar[str] = "back"
    gap_s: float
    path: Path


@dataclass(frozen=True)
class PathChanged:
    """The transfer goes another way now, without a stall in between: from a relay to a direct path, say."""

    event: ClassVar[str] = "path"
    path: Path


@dataclass(frozen=True)
class Tried:
    """One thing that was tried to get a connection. kind: stun, turn, own (an address of ours), peer (an address of theirs)."""

    kind: str
    what: str
    outcome: str
    ok: bool


class Mark(StrEnum):
    """What an entry meets at the destination.

    EXISTS: its name is taken; SAME: it is there already, and stays; COMPARED: by a file whose content decides; FAILS: by something
    that keeps it out. BEGUN: an earlier run has left a part of it, which it goes on with; BEGUN_EXISTS: the same, and its name is
    taken; STALE: what an earlier run has left of it is of no use.
    """

    NEW = "new"
    EXISTS = "exists"
    SAME = "same"
    COMPARED = "compared"
    FAILS = "fails"
    BEGUN = "begun"
    BEGUN_EXISTS = "begun-exists"
    STALE = "stale"


@dataclass(frozen=True)
class ManifestLine:
    """One entry as shown. bytes: None when not known beforehand."""

    path: str
    kind: str
    bytes: int | None
    status: Mark = Mark.NEW


@dataclass(frozen=True)
class Manifest:
    """All that the sender offers. entries: the first ones; bytes: the sum of known sizes; streams: files of unknown size.

    existing: entries whose names are taken; same: files that are there already; policy: what happens where names are taken.
    """

    event: ClassVar[str] = "manifest"
    files: int
    directories: int
    links: int
    bytes: int
    streams: int
    existing: int
    same: int
    policy: str
    destination: str
    entries: tuple[ManifestLine, ...]


@dataclass(frozen=True)
class Note:
    """Something of the source is left out, or treated in a way that the user should know."""

    event: ClassVar[str] = "note"
    path: str
    reason: str


@dataclass(frozen=True)
class Warned:
    """The run goes on, but the user should know."""

    event: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class Progress:
    """Verified and stored so far. bytes_total, files_total: None while they are not known; file: the one in work.

    bytes_resumed: those of bytes_done that were there before this run, so that they do not travel. waits_for: what holds it up at
    this moment: "source", "destination", "other_side", or "" for nothing that this side knows of.
    """

    event: ClassVar[str] = "progress"
    bytes_done: int
    bytes_total: int | None
    files_done: int
    files_total: int | None
    file: str = ""
    bytes_resumed: int = 0
    rate_bytes_per_s: float = 0.0
    eta_s: float | None = None
    waits_for: str = ""


@dataclass(frozen=True)
class File:
    """One entry is finished. saved_as: where it is, when that is not its own name; reason: why it was skipped or failed."""

    event: ClassVar[str] = "file"
    path: str
    status: FileStatus
    reason: str = ""
    saved_as: str = ""


@dataclass(frozen=True)
class Done:
    """The end of a transfer that both sides agree on. ok is False when some files failed or were left out by a fault.

    files_done: those that are new there; files_there: those that were there already, whole; files_skipped: others that the
    receiver did not want; files_failed: those that could not be read or kept, directories and links among them; left_out: things
    of the source that are never sent. bytes_done: those that travelled; bytes_resumed: those that were there before.
    """

    event: ClassVar[str] = "done"
    ok: bool
    files_done: int
    files_skipped: int
    files_failed: int
    bytes_done: int
    seconds: float
    rate_bytes_per_s: float
    path: Path
    bytes_resumed: int = 0
    files_there: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Rehearsed:
    """The end of a dry run: the manifest told before says what would happen to each entry. Nothing was taken."""

    event: ClassVar[str] = "dry_run"
    destination: str


@dataclass(frozen=True)
class Failed:
    """The run ends with a failure. error: P2PCopyError.name; resumable: the same two commands with fresh codes make sense."""

    event: ClassVar[str] = "error"
    error: str
    message: str
    hint: str
    exit_code: int
    resumable: bool
    tried: tuple[Tried, ...] = ()

    @classmethod
    def of(cls, error: P2PCopyError) -> Failed:
        tried = error.tried if isinstance(error, NoConnection) else ()
        return cls(error.name, error.message, error.hint, error.exit_code, error.resumable, tried)


@dataclass(frozen=True)
class Serving:
    """With --keep-open: what follows is about the receiver of this number, counted from 1."""

    event: ClassVar[str] = "receiver"
    number: int


@dataclass(frozen=True)
class Served:
    """The end with --keep-open. receivers_served: those that have everything; receivers_failed: the others that came."""

    event: ClassVar[str] = "served"
    receivers_served: int
    receivers_failed: int


@dataclass(frozen=True)
class Unfinished:
    """What an earlier run has left of a file. path: of the part file, or else of its journal, below the directory searched.

    file: that it is for, "" where its name is too long to be told; bytes_there: of it, by the journal; bytes_total: of the whole
    file, None where no journal tells it; bytes_on_disk: taken by the part file and its journal; in_use: another process is writing
    it, or receives into a directory above it.
    """

    event: ClassVar[str] = "unfinished"
    path: str
    file: str
    bytes_there: int
    bytes_total: int | None
    bytes_on_disk: int
    age_s: float
    in_use: bool
    removed: bool


@dataclass(frozen=True)
class UnfinishedTotal:
    """The end of `p2pcopy parts`. files, bytes_on_disk: of those that were told and are still there.

    files_in_use: those of them that cannot be removed now; files_younger: not told, as --older leaves them alone.
    """

    event: ClassVar[str] = "unfinished_total"
    files: int
    files_removed: int
    bytes_on_disk: int
    bytes_removed: int
    directory: str
    files_in_use: int
    files_younger: int


@dataclass(frozen=True)
class SettingLine:
    """A setting as `p2pcopy config` shows it. value: None when there is none, or it is a secret; durations as they were written.

    origin: variable, file or default; variable: the environment variable that it is from, or would be; flags: those that
    change it; otherwise: what holds where value is None.
    """

    key: str
    value: str | bool | tuple[str, ...] | None
    origin: str
    variable: str
    flags: tuple[str, ...]
    default: str | bool | tuple[str, ...] | None
    otherwise: str


@dataclass(frozen=True)
class Configuration:
    """What `p2pcopy config` shows. path: of the config file; exists: there is one."""

    event: ClassVar[str] = "config"
    path: str
    exists: bool
    settings: tuple[SettingLine, ...]


Event = (
    Code
    | Copied
    | Scanning
    | ViaSays
    | Waiting
    | Connecting
    | Connected
    | DataPath
    | Verification
    | Stalled
    | Recovered
    | PathChanged
    | Manifest
    | Note
    | Warned
    | Progress
    | File
    | Text
    | Done
    | Rehearsed
    | Failed
    | Serving
    | Served
)
PartsEvent = Unfinished | UnfinishedTotal | Note
