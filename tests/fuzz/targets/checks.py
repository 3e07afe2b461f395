"""The ICE agent among strangers, late comers and a peer that does what it likes: bounded, silent to who proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aioice import stun

from fuzz.feed import Feed
from p2pcopy.net import checks
from p2pcopy.net.agent import Agent, Limits
from p2pcopy.net.checklist import MAX_FORBIDDEN, MAX_PAIRS, MAX_REMOTE
from p2pcopy.net.checks import Keys
from p2pcopy.net.endpoint import parse_stun
from p2pcopy.net.offload import EVERYTHING, Offload
from p2pcopy.net.pairs import Address, Pair, Remote
from p2pcopy.signaling import derive
from p2pcopy.signaling.candidates import CANDIDATE_TYPES, Candidate

MODULES = (
    "p2pcopy.net.agent",
    "p2pcopy.net.checklist",
    "p2pcopy.net.checks",
    "p2pcopy.net.liveness",
    "p2pcopy.net.pairs",
)

LIMITS: Final = Limits(relay_delay=1.5, recheck=0.3, stall_limit=30.0)
MAX_SENT: Final = 600  # checks that wait for their answer
MAX_ANSWER: Final = 200  # bytes
STEPS: Final = 200
_PAUSES: Final = (0.0, 0.0, 0.02, 0.1, 0.5, 2.0, 7.0, 40.0)


@dataclass(eq=False)
class End:
    """An endpoint of the agent."""

    address: Address
    relay: str = ""
    overhead: int = 0
    is_full: bool = False
    burst: int = 1
    offload: Offload = field(default=EVERYTHING)

    def send(self, data: bytes, address: Address) -> None: ...

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None: ...

    def probe_mtu(self, on: bool) -> int:
        return 0


def keys(secret: bytes, *, offering: bool) -> Keys:
    offer, answer = derive.ice_credentials(secret, "offer"), derive.ice_credentials(secret, "answer")
    return Keys(offer, answer) if offering else Keys(answer, offer)


# By who holds them: with the code, in the session, nobody that counts. Ours, then the peer's.
CODE, SESSION, STRANGER = range(3)
OURS: Final = {side: [keys(bytes([n]) * 16, offering=side) for n in range(3)] for side in (True, False)}


class Play:
    """An agent, and what has left it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.now = 1000.0
        self.controlling = feed.flag()
        self.agent = Agent(
            controlling=self.controlling, keys=OURS[self.controlling][CODE], limits=LIMITS, now=self.now, seed=1
        )
        self.ends = [End(("10.0.0.2", 5000)), End(("2001:db8::2", 5000)), End(("198.51.100.1", 6000), relay="turn:x")]
        self.is_session = False
        self.asked: list[tuple[End, stun.Message, Address]] = []
        self.agent.add_local(self.ends[0], self.now)

    def step(self) -> None:
        feed, agent = self.feed, self.agent
        self.now += feed.choice(_PAUSES)
        match feed.number(12):
            case 0 | 1:
                agent.tick(self.now)
            case 2 | 3 | 4:
                self.check()
            case 5 | 6:
                self.answer()
            case 7:
                self.anything()
            case 8:
                agent.add_remote(candidates(feed), self.now, relays_allowed=feed.flag())
            case 9 if self.is_session:
                agent.reject(self.now)
                self.is_session = False
            case 9:
                agent.begin_session(OURS[self.controlling][SESSION], self.now)
                self.is_session = True
            case 10:
                agent.refused(address(feed), self.now)
                agent.heard_data(self.now)
                agent.ask_now(self.now)
            case 11 if feed.number(16) == 15:
                self.crowd()
            case _:
                self.local()
        self.look()

    def crowd(self) -> None:
        """Many come with the code, or the peer from everywhere and with many relays."""
        who = self.feed.choice((CODE, SESSION))
        theirs = OURS[not self.controlling][who]
        nobody = Pair(self.ends[0], Remote(self.ends[0].address, "host", 0), 0.0, 0.0, 0.0)
        message = checks.request(nobody, theirs, 7, controlling=not self.controlling, nominate=False)
        for number in range(MAX_REMOTE + 10):
            self.receive(bytes(message), ("198.51.100.9", 2000 + number), self.ends[0], who)
            self.look()
        for block in range(0, MAX_FORBIDDEN + 32, 16):
            relays = [Candidate("relay", "198.51.100.8", 2000 + block + number) for number in range(16)]
            self.agent.add_remote(relays, self.now, relays_allowed=False)

    def local(self) -> None:
        """Something happens on our side."""
        end = self.feed.choice(self.ends)
        match self.feed.number(4):
            case 0:
                self.agent.remove_local(end, self.now)
            case 1:
                self.agent.hold_nominations(self.feed.flag(), self.now)
            case 2:
                self.agent.takes_data_from(address(self.feed), end)
                self.agent.call(end)
            case _:
                self.agent.add_local(end, self.now)

    def check(self) -> None:
        """Somebody's."""
        feed = self.feed
        who, source, end = feed.number(3), address(feed), feed.choice(self.ends)
        theirs = OURS[not self.controlling][who]
        pair = Pair(End(source, relay="turn:x" if feed.flag() else ""), Remote(end.address, "host", 0), 0.0, 0.0, 0.0)
        message = checks.request(
            pair, theirs, 7, controlling=not self.controlling, nominate=feed.flag() and not self.controlling
        )
        if not feed.number(8):
            del message.attributes["PRIORITY"]
            message.add_message_integrity(theirs.remote_key)
        self.receive(bytes(message), source, end, who)

    def answer(self) -> None:
        """To one of our checks, or to none."""
        feed = self.feed
        if not self.asked:
            return
        end, asked, source = self.asked[feed.number(len(self.asked))]
        who = feed.choice((CODE, SESSION, STRANGER)) if feed.flag() else SESSION if self.is_session else CODE
        theirs = OURS[not self.controlling][who]
        reply = checks.answer(asked, end.address, theirs) if feed.number(8) else checks.refusal(asked, theirs)
        if not feed.number(16):
            empty = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
            empty.add_message_integrity(theirs.local_key)
            reply = bytes(empty)
        self.receive(reply, source if feed.number(8) else address(feed), end, who)

    def anything(self) -> None:
        self.receive(self.feed.chunk(), address(self.feed), self.ends[0], STRANGER)

    def receive(self, data: bytes, source: Address, end: End, who: int) -> None:
        message = parse_stun(data)
        if message is None:
            return
        agent, selected = self.agent, self.agent.selected
        known = len(agent._list.remotes)
        agent.stun_received(message, source, end, self.now)
        assert len(agent._outgoing) <= 2
        assert all(len(datagram) <= MAX_ANSWER for _, datagram, _ in agent._outgoing)
        if who == STRANGER:
            assert not agent._outgoing
            assert not agent._news
            assert len(agent._list.remotes) == known
        if who == STRANGER or (who == CODE and self.is_session):
            assert agent.selected is selected

    def look(self) -> None:
        agent = self.agent
        for local, datagram, target in agent.outgoing():
            assert local in agent._list.locals
            message = parse_stun(datagram)
            assert message is not None
            if message.message_class is stun.Class.REQUEST and isinstance(local, End):
                self.asked = [*self.asked[-7:], (local, message, target)]
        assert len(agent.news()) <= 4
        listed = agent._list
        assert len(listed) <= MAX_PAIRS
        assert set(listed.tallies) == set(listed.remotes)
        assert len(listed.remotes) <= MAX_REMOTE
        assert len(listed._forbidden) <= MAX_FORBIDDEN
        assert len(agent._sent) <= MAX_SENT
        assert all(pair.local in listed.locals for pair in listed)
        due = agent.next_due()
        assert due is None or abs(due) < 1e9
        assert len(agent.remotes) == len(listed.remotes)


