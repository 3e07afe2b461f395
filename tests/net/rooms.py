"""Peers in network namespaces, each with an event loop of its own, driven from the test's thread."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

from lab import PASSWORD, USERNAME, Coturn, Lab, Layout, Place, Topology
from meeting import Inbox

from p2pcopy.config import IceServer, NetSettings, NetTimes, Relay
from p2pcopy.events import DataPath, Path, PathKind
from p2pcopy.net.peer import PathNews, Peer, PeerChannel
from p2pcopy.signaling.candidates import Candidate

ALONE = NetSettings(stun=())
# For what takes a moment, unless the machine is busy.
PATIENCE_S = 30.0
# Servers that answer are waited for: what they say is in the first code.
PATIENT = NetTimes(gather_limit_s=PATIENCE_S, gather_grace_s=PATIENCE_S)


class Side:
    """A peer in a place. first_path: the one by which it has connected; another may follow at any moment."""

    first_path: Path

    def __init__(self, place: Place) -> None:
        self.place = place
        self.inbox = Inbox()
        self.news: list[PathNews] = []
        self.data_paths: list[DataPath] = []
        self._told = asyncio.Event()

    def begin(
        self,
        settings: NetSettings,
        secret: bytes,
        *,
        pin: bytes | None = None,
        times: NetTimes = PATIENT,
    ) -> tuple[Candidate, ...]:
        async def begin() -> tuple[Candidate, ...]:
            self.peer = Peer(settings, secret, offering=pin is None, remote_pin=pin, times=times)
            self.peer.on_path = self._take_news
            self.peer.on_data_path = self._take_data_path
            return await self.peer.gather()

        return self.place.run(begin())

    def told(self, candidates: tuple[Candidate, ...]) -> None:
        async def told() -> None:
            self.peer.add_remote(candidates)

        self.place.run(told())

    def connect(self) -> Future[PeerChannel]:
        async def connect() -> PeerChannel:
            channel = await self.peer.connect()
            self.first_path = self.peer.path()
            channel.attach(self.inbox)
            self.channel = channel
            return channel

        return self.place.start(connect())

    def _take_news(self, news: PathNews) -> None:
        self.news.append(news)
        self._told.set()

    def _take_data_path(self, news: DataPath) -> None:
        self.data_paths.append(news)
        self._told.set()

    async def next_news(self) -> None:
        self._told.clear()
        await self._told.wait()

    async def until_news(self, kind: type[PathNews]) -> None:
        while not any(isinstance(news, kind) for news in self.news):
            await self.next_news()

    async def until_packets_of(self, size: int) -> None:
        """Until the UDP payload of its packets is of so many bytes."""
        while not self.data_paths or self.data_paths[-1].packet_bytes != size:
            await self.next_news()

    async def say(self, message: bytes) -> None:
        self.channel.send_control(message)

    def close(self) -> None:
        self.place.run(self.peer.close())


@dataclass
class Pair:
    """Both sides, and what they will be connected by."""

    a: Side
    b: Side
    answer: tuple[Candidate, ...]
    left: Future[PeerChannel]
    right: Future[PeerChannel]

    def connected(self, timeout: float = PATIENCE_S) -> tuple[PeerChannel, PeerChannel]:
        end = time.monotonic() + timeout
        return self.left.result(timeout), self.right.result(max(0.1, end - time.monotonic()))

    def until_news(self, kind: type[PathNews]) -> None:
        for side in (self.a, self.b):
            side.place.run(side.until_news(kind))

    def flow(self) -> None:
        """Both ways."""
        for side, other in ((self.a, self.b), (self.b, self.a)):
            expected = len(other.inbox.control) + 1
            side.place.run(side.say(b"x"))
            other.place.run(other.inbox.until(control=expected), PATIENCE_S)

    def kinds(self) -> tuple[PathKind, PathKind]:
        return self.a.peer.path().kind, self.b.peer.path().kind


class Rooms:
    """Makes a laboratory, and pairs of sides in it. Use as a context manager: everything is gone afterwards.

    refuses: as for the laboratory.
    """

    def __init__(self, layout: Topology | Layout, *, refuses: bool = False) -> None:
        self.lab = Lab(layout, refuses=refuses)
        self.sides: list[Side] = []

    def side(self, member: str) -> Side:
        self.sides.append(Side(Place(self.lab, member).__enter__()))
        return self.sides[-1]

    def pair(self, a: NetSettings, b: NetSettings, times: NetTimes = PATIENT) -> Pair:
        """a has made an offer and waits; b has it and connects."""
        secret = os.urandom(16)
        left, right = self.side("a"), self.side("b")
        offer = left.begin(a, secret, times=times)
        answer = right.begin(b, secret, pin=left.peer.pin, times=times)
        right.told(offer)
        return Pair(left, right, answer, left.connect(), right.connect())

    def clean_up(self) -> None:
        """Before the servers that they use end."""
        for side in self.sides:
            if hasattr(side, "peer"):
                side.close()
            side.place.__exit__(None, None, None)
        self.sides.clear()

    def __enter__(self) -> Rooms:
        self.lab.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.clean_up()
        finally:
            self.lab.__exit__(kind, error, trace)


def with_stun(coturn: Coturn) -> NetSettings:
    return NetSettings(stun=(IceServer(coturn.stun_url),))


def with_turn(coturn: Coturn, relay: Relay = Relay.AUTO) -> NetSettings:
    turn = IceServer(coturn.turn_url, USERNAME, PASSWORD)
    return NetSettings(stun=(IceServer(coturn.stun_url),), turn=(turn,), relay=relay)
