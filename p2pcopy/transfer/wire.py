"""Control messages to bytes and back: JSON objects with a "type" (docs/protocol.md). records.py has the data channel's.

Parsing takes anything and gives a message or a ProtocolError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from p2pcopy.errors import PeerVersionError, ProtocolError

PROTOCOL_VERSION: Final = 1
DIGEST_SIZE: Final = 32
MAX_TEXT: Final = 400
TEXT: Final = "text"  # a feature
MAX_BATCH: Final = 4096
MAX_DIGESTS: Final = 4096
# What a receiver may have told of files that the sender has not closed: bytes of digests, and 512 for each message.
MAX_HELD: Final = 48 * 2**20
MIN_BLOCK_SIZE: Final = 4096
MAX_BLOCK_SIZE: Final = 2 * 1024 * 1024
# An unfinished block and the largest message fit into it together: with less, a sender could wait for itself.
LEAST_CREDIT: Final = 4 * 1024 * 1024

UPDATE_HINT: Final = "Use the same version of p2pcopy on both sides."
_U32_MAX: Final = 2**32 - 1
_NS: Final = 1_000_000_000
# Nanoseconds since 1970 fit into 64 bits then: the years 1697 to 2242.
_MAX_SECONDS: Final = 2**33
_MAX_NS: Final = _MAX_SECONDS * _NS


class Kind(StrEnum):
    """What an entry of the manifest is."""

    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"


class FaultReason(IntEnum):
    """Why the sender cannot send a file."""

    VANISHED = 1
    UNREADABLE = 2
    CHANGED = 3
    DROPPED = 4
    DIFFERS = 5


class Check(StrEnum):
    """What a sender compares with the digests of a receiver before it leaves blocks out.

    SAMPLE: some of them, ALL: each one; the file is sent from its beginning when one differs. ONLY: each one, and nothing is sent.
    """

    SAMPLE = "sample"
    ALL = "all"
    ONLY = "only"


class Role(StrEnum):
    """Which end of the transfer a peer is."""

    SENDER = "sender"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the manifest.

    path: relative, with "/" between its parts; bytes that are not UTF-8 as surrogate escapes (PEP 383).
    size: bytes; None where it is not known beforehand (a stream); 0 for directories and links.
    mode: permission bits only, 0o777 at most. mtime_ns: nanoseconds since 1970. target: of a link, "" otherwise.
    """

    kind: Kind
    path: str
    size: int | None = 0
    mode: int = 0o644
    mtime_ns: int = 0
    target: str = ""


Index = Annotated[int, Meta(ge=0, le=_U32_MAX)]
# JSON numbers stay within the 53 bits that every implementation of JSON keeps exactly.
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Range = tuple[Index, Index]


class RawText(Struct, frozen=True):
    """A name whose bytes are not UTF-8: {"base64": …}."""

    base64: bytes


class WireEntry(Struct, frozen=True, array_like=True):
    """An Entry as JSON array: [kind, path, size, mode, seconds, nanoseconds, target]."""

    kind: Kind
    path: str | RawText
    size: Count | None
    mode: Annotated[int, Meta(ge=0, le=0o777)]
    seconds: Annotated[int, Meta(ge=-_MAX_SECONDS, lt=_MAX_SECONDS)]
    nanoseconds: Annotated[int, Meta(ge=0, lt=_NS)]
    target: str | RawText = ""


class Hello(Struct, frozen=True, tag="hello", tag_field="type"):
    """First message of both sides.

    block_size: bytes of the sender's blocks; a receiver's says nothing. credit: bytes that the peer may send before any
    further grant; LEAST_CREDIT or more from a receiver, 0 from a sender. features: of a receiver, "zstd" when it can unpack blocks;
    of a sender, "resume" when it leaves out the blocks that the receiver has; of either, "stream" when it reads from or writes to
    a stream, so that a transfer that breaks cannot go on; of a sender, TEXT when its one file is a text to be shown.
    """

    version: Index
    role: Role
    software: Text
    block_size: Annotated[int, Meta(ge=MIN_BLOCK_SIZE, le=MAX_BLOCK_SIZE)]
    credit: Count = 0
    features: Annotated[list[Text], Meta(max_length=64)] = []