def one(data: bytes) -> None:
    play = Play(Feed(data))
    for _ in range(STEPS):
        if not play.feed:
            return
        play.step()


def address(feed: Feed) -> Address:
    """One of a few, or one of many."""
    number = feed.number(256)
    if number < 8:
        return (f"192.0.2.{number}", 4000) if number % 2 else (f"2001:db8::{number + 16:x}", 4000)
    return (f"203.0.113.{number}", 1024 + feed.number(256))


def candidates(feed: Feed) -> list[Candidate]:
    found = []
    for _ in range(feed.number(17)):
        host, port = address(feed)
        found.append(Candidate(feed.choice(CANDIDATE_TYPES), host, port))
    return found


def seeds() -> Iterator[bytes]:
    # A step: the pause before it, what it is, and its numbers.
    crowd = bytes([0, 11, 15])

    def check(who: int, where: int, nominate: int = 0, relay: int = 0) -> bytes:
        return bytes([0, 2, who, where, 0, relay, nominate, 1])

    tick, answer, begin = bytes([3, 0]), bytes([1, 5, 0, 0, 1, 1, 1]), bytes([0, 9])
    remote = bytes([0, 8, 2, 1, 0, 3, 1, 1])
    meeting = remote + tick + answer + tick + answer + check(CODE, 1, 1) + tick
    session = begin + tick + answer + check(SESSION, 1, 1) + tick + answer
    for side in (b"\x00", b"\x01"):
        yield side + meeting + session + check(CODE, 5) + check(CODE, 1) + tick
        yield side + meeting + session + bytes([6, 0]) + tick * 3 + answer + bytes([5, 10, 1]) + tick * 4
        yield side + meeting + session + bytes([0, 11, 0, 0]) + tick + bytes([0, 11, 2, 3]) + tick + answer
        yield (
            side + check(STRANGER, 3) + check(CODE, 3, 1) + check(CODE, 200) + b"\x05" + tick * 2 + bytes([0, 9, 0, 9])
        )
        yield side + bytes([0, 8, 6]) + bytes([90, 1, 2, 91, 1, 2, 92, 1, 2] * 2) + b"\x00" + check(CODE, 90) + b"\x01"
        yield side + meeting + crowd + b"\x00" + bytes([7, 0]) + session + crowd + b"\x01" + tick * 2 + crowd + b"\x00"
        yield side + meeting + session + bytes([7, 0]) * 3 + check(SESSION, 9, 1) + b"\x07" + tick + answer
