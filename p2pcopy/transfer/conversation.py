"""What both ends of a transfer have in common: hello, order of messages, keep-alive, abort and end. Pure.

Bytes, events and the time go in through methods; what is to be done comes out of actions(). A message that the table of
the role does not allow in the present state ends the conversation with a ProtocolError on this side and an abort on the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final, Generic, TypeVar

from msgspec import Struct

from p2pcopy.config import TransferLimits
from p2pcopy.errors import (
    ConnectionLost,
    Declined,
    DryRun,
    IntegrityError,
    InternalError,
    LocalFileError,
    P2PCopyError,
    PeerVersionError,
    ProtocolError,
)
from p2pcopy.quantities import duration
from p2pcopy.transfer import wire
from p2pcopy.transfer.ledger import Ledger
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

# What the tables of both roles have in common.
SHARED_TABLE: Final[Table] = {
    (State.PARTING, wire.Bye): State.OVER,
    **{
        (state, message): state
        for state in (State.OPEN, State.LISTED, State.ENDED, State.PARTING)
        for message in (wire.Ping, wire.Pong)
    },
    **{(state, wire.Abort): State.OVER for state in State if state is not State.OVER},
}


class SendControl(Struct, frozen=True, gc=False):
    """Send this on the control channel."""

    message: bytes


class SendData(Struct, frozen=True, gc=False):
    """Send this on the data channel."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The transfer is complete and both sides know it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation ended with an error; the peer has been told, or is the one who told it."""

    error: P2PCopyError


Action = TypeVar("Action")


class Clock:
    """The time of a conversation, in seconds, which stands still while the path is stalled: no limit passes then."""

    def __init__(self, now: float) -> None:
        self._time = self._read = now

    def time(self, now: float, *, stalled: bool) -> float:
        """now: of any steady clock. Never goes back. Call it a few times a second at least, also during a stall."""
        if not stalled:
            self._time += now - self._read
        self._read = now
        return self._time


PONG_GAP_S: Final = 0.1
LATE_TICK_S: Final = 2.0
_ASK_THEM: Final = "Ask why; then both sides can start again, with a fresh code."
_AFTER_DRY_RUN: Final = "Start again, with a fresh code, when the other side wants it."
_RERUN: Final = "Run the same two commands again, with fresh codes."
_NOT_OURS: Final = "This is not a failure of this side; the message above is the other side's."


