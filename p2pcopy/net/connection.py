"""The agent of agent.py on real sockets: an asyncio shell that feeds it, sends what it wants sent, and wakes it in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Final, Protocol

from aioice import stun

from p2pcopy.config import NetTimes, Relay
from p2pcopy.errors import CodeUsed
from p2pcopy.net.agent import Agent, Limits
from p2pcopy.net.checks import Keys
from p2pcopy.net.endpoint import Address, Endpoint
from p2pcopy.net.liveness import Gone, Silent
from p2pcopy.net.news import Abandoned, Confirmed, News, Selected, TurnedAway
from p2pcopy.net.pairs import Pair, Remote, Tally
from p2pcopy.net.relay import RelayEndpoint
from p2pcopy.net.sweep import sweep
from p2pcopy.signaling.candidates import Candidate

SWEEP_AFTER_S: Final = 4.0  # of silence: a short break heals without it
_MAX_DATAGRAM: Final = 65536
MAX_QUEUED: Final = 4096  # datagrams; SCTP treats those dropped beyond as lost on the way


class DataSink(Protocol):
    """Takes the data of the peer; called from the event loop."""

    def datagrams(self, data: bytearray, size: int, segment: int) -> None:
        """The first size bytes of data hold datagrams of segment bytes each; the last may be shorter. data is used again after
        the return; there are few different objects."""

    def batch_ended(self) -> None:
        """After datagrams(): that is all for now."""

    def writable(self) -> None:
        """The endpoint of the selected pair takes bursts again."""

    def path_changed(self) -> None:
        """Another pair is selected than before."""

    def path_answers(self) -> None:
        """Once after ask_now(): a check of the selected pair was answered."""


class IceConnection:
    """Takes what the endpoints receive (endpoint.Receiver, gathering.Locals). on_news: called with all that is not the first path.

    recv() and send() are what DTLS runs over.
    """

    def __init__(self, *, controlling: bool, keys: Keys, relay: Relay, times: NetTimes, stall_limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        limits = Limits(
            relay_delay=times.relay_delay_s if relay is not Relay.ONLY else 0.0,
            recheck=times.recheck_s,
            stall_limit=stall_limit_s,
        )
        self.on_news: Callable[[Selected | Silent | Gone], None] = lambda news: None
        self._agent = Agent(controlling=controlling, keys=keys, limits=limits, now=self._loop.time())
        self._endpoints: list[Endpoint] = []
        self._relays_allowed = relay is not Relay.NEVER
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._is_checking = False
        self._is_in_session = False
        self._is_closed = False
        self._turned_away = False
        self._outcomes: list[bool] = []
        self._watches_refusals = True
        self._sweeps: dict[Endpoint, asyncio.Task[None]] = {}
        self._sink: DataSink | None = None
        self._sink_pair: Pair | None = None
        self._recheck_s = times.recheck_s
        self._asked_at = inf  # by ask_now(), and not answered since
        self._asking: asyncio.TimerHandle | None = None
        self._has_data = False
        self._single = bytearray(_MAX_DATAGRAM)

    # Locals

    def add_local(self, endpoint: Endpoint) -> None:
        self._endpoints.append(endpoint)
        endpoint.watch_refusals(self._watches_refusals)
        self._agent.add_local(endpoint, self._loop.time())
        self._pump()

    def remove_local(self, endpoint: Endpoint) -> None:
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)
        self._agent.remove_local(endpoint, self._loop.time())
        self._pump()

    # Receiver

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        self._agent.stun_received(message, address, endpoint, self._loop.time())
        is_answer = self.answered_since(self._asked_at)
        if is_answer:
            self._end_asking()
        self._pump()
        if is_answer and self._sink is not None:
            self._sink.path_answers()

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        self._single[: len(data)] = data
        self.batch_received(self._single, len(data), len(data), address, endpoint)

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        if self._is_closed or not self._agent.takes_data_from(address, endpoint):
            return
        if self._sink is not None:
            self._has_data = True
            self._sink.datagrams(data, size, segment)
            return
        for at in range(0, size, segment):
            if self._queue.qsize() < MAX_QUEUED:
                self._queue.put_nowait(bytes(data[at : min(at + segment, size)]))

    def batch_ended(self, endpoint: Endpoint) -> None:
        if self._has_data:
            self._has_data = False
            self.heard_data()
            if self._sink is not None:
                self._sink.batch_ended()

    def writable(self, endpoint: Endpoint) -> None:
        if self._sink is not None and self.pair is not None and self.pair.local is endpoint:
            self._sink.writable()

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        self._agent.refused(address, self._loop.time())

    # Checks

    def add_remote(self, candidates: Iterable[Candidate]) -> None:
        """Addresses of the peer, best first, in a session all of them. At any time; mDNS names are passed over."""
        known = [candidate for candidate in candidates if not candidate.is_mdns]
        self._agent.add_remote(known, self._loop.time(), relays_allowed=self._relays_allowed)
        self._pump()

    def hold(self, hold: bool) -> None:
        """While held no path is chosen."""
        self._agent.hold_nominations(hold, self._loop.time())
        self._pump()

    def start(self) -> None:
        """Begin to check all pairs, also those that come later."""
        self._is_checking = True
        self._pump()

    async def connected(self) -> None:
        """Check all pairs until there is a path, however long it takes. Raises ConnectionError when closed, CodeUsed."""
        self.start()
        while self._agent.selected is None:
            if self._is_closed:
                raise ConnectionError("closed")
            if self._turned_away:
                raise CodeUsed(
                    "the code was used already: the other side is connected to somebody else",
                    "Ask the other side for a fresh code. If nobody else should have had this one, tell them so.",
                )
            self._changed.clear()
            await self._changed.wait()

    def reject(self) -> None:
        """No session came about over this path."""
        self._agent.reject(self._loop.time())
        while not self._queue.empty():
            self._queue.get_nowait()
        self._pump()

    async def begin_session(self, keys: Keys) -> bool:
        """The peer has proved itself; from now on only these credentials count. Returns when the peer has used them, too.

        False when it never got that far, and looks for a path again. Raises ConnectionError when closed.
        """
        self._outcomes.clear()
        self._agent.begin_session(keys, self._loop.time())
        self._pump()
        while not self._outcomes:
            if self._is_closed:
                raise ConnectionError("closed")
            self._changed.clear()
            await self._changed.wait()
        self._is_in_session = self._outcomes[0]
        self._watch_refusals(not self._is_in_session)
        return self._is_in_session

    def abandon(self) -> None:
        """The peer has left before it was in the session."""
        self._outcomes.append(False)
        self._changed.set()

    def heard_data(self) -> None:
        self._agent.heard_data(self._loop.time())

    @property
    def selected(self) -> Pair | None:
        return self._agent.selected

    pair = selected

    @property
    def stalled(self) -> bool:
        return self._agent.stalled

    @property
    def remotes(self) -> tuple[tuple[Remote, Tally], ...]:
        return self._agent.remotes

    # The data of a session that is up

    def take_data(self, sink: DataSink | None) -> None:
        """From now on data of the peer goes there instead of to recv(); None: to recv() again."""
        self._sink, self._sink_pair = sink, self.pair

    def ask_now(self) -> None:
        """Nothing arrives any more: have the agent check the selected pair now, unless it has just done so, and again and again
        until it answers or the agent itself has noticed."""
        if self._asking is None:
            self._asked_at = self._loop.time()
            self._ask()

    def _ask(self) -> None:
        self._agent.ask_now(self._loop.time())
        self._pump()
        again = not (self._is_closed or self._agent.stalled)
        self._asking = self._loop.call_later(self._recheck_s, self._ask) if again else None

    def _end_asking(self) -> None:
        self._asked_at = inf
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def answered_since(self, time: float) -> bool:
        """Has a check of the selected pair been answered since then? time: of the loop."""
        pair = self.pair
        return pair is not None and pair.answered_at > time

    # What DTLS needs

    async def recv(self) -> bytes:
        """The next datagram of the peer. Raises ConnectionError when closed."""
        data = None if self._is_closed and self._queue.empty() else await self._queue.get()
        if data is None:
            raise ConnectionError("closed")
        return data

    async def send(self, data: bytes) -> None:
        """Over the path of this moment. Raises ConnectionError when closed."""
        if self._is_closed:
            raise ConnectionError("closed")
        pair = self._agent.selected
        if pair is not None and pair.local in self._endpoints:
            pair.local.send(data, pair.remote.address)

    def close(self) -> None:
        """Stop checking; recv() and connected() end. The endpoints are closed by who opened them."""
        if not self._is_closed:
            for task in self._sweeps.values():
                task.cancel()
            self._is_closed = True
            self._end_asking()
            if self._timer is not None:
                self._timer.cancel()
            self._queue.put_nowait(None)
            self._changed.set()

    # The shell

    def _pump(self) -> None:
        if self._is_closed:
            return
        for endpoint, data, address in self._agent.outgoing():
            endpoint.send(data, address)
        for news in self._agent.news():
            self._tell(news)
        self._arm()

    def _tell(self, news: News) -> None:
        match news:
            case TurnedAway():
                self._turned_away = True
            case Confirmed():
                self._outcomes.append(True)
            case Abandoned():
                self._outcomes.append(False)
            case Silent():
                self._watch_refusals(True)
                if news.silent_s > SWEEP_AFTER_S:
                    self._sweep()
            case Selected():
                self._watch_refusals(not self._is_in_session)
                self._end_sweeps()
                self._tell_sink(news.pair)
            case Gone():
                self._outcomes.append(False)
        self._changed.set()
        if self._is_in_session and isinstance(news, Selected | Silent | Gone):
            self.on_news(news)

    def _tell_sink(self, pair: Pair) -> None:
        if self._sink is not None and pair is not self._sink_pair:
            self._sink_pair = pair
            self._sink.path_changed()

    def _sweep(self) -> None:
        """The last resort: look for the peer's new address on the TURN server that lends one to both."""
        theirs = {remote.address[0] for remote, _ in self._agent.remotes if remote.is_relayed}
        for endpoint in self._endpoints:
            if endpoint.address[0] in theirs and isinstance(endpoint, RelayEndpoint) and endpoint not in self._sweeps:
                self._sweeps[endpoint] = asyncio.create_task(self._sweep_from(endpoint))

    async def _sweep_from(self, endpoint: RelayEndpoint) -> None:
        call = self._agent.call(endpoint)
        await sweep(lambda port: self._agent.stalled and endpoint.send_once(call, port), Random(endpoint.address[1]))

    def _end_sweeps(self) -> None:
        for task in self._sweeps.values():
            task.cancel()
        self._sweeps.clear()

    def _watch_refusals(self, watch: bool) -> None:
        """Not while data flows: a refusal makes the system report an error in place of the next datagram."""
        if watch != self._watches_refusals:
            self._watches_refusals = watch
            for endpoint in self._endpoints:
                endpoint.watch_refusals(watch)

    def _arm(self) -> None:
        due = self._agent.next_due() if self._is_checking and not self._is_closed else None
        if due is None:
            return
        if self._timer is not None:
            if self._timer_at <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._agent.tick(self._loop.time())
        self._pump()
