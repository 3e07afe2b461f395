"""Which pairs there are (RFC 8445 section 6.1.2): our endpoints, the peer's addresses, and all that they make together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from p2pcopy.net.pairs import Address, LocalEnd, Pair, Remote, Tally, remote_priority, same_family
from p2pcopy.signaling.candidates import Candidate

MAX_PAIRS: Final = 200
MAX_REMOTE: Final = 64


class CheckList:
    """All pairs of one agent. recheck_s: the first pause between two checks of a pair."""

    def __init__(self, recheck_s: float) -> None:
        self.locals: list[LocalEnd] = []
        self.remotes: dict[Address, Remote] = {}
        self.tallies: dict[Address, Tally] = {}
        self._forbidden: set[Address] = set()
        self._pairs: dict[tuple[LocalEnd, Address], Pair] = {}
        self._recheck_s = recheck_s

    def __iter__(self) -> Iterator[Pair]:
        return iter(list(self._pairs.values()))

    def __len__(self) -> int:
        return len(self._pairs)

    def find(self, local: LocalEnd, address: Address) -> Pair | None:
        return self._pairs.get((local, address))

    def add_local(self, local: LocalEnd, now: float) -> bool:
        """Whether it is new."""
        if local in self.locals:
            return False
        self.locals.append(local)
        for remote in list(self.remotes.values()):
            self._pair(local, remote, now)
        return True

    def remove_local(self, local: LocalEnd) -> None:
        if local in self.locals:
            self.locals.remove(local)
        for pair in self:
            if pair.local is local:
                self.drop(pair)

    def add_remote(self, candidates: Iterable[Candidate], now: float, *, relays_allowed: bool) -> bool:
        """Addresses of the peer, best first. Whether any of them is new. Relays that are not allowed are never used."""
        is_new = False
        for place, candidate in enumerate(candidates):
            address = (candidate.host, candidate.port)
            if candidate.type == "relay" and not relays_allowed:
                self._forbidden.add(address)
                continue
            known = self.remotes.get(address)
            if known is not None and known.type != "prflx":
                continue
            remote = Remote(address, candidate.type, remote_priority(candidate.type, place))
            if known is not None or self._has_room(now):
                is_new = True
                self._enter(remote, now)
        return is_new

    def heard(self, local: LocalEnd, address: Address, priority: int, now: float) -> Pair | None:
        """The pair over which a check came, made if need be (RFC 8445 section 7.3.1.3); None when it may not be used."""
        if address in self._forbidden:
            return None
        remote = self.remotes.get(address)
        if remote is None:
            if not self._has_room(now):
                return None
            remote = Remote(address, "prflx", priority)
            self.remotes[address] = remote
            self.tallies[address] = Tally()
        pair = self._pair(local, remote, now)
        if pair is not None:
            pair.heard_at = now
            self.tallies[address].heard += 1
        return pair

    def drop(self, pair: Pair) -> None:
        self._pairs.pop((pair.local, pair.remote.address), None)

    def forget(self, address: Address) -> None:
        """An address of the peer that was only heard of."""
        for pair in self:
            if pair.remote.address == address:
                self.drop(pair)
        self.remotes.pop(address, None)
        self.tallies.pop(address, None)

    def hurry(self, now: float) -> None:
        """Something has changed: check again soon what had been slowed down."""
        for pair in self._pairs.values():
            pair.pause = self._recheck_s
            pair.due = min(pair.due, max(now, pair.sent_at + self._recheck_s))

    def _enter(self, remote: Remote, now: float) -> None:
        self.remotes[remote.address] = remote
        self.tallies.setdefault(remote.address, Tally())
        for local in self.locals:
            self._pair(local, remote, now)

    def _pair(self, local: LocalEnd, remote: Remote, now: float) -> Pair | None:
        pair = self.find(local, remote.address)
        if pair is not None:
            pair.remote = remote
            return pair
        if len(self._pairs) >= MAX_PAIRS or not same_family(local.address, remote.address):
            return None
        pair = Pair(local, remote, due=now, pause=self._recheck_s, seen=now)
        self._pairs[local, remote.address] = pair
        return pair

    def _has_room(self, now: float) -> bool:
        """A full list forgets the address that was heard least lately; those that the peer has named stay."""
        if len(self.remotes) < MAX_REMOTE:
            return True
        last_heard = {address: float("-inf") for address, remote in self.remotes.items() if remote.type == "prflx"}
        for pair in self._pairs.values():
            if pair.remote.address in last_heard:
                last_heard[pair.remote.address] = max(last_heard[pair.remote.address], pair.heard_at, pair.answered_at)
        oldest = min(last_heard, key=lambda address: last_heard[address], default=None)
        if oldest is None or last_heard[oldest] > now - 30.0:
            return False
        self.forget(oldest)
        return True