class Conversation(ABC, Generic[Action]):
    """Base of Sender and Receiver. Carry out actions() after every call of another method.

    files_done, files_skipped and files_failed are the same on both sides when the transfer has finished, and so are files_there
    (those of the skipped ones that are there already) and files_same (those of the others whose content was there).
    stream: this side reads from or writes to a stream.
    """

    role: ClassVar[Role]
    table: ClassVar[Table]

    def __init__(self, limits: TransferLimits, software: str, now: float, credit: int, features: Sequence[str]) -> None:
        self.limits = limits
        self.state = State.HELLO
        self.peer_software = ""
        self.peer_features: frozenset[str] = frozenset()
        self.files_there = self.files_same = 0
        self._ledger = Ledger()
        self._opened = now
        self._heard = now
        self._ticked = now
        self._pinged = now
        self._ponged: float | None = None
        self._ping_number = 0
        self._actions: list[Action | SendControl | Finished | Ended] = []
        self._handlers: dict[type[wire.Control], Callable[[Any, int, float], None]] = {
            wire.Ping: self._take_ping,
            wire.Pong: self._take_pong,
            wire.Bye: self._take_bye,
            wire.Abort: self._take_abort,
            **self._own_handlers(),
        }
        self._say(
            wire.Hello(
                version=wire.PROTOCOL_VERSION,
                role=self.role,
                software=wire.shown(software),
                block_size=limits.block_size,
                credit=credit,
                features=["zstd", "resume", *features],
            )
        )

    def control_received(self, message: bytes, now: float) -> None:
        """A message on the control channel."""
        if self.state is State.OVER:
            return
        try:
            decoded = wire.decode(message, limit=self.limits.max_control_message)
            self._enter(decoded, now)
            self._handlers[type(decoded)](decoded, len(message), now)
        except P2PCopyError as error:
            self.fail(error)

    def tick(self, now: float) -> None:
        """Call a few times a second: keeps the connection alive, notices a silent peer, does what is due."""
        if self.state is State.OVER:
            return
        if now - self._ticked > min(LATE_TICK_S, self.limits.silence_s / 4):
            # This side was suspended or had no time: what came meanwhile has not been looked at yet.
            self._heard = max(self._heard, now - self.limits.silence_s / 2)
        self._ticked = now
        try:
            self._keep_alive(now)
            self._tick(now)
        except P2PCopyError as error:
            self.fail(error)

    def fail(self, error: P2PCopyError) -> None:
        """End the conversation with an error of this side, and tell the peer."""
        if self.state is not State.OVER:
            self.state = State.OVER
            self._say(wire.Abort(error=error.name, message=wire.shown(error.message)))
            self._actions.append(Ended(error))

    def actions(self) -> list[Action | SendControl | Finished | Ended]:
        """What is to be done now, in order; each is given out once."""
        actions, self._actions = self._actions, []
        return actions

    @property
    def accepted(self) -> int:
        """Entries below this were accepted or skipped."""
        return self._ledger.accepted

    @property
    def consented(self) -> bool:
        """Whether the receiver has said yes to anything, be it to an empty manifest."""
        return self._ledger.consented

    @property
    def peer_streams(self) -> bool:
        """Whether the other side reads from or writes to a stream: what breaks cannot go on."""
        return "stream" in self.peer_features

    @property
    def files_done(self) -> int:
        return self._ledger.files_done

    @property
    def files_skipped(self) -> int:
        return self._ledger.files_skipped

    @property
    def files_failed(self) -> int:
        """Entries that failed on either side, directories and links among them."""
        return self._ledger.failed

    @abstractmethod
    def _own_handlers(self) -> dict[type[wire.Control], Callable[[Any, int, float], None]]:
        """What to call with a message of a type in the table, its size in bytes, and the time."""

    @abstractmethod
    def _tick(self, now: float) -> None:
        """What is due. Raises P2PCopyError."""

    def _enter(self, message: wire.Control, now: float) -> None:
        self._heard = now
        following = self.table.get((self.state, type(message)))
        if following is None:
            kind = type(message).__name__.lower()
            raise ProtocolError(
                f"the other side sent {kind!r} out of turn ({self.state.name.lower()})", wire.UPDATE_HINT
            )
        self.state = following

    def _say(self, message: wire.Control) -> None:
        self._actions.append(SendControl(wire.encode(message)))

    def _greet(self, hello: wire.Hello) -> None:
        if hello.role == self.role:
            both = "send" if self.role is Role.SENDER else "receive"
            raise ProtocolError(f"both sides {both}", "Run p2pcopy send on one side and p2pcopy receive on the other.")
        self.peer_software = hello.software
        self.peer_features = frozenset(hello.features)

    def _take_ping(self, ping: wire.Ping, size: int, now: float) -> None:
        # Not every one of a flood: the answers to a peer that does not read would pile up.
        if self._ponged is None or now - self._ponged >= PONG_GAP_S:
            self._ponged = now
            self._say(wire.Pong(ping.number))

    def _take_pong(self, pong: wire.Pong, size: int, now: float) -> None:
        if not 0 < pong.number <= self._ping_number:
            raise ProtocolError("the other side answered a ping that was never sent", wire.UPDATE_HINT)

    def _take_bye(self, bye: wire.Bye, size: int, now: float) -> None:
        self._actions.append(Finished())

    def _take_abort(self, abort: wire.Abort, size: int, now: float) -> None:
        self._actions.append(Ended(error_from_abort(abort)))

    def _keep_alive(self, now: float) -> None:
        if self.state is State.HELLO and now - self._opened > self.limits.hello_s:
            raise ConnectionLost("the other side is connected but says nothing", _RERUN)
        if now - self._heard > self.limits.silence_s:
            raise ConnectionLost(f"nothing was heard of the other side for {duration(now - self._heard)}", _RERUN)
        if self.state is State.HELLO or now - self._pinged < self.limits.ping_s:
            return
        self._pinged = now
        self._ping_number += 1
        self._say(wire.Ping(self._ping_number))


def error_from_abort(abort: wire.Abort) -> P2PCopyError:
    """The peer's failure as this side reports it: the same exit code wherever one cause lies behind both."""
    error = _same_failure(abort)
    error.is_theirs = True
    return error


def _same_failure(abort: wire.Abort) -> P2PCopyError:
    message = abort.message
    match abort.error:
        case "declined":
            hint = _AFTER_DRY_RUN if message == DryRun().message else _ASK_THEM
            return Declined(f"the other side declined: {message}", hint)
        case "local":
            return LocalFileError(f"the other side: {message}", _NOT_OURS)
        case "integrity":
            return IntegrityError(f"the other side: {message}", _RERUN)
        case "bad-name" | "name-taken":
            return ProtocolError(f"the other side: {message}", "Rename or leave out that file on the sending side.")
        case "interrupted" | "terminated":
            return ConnectionLost("the other side stopped the transfer", _RERUN)
        case "lost":
            return ConnectionLost(f"the other side lost the connection: {message}", _RERUN)
        case "internal":
            return InternalError(f"the other side failed: {message}", _NOT_OURS)
        case "peer-version":
            return PeerVersionError(f"the other side: {message}", wire.UPDATE_HINT)
        case _:
            return ProtocolError(f"the other side: {message}", wire.UPDATE_HINT)
