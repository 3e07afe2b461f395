"""From a TURN server's URL to an allocation: name, addresses, transports and credential, raced against dead ends."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aioice import stun

from p2pcopy.config import Family, IceServer
from p2pcopy.net.endpoint import Receiver, is_ipv6
from p2pcopy.net.interfaces import is_allowed
from p2pcopy.net.offload import EVERYTHING, Offload
from p2pcopy.net.reasons import AllocationFailed, NotApplicable, is_refused_credential
from p2pcopy.net.relay import RelayEndpoint, open_relay
from p2pcopy.net.resolve import resolve
from p2pcopy.net.turnclient import Way
from p2pcopy.net.uri import ServerUri
from p2pcopy.signaling.lent import time_limited

TCP_AFTER_S: Final = 0.5  # without an answer over UDP
NEXT_AFTER_S: Final = 0.25  # between the addresses of a name (RFC 8305 section 5)
MAX_ADDRESSES: Final = 4  # of a name, in one family
CREDENTIAL_S: Final = 86400  # for which a credential made of a shared secret is good


class Resolver:
    """Names to addresses of the allowed family; a name that has been resolved is not asked for again."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def addresses(self, uri: ServerUri, *, ipv6: bool) -> list[str]:
        """Best first. Raises OSError, NotApplicable when there are none."""
        lookup = self._lookups.get(uri.host)
        if lookup is None or (lookup.done() and _has_failed(lookup)):
            lookup = self._lookups[uri.host] = asyncio.create_task(resolve(uri.host, uri.port))
            lookup.add_done_callback(_has_failed)
        found = await asyncio.shield(lookup)
        wanted = [each for each in found if is_ipv6(each) == ipv6 and is_allowed(each, self.family)]
        if not wanted:
            raise NotApplicable
        return wanted[:MAX_ADDRESSES]

    async def close(self) -> None:
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        if lookups:
            await asyncio.wait(lookups)


@dataclass(frozen=True)
class TurnServer:
    """verify: its certificate; wish: of the sockets to it."""

    server: IceServer
    uri: ServerUri
    verify: bool = True
    wish: Offload = EVERYTHING


async def allocate(
    receiver: Receiver, turn: TurnServer, resolver: Resolver, *, ipv6: bool, sources: Sequence[str], limit_s: float
) -> RelayEndpoint:
    """An allocation on this server, reached at its addresses of one family. sources: addresses of ours to use, none: any.

    Raises OSError when the name cannot be resolved, NotApplicable, AllocationFailed.
    """
    async with asyncio.timeout(limit_s):
        addresses = await resolver.addresses(turn.uri, ipv6=ipv6)
        context = await asyncio.to_thread(tls_context, verify=turn.verify) if turn.uri.tls else None
    username, password = credential(turn.server, time.time())
    families = _families(ipv6, resolver.family)
    ways = [
        Way(
            (address, turn.uri.port), turn.uri.host, transport, username, password, context, source, families, turn.wish
        )
        for transport in (("udp", "tcp") if turn.uri.or_tcp else (turn.uri.transport,))
        for address in addresses
        for source in sources or ("",)
    ]
    return await _race(receiver, turn.server.url, ways, limit_s)


def credential(server: IceServer, now_s: float) -> tuple[str, str]:
    """User name and password. now_s: Unix time."""
    if server.secret:
        return time_limited(server.secret, server.username, int(now_s) + CREDENTIAL_S)
    return server.username, server.password


async def _race(receiver: Receiver, url: str, ways: Sequence[Way], limit_s: float) -> RelayEndpoint:
    """The first allocation that comes about. A way is tried when its time has come, or when all before it have failed."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    waiting = deque(_with_offsets(ways))
    running: dict[asyncio.Task[RelayEndpoint], Way] = {}
    errors: list[tuple[str, Exception]] = []
    winner: RelayEndpoint | None = None
    try:
        while waiting or running:
            now = loop.time() - started
            if waiting and (not running or now >= waiting[0][0]):
                _, way = waiting.popleft()
                running[asyncio.create_task(open_relay(receiver, way, url=url, limit_s=limit_s))] = way
                continue
            pause = waiting[0][0] - now if waiting else None
            done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            # What failed in the same moment is told in the order in which it was tried.
            for task in [each for each in running if each in done]:
                way = running.pop(task)
                try:
                    winner = task.result()
                    return winner
                except (stun.TransactionFailed, OSError, ValueError) as error:
                    errors.append((_over(way), error))
                    if isinstance(error, stun.TransactionFailed):  # another transport would not change its mind
                        waiting = deque(each for each in waiting if each[1].server != way.server)
                    if is_refused_credential(error):
                        raise AllocationFailed(errors) from error
        raise AllocationFailed(errors)
    finally:
        await _settle(running, winner)


def _with_offsets(ways: Iterable[Way]) -> list[tuple[float, Way]]:
    """When each is tried, in seconds."""
    found, count = [], {"udp": 0, "tcp": 0}
    udp = any(way.transport == "udp" for way in ways)
    for way in ways:
        begin = TCP_AFTER_S if udp and way.transport == "tcp" else 0.0
        found.append((begin + NEXT_AFTER_S * count[way.transport], way))
        count[way.transport] += 1
    return sorted(found, key=lambda each: each[0])


async def _settle(losers: Iterable[asyncio.Task[RelayEndpoint]], winner: RelayEndpoint | None) -> None:
    """Nothing is left of the losers; nor of the winner, when nobody waits for it any more."""
    abandoning = asyncio.create_task(_abandon(losers))
    try:
        await asyncio.shield(abandoning)
    except asyncio.CancelledError:
        await abandoning
        if winner is not None:
            await winner.close()
        raise


async def _abandon(running: Iterable[asyncio.Task[RelayEndpoint]]) -> None:
    tasks = list(running)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and task.exception() is None:  # it was there in the same moment as another
            await task.result().close()


def _families(ipv6: bool, family: Family) -> tuple[int, ...]:
    """Of the address that is asked for. Servers that are reached over IPv6 may lend IPv4 addresses only."""
    if not ipv6:
        return (4,)
    return (6,) if family is Family.IPV6 else (6, 4)


def _over(way: Way) -> str:
    return "tls" if way.tls else way.transport


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """In a thread: it reads all certificates of the system."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _has_failed(lookup: asyncio.Task[list[str]]) -> bool:
    """Also takes the exception, so that asyncio does not complain when nobody waits any more."""
    return lookup.cancelled() or lookup.exception() is not None
