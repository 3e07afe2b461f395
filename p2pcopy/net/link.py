"""What the two connections tell each other inside the session, as JSON on a channel of its own. Pure; docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec

from p2pcopy.config import IceServer
from p2pcopy.errors import ProtocolError
from p2pcopy.signaling.candidates import Candidate, CandidateType

MAX_MESSAGE: Final = 4096  # bytes
MAX_CANDIDATES: Final = 16
MAX_SERVERS: Final = 2
MAX_CREDENTIAL: Final = 512  # characters


class Addresses(msgspec.Struct, frozen=True, tag_field="type", tag="addresses"):
    """Where this side may be reached now: type, address, port, best first. All of them, whenever they change."""

    candidates: Sequence[tuple[str, str, int]]


class Servers(msgspec.Struct, frozen=True, tag_field="type", tag="servers"):
    """TURN servers that the other side may use as well: URL, user name, password. In place of those with the same URL."""

    servers: Sequence[tuple[str, str, str]]


class Confirming(msgspec.Struct, frozen=True, tag_field="type", tag="confirming"):
    """A person compares the verification number; nothing goes on before that."""


class Ready(msgspec.Struct, frozen=True, tag_field="type", tag="ready"):
    """This side begins with the transfer."""


class Declined(msgspec.Struct, frozen=True, tag_field="type", tag="declined"):
    """The numbers differ, or the person does not want it."""


Message = Addresses | Servers | Confirming | Ready | Declined
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    return msgspec.json.encode(message)


def addresses(candidates: Iterable[Candidate]) -> Addresses:
    return Addresses([(each.type, each.host, each.port) for each in candidates][:MAX_CANDIDATES])


def decode(data: bytes) -> Message | None:
    """None for a type that this version does not know. Raises ProtocolError for what is no message."""
    try:
        if len(data) > MAX_MESSAGE:
            raise msgspec.DecodeError
        return _decoder.decode(data)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("the other side sent a message about the connection that makes no sense") from None


def candidates(message: Addresses) -> tuple[Candidate, ...]:
    """Those that are legal, at most MAX_CANDIDATES."""
    found = []
    for kind, host, port in message.candidates[:MAX_CANDIDATES]:
        try:
            found.append(Candidate(cast(CandidateType, kind), host, port))  # which checks all of that
        except ValueError:
            continue
    return tuple(found)


def servers(message: Servers) -> tuple[IceServer, ...]:
    """At most MAX_SERVERS; whether they make sense is for who uses them."""
    found = message.servers[:MAX_SERVERS]
    return tuple(IceServer(*each) for each in found if all(len(text) <= MAX_CREDENTIAL for text in each))
