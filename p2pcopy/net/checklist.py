"""Which pairs there are (RFC 8445 section 6.1.2): our endpoints, the peer's addresses, and all that they make together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from p2pcopy.net.pairs import Address, LocalEnd, Pair, Remote, Tally, remote_priority, same_family
from p2pcopy.signaling.candidates import Candidate

MAX_PAIRS: Final = 200
MAX_REMOTE: Final = 64
MAX_FORBIDDEN: Final = 256
QUIET_S: Final = 30.0  # after which an address that was only heard of may be forgotten


class CheckList:
    """All pairs of one agent. recheck_s: the first pause between two checks of a pair. in_use: addresses that stay."""

    def __init__(self, recheck_s: float, in_use: Callable[[], set[Address]]) -> None:
        self.in_use = in_use
        self.locals: list[LocalEnd] = []
        self.remotes: dict[Address, Remote] = {}
        self.tallies: dict[Address, Tally] = {}
        self._forbidden: dict[Address, None] = {}  # in order
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
                self._forbid(address)
                continue
            known = self.remotes.get(address)
            if known is not None and known.type != "prflx":
                continue
            remote = Remote(address, candidate.type, remote_priority(candidate.type, place))
            if known is not None or self._make_room(float("inf")):
                is_new = True
                self._enter(remote, now)
        return is_new

    def may_be_own(self, address: Address) -> bool:
        """Whether it is one of the peer's machine, as far as the peer has got to tell."""
        known = self.remotes.get(address)
        is_own = known is not None and known.type == "host"
        return is_own or all(each.type == "prflx" for each in self.remotes.values())

    def _forbid(self, address: Address) -> None:
        """An honest peer names few; of a flood the last ones count."""
        self._forbidden.pop(address, None)
        self._forbidden[address] = None
        if len(self._forbidden) > MAX_FORBIDDEN:
            del self._forbidden[next(iter(self._forbidden))]

    def keep_only(self, candidates: Iterable[Candidate]) -> None:
        """Of the addresses that the peer has named only these are still true."""
        named = {(candidate.host, candidate.port) for candidate in candidates}
        for address, remote in list(self.remotes.items()):
            if remote.type != "prflx" and address not in named and address not in self.in_use():
                self.forget(address)

    def heard(self, local: LocalEnd, address: Address, priority: int, now: float, *, is_peer: bool) -> Pair | None:
        """The pair over which a check came, made if need be (RFC 8445 section 7.3.1.3); None when it may not be used.

        is_peer: it is the peer's for certain, and gets the place of what was heard least lately.
        """
        if address in self._forbidden:
            return None
        remote = self.remotes.get(address)
        if remote is None:
            if not self._make_room(float("inf") if is_peer else now - QUIET_S):
                return None
            remote = Remote(address, "prflx", priority)
            self.remotes[address] = remote
            self.tallies[address] = Tally()
        if is_peer and len(self._pairs) >= MAX_PAIRS and self.find(local, address) is None:
            unused = [pair for pair in self if pair.remote.address not in self.in_use()]
            self.drop(min(unused, key=lambda pair: pair.last_sign))
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

    def _make_room(self, before: float) -> bool:
        """Whether there is a place for another address: a full list forgets the one that was heard least lately, and before
        this time; those that the peer has not named go first."""
        if len(self.remotes) < MAX_REMOTE:
            return True
        in_use = self.in_use()
        last_sign = {address: float("-inf") for address in self.remotes if address not in in_use}
        for pair in self._pairs.values():
            if pair.remote.address in last_sign:
                last_sign[pair.remote.address] = max(last_sign[pair.remote.address], pair.last_sign)
        oldest = min(last_sign, key=lambda each: (self.remotes[each].type != "prflx", last_sign[each]))
        if last_sign[oldest] >= before or (before < float("inf") and self.remotes[oldest].type != "prflx"):
            return False
        self.forget(oldest)
        return True
