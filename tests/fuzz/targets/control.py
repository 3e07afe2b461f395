"""Control messages: bytes to a message and back, and manifest entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fuzz.feed import Feed
from fuzz.messages import drawn
from p2pcopy.errors import ProtocolError
from p2pcopy.transfer import wire
from p2pcopy.transfer.wire import Entry, Kind

MODULES = ("p2pcopy.transfer.wire",)

LIMIT: Final = 4096
RAW, DRAWN = range(2)  # the first byte of an input: is the rest the message itself, or what one is drawn from?


def one(data: bytes) -> None:
    message = data[1:] if data[:1] == bytes([RAW]) else drawn(wire.Control, Feed(data[1:]))
    try:
        decoded = wire.decode(message, limit=LIMIT)
    except ProtocolError as error:
        assert error.message
        assert error.hint
        return
    again = wire.encode(decoded)
    assert wire.decode(again, limit=10 * LIMIT) == decoded
    if isinstance(decoded, wire.Manifest):
        for line in decoded.entries:
            listed(line)


def listed(line: wire.WireEntry) -> None:
    try:
        entry = wire.from_wire(line)
    except ProtocolError:
        return
    assert wire.from_wire(wire.to_wire(entry)) == entry


def seeds() -> Iterator[bytes]:
    entries = [
        Entry(Kind.DIRECTORY, "d", 0, 0o755, 1_700_000_000_123_456_789),
        Entry(Kind.FILE, "d/\u00e9", 2**53 - 1),
        Entry(Kind.FILE, "d/\udcff", None),
        Entry(Kind.LINK, "d/l", 0, 0o777, -1, "\udc80"),
    ]
    digest = "0" * 64
    messages: list[wire.Control] = [
        wire.Hello(1, wire.Role.SENDER, "p2pcopy 1", 2**20),
        wire.Hello(1, wire.Role.RECEIVER, "p2pcopy 1", 4096, 2**25, ["zstd"]),
        wire.Manifest(0, [wire.to_wire(entry) for entry in entries]),
        wire.ManifestEnd(4, 1),
        wire.Go(4, [(0, 1), (2, 3)]),
        wire.Credit(2**25, 10),
        wire.Again(1, 2),
        wire.Results([(0, 2)], [(3, "no")]),
        wire.End(1, 2, 3, digest),
        wire.Done(1, 2, 3, digest, 1, 1, 1),
        wire.Bye(),
        wire.Abort("lost", "x"),
        wire.Ping(1),
        wire.Pong(1),
    ]
    for message in messages:
        yield bytes([RAW]) + wire.encode(message)
    yield bytes([RAW]) + b'{"type":"hello","version":2,"software":"x"}'
    for kind in range(len(messages)):
        yield bytes([DRAWN, kind]) + bytes(range(40))
