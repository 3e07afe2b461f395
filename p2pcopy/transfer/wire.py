"""Messages of the transfer protocol to bytes and back (docs/protocol.md).

The control channel carries JSON objects with a "type"; the data channel carries binary records back to back.
Parsing takes anything and gives a message or a ProtocolError.
"""

from __future__ import annotations

import struct
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

_UPDATE_HINT = "Use the same version of p2pcopy on both sides."
_U32_MAX: Final = 2**32 - 1
_NS: Final = 1_000_000_000


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
    seconds: Annotated[int, Meta(ge=-(2**40), le=2**40)]
    nanoseconds: Annotated[int, Meta(ge=0, lt=_NS)]
    target: str | RawText = ""


class Hello(Struct, frozen=True, tag="hello", tag_field="type"):
    """First message of both sides. credit: bytes that the peer may send before any further grant (0 from a sender)."""

    version: Index
    role: Role
    software: Text
    block_size: Annotated[int, Meta(ge=4096, le=16 * 1024 * 1024)]
    credit: Count = 0
    features: Annotated[list[Text], Meta(max_length=64)] = []


class Manifest(Struct, frozen=True, tag="manifest", tag_field="type"):
    """Sender: the next entries, the first of them with index first. Costs credit."""

    first: Index
    entries: list[WireEntry]


class ManifestEnd(Struct, frozen=True, tag="manifest_end", tag_field="type"):
    """Sender: there are no more entries. left_out: how many things of the source could not be read for it."""

    entries: Index
    left_out: Count = 0


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
    """Receiver: entries that are finished: half-open ranges of good ones, and [entry, reason] of failed ones."""

    done: list[Range] = []
    failed: list[tuple[Index, Text]] = []


class End(Struct, frozen=True, tag="end", tag_field="type"):
    """Sender: everything is sent. Totals over all End records; digest: hexadecimal, 64 digits."""

    files: Count
    bytes: Count
    faults: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Done(Struct, frozen=True, tag="done", tag_field="type"):
    """Receiver: everything is verified, synced and renamed. Its own totals, and how its entries ended."""

    files: Count
    bytes: Count
    faults: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    failed: Count
    skipped: Count


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


