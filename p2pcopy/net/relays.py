"""The allocations that are kept: which of those that servers offer, and what takes the place of one that is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from p2pcopy.net.allocation import Resolver, TurnServer, allocate
from p2pcopy.net.endpoint import Address, Locals, is_ipv6
from p2pcopy.net.hosts import Hosts
from p2pcopy.net.reasons import AllocationFailed, NotApplicable, is_refused_credential
from p2pcopy.net.relay import AllocationLost, RelayEndpoint

MAX_RELAYS: Final = 2
MAX_LENT: Final = 4  # servers of the other side, in all
MAX_SILENT: Final = 2
REFRESH_LIMIT_S: Final = 3.0
REVIVE_LIMIT_S: Final = 1.0
ALLOCATE_LIMIT_S: Final = 5.0
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0
_TRANSPORTS: Final = ("udp", "tcp", "tls")


@dataclass(frozen=True)
class Source:
    """One server at its addresses of one family: where one allocation may come from."""

    turn: TurnServer
    ipv6: bool


class Relays:
    """An allocation is live, or silent: its server does not answer. A silent one is kept while it may still exist, because the
    peer knows its address and the network may just be away, but another is looked for.

    own: the servers of the settings. on_trouble: something should be looked at soon. retry_at: not before then (time of the
    loop). is_hurried: there is no path.
    """

    def __init__(self, locals_: Locals, hosts: Hosts, resolver: Resolver, on_trouble: Callable[[], None]) -> None:
        self.own: list[TurnServer] = []
        self.kept: list[RelayEndpoint] = []
        self.retry_at = float("-inf")
        self._locals = locals_
        self._hosts = hosts
        self._resolver = resolver
        self._on_trouble = on_trouble
        self._offered: list[RelayEndpoint] = []
        self._leaving: list[RelayEndpoint] = []  # of which closing may have been broken off
        self.is_hurried = False
        self._lent: dict[str, TurnServer] = {}
        self._reserve: set[str] = set()
        self._has_had_one = False
        self._wanted = 1
        self._pause_s = FIRST_PAUSE_S
        self._refused: set[TurnServer] = set()

    @property
    def servers(self) -> list[TurnServer]:
        return [*self.own, *self._lent.values()]

    def lend(self, turn: TurnServer, *, in_session: bool) -> None:
        """One of the other side's, in place of what it has lent with the same URL. Ours stay, and so do the first MAX_LENT: no
        URL that was asked once is ever unknown.

        in_session: it is a reserve, asked only when there is no path or there was a relay before.
        """
        url = turn.server.url
        if any(each.server.url == url for each in self.own) or (url not in self._lent and len(self._lent) >= MAX_LENT):
            return
        if in_session:
            self._reserve.add(url)
        self._lent[url] = turn
        self._refused.intersection_update(self.servers)

    @property
    def sources(self) -> list[Source]:
        return [Source(turn, ipv6) for turn in self.servers for ipv6 in (False, True)]

    @property
    def live(self) -> list[RelayEndpoint]:
        return [relay for relay in self.kept if not relay.is_silent]

    @property
    def are_short(self) -> bool:
        """Is there a place for another one, and a server to ask?"""
        return len(self.live) < self._wanted and bool(self._free_sources())

    # The first ones

    async def ask(self, source: Source, limit_s: float) -> RelayEndpoint:
        """One more to choose from. Raises OSError, NotApplicable, AllocationFailed."""
        own = self._hosts.sources(ipv6=source.ipv6)
        if not own:
            raise NotApplicable
        try:
            relay = await allocate(
                self._locals,
                source.turn,
                self._resolver,
                ipv6=source.ipv6,
                sources=own if self._hosts.is_restricted else (),
                limit_s=limit_s,
            )
        except AllocationFailed as error:
            if is_refused_credential(error) and source.turn in self.servers:
                self._refused.add(source.turn)
            raise
        self._offered.append(relay)
        return relay

    async def choose(self) -> None:
        """Keep the best of those on offer, as far as there is a place for them, and give the others back."""
        while self._offered and len(self.live) < MAX_RELAYS:
            best = min(self._offered, key=self._rank)
            if not self._adds_something(best):
                break
            self._offered.remove(best)
            self._keep(best)
        await self._give_back()

    async def choose_late(self) -> None:
        """The same when the candidates are known already: only where there is none at all."""
        if self.live:
            await self._give_back()
        else:
            await self.choose()
            self.set_wanted()

    async def _give_back(self) -> None:
        left, self._offered = self._offered, []
        await self._let_go(*left)

    async def _let_go(self, *relays: RelayEndpoint) -> None:
        self._leaving += relays
        await asyncio.gather(*(relay.close() for relay in relays))
        self._leaving = [each for each in self._leaving if each not in relays]

    def set_wanted(self) -> None:
        """From now on there should be as many as there are."""
        self._wanted = max(1, len(self.live))

    def _rank(self, relay: RelayEndpoint) -> tuple[int, ...]:
        order = [turn.server.url for turn in self.servers].index(relay.relay)
        return (*self._novelty(relay), _TRANSPORTS.index(relay.over), order)

    def _novelty(self, relay: RelayEndpoint) -> tuple[int, int]:
        families = {is_ipv6(each.address[0]) for each in self.live}
        return int(is_ipv6(relay.address[0]) in families), int(
            relay.server[0] in {each.server[0] for each in self.live}
        )

    def _adds_something(self, relay: RelayEndpoint) -> bool:
        """Is it on another server than those that are there, or of another family?"""
        return self._novelty(relay) != (1, 1)

    def _keep(self, relay: RelayEndpoint) -> None:
        self._has_had_one = True
        self.kept.append(relay)
        relay.on_trouble = self._on_trouble
        self._locals.add_local(relay)

    # Upkeep

    async def check(self, relay: RelayEndpoint) -> None:
        """Keep it alive, and see whether it is."""
        try:
            await relay.refresh(REFRESH_LIMIT_S)
        except AllocationLost:
            self._forget(relay)
            self.retry_soon()
            await self._let_go(relay)
        except OSError:
            return  # it is silent now

    def addresses_changed(self) -> None:
        """What was asked from an address that is gone hears no answers; and another try may succeed at once."""
        own = {each.address for each in self._hosts.local}
        for relay in self.kept:
            if relay.base not in own:
                relay.is_silent = True
        self.retry_soon()

    def retry_soon(self) -> None:
        self._pause_s, self.retry_at = FIRST_PAUSE_S, float("-inf")

    async def replace(self) -> None:
        """One more allocation, on whichever server is the first to give one. After a failure not again before retry_at."""
        loop = asyncio.get_running_loop()
        self.retry_at = loop.time() + LAST_PAUSE_S  # should it end in a way that nobody has thought of
        asking = [asyncio.create_task(self.ask(source, ALLOCATE_LIMIT_S)) for source in self._free_sources()]
        pending = set(asking)
        try:
            while pending and not self._offered:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    _take_outcome(task)
        finally:
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
        best = min(self._offered, key=self._rank, default=None)
        if best is not None:
            await self._revive(best.server)
        if best in self._offered and len(self.live) < self._wanted and self._adds_something(best):
            self._offered.remove(best)
            dead = self._outlived_by(best)
            for each in dead:
                self._forget(each)
            self._keep(best)
            self.retry_soon()
            await self._let_go(*dead)
        else:
            self.retry_at = loop.time() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LAST_PAUSE_S)
        await self._give_back()

    async def _revive(self, server: Address) -> None:
        """A server that answers again may still have what it lent before, which the peer knows."""
        own = {each.address for each in self._hosts.local}
        for relay in list(self.kept):
            if relay.is_silent and relay.server[0] == server[0] and relay.base in own:
                with contextlib.suppress(AllocationLost, OSError):
                    await relay.refresh(REVIVE_LIMIT_S)

    def _outlived_by(self, relay: RelayEndpoint) -> list[RelayEndpoint]:
        """One on the same server that is still silent is dead: the server is not."""
        silent = [each for each in self.kept if each.is_silent]
        others = [each for each in silent if each.server[0] != relay.server[0]]
        return [each for each in silent if each not in others] + others[: max(0, len(others) - MAX_SILENT)]

    def _free_sources(self) -> list[Source]:
        taken = {(relay.host, is_ipv6(relay.server[0])) for relay in self.live}
        return [
            source
            for source in self.sources
            if source.turn not in self._refused and (source.turn.uri.host, source.ipv6) not in taken
            if self.is_hurried or self._has_had_one or source.turn.server.url not in self._reserve
        ]

    def _forget(self, relay: RelayEndpoint) -> None:
        if relay in self.kept:
            self.kept.remove(relay)
            self._locals.remove_local(relay)

    async def close(self, goodbye_s: float) -> None:
        """goodbye_s: for servers that answer to say so."""
        relays = [*self.kept, *self._offered, *self._leaving]
        self.kept, self._offered, self._leaving = [], [], []
        await asyncio.gather(*(relay.close(0.0 if relay.is_silent else goodbye_s) for relay in relays))


def _take_outcome(task: asyncio.Task[RelayEndpoint]) -> None:
    with contextlib.suppress(OSError, NotApplicable, AllocationFailed):
        task.result()
