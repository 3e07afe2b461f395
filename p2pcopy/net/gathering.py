"""Which addresses this machine can be reached at: its own, those that STUN servers see, those that TURN servers lend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from p2pcopy.config import Family, IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import NoConnection, UsageError
from p2pcopy.net.allocation import Resolver, TurnServer
from p2pcopy.net.endpoint import HostEndpoint, Locals
from p2pcopy.net.hosts import Hosts, as_candidate
from p2pcopy.net.interfaces import check_interfaces
from p2pcopy.net.netlink import address_changes
from p2pcopy.net.offload import EVERYTHING
from p2pcopy.net.reasons import NotApplicable, is_refused_credential, reason
from p2pcopy.net.relay import RelayEndpoint
from p2pcopy.net.relays import Relays
from p2pcopy.net.trial import ServerReport
from p2pcopy.net.uri import ServerUri, parse_server_uri
from p2pcopy.signaling.candidates import Candidate

# When all is there that is wanted, the other servers get this many times as long as that took, and not less than a moment.
PATIENCE_WITH_REST: Final = 3.0
MIN_PATIENCE_S: Final = 0.1
PATIENCE_FOR_RELAY: Final = 4.0  # times gather_limit_s, when there is nothing else to hope for
LATE_LIMIT_S: Final = 10.0  # for servers that are slower than all this
HURRIED_S: Final = 1.0  # between two looks
HURRY_LASTS_S: Final = 2.0
ANNOUNCE_AFTER_S: Final = 0.5
SETTLE_S: Final = 0.2  # after a change of addresses, which seldom comes alone

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Question:
    """What is asked of one server: the mapped address of a socket, or (endpoint is None) an allocation."""

    server: IceServer
    endpoint: HostEndpoint | None


class Gathering:
    """All endpoints of a connection: the first round of gathering (RFC 8445 section 5.1), and what comes after it.

    Used once: add_servers(), run(), watch(), close(). Raises UsageError for a server or an interface that makes no sense.
    reports: on the servers, in the order of the settings, complete LATE_LIMIT_S after run(). on_change: the candidates are
    others than run() has returned, or than they were at the last call.
    """

    def __init__(self, locals: Locals, settings: NetSettings, times: NetTimes) -> None:  # noqa: A002  as in the ICE connection
        check_interfaces(settings.interfaces)
        self.on_change: Callable[[], None] = lambda: None
        self.reports: list[ServerReport] = []
        self._settings = settings
        self._times = times
        self._resolver = Resolver(settings.family)
        stun = [] if settings.relay is Relay.ONLY else [(server, _uri(server, "stun")) for server in settings.stun]
        self._hosts = Hosts(locals, settings, stun, self._resolver)
        self._relays = Relays(locals, self._hosts, self._resolver, self._look_soon)
        for server in () if settings.relay is Relay.NEVER else settings.turn:
            self._relays.own.append(self._turn(server))
        self._outcomes: dict[str, ServerReport] = {}
        self._announced: tuple[Candidate, ...] = ()
        self._started = 0.0
        self._announcing: asyncio.TimerHandle | None = None
        self._late: asyncio.Task[None] | None = None
        self._questions: dict[asyncio.Task[Any], _Question] = {}
        self._jobs: dict[object, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._due = self._looked_at = self._hurried_until = float("-inf")

    def add_servers(self, servers: Iterable[IceServer]) -> None:
        """TURN servers that the other side lends, before run(). What is no URI of one is passed over, as is what is known."""
        self._lend(servers, in_session=False)

    def renew_servers(self, servers: Iterable[IceServer]) -> None:
        """The same in the session, for when a relay is needed: in place of those that were lent with the same URL."""
        self._lend(servers, in_session=True)

    def _lend(self, servers: Iterable[IceServer], *, in_session: bool) -> None:
        for server in () if self._settings.relay is Relay.NEVER else servers:
            with contextlib.suppress(UsageError):
                self._relays.lend(self._turn(server), in_session=in_session)

    def _turn(self, server: IceServer) -> TurnServer:
        wish = replace(EVERYTHING, gso=self._settings.gso, gro=self._settings.gro)
        return TurnServer(server, _uri(server, "turn"), verify=not self._settings.turn_insecure, wish=wish)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Those that help at this moment, best first."""
        found: list[Candidate | None] = []
        for endpoint in self._hosts.endpoints:
            found.append(as_candidate("host", endpoint.address))
            if endpoint.mapped is not None:
                found.append(as_candidate("srflx", endpoint.mapped))
        found += [as_candidate("relay", relay.address) for relay in self._relays.live or self._relays.kept]
        return self._hosts.select(each for each in found if each is not None)

    # The first round

    async def run(self) -> tuple[Candidate, ...]:
        """The candidates that help, best first; the rest, and changes, come later (watch).

        Raises NoConnection when there is no relay and nothing else is allowed, or no address at all; UsageError when only
        relays are allowed and there is no TURN server.
        """
        if self._settings.relay is Relay.ONLY and not self._relays.servers:
            raise UsageError(
                "a relay is asked for, but there is no TURN server", "Name one with --turn and --turn-user."
            )
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        await self._hosts.look()
        self._ask_servers()
        pending = await self._until_enough()
        await self._relays.choose()
        self._relays.set_wanted()
        self._report(pending)
        self._announced = self.candidates
        self._looked_at, self._due = loop.time(), loop.time() + self._times.keepalive_s
        if not self._announced:
            raise self._nothing()
        self._late = asyncio.create_task(_contained(partial(self._take_late, pending)))
        return self._announced

    def _ask_servers(self) -> None:
        for server, uri in self._hosts.servers:
            for endpoint in self._hosts.helpful:
                self._start(self._hosts.ask(endpoint, uri), _Question(server, endpoint))
        for source in self._relays.sources:
            self._start(self._relays.ask(source, LATE_LIMIT_S), _Question(source.turn.server, None))

    def _start(self, asking: Coroutine[Any, Any, Any], question: _Question) -> None:
        task = asyncio.create_task(asking)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # looked at, or too late to matter
        self._questions[task] = question

    async def _until_enough(self) -> set[asyncio.Task[Any]]:
        """Until all is known, or what matters and a moment for the rest, or the time is over. Returns what is still open."""
        loop = asyncio.get_running_loop()
        patience = PATIENCE_FOR_RELAY if self._settings.relay is Relay.ONLY else 1.0
        deadline = self._started + self._times.gather_limit_s * patience
        pending = set(self._questions)
        missing = {question.endpoint for question in self._questions.values()}
        while pending and (left := deadline - loop.time()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            now = loop.time()
            for task in done:
                if self._take(task):
                    missing.discard(self._questions[task].endpoint)
                    deadline = min(deadline, now + self._times.gather_grace_s)
            missing &= {self._questions[task].endpoint for task in pending}
            if not missing:
                deadline = min(deadline, now + max(MIN_PATIENCE_S, (now - self._started) * PATIENCE_WITH_REST))
        return pending

    def _take(self, task: asyncio.Task[Any]) -> bool:
        """Note what came of a question. Whether the server has helped."""
        server, error = self._questions[task].server, task.exception()
        seconds = asyncio.get_running_loop().time() - self._started
        known = self._outcomes.get(server.url)
        if error is None:
            result = task.result()
            over = result.over if isinstance(result, RelayEndpoint) else ""
            if known is None or not known.ok:
                self._outcomes[server.url] = ServerReport(server.url, ok=True, reason="", seconds=seconds, over=over)
        elif known is None or not isinstance(error, NotApplicable):
            refused = is_refused_credential(error)
            why = reason(error, server, time.time())
            if known is None or (not known.ok and not known.refused_credential):
                self._outcomes[server.url] = ServerReport(
                    server.url, ok=False, reason=why, seconds=seconds, refused_credential=refused
                )
        return error is None

    def _report(self, pending: Iterable[asyncio.Task[Any]]) -> None:
        waited = asyncio.get_running_loop().time() - self._started
        open_urls = {self._questions[task].server.url for task in pending}
        self.reports.clear()
        for url in dict.fromkeys(
            [server.url for server, _ in self._hosts.servers] + [turn.server.url for turn in self._relays.servers]
        ):
            report = self._outcomes.get(url)
            if report is None or (url in open_urls and not report.ok and not report.refused_credential):
                report = ServerReport(url, ok=False, reason=f"no answer within {waited:.1f} s", seconds=waited)
            self.reports.append(report)

    async def _take_late(self, pending: set[asyncio.Task[Any]]) -> None:
        """What slow servers say still counts, where something is missing."""
        deadline = asyncio.get_running_loop().time() + LATE_LIMIT_S
        while pending and (left := deadline - asyncio.get_running_loop().time()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._take(task)
            await self._relays.choose_late()
            self._report(pending)
            self._announce()
        await _cancel(pending)

    def _nothing(self) -> NoConnection:
        if self._settings.relay is Relay.ONLY:
            servers = ", ".join(f"{report.url}: {report.reason}" for report in self.reports)
            return NoConnection(f"no TURN server could be used ({servers})", "Check its address and the credential.")
        if self._settings.interfaces or self._settings.family is not Family.ANY:
            return NoConnection(
                "this machine has no address of the kind that is asked for", "Leave out --interface, --ipv4 or --ipv6."
            )
        return NoConnection("this machine has no network address", "Check its network connection.")

    # Afterwards

    async def watch(self) -> None:
        """Until cancelled: keep alive what there is, notice what has changed, and get anew what is gone."""
        with address_changes(self._look_soon):
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._rest()
                    await _contained(partial(self._look, group))

    def hurry(self) -> None:
        """The path is stalled: look at everything now, and every second until this has not been called for 2 s."""
        now = asyncio.get_running_loop().time()
        if now > self._hurried_until:
            self._relays.retry_soon()
            self._look_at(now)
        else:
            self._look_at(max(now, self._looked_at + HURRIED_S))
        self._hurried_until = now + HURRY_LASTS_S

    def _look_soon(self) -> None:
        self._look_at(asyncio.get_running_loop().time() + SETTLE_S)

    def _look_at(self, when: float) -> None:
        self._due = min(self._due, when)
        self._wake.set()

    async def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = self._due
            if self._relays.are_short and self._relays not in self._jobs:
                due = min(due, max(self._relays.retry_at, self._looked_at + SETTLE_S))
            left = due - loop.time()
            if left <= 0:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    async def _look(self, group: asyncio.TaskGroup) -> None:
        now = self._looked_at = asyncio.get_running_loop().time()
        is_hurried = self._relays.is_hurried = now < self._hurried_until
        self._due = now + (HURRIED_S if is_hurried else self._times.keepalive_s)
        if await self._hosts.look():
            self._relays.addresses_changed()
            if self._relays in self._jobs:
                self._jobs.pop(self._relays).cancel()
        for endpoint in self._hosts.helpful:
            self._once(group, endpoint, partial(self._hosts.ask_again, endpoint))
        for relay in self._relays.kept:
            self._once(group, relay, partial(self._relays.check, relay))
        if self._relays.are_short and (is_hurried or now >= self._relays.retry_at):
            self._once(group, self._relays, self._relays.replace)
        self._announce()

    def _once(self, group: asyncio.TaskGroup, subject: object, job: Callable[[], Awaitable[None]]) -> None:
        """One job at a time for each subject."""
        if subject not in self._jobs:
            task = self._jobs[subject] = group.create_task(_contained(job))
            task.add_done_callback(lambda task: self._job_done(subject, task))

    def _job_done(self, subject: object, task: asyncio.Task[None]) -> None:
        if self._jobs.get(subject) is task:
            del self._jobs[subject]
        if not task.cancelled():
            self._announce()
            self._wake.set()

    def _announce(self) -> None:
        """Say soon what has changed: what is gone may have been replaced by then."""
        if self._announcing is None and self.candidates != self._announced:
            self._announcing = asyncio.get_running_loop().call_later(ANNOUNCE_AFTER_S, self._announce_now)

    def _announce_now(self) -> None:
        """Having none for a moment is no news: nothing can be done with it."""
        self._announcing = None
        candidates = self.candidates
        if candidates and candidates != self._announced:
            self._announced = candidates
            self.on_change()

    # The end

    async def close(self) -> None:
        """All endpoints, in about times.close_s also with dead servers; after run() and watch() have been cancelled."""
        self.on_change = lambda: None
        if self._announcing is not None:
            self._announcing.cancel()
        # Each part has an end of its own. A limit to all of them would leave sockets open on a busy machine.
        await _cancel([*([self._late] if self._late else []), *self._questions])
        await self._resolver.close()
        await asyncio.gather(self._relays.close(self._times.close_s / 2), self._hosts.close())


def _uri(server: IceServer, kind: str) -> ServerUri:
    uri = parse_server_uri(server.url)
    if uri.kind != kind:
        raise UsageError(f"{server.url!r} is not the address of a {kind.upper()} server", f"Give it with --{uri.kind}.")
    return uri


async def _contained(job: Callable[[], Awaitable[None]]) -> None:
    """What fails in a way that nobody has thought of must not end the rest."""
    try:
        await job()
    except Exception as error:  # noqa: BLE001
        _log.warning("while looking after addresses: %r", error)


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