class Manifest(Struct, frozen=True, tag="manifest", tag_field="type"):
    """Sender: the next entries, the first of them with index first. Costs credit, as ManifestEnd and End do."""

    first: Index
    entries: Annotated[list[WireEntry], Meta(min_length=1, max_length=MAX_BATCH)]


class ManifestEnd(Struct, frozen=True, tag="manifest_end", tag_field="type"):
    """Sender: there are no more entries. left_out: how many things of the source could not be read for it.

    omitted: how many others are not sent, because they are special files say.
    """

    entries: Index
    left_out: Count = 0
    omitted: Count = 0


class Have(Struct, frozen=True, tag="have", tag_field="type"):
    """Receiver: blocks of a file that it has, before the Go that accepts the file; files and blocks in ascending order.

    first: number of the first block; digests: of it and of those that follow it, 32 bytes each.
    """

    entry: Index
    first: Index
    digests: Annotated[bytes, Meta(min_length=DIGEST_SIZE, max_length=MAX_DIGESTS * DIGEST_SIZE)]
    check: Check = Check.SAMPLE


class Over(Struct, frozen=True, tag="over", tag_field="type"):
    """Receiver: it has something of a file that it cannot use, and tells why, before the Go that accepts the file."""

    entry: Index
    reason: Text


class Go(Struct, frozen=True, tag="go", tag_field="type"):
    """Receiver: entries below upto are accepted, except the half-open ranges in skip."""

    upto: Index
    skip: list[Range] = []


class Credit(Struct, frozen=True, tag="credit", tag_field="type"):
    """Receiver: the sum of credited bytes may reach limit. stored: bytes of file content verified and written so far."""

    limit: Count
    stored: Count = 0


class Again(Struct, frozen=True, tag="again", tag_field="type"):
    """Receiver: this block arrived damaged; send it once more."""

    entry: Index
    block: Index


class Results(Struct, frozen=True, tag="results", tag_field="type"):
    """Receiver: entries that are finished: half-open ranges of good ones, and [entry, reason] of those that failed there."""

    done: list[Range] = []
    failed: list[tuple[Index, Text]] = []


class End(Struct, frozen=True, tag="end", tag_field="type"):
    """Sender: everything is sent. files, bytes, digest (64 hexadecimal digits): of all files with an end record.

    faults: files with a fault record and no end record; files and faults are the accepted files together.
    """

    files: Count
    bytes: Count
    faults: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Done(Struct, frozen=True, tag="done", tag_field="type"):
    """Receiver: everything is verified, synced and renamed. Its own totals, and how its entries ended.

    failed: entries named in Results.failed; damaged: those of them whose data arrived damaged again and again.
    there: skipped files that are there already; same: files that were compared, and have the same content there.
    """

    files: Count
    bytes: Count
    faults: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    failed: Count
    damaged: Count
    skipped: Count
    there: Count = 0
    same: Count = 0


class Bye(Struct, frozen=True, tag="bye", tag_field="type"):
    """The totals agree; nothing follows. Answered with the same."""


class Abort(Struct, frozen=True, tag="abort", tag_field="type"):
    """The transfer ends here. error: a P2PCopyError.name; message: for the other side's user."""

    error: Text
    message: Text


class Ping(Struct, frozen=True, tag="ping", tag_field="type"):
    number: Count


class Pong(Struct, frozen=True, tag="pong", tag_field="type"):
    number: Count


Control = (
    Hello
    | Manifest
    | ManifestEnd
    | Have
    | Over
    | Go
    | Credit
    | Again
    | Results
    | End
    | Done
    | Bye
    | Abort
    | Ping
    | Pong
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Control)


class _AnyHello(Struct, frozen=True):
    """What can be read of a hello of any version."""

    type: str
    version: int
    software: str = "an unknown program"


_any_hello = msgspec.json.Decoder(_AnyHello)


def encode(message: Control) -> bytes:
    """One control message as JSON in UTF-8."""
    return _encoder.encode(message)


