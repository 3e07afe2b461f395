"""What both ends of a transfer have in common: hello, order of messages, keep-alive, abort and end. Pure.

Bytes, events and the time go in through methods; what is to be done comes out of actions(). A message that the table of
the role does not allow in the present state ends the conversation with a ProtocolError on this side and an abort on the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Final

from p2pcopy.config import TransferLimits
from p2pcopy.errors import (
    ConnectionLost,
    Declined,
    IntegrityError,
    InternalError,
    LocalFileError,
    P2PCopyError,
    ProtocolError,
)
from p2pcopy.transfer import wire
from p2pcopy.transfer.wire import Role


class State(Enum):
    """Where a conversation stands. The tables of sender.py and receiver.py say what moves it."""

    HELLO = auto()
    OPEN = auto()
    LISTED = auto()
    ENDED = auto()
    PARTING = auto()
    OVER = auto()


Table = Mapping[tuple[State, type[wire.Control]], State]


@dataclass(frozen=True, slots=True)
class SendControl:
    message: bytes


@dataclass(frozen=True, slots=True)
class SendData:
    message: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The transfer is complete and both sides know it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation ended with an error; the peer has been told, or is the one who told it."""

    error: P2PCopyError


_RERUN: Final = "Run the same two commands again, with fresh codes."
_NOT_OURS: Final = "This is not a failure of this side; the message above is the other side's."


class Conversation:
    """Base of Sender and Receiver."""

    role: ClassVar[Role]
    table: ClassVar[Table]

    def __init__(self, limits: TransferLimits, software: str, now: float) -> None:
        self.limits = limits
        self.state = State.HELLO
        self.rtt_s = 0.0
        self.peer_software = ""
        self._software = software
        self._opened = now
        self._heard = now
        self._pinged = now
        self._ping_number = 0
        self._ping_sent: dict[int, float] = {}

    def open(self, credit: int, features: list[str]) -> SendControl:
        """The first message."""
        return SendControl(
            wire.encode(
                wire.Hello(
                    version=wire.PROTOCOL_VERSION,
                    role=self.role,
                    software=self._software,
                    block_size=self.limits.block_size,
                    credit=credit,
                    features=features,
                )
            )
        )

    def enter(self, message: wire.Control, now: float) -> None:
        """Account for a message and take the transition that the table has for it. Raises ProtocolError when there is none."""
        self._heard = now
        following = self.table.get((self.state, type(message)))
        if following is None:
            kind = type(message).__name__.lower()
            raise ProtocolError(
                f"the other side sent {kind!r} out of turn ({self.state.name.lower()})",
                "Use the same version of p2pcopy on both sides.",
            )
        self.state = following

    def heard_data(self, now: float) -> None:
        self._heard = now

    def greet(self, hello: wire.Hello) -> None:
        """Check the peer's hello. Raises ProtocolError."""
        if hello.role == self.role:
            both = "send" if self.role is Role.SENDER else "receive"
            raise ProtocolError(f"both sides {both}", "Run p2pcopy send on one side and p2pcopy receive on the other.")
        self.peer_software = hello.software

    def answer_ping(self, ping: wire.Ping) -> SendControl:
        return SendControl(wire.encode(wire.Pong(ping.number)))

    def take_pong(self, pong: wire.Pong, now: float) -> None:
        """Learn the round-trip time. Raises ProtocolError for a pong to no ping of ours."""
        sent = self._ping_sent.pop(pong.number, None)
        if sent is None:
            raise ProtocolError("the other side answered a ping that was never sent", _RERUN)
        sample = now - sent
        self.rtt_s = sample if self.rtt_s == 0.0 else 0.75 * self.rtt_s + 0.25 * sample

    def keep_alive(self, now: float) -> SendControl | None:
        """A ping when one is due. Raises ConnectionLost when the peer has been silent too long."""
        if self.state is State.HELLO and now - self._opened > self.limits.hello_s:
            raise ConnectionLost("the other side is connected but says nothing", _RERUN)
        if now - self._heard > self.limits.silence_s:
            raise ConnectionLost(f"nothing was heard of the other side for {now - self._heard:.0f} s", _RERUN)
        if self.state is State.HELLO or now - self._pinged < self.limits.ping_s:
            return None
        self._pinged = now
        self._ping_number += 1
        if len(self._ping_sent) > 16:
            self._ping_sent.pop(min(self._ping_sent))
        self._ping_sent[self._ping_number] = now
        return SendControl(wire.encode(wire.Ping(self._ping_number)))


def abort_message(error: P2PCopyError) -> bytes:
    """What the peer is told when this side ends the transfer."""
    return wire.encode(wire.Abort(error=error.name, message=_bounded(error.message)))


def error_from_abort(abort: wire.Abort) -> P2PCopyError:
    """The peer's failure as this side reports it: the same exit code wherever one cause lies behind both."""
    message = _bounded(abort.message)
    match abort.error:
        case "declined":
            return Declined(f"the other side declined: {message}")
        case "local":
            return LocalFileError(f"the other side: {message}", _NOT_OURS)
        case "integrity":
            return IntegrityError(f"the other side: {message}", _RERUN)
        case "interrupted" | "terminated":
            return ConnectionLost("the other side stopped the transfer", _RERUN)
        case "lost":
            return ConnectionLost(f"the other side lost the connection: {message}", _RERUN)
        case "internal":
            return InternalError(f"the other side failed: {message}", _NOT_OURS)
        case _:
            return ProtocolError(f"the other side: {message}", "Use the same version of p2pcopy on both sides.")


def _bounded(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[: wire.MAX_TEXT]
