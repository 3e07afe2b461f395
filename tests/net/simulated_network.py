"""A network on a virtual clock, with NATs, loss, delay, cuts and relays, and agents in it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from aioice import stun

from p2pcopy.net.agent import Agent, Limits
from p2pcopy.net.checks import Keys
from p2pcopy.net.liveness import Gone, Silent
from p2pcopy.net.news import News, Selected
from p2pcopy.net.offload import EVERYTHING, Offload
from p2pcopy.net.pairs import Address
from p2pcopy.signaling import derive
from p2pcopy.signaling.candidates import Candidate

NatKind = Literal["none", "full-cone", "port-restricted", "symmetric"]
LIMITS = Limits(relay_delay=1.5, recheck=0.3, stall_limit=600.0)
SECRET = bytes(range(16))
SESSION = bytes(range(100, 132))


def keys(secret: bytes, *, offering: bool) -> Keys:
    offer, answer = derive.ice_credentials(secret, "offer"), derive.ice_credentials(secret, "answer")
    return Keys(offer, answer) if offering else Keys(answer, offer)


@dataclass(eq=False)
class End:
    """An endpoint of an agent, or a relay's address."""

    address: Address
    relay: str = ""
    overhead: int = 0
    is_full: bool = False
    burst: int = 1
    offload: Offload = EVERYTHING

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None:
        raise AssertionError("an agent sends no data")

    def probe_mtu(self, on: bool) -> int:
        return 0

    def send(self, data: bytes, address: Address) -> None:
        raise AssertionError("an agent sends nothing itself")


class Nat:
    """public: its address. Mappings and what they let in, as in RFC 4787."""

    def __init__(self, kind: NatKind, public: str) -> None:
        self.kind = kind
        self.public = public
        self._ports = itertools.count(40000)
        self._out: dict[tuple[Address, Address | None], Address] = {}
        self._in: dict[Address, tuple[Address, set[Address]]] = {}

    def forget(self) -> None:
        self._out.clear()
        self._in.clear()

    def outwards(self, source: Address, destination: Address) -> Address:
        if self.kind == "none":
            return source
        key = (source, destination if self.kind == "symmetric" else None)
        if key not in self._out:
            self._out[key] = (self.public, next(self._ports))
            self._in[self._out[key]] = (source, set())
        mapped = self._out[key]
        self._in[mapped][1].add(destination)
        return mapped

    def inwards(self, destination: Address, source: Address) -> Address | None:
        if self.kind == "none":
            return destination
        inner, allowed = self._in.get(destination, (None, set()))
        return inner if inner is not None and (self.kind == "full-cone" or source in allowed) else None


@dataclass
class Host:
    """One agent with what lies around it. silent: its process is stopped; dead: it was killed, the machine answers for it."""

    name: str
    agent: Agent
    nat: Nat
    ends: list[End] = field(default_factory=list)
    news: list[tuple[float, News]] = field(default_factory=list)
    sent: int = 0
    ticks: int = 0
    is_cut: bool = False
    is_stopped: bool = False
    is_dead: bool = False
    mailbox: list[Callable[[], None]] = field(default_factory=list)

    def happened(self, kind: type[News], since: float = 0.0) -> list[float]:
        return [time for time, news in self.news if isinstance(news, kind) and time >= since]

    def gaps(self) -> list[float]:
        return [news.gap_s for _, news in self.news if isinstance(news, Selected) and news.gap_s]


