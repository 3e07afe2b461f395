"""ICE (RFC 8445) for humans and for paths that break, without I/O: connectivity checks that go on for as long as it takes
somebody to paste a code, and the choice of the path for as long as the session lives.

Messages, addresses and the time come in through methods; what is to be sent and what has happened are taken from outgoing() and
news(). What differs from the RFC: no check list ever fails; the roles follow from who made the offer; the controlling side may
nominate again at any time and says so in every check of the pair that it wants (RFC 8445 section 8.1.1 ends with one nomination);
once begin_session() was called only credentials that are derived from the session itself count, so that whoever else holds the
code can neither move nor stall it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from aioice import stun

from p2pcopy.net import checks
from p2pcopy.net.checklist import CheckList
from p2pcopy.net.checks import Keys
from p2pcopy.net.liveness import STALL_S, Gone, Liveness
from p2pcopy.net.news import Abandoned, Confirmed, News, Selected, TurnedAway
from p2pcopy.net.pairs import Address, LocalEnd, Pair, Remote, Tally
from p2pcopy.signaling.candidates import Candidate

PACE_S: Final = 0.02  # between two checks (RFC 8445 section 14.2: Ta)
SLOWING: Final = 1.5
RESEND_S: Final = 0.05  # between two triggered checks of one pair
ANSWER_S: Final = 5.0  # how long an answer is waited for
IDLE_S: Final = 5.0  # between checks of a pair that never answers; below the 30 s after which NATs forget
IDLE_PAIR_S: Final = 0.1  # and more for long check lists
SPARE_S: Final = 20.0  # between checks of the pairs that are not needed, to keep NATs and permissions open
CONSENT_S: Final = 1.0  # between checks of the selected pair (RFC 7675: 5 s at most; a stall is to be seen sooner)
STALLED_S: Final = 0.5  # between checks of any pair while there is no path
NOMINATION_S: Final = 2.0
LATE_S: Final = 2.0  # a message that is older than this is not on the way any more
AVOID_S: Final = 10.0  # a pair with which no session came about
REFUSALS_PER_S: Final = 20  # answers to those who come too late with a code


@dataclass(frozen=True)
class Limits:
    """In seconds. relay_delay: how long a relayed pair waits for a direct one; recheck: the first pause between two checks of a
    pair; stall_limit: how long a path may be away."""

    relay_delay: float
    recheck: float
    stall_limit: float


@dataclass(frozen=True)
class _Check:
    pair: Pair
    sent_at: float
    nominates: bool
    key: bytes


class Agent:
    """One side's view. Call tick() when next_due() says so, and take outgoing() and news() after every call."""

    def __init__(self, *, controlling: bool, keys: Keys, limits: Limits, now: float, seed: int | None = None) -> None:
        self.selected: Pair | None = None
        self._controlling = controlling
        self._code = keys
        self._session: Keys | None = None
        self._life: Liveness | None = None
        self._limits = limits
        self._random = Random(seed)
        self._tie_breaker = int.from_bytes(os.urandom(8), "big")
        self._list = CheckList(limits.recheck, self._in_use)
        self._sent: dict[bytes, _Check] = {}
        self._choice: Pair | None = None
        self._chosen_at = now
        self._selected_at = self._begun_at = now
        self._is_confirmed = False
        self._is_holding = False
        self._is_over = False
        self._ticked = now
        self._paced = float("-inf")
        self._refusals = float(REFUSALS_PER_S)
        self._refusals_at = now
        self._outgoing: list[tuple[LocalEnd, bytes, Address]] = []
        self._news: list[News] = []

    # What comes out

    def outgoing(self) -> list[tuple[LocalEnd, bytes, Address]]:
        """Datagrams: from where, what, and to whom."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def news(self) -> list[News]:
        news, self._news = self._news, []
        return news

    def next_due(self) -> float | None:
        """When tick() has something to do; None: not before something else happens."""
        if self._is_over:
            return None
        times = [max(pair.due, self._paced + PACE_S) for pair in self._list if self._is_checked(pair)]
        if self._choice is not None:
            times.append(self._chosen_at + NOMINATION_S)
        elif self.selected is None and self._controlling:
            ready = (pair.seen + self._limits.relay_delay for pair in self._list)
            times += [time for time in ready if time > self._ticked]
        if self._life is not None:
            times.append(self._life.due)
        return min(times, default=None)

    @property
    def stalled(self) -> bool:
        return self._life is not None and self._life.stalled

    @property
    def remotes(self) -> tuple[tuple[Remote, Tally], ...]:
        return tuple((remote, self._list.tallies[address]) for address, remote in self._list.remotes.items())

    # Addresses

    def add_local(self, local: LocalEnd, now: float) -> None:
        if self._list.add_local(local, now):
            self._list.hurry(now)

    def remove_local(self, local: LocalEnd, now: float) -> None:
        """Nothing leaves from there any more."""
        self._list.remove_local(local)
        if self._choice is not None and self._choice.local is local:
            self._choice = None
        if self._life is not None and self.selected is not None and self.selected.local is local:
            self._life.lost_path(now)

    def add_remote(self, candidates: Sequence[Candidate], now: float, *, relays_allowed: bool = True) -> None:
        """Addresses of the peer, best first. At any time; what is known already is ignored. In a session they are all it has."""
        if self._session is not None:
            self._list.keep_only(candidates)
        if self._list.add_remote(candidates, now, relays_allowed=relays_allowed):
            self._list.hurry(now)

    # The session

    def begin_session(self, keys: Keys, now: float) -> None:
        """Both sides have proved themselves. From now on only these credentials count, and silence is a stall."""
        self._session = keys
        self._life = Liveness(self._limits.stall_limit, now)
        self._begun_at, self._is_confirmed = now, False
        in_use = self._in_use()
        for pair in self._list:
            pair.wants = False
            if pair is not self.selected:
                pair.answered_at = pair.heard_at = float("-inf")
                if pair.remote.type == "prflx" and pair.remote.address not in in_use:  # perhaps somebody else's
                    self._list.forget(pair.remote.address)
        if self.selected is not None:
            self.selected.due = now
        self._sent.clear()
        self._choice = None
        self._list.hurry(now)

    def reject(self, now: float) -> None:
        """No session came about over the selected pair: try others first, but go on, with the code's credentials."""
        self._session = self._life = None
        self._is_over = False
        if self.selected is not None:
            self.selected.unusable_until = now + AVOID_S
            self.selected.wants = False
        self.selected = self._choice = None
        self._list.hurry(now)

    def hold_nominations(self, hold: bool, now: float) -> None:
        """While held, pairs are checked but none is nominated."""
        self._is_holding = hold
        self._consider(now)

    def heard_data(self, now: float) -> None:
        """The peer's data has arrived, and could be decrypted."""
        if self._life is not None:
            self._life.heard_data(now)

    def ask_now(self, now: float) -> None:
        """Nothing arrives any more: check the selected pair now, unless that was done a moment ago."""
        if self.selected is not None and self._session is not None:
            self.selected.due = min(self.selected.due, max(now, self.selected.sent_at + self._limits.recheck))

    def takes_data_from(self, address: Address, local: LocalEnd) -> bool:
        """May DTLS from there be worth decrypting?"""
        pair = self._list.find(local, address)
        if pair is None:
            return False
        return pair in (self.selected, self._choice) or (self._session is not None and pair.heard_at > float("-inf"))

    def call(self, local: LocalEnd) -> bytes:
        """A check for whoever may be the peer; it is known by its own check when it comes."""
        nobody = Pair(local, Remote(local.address, "relay", 0), due=0.0, pause=0.0, seen=0.0)
        keys = self._session or self._code
        return bytes(checks.request(nobody, keys, self._tie_breaker, controlling=self._controlling, nominate=False))

    # Messages

    def refused(self, address: Address, now: float) -> None:
        """The machine at address says that nobody listens there (ICMP). Of a session's end it tells only where that is the
        peer's own, or may be, as the peer has told none: a NAT that has forgotten a mapping says so, and a new TURN server."""
        if address in self._list.tallies:
            self._list.tallies[address].refused = True
        is_used = self.selected is not None and self.selected.remote.address == address
        if self._life is not None and is_used and self._list.may_be_own(address):
            self._life.refused(now)

    def stun_received(self, message: stun.Message, address: Address, local: LocalEnd, now: float) -> None:
        if self._is_over or local not in self._list.locals or message.message_method != stun.Method.BINDING:
            return
        if message.message_class == stun.Class.REQUEST:
            self._take_request(message, address, local, now)
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            self._take_answer(message, address, local, now)

    def _take_request(self, message: stun.Message, address: Address, local: LocalEnd, now: float) -> None:
        keys = checks.proven(message, self._session, self._code)
        if keys is None or "PRIORITY" not in message.attributes:
            return
        if self._session is not None and keys is not self._session:
            self._take_latecomer(message, address, local, now)
            return
        pair = self._list.heard(local, address, message.attributes["PRIORITY"], now, is_peer=self._session is not None)
        if pair is None:
            return
        self._outgoing.append((local, checks.answer(message, address, keys), address))
        self._confirm()
        pair.wants = self._is_wanted(pair, message, now)
        if pair.wants and self._is_proven(pair, now):
            self._select(pair, now)
        if pair is not self.selected or self.stalled:  # RFC 8445 section 7.3.1.4
            pair.due = min(pair.due, max(now, pair.sent_at + RESEND_S))
            pair.pause = self._limits.recheck

    def _is_wanted(self, pair: Pair, message: stun.Message, now: float) -> bool:
        """Does the controlling peer want this pair? A check that was late may still want the relay that was just left."""
        if self._controlling or "USE-CANDIDATE" not in message.attributes:
            return False
        current = self.selected
        is_late = now < self._selected_at + LATE_S and not self.stalled
        return current is None or current.is_relayed or not pair.is_relayed or not is_late

    def _confirm(self) -> None:
        """The peer has used the session's credentials."""
        if self._session is not None and not self._is_confirmed:
            self._is_confirmed = True
            self._news.append(Confirmed())

    def _take_latecomer(self, message: stun.Message, address: Address, local: LocalEnd, now: float) -> None:
        """A check with the code's credentials in a session: the peer itself, or somebody who comes after it."""
        pair = self._list.find(local, address)
        if pair is None or pair is not self.selected:
            if self._controlling and self._is_confirmed:
                self._turn_away(message, address, local, now)
        elif self._is_confirmed or now < self._begun_at + LATE_S:  # it is not yet where we are
            self._outgoing.append((local, checks.answer(message, address, self._code), address))
        else:
            self._news.append(Abandoned())

    def _turn_away(self, message: stun.Message, address: Address, local: LocalEnd, now: float) -> None:
        """Somebody comes with the code after another one. At a bounded rate."""
        self._refusals = min(REFUSALS_PER_S, self._refusals + (now - self._refusals_at) * REFUSALS_PER_S)
        self._refusals_at = now
        if self._refusals >= 1:
            self._refusals -= 1
            self._outgoing.append((local, checks.refusal(message, self._code), address))

    def _take_answer(self, message: stun.Message, address: Address, local: LocalEnd, now: float) -> None:
        check = self._sent.get(message.transaction_id)
        if check is None or not message.check_message_integrity(check.key):
            return
        pair = check.pair
        if self._list.find(local, address) is not pair:  # RFC 8445 section 7.2.5.2.1
            return
        del self._sent[message.transaction_id]
        if message.message_class == stun.Class.ERROR:
            if message.error_code == checks.USED and not self._controlling and self.selected is None:
                self._news.append(TurnedAway())
            return
        if "XOR-MAPPED-ADDRESS" not in message.attributes:
            return
        self._confirm()
        pair.answered_at, pair.mapped = now, message.attributes["XOR-MAPPED-ADDRESS"]
        pair.rtts.append(now - check.sent_at)
        self._list.tallies[address].answered += 1
        is_nominated = pair.wants or (check.nominates and pair is self._choice)
        if pair is self.selected or is_nominated:
            self._select(pair, now)
        self._consider(now)

    # The choice

    def _is_proven(self, pair: Pair, now: float) -> bool:
        """Has the peer answered over this pair lately, or since the path broke?"""
        since = self._life.alive_at if self._life is not None and self._life.stalled else now - 2 * STALL_S
        return pair.answered_at > since and now >= pair.unusable_until

    def _consider(self, now: float) -> None:
        """The controlling side nominates the best pair that works, if that is better than what there is."""
        if not self._controlling or self._choice is not None or self._is_holding:
            return
        proven = [pair for pair in self._list if self._is_proven(pair, now)]
        if self.selected is not None and not self.stalled:
            proven = [pair for pair in proven if self._is_better(pair, self.selected, now)]
        elif self._session is None and not all(local.relay for local in self._list.locals):
            proven = [p for p in proven if not p.is_relayed or now >= p.seen + self._limits.relay_delay]
        if proven:
            self._choice = max(
                proven, key=lambda p: (not p.is_relayed, p.remote.type != "prflx", p.rank(controlling=True))
            )
            self._chosen_at = now
            self._check(self._choice, now)

    def _is_better(self, pair: Pair, current: Pair, now: float) -> bool:
        """A direct one than a relay; or one over which the peer comes while the current one no longer answers."""
        if self._life is None or pair.is_relayed:
            return False
        since = self._life.alive_at
        is_taken_up = self._life.is_doubtful(now) and min(pair.heard_at, pair.answered_at) > since
        return current.is_relayed or (pair is not current and is_taken_up)

    def _in_use(self) -> set[Address]:
        return {pair.remote.address for pair in (self.selected, self._choice) if pair is not None}

    def _select(self, pair: Pair, now: float) -> None:
        """This pair works, and is the one to use."""
        is_new = pair is not self.selected
        if is_new:
            self.selected, self._selected_at = pair, now
        for other in self._list:
            other.wants = other.wants and other is pair
        gap = self._life.answered(now) if self._life is not None else 0.0
        if gap or self._choice is pair:
            self._choice = None
        if is_new:
            pair.due = min(pair.due, now + CONSENT_S)
        if is_new or gap:
            self._news.append(Selected(pair, gap))

    # Time

    def tick(self, now: float) -> None:
        if self._is_over:
            return
        self._ticked = now
        if self._choice is not None and now >= self._chosen_at + NOMINATION_S:
            self._choice.unusable_until = now + AVOID_S
            self._choice = None
        self._look(now)
        self._consider(now)
        if now >= self._paced + PACE_S:
            due = [pair for pair in self._list if pair.due <= now and self._is_checked(pair)]
            if due:
                self._check(max(due, key=lambda pair: pair.rank(controlling=self._controlling)), now)
        for transaction in [key for key, check in self._sent.items() if check.sent_at < now - ANSWER_S]:
            del self._sent[transaction]

    def _look(self, now: float) -> None:
        if self._life is None:
            return
        was_stalled = self._life.stalled
        said = self._life.look(now)
        if self._life.stalled and not was_stalled:
            self._choice = None
            self._list.hurry(now)
        if said is not None:
            self._news.append(said)
            self._is_over = isinstance(said, Gone)

    def _is_checked(self, pair: Pair) -> bool:
        """Before the session the checks end with the choice of a path."""
        return self._session is not None or self.selected is None or pair.wants

    def _check(self, pair: Pair, now: float) -> None:
        keys = self._session or self._code
        wanted = self._choice or (self.selected if self._session is not None else None)
        nominates = self._controlling and pair is wanted
        request = checks.request(pair, keys, self._tie_breaker, controlling=self._controlling, nominate=nominates)
        self._sent[request.transaction_id] = _Check(pair, now, nominates, keys.remote_key)
        self._outgoing.append((pair.local, bytes(request), pair.remote.address))
        self._list.tallies[pair.remote.address].checks += 1
        pair.sent_at = self._paced = now
        pair.due = now + self._pause(pair) * self._random.uniform(0.9, 1.1)
        pair.pause *= SLOWING

    def _pause(self, pair: Pair) -> float:
        if self.stalled:
            return max(STALLED_S, PACE_S * len(self._list))
        if pair is self._choice:
            return self._limits.recheck
        if self._session is not None and self.selected is not None:
            if pair is self.selected:
                return CONSENT_S
            if pair.is_relayed or not self.selected.is_relayed:
                return SPARE_S
        return min(pair.pause, max(IDLE_S, IDLE_PAIR_S * len(self._list)))
