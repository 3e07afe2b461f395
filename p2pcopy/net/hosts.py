"""The sockets on this machine's own addresses, as those come and go, and how STUN servers see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from aioice import stun

from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.net.allocation import Resolver
from p2pcopy.net.endpoint import ASK_AGAIN_S, Address, HostEndpoint, Locals, is_ipv6, open_host
from p2pcopy.net.interfaces import LocalAddress, local_addresses
from p2pcopy.net.offload import EVERYTHING
from p2pcopy.net.reasons import NotApplicable
from p2pcopy.net.uri import ServerUri
from p2pcopy.signaling.candidates import MAX_CANDIDATES, Candidate, CandidateType, select_candidates

MAX_SOCKETS: Final = 32
MAX_AWAY: Final = 8  # sockets on addresses that are gone, and may come back
_RETRY_S: Final = 0.5


class Hosts:
    """servers: of STUN; sockets are opened unless everything has to go through a relay.

    The socket of an address that is away is kept: when the address comes back, the system lets it go on, so that the mapping
    in a NAT, what the peer knows, and a code that was handed out are good again.
    """

    def __init__(
        self, locals_: Locals, settings: NetSettings, servers: Iterable[tuple[IceServer, ServerUri]], resolver: Resolver
    ) -> None:
        self.servers = tuple(servers)
        self.local: tuple[LocalAddress, ...] = ()
        self._locals = locals_
        self._settings = settings
        self._resolver = resolver
        self._wish = replace(EVERYTHING, gso=settings.gso, gro=settings.gro)
        self._is_used = settings.relay is not Relay.ONLY
        self._was_connected = False
        self._endpoints: dict[str, HostEndpoint] = {}
        self._away: dict[str, HostEndpoint] = {}
        self._answered: dict[HostEndpoint, Address] = {}

    @property
    def is_restricted(self) -> bool:
        """To some interfaces."""
        return bool(self._settings.interfaces)

    @property
    def interfaces(self) -> dict[str, str]:
        return {each.address: each.interface for each in self.local}

    @property
    def endpoints(self) -> tuple[HostEndpoint, ...]:
        return tuple(self._endpoints.values())

    @property
    def helpful(self) -> tuple[HostEndpoint, ...]:
        """Those whose addresses somebody else can make use of."""
        hosts = {candidate: each for each in self.endpoints if (candidate := as_candidate("host", each.address))}
        return tuple(hosts[each] for each in self.select(hosts, MAX_SOCKETS))

    def select(self, candidates: Iterable[Candidate], limit: int = MAX_CANDIDATES) -> tuple[Candidate, ...]:
        """Those that help, best first."""
        return select_candidates(candidates, interfaces=self.interfaces, keep_all=self.is_restricted, limit=limit)

    def sources(self, *, ipv6: bool) -> list[str]:
        """The addresses of ours from which a server can be asked, of one family."""
        return [each.address for each in self.local if is_ipv6(each.address) == ipv6]

    async def look(self) -> bool:
        """Open and put away sockets as addresses have come and gone. Whether there are others than before."""
        before, self.local = self.local, self._look()
        wanted = {each.address for each in self.local} if self._is_used else set()
        for address in set(self._endpoints) - wanted:
            self._away[address] = endpoint = self._endpoints.pop(address)
            self._locals.remove_local(endpoint)
        for address in self._best_first(wanted - set(self._endpoints))[: MAX_SOCKETS - len(self._endpoints)]:
            with contextlib.suppress(OSError):  # just going away, or (IPv6) not ready yet: looked at again
                endpoint = self._endpoints[address] = await self._open(address)
                self._locals.add_local(endpoint)
        await self._forget(list(self._away)[:-MAX_AWAY])
        return {each.address for each in before} != {each.address for each in self.local}

    async def _open(self, address: str) -> HostEndpoint:
        kept = self._away.get(address)
        if kept is not None and kept.is_open:
            return self._away.pop(address)
        await self._forget([address] if kept is not None else [])
        return await open_host(self._locals, address, self._wish)

    async def _forget(self, addresses: Iterable[str]) -> None:
        gone = [self._away.pop(address) for address in addresses]
        for endpoint in gone:
            self._answered.pop(endpoint, None)
        await asyncio.gather(*(endpoint.close() for endpoint in gone))

    def _best_first(self, addresses: Iterable[str]) -> list[str]:
        found = {candidate: each for each in addresses if (candidate := as_candidate("host", (each, 1)))}
        ranked = [found[candidate] for candidate in self.select(found, len(found))]
        return ranked + sorted(set(found.values()) - set(ranked))

    def _look(self) -> tuple[LocalAddress, ...]:
        found = local_addresses(self._settings.interfaces, self._settings.family)
        self._was_connected = self._was_connected or any(not each.is_loopback for each in found)
        # Loopback serves a machine that has nothing else, but not one whose network is away for a moment.
        return tuple(each for each in found if not (self._was_connected and each.is_loopback))

    async def ask(self, endpoint: HostEndpoint, uri: ServerUri) -> None:
        """Have this server say how it sees the socket. Raises what HostEndpoint.ask() does, NotApplicable."""
        addresses = await self._resolver.addresses(uri, ipv6=is_ipv6(endpoint.address[0]))
        mapped, server = await endpoint.ask([(address, uri.port) for address in addresses])
        if endpoint.mapped is None:
            endpoint.mapped = mapped
            self._answered[endpoint] = server

    async def ask_again(self, endpoint: HostEndpoint) -> None:
        """Keep the way through a NAT open, and see whether it is still the same. Without an answer nothing changes."""
        known = self._answered.get(endpoint)
        if known is not None and await self._try(endpoint, [known], ASK_AGAIN_S):
            return
        servers = [server for server in await self._addresses(endpoint) if server != known]
        if servers:
            await self._try(endpoint, servers, [_RETRY_S] * max(len(ASK_AGAIN_S), len(servers)))

    async def _try(self, endpoint: HostEndpoint, servers: list[Address], again_s: Iterable[float]) -> bool:
        try:
            endpoint.mapped, self._answered[endpoint] = await endpoint.ask(servers, again_s)
        except (stun.TransactionError, OSError, ValueError):
            return False
        return True

    async def _addresses(self, endpoint: HostEndpoint) -> list[Address]:
        """Of all STUN servers, as far as names can be resolved."""
        found = []
        for _, uri in self.servers:
            with contextlib.suppress(OSError, NotApplicable):
                async with asyncio.timeout(sum(ASK_AGAIN_S)):
                    addresses = await self._resolver.addresses(uri, ipv6=is_ipv6(endpoint.address[0]))
                    found += [(address, uri.port) for address in addresses]
        return found

    async def close(self) -> None:
        endpoints = [*self._endpoints.values(), *self._away.values()]
        self._endpoints.clear()
        self._away.clear()
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints))


def as_candidate(kind: CandidateType, address: Address) -> Candidate | None:
    """None for an address that no machine can have; servers may say anything."""
    with contextlib.suppress(ValueError):
        return Candidate(kind, *address)
    return None
