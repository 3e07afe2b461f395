"""What this network allows: asks every server in every way, and finds out what lies between. All at once, within seconds."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from aioice import stun

from p2pcopy.config import IceServer, NetSettings
from p2pcopy.net.allocation import credential, tls_context
from p2pcopy.net.asking import ask_over_tcp, default_source
from p2pcopy.net.endpoint import Address, is_ipv6
from p2pcopy.net.findings import Check, FamilyFinding, Network, OwnAddress, ServerFinding, Transport, Udp
from p2pcopy.net.interfaces import check_interfaces
from p2pcopy.net.natkind import judge
from p2pcopy.net.ownaddresses import host_addresses, in_code
from p2pcopy.net.reasons import is_refused_credential, reason
from p2pcopy.net.resolve import resolve
from p2pcopy.net.turnclient import Way
from p2pcopy.net.turnways import open_client
from p2pcopy.net.uri import ServerUri, parse_server_uri
from p2pcopy.net.vantage import Vantage
from p2pcopy.signaling.addresses import written


@dataclass(frozen=True)
class SurveyTimes:
    """Limits in seconds. The longest way is lookup_s, then allocate_s, or answer_s and twice test_s."""

    lookup_s: float = 1.5
    answer_s: float = 2.0
    allocate_s: float = 3.0
    test_s: float = 0.8


@dataclass(frozen=True)
class _Outcome:
    """As in Check."""

    reachable: bool
    reason: str = ""
    credential: Literal["accepted", "refused"] | None = None
    lent: str = ""


async def survey(settings: NetSettings, times: SurveyTimes = SurveyTimes()) -> Network:
    """Raises UsageError when a server's URL or the name of an interface makes no sense."""
    check_interfaces(settings.interfaces)
    servers = [(server, parse_server_uri(server.url)) for server in (*settings.stun, *settings.turn)]
    hosts = host_addresses(settings)
    async with contextlib.AsyncExitStack() as open_sockets:
        vantages: dict[int, Vantage] = {}
        for version in (4, 6):
            if local := _source(version, hosts):
                with contextlib.suppress(OSError):  # the address has just gone
                    vantages[version] = await Vantage.open(local, times.answer_s, times.test_s)
                    open_sockets.callback(vantages[version].close)
        return await _Surveyor(settings, times, vantages).run(servers, hosts)


def _source(version: int, hosts: tuple[OwnAddress, ...]) -> str:
    """Which of the addresses in our code asks: where the way to the internet begins, if that is one of them; "" for none."""
    usable = [each.address for each in hosts if each.in_code and is_ipv6(each.address) == (version == 6)]
    default = default_source(version)
    return default if default in usable else next(iter(usable), "")