class World:
    """Two agents, "a" who made the offer and "b" who answers, and what lies between them."""

    def __init__(
        self, nat_a: NatKind = "none", nat_b: NatKind = "none", *, delay: float = 0.02, loss: float = 0.0, seed: int = 1
    ) -> None:
        self.now = 1000.0
        self.delay = delay
        self.loss = loss
        self.random = Random(seed)
        self.permitted: dict[End, set[str]] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.a = self._host("a", nat_a, "203.0.113.1", ("10.1.0.2", 5001), offering=True)
        self.b = self._host("b", nat_b, "198.51.100.1", ("10.2.0.2", 5002), offering=False)
        self.others: list[Host] = []

    def _host(self, name: str, nat: NatKind, public: str, inner: Address, *, offering: bool) -> Host:
        agent = Agent(
            controlling=offering, keys=keys(SECRET, offering=offering), limits=LIMITS, now=self.now, seed=len(name)
        )
        host = Host(name, agent, Nat(nat, public))
        self.add_end(host, End(inner if nat != "none" else (public, inner[1])))
        return host

    def intruder(self, address: Address, *, offering: bool) -> Host:
        """Somebody else who holds the code."""
        agent = Agent(controlling=offering, keys=keys(SECRET, offering=offering), limits=LIMITS, now=self.now, seed=9)
        host = Host("intruder", agent, Nat("none", address[0]))
        self.others.append(host)
        self.add_end(host, End(address))
        return host

    @property
    def hosts(self) -> list[Host]:
        return [self.a, self.b, *self.others]

    def add_end(self, host: Host, end: End) -> End:
        host.ends.append(end)
        host.agent.add_local(end, self.now)
        return end

    def remove_end(self, host: Host, end: End) -> None:
        host.ends.remove(end)
        host.agent.remove_local(end, self.now)

    def relay(self, host: Host, address: Address, permits: set[str]) -> End:
        """An allocation of this host. permits: addresses of peers."""
        end = End(address, relay="turn:relay")
        self.permitted[end] = permits
        return self.add_end(host, end)

    def candidates(self, host: Host) -> list[Candidate]:
        """As a code would carry them; srflx as a STUN server at 192.0.2.1 sees them."""
        found = []
        for end in host.ends:
            if end.relay:
                found.append(Candidate("relay", *end.address))
                continue
            found.append(Candidate("host", *end.address))
            mapped = host.nat.outwards(end.address, ("192.0.2.1", 3478))
            if mapped != end.address:
                found.append(Candidate("srflx", *mapped))
        return found

    def paste(self, source: Host, target: Host) -> None:
        target.agent.add_remote(self.candidates(source), self.now)
        self._pump(target)

    def begin_session(self) -> None:
        for host in (self.a, self.b):
            host.agent.begin_session(keys(SESSION, offering=host is self.a), self.now)
            self._pump(host)

    def meet(self, *, pastes: int = 2, limit: float = 10.0) -> bool:
        """One or two pastes, and a session if a path comes of it."""
        self.paste(self.a, self.b)
        if pastes == 2:
            self.paste(self.b, self.a)
        found = self.until(lambda: self.a.agent.selected is not None and self.b.agent.selected is not None, limit)
        if found:
            self.run(0.1)
            self.begin_session()
        return found

    # Time

    def run(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], bool], limit: float) -> bool:
        end = self.now + limit
        while not condition():
            due = self._next()
            if due is None or due > end:
                self.now = end
                return condition()
            self.now = max(self.now, due)
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            for host in self.hosts:
                when = host.agent.next_due()
                if when is not None and when <= self.now and not host.is_stopped and not host.is_dead:
                    host.ticks += 1
                    host.agent.tick(self.now)
                    self._pump(host)
        return True

    def stop(self, host: Host) -> None:
        """Like SIGSTOP: what arrives waits in its sockets."""
        host.is_stopped = True

    def go_on(self, host: Host) -> None:
        host.is_stopped = False
        mailbox, host.mailbox = host.mailbox, []
        host.agent.tick(self.now)
        for arrival in mailbox:
            arrival()
        self._pump(host)

    def _next(self) -> float | None:
        times = [self._queue[0][0]] if self._queue else []
        for host in self.hosts:
            due = host.agent.next_due()
            if due is not None and not host.is_stopped and not host.is_dead:
                times.append(due)
        return min(times, default=None)

    # Packets

    def _pump(self, host: Host) -> None:
        for end, data, destination in host.agent.outgoing():
            host.sent += 1
            if isinstance(end, End) and end in host.ends and not host.is_cut and self.random.random() >= self.loss:
                source = end.address if end.relay else host.nat.outwards(end.address, destination)
                delay = self.delay * (2 if end.relay else 1)
                self._at(self.now + delay, lambda s=source, d=destination, x=data: self._arrive(x, s, d))  # type: ignore[misc]
        host.news += [(self.now, news) for news in host.agent.news()]

    def _at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._numbers), action))

    def _arrive(self, data: bytes, source: Address, destination: Address) -> None:
        for host in self.hosts:
            for end in host.ends:
                inner: Address | None = destination
                if end.relay:
                    if destination != end.address or source[0] not in self.permitted[end]:
                        continue
                elif destination[0] in (host.nat.public, end.address[0]):
                    inner = host.nat.inwards(destination, source)
                if inner == end.address:
                    self._hand_over(host, end, data, source)
                    return

    def _hand_over(self, host: Host, end: End, data: bytes, source: Address) -> None:
        if host.is_cut:
            return
        if host.is_dead:
            for other in self.hosts:
                if not other.is_cut and not end.relay:
                    other.agent.refused(end.address, self.now)
            return

        def arrive() -> None:
            host.agent.stun_received(stun.parse_message(data), source, end, self.now)
            self._pump(host)

        if host.is_stopped:
            host.mailbox.append(arrive)
        else:
            arrive()


__all__ = ["End", "Gone", "Host", "Nat", "NatKind", "Selected", "Silent", "World"]
