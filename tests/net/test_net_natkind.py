"""What STUN servers saw -> the kind of NAT -> what it means and what to do. Pure."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.config import Family, NetSettings, Relay
from p2pcopy.net import verdict
from p2pcopy.net.findings import (
    Check,
    FamilyFinding,
    Network,
    OwnAddress,
    ServerFinding,
    Software,
    Transport,
    Udp,
    Verdict,
)
from p2pcopy.net.natkind import Address, Filtering, FilterTest, Kind, Mapped, Mapping, Nat, Observations, judge

LOCAL = ("10.0.0.2", 4000)
OUTSIDE = ("203.0.113.7", 4000)
ELSEWHERE = ("203.0.113.7", 4001)
THIRD = ("203.0.113.7", 4002)
ONE, ONE_B = ("192.0.2.1", 3478), ("192.0.2.1", 3479)
TWO, TWO_B = ("192.0.2.2", 3478), ("192.0.2.2", 3479)

OPEN_FILTER = FilterTest(from_other_address=True, from_other_port=True, valid=True)
BY_ADDRESS = FilterTest(from_other_address=False, from_other_port=True, valid=True)
BY_PORT = FilterTest(from_other_address=False, from_other_port=False, valid=True)
SILENT = FilterTest(from_other_address=False, from_other_port=False, valid=False)


def seen(*mapped: tuple[Address, Address], tests: tuple[FilterTest, ...] = (), **more: bool) -> Observations:
    return Observations(LOCAL, tuple(Mapped(*each) for each in mapped), tests, **more)


# RFC 5780: test I asks one address, test II the other with the same port, test III the other with the other port.
SAME_EVERYWHERE = ((ONE, OUTSIDE), (TWO, OUTSIDE), (TWO_B, OUTSIDE))


@pytest.mark.parametrize(
    ("tests", "kind", "filtering"),
    [
        ((OPEN_FILTER,), Kind.FULL_CONE, Filtering.INDEPENDENT),
        ((BY_ADDRESS,), Kind.ADDRESS_RESTRICTED, Filtering.ADDRESS),
        ((BY_PORT,), Kind.PORT_RESTRICTED, Filtering.ADDRESS_AND_PORT),
        ((SILENT,), Kind.CONE, Filtering.UNKNOWN),
        ((), Kind.CONE, Filtering.UNKNOWN),
        ((SILENT, BY_ADDRESS), Kind.ADDRESS_RESTRICTED, Filtering.ADDRESS),
        ((BY_PORT, replace(OPEN_FILTER, valid=False)), Kind.FULL_CONE, Filtering.INDEPENDENT),
    ],
)
def test_a_cone_is_named_after_its_filter(tests: tuple[FilterTest, ...], kind: Kind, filtering: Filtering) -> None:
    nat = judge(seen(*SAME_EVERYWHERE, tests=tests))
    assert (nat.kind, nat.mapping, nat.filtering) == (kind, Mapping.INDEPENDENT, filtering)
    assert (nat.public, nat.port_preserved, nat.hairpinning) == ("203.0.113.7", True, None)


@pytest.mark.parametrize(
    ("mapped", "kind", "mapping"),
    [
        (((ONE, OUTSIDE), (TWO, ELSEWHERE), (TWO_B, ELSEWHERE)), Kind.SYMMETRIC, Mapping.ADDRESS),
        (((ONE, OUTSIDE), (TWO, ELSEWHERE), (TWO_B, THIRD)), Kind.SYMMETRIC, Mapping.ADDRESS_AND_PORT),
        (((ONE, OUTSIDE), (TWO, ELSEWHERE)), Kind.SYMMETRIC, Mapping.DEPENDENT),
        (((ONE, OUTSIDE), (ONE_B, ELSEWHERE)), Kind.SYMMETRIC, Mapping.ADDRESS_AND_PORT),
        (((ONE, OUTSIDE), (TWO, OUTSIDE)), Kind.CONE, Mapping.INDEPENDENT),
        (((ONE, OUTSIDE), (ONE, OUTSIDE)), Kind.UNKNOWN, Mapping.UNKNOWN),
        (((ONE, OUTSIDE), (ONE_B, OUTSIDE)), Kind.UNKNOWN, Mapping.UNKNOWN),
        (((ONE, OUTSIDE),), Kind.UNKNOWN, Mapping.UNKNOWN),
        (((ONE, LOCAL), (TWO, OUTSIDE)), Kind.UNKNOWN, Mapping.UNKNOWN),
    ],
    ids=["II", "III", "two servers", "two ports", "two the same", "asked twice", "one host", "one", "one inside"],
)
def test_the_mapping_shows_in_pairs_of_answers(
    mapped: tuple[tuple[Address, Address], ...], kind: Kind, mapping: Mapping
) -> None:
    nat = judge(seen(*mapped))
    assert (nat.kind, nat.mapping) == (kind, mapping)


@pytest.mark.parametrize(
    ("tests", "kind"),
    [
        ((OPEN_FILTER,), Kind.OPEN),
        ((), Kind.OPEN),
        ((BY_ADDRESS,), Kind.FIREWALL),
        ((BY_PORT,), Kind.FIREWALL),
    ],
)
def test_who_is_seen_as_he_is_has_no_nat(tests: tuple[FilterTest, ...], kind: Kind) -> None:
    nat = judge(seen((ONE, LOCAL), (TWO, LOCAL), tests=tests))
    assert (nat.kind, nat.mapping, nat.public, nat.port_preserved) == (kind, Mapping.NONE, LOCAL[0], None)
    assert judge(seen((ONE, LOCAL), tests=tests, is_private=True)).kind is Kind.UNKNOWN


def test_nothing_comes_of_nothing() -> None:
    assert judge(seen()).kind is Kind.UNKNOWN
    assert judge(seen(blocked=True)) == Nat(Kind.UDP_BLOCKED, Mapping.UNKNOWN, Filtering.UNKNOWN)


def test_a_nat_with_several_addresses_has_no_single_one() -> None:
    nat = judge(seen((ONE, OUTSIDE), (TWO, ("203.0.113.8", 9)), hairpin=True))
    assert (nat.kind, nat.public, nat.port_preserved, nat.hairpinning) == (Kind.SYMMETRIC, None, False, True)


ADDRESSES = st.sampled_from([ONE, ONE_B, TWO, TWO_B, LOCAL, OUTSIDE, ELSEWHERE])


@given(
    st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=6),
    st.lists(st.sampled_from([OPEN_FILTER, BY_ADDRESS, BY_PORT, SILENT]), max_size=3),
    st.randoms(use_true_random=False),
)
def test_the_order_of_answers_does_not_matter(
    mapped: list[tuple[Address, Address]], tests: list[FilterTest], random: Random
) -> None:
    before = judge(seen(*mapped, tests=tuple(tests)))
    random.shuffle(mapped)
    random.shuffle(tests)
    assert judge(seen(*mapped, tests=tuple(tests))) == before


# The verdict

SOFTWARE = Software("1", "3.11", "somewhere", (), "", "")
HOST = OwnAddress("10.0.0.2", "host", "eth0", in_code=True, reason="")
NO_ADDRESS = FamilyFinding("", Udp.NO_ADDRESS, None)
BLOCKED = FamilyFinding(LOCAL[0], Udp.BLOCKED, Nat(Kind.UDP_BLOCKED, Mapping.UNKNOWN, Filtering.UNKNOWN))
NO_ANSWER = FamilyFinding(LOCAL[0], Udp.NO_ANSWER, None)
TURN = "turn:turn.example.org"


def behind(kind: Kind, filtering: Filtering = Filtering.ADDRESS_AND_PORT) -> FamilyFinding:
    return FamilyFinding(LOCAL[0], Udp.WORKS, Nat(kind, Mapping.UNKNOWN, filtering))


def server(
    url: str,
    *,
    ok: bool = True,
    reachable: bool = True,
    refused: bool = False,
    reason: str = "it is broken",
    over: Transport = "udp",
) -> ServerFinding:
    why = "" if ok else reason
    checks = (Check(over, "192.0.2.1:3478", True, reachable, ok, why, "refused" if refused else None, 1.0, ""),)
    return ServerFinding(url, "turn" if url.startswith("turn") else "stun", ok, "", False, checks)


STUN = server("stun:one.example.org")
DEAD_STUN = server("stun:dead.example.org", ok=False, reachable=False)
UNKNOWN_STUN = ServerFinding("stun:nowhere.invalid", "stun", False, "its name cannot be resolved", False, ())


def judged(
    ipv4: FamilyFinding,
    ipv6: FamilyFinding = NO_ADDRESS,
    servers: tuple[ServerFinding, ...] = (STUN,),
    settings: NetSettings = NetSettings(),  # noqa: B008 (frozen)
    addresses: tuple[OwnAddress, ...] = (HOST,),
) -> Verdict:
    return verdict.judge(Network(addresses, servers, ipv4, ipv6, 1.0), SOFTWARE, settings)


NAME_TURN = "Name a TURN server with --turn and --turn-user: then every peer can be reached, and one code is enough."


@pytest.mark.parametrize(
    ("ipv4", "whom", "advice"),
    [
        (behind(Kind.OPEN, Filtering.INDEPENDENT), "almost every peer, and one code is enough.", ()),
        (behind(Kind.FULL_CONE), "almost every peer, and one code is enough.", ()),
        (behind(Kind.ADDRESS_RESTRICTED), "almost every peer.", ()),
        (behind(Kind.FIREWALL, Filtering.ADDRESS), "almost every peer.", ()),
        (
            behind(Kind.PORT_RESTRICTED),
            "most peers; without TURN not with those behind symmetric NATs.",
            (NAME_TURN,),
        ),
        (behind(Kind.FIREWALL), "most peers; without TURN not with those behind symmetric NATs.", (NAME_TURN,)),
        (
            behind(Kind.OPEN, Filtering.UNKNOWN),
            "most peers; without TURN not with those behind symmetric NATs.",
            (NAME_TURN,),
        ),
        (
            behind(Kind.SYMMETRIC),
            "peers without a NAT, or behind one that does not filter by port; without TURN with nobody else.",
            (NAME_TURN,),
        ),
    ],
)
def test_with_whom_direct_connections_work(ipv4: FamilyFinding, whom: str, advice: tuple[str, ...]) -> None:
    result = judged(ipv4)
    assert result.possible
    assert result.meaning == f"Direct connections will work with {whom}"
    assert result.advice == advice


def test_with_a_relay_all_are_reached() -> None:
    result = judged(behind(Kind.SYMMETRIC), servers=(STUN, server(TURN)))
    assert result.possible
    assert result.meaning.endswith("does not filter by port; the TURN relay carries the rest.")
    assert result.advice == ()
    assert not judged(behind(Kind.OPEN, Filtering.INDEPENDENT), servers=(server(TURN),)).advice


def test_ipv6_is_another_way() -> None:
    firewall = behind(Kind.FIREWALL)
    assert (
        "and over IPv6 with every peer that has it; without TURN not"
        in judged(behind(Kind.PORT_RESTRICTED), firewall).meaning
    )
    only = judged(NO_ADDRESS, firewall)
    assert only.possible
    assert only.meaning == "Direct connections will work with peers that have IPv6; without TURN with nobody else."
    assert "IPv6; with whom else is not known." in judged(behind(Kind.UNKNOWN), firewall).meaning


def test_who_is_seen_by_one_server_alone_needs_another_one() -> None:
    result = judged(behind(Kind.UNKNOWN))
    assert result.possible
    assert result.meaning == "Direct connections may work: the kind of NAT is not known."
    assert result.advice[0].startswith("Name another STUN server")
    assert judged(behind(Kind.UNKNOWN), servers=(STUN, server(TURN))).meaning.endswith("relay carries the rest.")


def test_blocked_udp() -> None:
    result = judged(BLOCKED, servers=(DEAD_STUN,))
    assert not result.possible
    assert result.meaning.startswith("UDP is blocked: without a TURN server over TCP or TLS,")
    assert result.advice == (
        "Allow UDP, or name a TURN server that is reached over TLS: --turn turns:HOST with --turn-user.",
    )
    relayed = judged(BLOCKED, servers=(DEAD_STUN, server(TURN, over="tls")))
    assert relayed.possible
    assert relayed.meaning == "UDP is blocked: beyond the local network every connection goes over the TURN relay."
    assert relayed.advice == ()


def test_no_server_answers() -> None:
    result = judged(NO_ANSWER, servers=(DEAD_STUN,))
    assert not result.possible
    assert result.meaning == "No server could be reached: connections work within the local network at best."
    relayed = judged(NO_ANSWER, servers=(server(TURN, over="tcp"),))
    assert relayed.possible
    assert relayed.meaning.startswith("Connections work over the TURN relay;")
    nothing = judged(replace(NO_ANSWER, udp=Udp.NOT_TRIED), servers=(UNKNOWN_STUN,))
    assert not nothing.possible
    assert nothing.advice[0] == (
        "Check the network connection: no server could be asked (its name cannot be resolved)."
    )


def test_no_server_was_asked() -> None:
    result = judged(replace(NO_ANSWER, udp=Udp.NOT_TRIED), servers=())
    assert result.possible
    assert result.meaning.startswith("Connections within the local network will work;")
    assert result.advice == ("Leave out --no-stun to learn what lies beyond the local network.",)


def test_no_address() -> None:
    out = replace(HOST, in_code=False, reason="it leads to this machine only")
    result = judged(NO_ADDRESS, servers=(STUN,), addresses=(out,))
    assert not result.possible
    assert result.meaning.startswith("No connection is possible: this machine has no network address")
    assert result.advice == ("Connect this machine to a network.",)
    for settings in (NetSettings(interfaces=("eth9",)), NetSettings(family=Family.IPV6)):
        limited = judged(NO_ADDRESS, servers=(STUN,), addresses=(out,), settings=settings)
        assert limited.advice == ("Leave out --interface, --ipv4 and --ipv6.",)


def test_only_a_relay() -> None:
    only = NetSettings(relay=Relay.ONLY)
    result = judged(behind(Kind.PORT_RESTRICTED), servers=(STUN, server(TURN)), settings=only, addresses=())
    assert result.possible
    assert result.meaning == "Every connection goes over the TURN relay, as only a relay is allowed."
    refused = judged(
        behind(Kind.PORT_RESTRICTED), servers=(STUN, server(TURN, ok=False, refused=True)), settings=only, addresses=()
    )
    assert not refused.possible
    assert refused.meaning == "No connection is possible: only a relay is allowed, and no TURN server can be used."
    assert refused.advice == (f"Check the user name and the password (or the shared secret) for {TURN}.",)


def test_never_a_relay() -> None:
    never = NetSettings(relay=Relay.NEVER)
    servers = (STUN, server(TURN))
    assert judged(behind(Kind.SYMMETRIC), servers=servers, settings=never).advice == (
        "Leave out --relay never, and name a TURN server with --turn and --turn-user.",
    )
    assert not judged(BLOCKED, servers=servers, settings=never).possible
    assert not judged(behind(Kind.FULL_CONE), servers=servers, settings=never).advice


@pytest.mark.parametrize(
    ("bad", "advice"),
    [
        (
            server(TURN, ok=False, refused=True),
            f"Check the user name and the password (or the shared secret) for {TURN}.",
        ),
        (server(TURN, ok=False), f"Have {TURN} looked after: it is broken."),
        (DEAD_STUN, "Check the address and port of stun:dead.example.org, and whether it runs: nothing answers there."),
        (UNKNOWN_STUN, "Check or leave out stun:nowhere.invalid: its name cannot be resolved."),
    ],
)
def test_what_to_do_about_a_server(bad: ServerFinding, advice: str) -> None:
    assert judged(behind(Kind.FULL_CONE), servers=(STUN, bad)).advice == (advice,)


def test_a_blocked_network_is_no_reason_to_check_a_server() -> None:
    tcp = server("turn:t?transport=tcp", ok=False, reachable=False, over="tcp")
    first, *_ = judged(BLOCKED, servers=(DEAD_STUN, tcp)).advice
    assert first.startswith("Check the address and port of turn:t?transport=tcp")


def test_libraries_that_do_not_fit() -> None:
    software = replace(SOFTWARE, problem="aiortc 9 is too new", remedy="Install another one.")
    network = Network((HOST,), (STUN,), behind(Kind.FULL_CONE), NO_ADDRESS, 1.0)
    result = verdict.judge(network, software, NetSettings())
    assert result == Verdict(False, "p2pcopy cannot run here: aiortc 9 is too new.", ("Install another one.",))