Control = Hello | Manifest | ManifestEnd | Go | Credit | Again | Results | End | Done | Bye | Abort | Ping | Pong

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
        raise ProtocolError(f"the other side sent a control message of {len(message)} bytes", _UPDATE_HINT)
    try:
        decoded: Control = _decoder.decode(message)
    except (ValueError, RecursionError) as error:
        _refuse_foreign_version(message)
        raise ProtocolError(
            f"the other side sent a message that makes no sense: {error}"[:MAX_TEXT], _UPDATE_HINT
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
    """An entry in its wire form."""
    seconds, nanoseconds = divmod(entry.mtime_ns, _NS)
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
    decoded = text.base64.decode(errors="surrogateescape")
    if decoded.isascii() or _text_to_wire(decoded) == decoded:
        raise ProtocolError("the other side sent a name as raw bytes that is text", _UPDATE_HINT)
    return decoded


def manifest_batches(first: int, entries: Sequence[Entry], limit: int) -> Iterator[bytes]:
    """Encoded Manifest messages of at most limit bytes for these entries, in order."""
    head = len(encode(Manifest(first=_U32_MAX, entries=[])))
    batch: list[msgspec.Raw] = []
    size = head
    for entry in entries:
        encoded = _encoder.encode(to_wire(entry))
        if batch and size + len(encoded) + 1 > limit:
            yield _encode_batch(first, batch)
            first, batch, size = first + len(batch), [], head
        batch.append(msgspec.Raw(encoded))
        size += len(encoded) + 1
    if batch:
        yield _encode_batch(first, batch)


def _encode_batch(first: int, batch: list[msgspec.Raw]) -> bytes:
    return _encoder.encode({"type": "manifest", "first": first, "entries": batch})


PIECE_HEADER: Final = struct.Struct("!BBIIIIII")
END_RECORD: Final = struct.Struct("!BBIIQ32s")
FAULT_RECORD: Final = struct.Struct("!BBI")
FLAG_ZSTD: Final = 1

_PIECE, _END, _FAULT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a block's body. digest: BLAKE3 of the raw block, in the piece at offset 0 only, b"" in the others.

    raw_size: bytes of the block as it is in the file. total: bytes of its body on the wire. cost: bytes of credit.
    """

    entry: int
    block: int
    raw_size: int
    total: int
    offset: int
    compressed: bool
    digest: bytes
    body: memoryview
    cost: int


@dataclass(frozen=True, slots=True)
class FileEnd:
    """All blocks of a file have been sent. digest: BLAKE3 over the digests of its blocks in order."""

    entry: int
    blocks: int
    size: int
    digest: bytes
    cost: int = END_RECORD.size


@dataclass(frozen=True, slots=True)
class FileFault:
    """The sender cannot send this file, or the rest of it."""

    entry: int
    reason: FaultReason
    cost: int = FAULT_RECORD.size


Record = Piece | FileEnd | FileFault


def piece_cost(offset: int, length: int) -> int:
    """Bytes of a piece record on the wire."""
    return PIECE_HEADER.size + length + (DIGEST_SIZE if offset == 0 else 0)


def encode_piece(
    entry: int, block: int, raw_size: int, body: memoryview, offset: int, length: int, compressed: bool, digest: bytes
) -> bytes:
    """The record for length bytes of a block's body from offset."""
    flags = FLAG_ZSTD if compressed else 0
    header = PIECE_HEADER.pack(_PIECE, flags, entry, block, raw_size, len(body), offset, length)
    return b"".join((header, digest if offset == 0 else b"", body[offset : offset + length]))


def encode_end(entry: int, blocks: int, size: int, digest: bytes) -> bytes:
    return END_RECORD.pack(_END, 0, entry, blocks, size, digest)


def encode_fault(entry: int, reason: FaultReason) -> bytes:
    return FAULT_RECORD.pack(_FAULT, reason, entry)


def decode_records(message: bytes, *, limit: int) -> list[Record]:
    """The records of a data message. Raises ProtocolError unless the message is whole records from first to last byte."""
    if not 0 < len(message) <= limit:
        raise ProtocolError(f"the other side sent a data message of {len(message)} bytes", _UPDATE_HINT)
    view = memoryview(message)
    records: list[Record] = []
    position = 0
    while position < len(view):
        record = _decode_record(view, position)
        records.append(record)
        position += record.cost
    return records


def _decode_record(view: memoryview, position: int) -> Record:
    kind = view[position]
    try:
        if kind == _PIECE:
            return _decode_piece(view, position)
        if kind == _END:
            _, flags, entry, blocks, size, digest = END_RECORD.unpack_from(view, position)
            if flags == 0:
                return FileEnd(entry, blocks, size, digest)
        if kind == _FAULT:
            _, reason, entry = FAULT_RECORD.unpack_from(view, position)
            return FileFault(entry, FaultReason(reason))
    except (struct.error, ValueError) as error:
        raise _bad_record() from error
    raise _bad_record()


def _decode_piece(view: memoryview, position: int) -> Piece:
    _, flags, entry, block, raw_size, total, offset, length = PIECE_HEADER.unpack_from(view, position)
    cost = piece_cost(offset, length)
    start = position + cost - length
    if flags & ~FLAG_ZSTD or length == 0 or offset + length > total or position + cost > len(view):
        raise _bad_record()
    digest = bytes(view[start - DIGEST_SIZE : start]) if offset == 0 else b""
    body = view[start : start + length]
    return Piece(entry, block, raw_size, total, offset, bool(flags & FLAG_ZSTD), digest, body, cost)


def _bad_record() -> ProtocolError:
    return ProtocolError("the other side sent a data message that makes no sense", _UPDATE_HINT)
