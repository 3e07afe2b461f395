"""What the transfer needs from a connection, and the only thing it knows of it."""

from __future__ import annotations

from typing import Protocol

from p2pcopy.errors import P2PCopyError


class Sink(Protocol):
    """Takes what arrives. Called from the event loop; must not block."""

    def control_received(self, message: bytes) -> None: ...

    def data_received(self, message: bytes) -> None: ...

    def channel_closed(self) -> None:
        """The connection is over: the peer ended it, or it broke. Called once."""


class Channel(Protocol):
    """A pair of reliable message channels to one peer: "control" keeps the order of its messages, "data" does not."""

    @property
    def message_size(self) -> int:
        """The size of a data message that the path likes best, in bytes, at most 262144."""

    @property
    def window(self) -> int:
        """Bytes of data messages that the connection lets wait at the receiver, 4 MiB at least; credit beyond it is of no use."""

    def consumed(self, size: int) -> None:
        """The sink has done with size bytes of data messages (stored, dropped, refused): there is room for more."""

    @property
    def stalled(self) -> bool:
        """No sign of life of the peer on any path. Nothing arrives then, and what is sent waits until a path is back."""

    @property
    def failure(self) -> P2PCopyError | None:
        """Why the connection is over, where that is known: a ProtocolError when the peer broke its rules."""

    def attach(self, sink: Sink) -> None:
        """From now on sink gets what arrives, first what came before."""

    def send_control(self, message: bytes) -> None:
        """Queue a message. Raises ConnectionLost when the connection is over."""

    def send_data(self, message: bytes) -> None:
        """Queue a message. Raises ConnectionLost when the connection is over."""

    @property
    def backlog(self) -> int:
        """Bytes queued here and not yet taken by the network."""

    async def drain(self, below: int) -> None:
        """Wait until the backlog is at most below bytes. Raises ConnectionLost when the connection is over."""
