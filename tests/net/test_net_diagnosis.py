"""Why it did not work, told from what was tried."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import Family, NetSettings, Relay
from p2pcopy.events import Tried
from p2pcopy.net import diagnosis
from p2pcopy.net.trial import RemoteTrial, ServerReport, Trial
from p2pcopy.signaling.candidates import CANDIDATE_TYPES, Candidate

LAN = Candidate("host", "192.168.1.2", 4242)
PUBLIC = Candidate("srflx", "198.51.100.7", 4242)
LENT = Candidate("relay", "203.0.113.1", 50000)
V6 = Candidate("host", "2001:db8::2", 4242)
MDNS = Candidate("host", "01234567-89ab-cdef-0123-456789abcdef.local", 1)
THEIR_LAN = Candidate("host", "192.168.7.9", 5151)
THEIR_PUBLIC = Candidate("srflx", "192.0.2.9", 5151)
THEIR_RELAY = Candidate("relay", "192.0.2.200", 50001)

STUN = ServerReport("stun:a", True, "", 0.123)
NO_STUN = ServerReport("stun:a", False, "no answer", 2.5)
TURN = ServerReport("turn:b", True, "", 0.2)
NO_TURN = ServerReport("turns:b", False, "the connection was refused", 0.2)

AUTO = NetSettings()
NEVER = NetSettings(relay=Relay.NEVER)
ONLY = NetSettings(relay=Relay.ONLY)


def at(candidate: Candidate, **seen: int | bool) -> RemoteTrial:
    return replace(RemoteTrial(candidate, 40, 0, 0, False), **seen)  # type: ignore[arg-type]


def trial(
    *remote: RemoteTrial,
    own: tuple[Candidate, ...] = (LAN, PUBLIC),
    servers: tuple[ServerReport, ...] = (STUN,),
) -> Trial:
    return Trial(servers, own, remote)


BEHIND = (at(THEIR_LAN), at(THEIR_PUBLIC))


@pytest.mark.parametrize(
    ("tried", "settings", "offering", "reason", "remedy"),
    [
        (trial(at(THEIR_PUBLIC, answered=1), at(THEIR_LAN)), AUTO, True, "was reached", "fresh code"),
        (trial(at(THEIR_PUBLIC, heard=3), at(THEIR_LAN)), AUTO, True, "one direction only", "outgoing UDP"),
        # Nobody came with our code.
        (trial(), replace(AUTO, two_way=True), True, "no answer code", "enter here the answer code"),
        (trial(), AUTO, True, "never used the code, or could not get in", "enter that here. Name a TURN server with --turn"),
        (trial(), NEVER, True, "never used the code, or could not get in", "leave out --relay never"),
        (trial(own=(LAN, PUBLIC, LENT), servers=(STUN, TURN)), AUTO, True, "out to the TURN server", "enter that here"),
        (trial(own=(LAN,), servers=()), AUTO, True, "not in this network: no STUN server was asked", "--no-stun"),
        (trial(own=(LAN,), servers=(NO_STUN,)), AUTO, True, "not in this network: no server answers", "turns:HOST"),
        (trial(own=(LAN,), servers=(NO_STUN,)), NEVER, True, "UDP is blocked here", "leave out --relay never"),
        # Their addresses are known.
        (trial(at(THEIR_LAN, refused=True), at(THEIR_PUBLIC, refused=True)), AUTO, False, "does not run", "fresh code"),
        (trial(at(V6)), AUTO, True, "this side has IPv4 only, and the other side IPv6 only", "TURN server on both"),
        (trial(at(THEIR_PUBLIC), own=(V6,)), replace(AUTO, family=Family.IPV6), True, "has IPv6 only", "Leave out --ipv6"),
        (trial(*BEHIND, servers=(STUN, NO_TURN)), AUTO, True, "turns:b could not be used: the connection was refused", "--turn"),
        (trial(*BEHIND, at(THEIR_RELAY), own=(LAN, LENT), servers=(STUN, TURN)), AUTO, True, "do not reach", "same TURN"),
        (trial(*BEHIND, own=(LENT,), servers=(TURN,)), ONLY, True, "only a relay", "--relay auto"),
        (trial(*BEHIND, own=(LAN,), servers=(NO_STUN,)), AUTO, False, "no way out of this network", "turns:HOST"),
        (trial(at(THEIR_LAN), at(MDNS)), AUTO, False, "of its own network only", "STUN server"),
        (trial(*BEHIND, own=(LAN,), servers=()), AUTO, False, "gave only addresses of its own", "--no-stun"),
        (trial(*BEHIND), AUTO, False, "the answer code never got back", "Enter the answer code that is shown here"),
        (trial(*BEHIND), AUTO, True, "let nothing in from each other", "Name a TURN server with --turn"),
        (trial(*BEHIND, own=(LAN, PUBLIC, LENT), servers=(STUN, TURN)), AUTO, True, "let nothing in", "other side as well"),
        (trial(*BEHIND), NEVER, True, "let nothing in from each other", "leave out --relay never"),
    ],
)  # fmt: skip
def test_the_most_likely_reason_and_what_to_do(
    tried: Trial, settings: NetSettings, offering: bool, reason: str, remedy: str
) -> None:
    finding = diagnosis.explain(tried, settings, offering=offering)
    assert reason in finding.reason
    assert remedy in finding.remedy
    assert not finding.reason.endswith(".")
    assert finding.remedy.endswith(".")


def test_rows() -> None:
    tried = Trial(
        (STUN, NO_TURN),
        (LAN, LENT),
        (
            at(THEIR_LAN), at(THEIR_PUBLIC, answered=2), at(THEIR_RELAY, heard=1), at(LAN, refused=True),
            at(MDNS, checks=0), at(V6, checks=0), at(PUBLIC, checks=0),
        ),
    )  # fmt: skip
    assert diagnosis.tried(tried) == (
        Tried("stun", "stun:a", "answered in 0.12 s", True),
        Tried("turn", "turns:b", "the connection was refused", False),
        Tried("own", "192.168.1.2:4242", "an address of this machine", True),
        Tried("own", "203.0.113.1:50000", "lent by a TURN server", True),
        Tried("peer", "192.168.7.9:5151", "no answer to 40 checks", False),
        Tried("peer", "192.0.2.9:5151", "answered, but no session came of it", True),
        Tried("peer", "192.0.2.200:50001", "was heard here, but did not answer", False),
        Tried("peer", "192.168.1.2:4242", "nobody listens there", False),
        Tried("peer", f"{MDNS.host}:1", "a name that only a browser's own network knows", False),
        Tried("peer", "[2001:db8::2]:4242", "this machine has no address of its kind", False),
        Tried("peer", "198.51.100.7:4242", "not tried", False),
    )


@pytest.mark.parametrize(
    ("remote", "refused"),
    [
        ((), False),
        ((at(THEIR_RELAY, refused=True),), False),
        ((at(THEIR_LAN, refused=True), at(THEIR_PUBLIC)), False),
        ((at(THEIR_LAN, refused=True), at(THEIR_PUBLIC, refused=True)), True),
        ((at(THEIR_LAN, refused=True), at(THEIR_RELAY)), True),
        ((at(THEIR_LAN, refused=True, heard=1),), False),
        ((at(THEIR_LAN, refused=True), at(THEIR_RELAY, answered=1)), False),
    ],
)
def test_everybody_refuses(remote: tuple[RemoteTrial, ...], refused: bool) -> None:
    assert diagnosis.all_refuse(trial(*remote)) is refused


candidates = st.sampled_from([LAN, PUBLIC, LENT, V6, MDNS, THEIR_LAN, THEIR_PUBLIC, THEIR_RELAY])
counts = st.integers(0, 3)
trials = st.builds(
    Trial,
    st.lists(st.sampled_from([STUN, NO_STUN, TURN, NO_TURN])).map(tuple),
    st.lists(candidates, min_size=1).map(tuple),
    st.lists(st.builds(RemoteTrial, candidates, counts, counts, counts, st.booleans())).map(tuple),
)
settings_of = st.builds(
    NetSettings, relay=st.sampled_from(Relay), family=st.sampled_from(Family), two_way=st.booleans()
)


@given(trials, settings_of, st.booleans())
def test_there_is_always_a_reason_and_a_remedy(tried: Trial, settings: NetSettings, offering: bool) -> None:
    finding = diagnosis.explain(tried, settings, offering=offering)
    assert finding.reason
    assert finding.remedy
    assert len(diagnosis.tried(tried)) == len(tried.servers) + len(tried.own) + len(tried.remote)
    assert {each.type for each in tried.own} <= set(CANDIDATE_TYPES)