class _Surveyor:
    def __init__(self, settings: NetSettings, times: SurveyTimes, vantages: dict[int, Vantage]) -> None:
        self._settings = settings
        self._times = times
        self._vantages = vantages
        self._names_resolve = False
        self._tls: asyncio.Task[ssl.SSLContext] | None = None

    async def run(self, servers: list[tuple[IceServer, ServerUri]], hosts: tuple[OwnAddress, ...]) -> Network:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            if any(uri.tls for _, uri in servers):
                self._tls = group.create_task(asyncio.to_thread(tls_context, verify=not self._settings.turn_insecure))
            examined = [group.create_task(self._examine(server, uri)) for server, uri in servers]
        findings = tuple(task.result() for task in examined)
        ipv4, ipv6 = (self._family(version, findings) for version in (4, 6))
        addresses = in_code(
            hosts,
            [each.nat.public for each in (ipv4, ipv6) if each.nat and each.nat.public],
            [check.lent for finding in findings for check in finding.checks if check.lent],
            self._settings.relay,
        )
        return Network(addresses, findings, ipv4, ipv6, time.monotonic() - started)

    # Servers

    async def _examine(self, server: IceServer, uri: ServerUri) -> ServerFinding:
        def nothing(why: str) -> ServerFinding:
            return ServerFinding(server.url, uri.kind, False, why, False, ())

        try:
            async with asyncio.timeout(self._times.lookup_s):
                found = await resolve(uri.host, uri.port)
        except TimeoutError:
            return nothing(f"no answer from the name server within {self._times.lookup_s:g} s")
        except OSError as error:
            return nothing(reason(error, server, time.time()))
        self._names_resolve |= found[0] != uri.host
        by_family = {6 if is_ipv6(address) else 4: address for address in reversed(found)}
        reachable = [
            (vantage, (by_family[version], uri.port))
            for version, vantage in self._vantages.items()
            if version in by_family
        ]
        if not reachable:
            return nothing("it has no address of a kind that this machine can use")
        checks = [
            self._check(server, uri, transport, used, vantage, address)
            for vantage, address in reachable
            for transport, used in _transports(uri)
        ]
        explored = [vantage.explore(address) for vantage, address in reachable if uri.transport == "udp"]
        checked, tests = await asyncio.gather(asyncio.gather(*checks), asyncio.gather(*explored))
        is_ok = any(check.ok and check.used for check in checked)
        return ServerFinding(server.url, uri.kind, is_ok, "", any(tests), tuple(checked))

    async def _check(
        self, server: IceServer, uri: ServerUri, transport: Transport, used: bool, vantage: Vantage, address: Address
    ) -> Check:
        question: Callable[[], Awaitable[object]]
        if uri.kind == "turn":
            question = partial(self._allocate, server, uri, transport, vantage, address)
        elif transport == "udp":
            question = partial(vantage.ask, address)
        else:
            question = partial(ask_over_tcp, address, limit_s=self._times.answer_s, local=vantage.address)
        started = time.monotonic()
        outcome = await _outcome(question, server)
        elapsed_ms = 1000 * (time.monotonic() - started)
        return Check(
            transport,
            written(*address),
            used,
            outcome.reachable,
            not outcome.reason,
            outcome.reason,
            outcome.credential,
            elapsed_ms,
            outcome.lent,
        )

    async def _allocate(
        self, server: IceServer, uri: ServerUri, transport: Transport, vantage: Vantage, address: Address
    ) -> str:
        """The address that the TURN server lends; it is given back at once. Raises what TurnClient.allocate() does."""
        username, password = credential(server, time.time())
        tls = await asyncio.shield(self._tls) if transport == "tls" and self._tls is not None else None
        over: Literal["udp", "tcp"] = "udp" if transport == "udp" else "tcp"
        families = (6, 4) if is_ipv6(address[0]) else (4,)  # a server that is reached over IPv6 may lend IPv4 only
        way = Way(address, uri.host, over, username, password, tls, vantage.address, families)
        async with asyncio.timeout(self._times.allocate_s):
            client = await open_client(way)
            try:
                host, _ = await client.allocate(self._times.allocate_s)
                client.say_goodbye()
                return host
            finally:
                await client.close()

    # What it comes to

    def _family(self, version: int, findings: tuple[ServerFinding, ...]) -> FamilyFinding:
        vantage = self._vantages.get(version)
        if vantage is None:
            return FamilyFinding("", Udp.NO_ADDRESS, None)
        everywhere = [check for finding in findings for check in finding.checks]
        checks = [check for check in everywhere if check.address.startswith("[") == (version == 6)]
        udp = [check for check in checks if check.transport == "udp"]
        works = any(check.reachable for check in udp)
        elsewhere = any(check.reachable for check in checks) or (
            self._names_resolve and not any(check.reachable for check in everywhere)
        )
        state = Udp.WORKS if works else Udp.NOT_TRIED if not udp else Udp.BLOCKED if elsewhere else Udp.NO_ANSWER
        has_nat = state in (Udp.WORKS, Udp.BLOCKED)
        nat = judge(vantage.observations(blocked=state is Udp.BLOCKED)) if has_nat else None
        return FamilyFinding(vantage.address, state, nat)


def _transports(uri: ServerUri) -> list[tuple[Transport, bool]]:
    """Ways to the server that are worth a try, each with: may a session go this way?"""
    if uri.tls:
        return [("tls", True)]
    if uri.transport == "tcp":
        return [("tcp", True)]
    return [("udp", True), ("tcp", uri.or_tcp)] if uri.kind == "stun" or uri.or_tcp else [("udp", True)]


async def _outcome(question: Callable[[], Awaitable[object]], server: IceServer) -> _Outcome:
    """question: returns the address that is lent, or anything else."""
    try:
        result = await question()
    except (stun.TransactionFailed, OSError, ValueError) as error:
        reachable = not isinstance(error, OSError) or isinstance(error, ssl.SSLError)  # somebody has said something
        refused = is_refused_credential(error)
        return _Outcome(reachable, reason(error, server, time.time()), "refused" if refused else None)
    if isinstance(result, str):
        return _Outcome(reachable=True, credential="accepted", lent=result)
    return _Outcome(reachable=True)