def decode(message: bytes, *, limit: int) -> Control:
    """The control message in these bytes. Raises ProtocolError for anything else, PeerVersionError for a foreign hello."""
    if len(message) > limit:
        raise ProtocolError(f"the other side sent a control message of {len(message)} bytes", UPDATE_HINT)
    try:
        decoded: Control = _decoder.decode(message)
    except (ValueError, RecursionError) as error:
        _refuse_foreign_version(message)
        raise ProtocolError(
            f"the other side sent a message that makes no sense: {error}"[:MAX_TEXT], UPDATE_HINT
        ) from error
    if isinstance(decoded, Hello) and decoded.version != PROTOCOL_VERSION:
        raise _version_error(decoded.version, decoded.software)
    return decoded


def _refuse_foreign_version(message: bytes) -> None:
    try:
        hello = _any_hello.decode(message)
    except (ValueError, RecursionError):
        return
    if hello.type == "hello" and hello.version != PROTOCOL_VERSION:
        raise _version_error(hello.version, hello.software)


def _version_error(version: int, software: str) -> PeerVersionError:
    older = "the other side" if version < PROTOCOL_VERSION else "this side"
    return PeerVersionError(
        f"the other side ({software[:60]}) speaks version {version} of the protocol, this side version {PROTOCOL_VERSION}",
        f"Update p2pcopy on {older}.",
    )


def to_wire(entry: Entry) -> WireEntry:
    """An entry in its wire form; a time out of range becomes the nearest in range."""
    seconds, nanoseconds = divmod(max(-_MAX_NS, min(entry.mtime_ns, _MAX_NS - 1)), _NS)
    return WireEntry(
        entry.kind, _text_to_wire(entry.path), entry.size, entry.mode, seconds, nanoseconds, _text_to_wire(entry.target)
    )


def from_wire(entry: WireEntry) -> Entry:
    """The entry of a wire form. Raises ProtocolError where raw bytes stand for valid UTF-8. The names gate comes after this."""
    return Entry(
        entry.kind,
        _text_from_wire(entry.path),
        entry.size,
        entry.mode,
        entry.seconds * _NS + entry.nanoseconds,
        _text_from_wire(entry.target),
    )


def _text_to_wire(text: str) -> str | RawText:
    try:
        text.encode()
    except UnicodeEncodeError:
        return RawText(text.encode(errors="surrogateescape"))
    return text


def _text_from_wire(text: str | RawText) -> str:
    if isinstance(text, str):
        return text
    try:
        text.base64.decode()
    except UnicodeDecodeError:
        return text.base64.decode(errors="surrogateescape")
    raise ProtocolError("the other side sent a name as raw bytes that is text", UPDATE_HINT)


def manifest_batches(first: int, entries: Sequence[Entry], limit: int) -> Iterator[tuple[bytes, int]]:
    """Encoded Manifest messages of at most limit bytes for these entries, in order, each with its number of entries."""
    head = len(encode(Manifest(first=_U32_MAX, entries=[])))
    batch: list[msgspec.Raw] = []
    size = head
    for entry in entries:
        encoded = _encoder.encode(to_wire(entry))
        if batch and (size + len(encoded) + 1 > limit or len(batch) == MAX_BATCH):
            yield _encode_batch(first, batch), len(batch)
            first, batch, size = first + len(batch), [], head
        batch.append(msgspec.Raw(encoded))
        size += len(encoded) + 1
    if batch:
        yield _encode_batch(first, batch), len(batch)


def _encode_batch(first: int, batch: list[msgspec.Raw]) -> bytes:
    return _encoder.encode({"type": "manifest", "first": first, "entries": batch})


def max_file_size(block_size: int) -> int:
    """Bytes of the largest file that can be sent in blocks of this size."""
    return min(2**53 - 1, (_U32_MAX + 1) * block_size)


def shown(text: str) -> str:
    """Text for the peer's user: what UTF-8 cannot say is replaced, what is too long is cut."""
    return text.encode("utf-8", "replace").decode()[:MAX_TEXT]
