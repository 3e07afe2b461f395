"""ICE (RFC 8445) for humans: connectivity checks that go on for as long as it takes somebody to paste a code."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from aioice import Candidate, stun
from aioice.candidate import candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol, TransportPolicy

from p2pcopy.config import NetTimes, Relay
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.sockets import COMPONENT, Address, IceProtocol, open_host
from p2pcopy.signaling.derive import Credentials

PACE_S: Final = 0.02  # between two checks that are started (RFC 8445 section 14.2: Ta)
IDLE_S: Final = 5.0  # between two checks of a pair that never answers; below the 30 s after which NATs forget
IDLE_PAIR_S: Final = 0.1  # and more for long check lists
SLOWING: Final = 1.5
RETRANSMISSIONS: Final = 2  # sent at 0, 0.5 and 1.5 s, given up at 3.5 s
RESEND_S: Final = 0.05  # between two triggered checks of one pair
CONSENT_INTERVAL_S: Final = 4.0
CONSENT_RETRY_S: Final = 1.0
CONSENT_EXPIRY_S: Final = 30.0  # RFC 7675 section 5.1
MAX_PAIRS: Final = 200
MAX_REMOTE: Final = 64
MAX_QUEUED: Final = 4096  # datagrams; SCTP treats those dropped beyond as lost on the way
# Checks through a relay carry the lowest local preference, so that the other side knows what it would be talking through.
RELAYED_PRIORITY: Final = candidate_priority(COMPONENT, "prflx", 0)


@dataclass
class _Schedule:
    """When a pair is checked. Times of the loop in seconds; pause: until the next check when this one fails."""

    seen: float
    due: float
    pause: float
    started: float = float("-inf")
    resent: float = float("-inf")


@dataclass(frozen=True)
class SelectedPair:
    """The nominated pair. mapped: our address as the peer sees it; rtt_s: None when not known yet."""

    local: Candidate
    remote: Candidate
    mapped: Address
    relay: str
    is_relayed: bool
    rtt_s: float | None


class PatientConnection(Connection):
    """An aioice connection that never gives up by itself before it is connected.

    What differs from aioice 0.13: pairs that failed are checked again, slower and slower, and at once when something
    happens; a check that comes in makes the pair's own go out (RFC 8445 section 7.3.1.4); the controlling side nominates
    one pair, a relayed one only after relay_delay_s (aioice: the first to answer, twice if two do); sockets take only what
    concerns them; while the nominated pair answers, checks from unknown addresses change nothing.
    """

    def __init__(
        self, *, controlling: bool, local: Credentials, remote: Credentials, relay: Relay, times: NetTimes
    ) -> None:
        super().__init__(
            ice_controlling=controlling,
            local_username=local.ufrag,
            local_password=local.password,
            transport_policy=TransportPolicy.RELAY if relay is Relay.ONLY else TransportPolicy.ALL,
        )
        self.remote_username = remote.ufrag
        self.remote_password = remote.password
        self._remote_key = remote.password.encode()
        self._relay_policy = relay
        self._times = times
        self._refused: set[Address] = set()
        self._schedules: dict[CandidatePair, _Schedule] = {}
        self._in_flight: dict[CandidatePair, stun.Message] = {}
        self._mapped: dict[CandidatePair, Address] = {}
        self._rtts: deque[float] = deque(maxlen=8)
        self._answered_at = float("-inf")
        self._wake = asyncio.Event()
        self._keep_alive_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None

    # Gathering

    async def listen(self) -> list[IceProtocol]:
        """Open a socket on each address of this machine; none when everything has to go through a relay."""
        if self._transport_policy is TransportPolicy.RELAY:
            return []
        opened = []
        for local in local_addresses():
            with contextlib.suppress(OSError):  # an address that is just going away
                opened.append(await open_host(self, local.address))
                self.add_local(opened[-1], opened[-1].local_candidate)
        return opened

    def add_local(self, protocol: IceProtocol, candidate: Candidate) -> None:
        """Make a local candidate known; may come at any time."""
        if protocol not in self._protocols:
            self._protocols.append(protocol)
            for remote in self._remote_candidates:
                self._pair_remote_candidate(remote)
        self._local_candidates.append(candidate)
        self._local_candidates_end = True
        self._hurry()

    def start_keep_alive(self) -> None:
        """From now on keep bindings of NATs and permissions of relays alive, until closed."""
        if self._keep_alive_task is None and not self._closing:
            self._keep_alive_task = asyncio.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while True:
            for protocol in self._protocols:
                if isinstance(protocol, IceProtocol):
                    protocol.keep_alive()
            await asyncio.sleep(self._times.keepalive_s)

    # Remote candidates

    def add_remote(self, candidate: Candidate) -> None:
        """Make an address of the peer known. At any time; what is known already is ignored."""
        if self._closing or len(self._remote_candidates) >= MAX_REMOTE:
            return
        if candidate.type == "relay" and self._relay_policy is Relay.NEVER:
            self._refused.add((candidate.host, candidate.port))
            return
        known = len(self._check_list), [c.type for c in self._remote_candidates]
        self._add_remote_candidate(candidate, candidate.host)
        if known != (len(self._check_list), [c.type for c in self._remote_candidates]):
            self._hurry()

    # Checks

    async def connect(self) -> None:
        """Check all pairs until one is nominated, however long that takes. Raises ConnectionError when closed."""
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._early_checks_done = True
        while self._early_checks:
            self.check_incoming(*self._early_checks.popleft())
        while not self._check_list_done:
            delay = self._start_due_check(asyncio.get_running_loop().time())
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()
        if self._closing or COMPONENT not in self._nominated:
            raise ConnectionError("closed")
        if self._query_consent_task is None:
            self._answered_at = asyncio.get_running_loop().time()
            self._query_consent_task = asyncio.create_task(self.query_consent())
        await self._stop_checks()

    def _start_due_check(self, now: float) -> float | None:
        """Start the check of the best pair that is due. Returns seconds to the next one, None: until something happens."""
        next_due: float | None = None
        for pair in self._check_list:
            if pair.task is not None:
                continue
            schedule = self._schedule(pair, now)
            if schedule.due <= now:
                schedule.started = now
                schedule.due = float("inf")  # until it is known how this check ends
                self.check_start_task(pair)
                return PACE_S
            next_due = schedule.due if next_due is None else min(next_due, schedule.due)
        return None if next_due is None else next_due - now

    async def check_start(self, pair: CandidatePair) -> None:
        """One check of a pair; on the controlling side also its nomination, if it is the one to use."""
        self.check_state(pair, CandidatePair.State.IN_PROGRESS)
        try:
            mapped, address = await self._transact(pair, nominate=False, retransmissions=RETRANSMISSIONS)
            if address != pair.remote_addr:  # RFC 8445 section 7.2.5.2.1
                raise ConnectionError("the answer came from elsewhere")
            self._mapped[pair] = mapped
            if self.ice_controlling:
                pair.nominated = await self._nominate(pair)
            elif pair.remote_nominated:
                pair.nominated = True
        except (stun.TransactionError, ConnectionError):
            self.check_state(pair, CandidatePair.State.FAILED)
        else:
            self.check_state(pair, CandidatePair.State.SUCCEEDED)
        self.check_complete(pair)

    async def _nominate(self, pair: CandidatePair) -> bool:
        """RFC 8445 section 8.1.1. Whether this pair is now the nominated one."""
        if self.is_relayed(pair) and self._relay_policy is not Relay.ONLY:
            schedule = self._schedule(pair, asyncio.get_running_loop().time())
            await asyncio.sleep(schedule.seen + self._times.relay_delay_s - asyncio.get_running_loop().time())
        if self._check_list_done or self._nominating:
            return False
        self._nominating.add(COMPONENT)
        try:
            await self._transact(pair, nominate=True, retransmissions=RETRANSMISSIONS)
        finally:
            self._nominating.discard(COMPONENT)
        return True

    def check_complete(self, pair: CandidatePair) -> None:
        super().check_complete(pair)
        now = asyncio.get_running_loop().time()
        schedule = self._schedule(pair, now)
        schedule.due = now + schedule.pause
        schedule.pause = min(schedule.pause * SLOWING, max(IDLE_S, IDLE_PAIR_S * len(self._check_list)))
        self._wake.set()

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        if addr in self._refused or not self._may_move_to(addr, protocol):
            return
        pair = self._find_pair_to(addr, protocol)
        if pair is None and len(self._check_list) >= MAX_PAIRS:
            return
        super().check_incoming(message, addr, protocol)
        if pair is not None and pair in self._in_flight:
            self._resend(pair)
        self._hurry()

    def _resend(self, pair: CandidatePair) -> None:
        """The triggered check of a pair whose check is in progress: the same request again, now."""
        now = asyncio.get_running_loop().time()
        schedule = self._schedule(pair, now)
        if now >= schedule.resent + RESEND_S:
            schedule.resent = now
            pair.protocol.send_stun(self._in_flight[pair], pair.remote_addr)

    def _hurry(self) -> None:
        """Something has changed, or the peer is there: check again soon what had been slowed down."""
        if self._check_list_done or not self._early_checks_done:
            return
        now = asyncio.get_running_loop().time()
        for pair in self._check_list:
            schedule = self._schedule(pair, now)
            schedule.pause = self._times.recheck_s
            schedule.due = min(schedule.due, max(now, schedule.started + self._times.recheck_s))
        self._wake.set()

    def _schedule(self, pair: CandidatePair, now: float) -> _Schedule:
        return self._schedules.setdefault(pair, _Schedule(seen=now, due=now, pause=self._times.recheck_s))

    async def _stop_checks(self) -> None:
        running = [pair for pair in self._check_list if pair.task is not None]
        tasks = [pair.task for pair in running if pair.task is not None]
        for pair, task in zip(running, tasks, strict=True):
            task.cancel()
            pair.task = None
            self.check_state(pair, CandidatePair.State.FAILED)
        if tasks:
            await asyncio.wait(tasks)

    async def _transact(self, pair: CandidatePair, *, nominate: bool, retransmissions: int) -> tuple[Address, Address]:
        """One STUN transaction on a pair. Returns our address as the peer sees it, and where the answer came from."""
        loop = asyncio.get_running_loop()
        request = self.build_request(pair, nominate)
        started = loop.time()
        self._in_flight[pair] = request
        try:
            response, address = await pair.protocol.request(
                request, pair.remote_addr, integrity_key=self._remote_key, retransmissions=retransmissions
            )
        finally:
            self._in_flight.pop(pair, None)
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            raise ConnectionError("the answer does not say whom it is for")
        elapsed = loop.time() - started
        if elapsed < stun.RETRY_RTO and self._schedule(pair, started).resent < started:  # else: the answer to which?
            self._rtts.append(elapsed)
        return mapped, address

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        request = super().build_request(pair, nominate)
        if pair.local_candidate.type == "relay":
            request.attributes["PRIORITY"] = RELAYED_PRIORITY
        return request

    def request_received(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        if message.message_method == stun.Method.BINDING and "PRIORITY" not in message.attributes:
            self.respond_error(message, addr, protocol, (400, "Bad Request"))
            return
        super().request_received(message, addr, protocol)

    def switch_role(self, ice_controlling: bool) -> None:
        """The roles follow from who made the offer; a peer cannot change them."""

    # The nominated pair

    @property
    def selected(self) -> SelectedPair | None:
        """None while there is no nominated pair."""
        pair = self._nominated.get(COMPONENT)
        if pair is None:
            return None
        local = pair.local_candidate
        relay = pair.protocol.relay if isinstance(pair.protocol, IceProtocol) else ""
        return SelectedPair(
            local=local,
            remote=pair.remote_candidate,
            mapped=self._mapped.get(pair, (local.host, local.port)),
            relay=relay,
            is_relayed=self.is_relayed(pair),
            rtt_s=min(self._rtts, default=None),
        )

    @staticmethod
    def is_relayed(pair: CandidatePair) -> bool:
        """Does this pair go through a TURN server, ours or the peer's?"""
        remote = pair.remote_candidate
        return "relay" in (pair.local_candidate.type, remote.type) or (
            remote.type == "prflx" and remote.priority == RELAYED_PRIORITY
        )

    async def query_consent(self) -> None:
        """Consent freshness (RFC 7675): ask every few seconds; close when no answer has come for 30 s."""
        loop = asyncio.get_running_loop()
        while loop.time() < self._answered_at + CONSENT_EXPIRY_S:
            pause = CONSENT_RETRY_S
            # With USE-CANDIDATE, so that the peer follows when a NAT between us has forgotten our old address.
            with contextlib.suppress(stun.TransactionError, ConnectionError):
                await self._transact(
                    self._nominated[COMPONENT], nominate=self.ice_controlling, retransmissions=RETRANSMISSIONS
                )
                self._answered_at = loop.time()
                pause = CONSENT_INTERVAL_S * random.uniform(0.8, 1.2)
            await asyncio.sleep(pause)
        await self.close()

    def _may_move_to(self, addr: Address, protocol: StunProtocol) -> bool:
        """May a check on this way change the nominated pair? Who else holds the code must not take a session over."""
        current = self._nominated.get(COMPONENT)
        if current is None or (current.protocol is protocol and current.remote_addr == addr):
            return True
        if any(c.type != "prflx" and (c.host, c.port) == addr for c in self._remote_candidates):
            return True
        silent_s = asyncio.get_running_loop().time() - self._answered_at
        return silent_s > 2 * CONSENT_INTERVAL_S

    def takes_data_from(self, address: Address, protocol: StunProtocol) -> bool:
        if self._queue.qsize() >= MAX_QUEUED:
            return False
        current = self._nominated.get(COMPONENT)
        if current is not None and current.protocol is protocol and current.remote_addr == address:
            return True
        return self._find_pair_to(address, protocol) is not None and self._may_move_to(address, protocol)

    def _find_pair_to(self, addr: Address, protocol: StunProtocol) -> CandidatePair | None:
        return next((p for p in self._check_list if p.protocol is protocol and p.remote_addr == addr), None)

    # The end

    async def close(self) -> None:
        """Close all sockets and allocations; bounded also with dead TURN servers. Idempotent."""
        if self._close_task is None:
            self._close_task = asyncio.create_task(self._close())
        await asyncio.shield(self._close_task)

    async def _close(self) -> None:
        self._closing = True
        self._check_list_done = True
        self._wake.set()
        if self._keep_alive_task is not None:
            self._keep_alive_task.cancel()
        relays = [protocol for protocol in self._protocols if protocol.local_candidate.type == "relay"]
        for protocol in relays:
            self._protocols.remove(protocol)
        await asyncio.gather(super().close(), *(protocol.close() for protocol in relays))
