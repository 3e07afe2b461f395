"""Which addresses this machine can be reached at: its own, those that STUN servers see, those that TURN servers lend."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final

from aioice import stun

from p2pcopy.config import IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import NoConnection, UsageError
from p2pcopy.net.ice import PatientConnection
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.resolve import resolve
from p2pcopy.net.sockets import IceProtocol, ask_mapped_address, is_ipv6, open_relay, reflexive_candidate
from p2pcopy.net.uri import ServerUri, parse_server_uri
from p2pcopy.signaling.candidates import CANDIDATE_TYPES, Candidate, select_candidates

# When all is there that is wanted, the other servers get this many times as long as that took, to be reported on.
_PATIENCE_WITH_REST: Final = 3.0
# RFC 8656 section 19, RFC 8489 section 14.8
_REASONS: Final = {
    400: "the server did not understand the request (400)",
    401: "the user name or the password was not accepted (401)",
    403: "the server does not allow it (403)",
    437: "the allocation does not fit (437)",
    438: "the server's time limit for the credential is over (438)",
    441: "the user name or the password is not the one of the allocation (441)",
    442: "the server does not relay UDP (442)",
    486: "the user has reached the limit of allocations (486)",
    508: "the server has no capacity left (508)",
}


@dataclass(frozen=True)
class ServerReport:
    """What became of one STUN or TURN server. reason: why it did not help, "" when ok; seconds: until that was known."""

    url: str
    ok: bool
    reason: str
    seconds: float


@dataclass(frozen=True)
class _Question:
    """What is asked of one server: the mapped address of a socket (protocol), or an allocation (protocol is None)."""

    url: str
    protocol: IceProtocol | None


class Gathering:
    """One round of gathering (RFC 8445 section 5.1). Raises UsageError when a server's URL or the policy makes no sense."""

    def __init__(self, connection: PatientConnection, settings: NetSettings, times: NetTimes) -> None:
        self.reports: list[ServerReport] = []
        self._connection = connection
        self._settings = settings
        self._times = times
        self._stun = [] if settings.relay is Relay.ONLY else [(s, _uri(s, "stun")) for s in settings.stun]
        self._turn = [] if settings.relay is Relay.NEVER else [(s, _uri(s, "turn")) for s in settings.turn]
        if settings.relay is Relay.ONLY and not self._turn:
            raise UsageError(
                "a relay is asked for, but there is no TURN server", "Name one with --turn and --turn-user."
            )
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def run(self) -> tuple[Candidate, ...]:
        """The candidates that help, best first. Raises NoConnection when there is no relay and nothing else is allowed."""
        interfaces = {local.address: local.interface for local in local_addresses()}
        sockets = await self._connection.listen()
        hosts = [_candidate(protocol.local_candidate.type, *_address(protocol)) for protocol in sockets]
        helpful = {candidate.host for candidate in select_candidates(hosts, interfaces=interfaces)}
        await self._ask_servers([protocol for protocol in sockets if _address(protocol)[0] in helpful])
        self._connection.start_keep_alive()
        gathered = [_candidate(c.type, c.host, c.port) for c in self._connection.local_candidates]
        if not gathered:
            raise self._nothing()
        return select_candidates(gathered, interfaces=interfaces)

    async def _ask_servers(self, sockets: list[IceProtocol]) -> None:
        """Ask all at once; end when all is known, or soon after what matters is, or when the time is over."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + self._times.gather_limit_s
        questions: dict[asyncio.Task[None], _Question] = {}
        for server, uri in self._stun:
            for protocol in sockets:
                questions[asyncio.create_task(self._ask_stun(uri, protocol))] = _Question(server.url, protocol)
        for server, uri in self._turn:
            questions[asyncio.create_task(self._ask_turn(server, uri))] = _Question(server.url, None)
        wanted = {q.protocol for q in questions.values() if q.protocol is None or not is_ipv6(_address(q.protocol)[0])}
        failures: dict[str, str] = {}
        answers: dict[str, float] = {}
        pending = set(questions)
        try:
            while pending and loop.time() < deadline:
                done, pending = await asyncio.wait(
                    pending, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    question, error = questions[task], task.exception()
                    answers.setdefault(question.url, loop.time() - started)
                    if error is None:
                        failures[question.url] = ""
                        wanted.discard(question.protocol)
                        deadline = min(deadline, loop.time() + self._times.gather_grace_s)
                    elif not isinstance(error, _NotApplicable):
                        failures.setdefault(question.url, _reason(error))
                if not wanted:
                    deadline = min(deadline, started + (loop.time() - started) * (1 + _PATIENCE_WITH_REST))
        finally:
            await _cancel([*pending, *self._lookups.values()])
        waited = loop.time() - started
        for url in dict.fromkeys(server.url for server, _ in [*self._stun, *self._turn]):
            reason = failures.get(url, f"no answer within {waited:.1f} s")
            self.reports.append(ServerReport(url, not reason, reason, answers.get(url, waited)))

    async def _ask_stun(self, uri: ServerUri, protocol: IceProtocol) -> None:
        own, _ = _address(protocol)
        server = next((a for a in await self._look_up(uri) if is_ipv6(a) == is_ipv6(own)), None)
        if server is None:
            raise _NotApplicable
        mapped = await ask_mapped_address(protocol, (server, uri.port))
        if protocol.mapped is None:
            protocol.mapped = mapped
            protocol.keep_alive_to = (server, uri.port)
            self._connection.add_local(protocol, reflexive_candidate(protocol, mapped))

    async def _ask_turn(self, server: IceServer, uri: ServerUri) -> None:
        protocol = await open_relay(
            self._connection,
            uri,
            (await self._look_up(uri))[0],
            server.username,
            server.password,
            url=server.url,
            goodbye_s=self._times.close_s / 2,
        )
        self._connection.add_local(protocol, protocol.local_candidate)

    async def _look_up(self, uri: ServerUri) -> list[str]:
        if uri.host not in self._lookups:
            self._lookups[uri.host] = asyncio.create_task(resolve(uri.host, uri.port))
        return await asyncio.shield(self._lookups[uri.host])

    def _nothing(self) -> NoConnection:
        if self._settings.relay is Relay.ONLY:
            servers = ", ".join(f"{report.url}: {report.reason}" for report in self.reports)
            return NoConnection(f"no TURN server could be used ({servers})", "Check its address and the credential.")
        return NoConnection("this machine has no network address", "Check its network connection.")


class _NotApplicable(Exception):
    """This server cannot say anything about this socket: it has no address of the same family."""


def _uri(server: IceServer, kind: str) -> ServerUri:
    uri = parse_server_uri(server.url)
    if uri.kind != kind:
        raise UsageError(f"{server.url!r} is not the address of a {kind.upper()} server", f"Give it with --{uri.kind}.")
    return uri


def _reason(error: BaseException) -> str:
    """What went wrong, in our own words: what a server says is not to be trusted on a terminal."""
    match error:
        case stun.TransactionFailed():
            code = error.response.error_code
            return _REASONS.get(code or 0, f"the server answered with error {code}")
        case stun.TransactionTimeout() | TimeoutError():
            return "no answer"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
        case KeyError() | ValueError():
            return "its answer makes no sense"
        case _:
            raise error


def _address(protocol: IceProtocol) -> tuple[str, int]:
    return protocol.local_candidate.host, protocol.local_candidate.port


def _candidate(kind: str, host: str, port: int) -> Candidate:
    return Candidate(next(known for known in CANDIDATE_TYPES if known == kind), host, port)


async def _cancel(tasks: list[asyncio.Task[None] | asyncio.Task[list[str]]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
