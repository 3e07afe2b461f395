"""Each kind of NAT does what RFC 4787 calls by its name, as plain sockets see it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import Family, Lab, Layout, Nat, Site
from lab.sockets import ARRIVES_S, NEVER_S, Address, Udp

pytestmark = pytest.mark.lab

PUBLIC = "203.0.113.101"
TRANSLATING = [Nat.FULL_CONE, Nat.ADDRESS_RESTRICTED, Nat.PORT_RESTRICTED, Nat.SYMMETRIC]
CONES = TRANSLATING[:3]


@dataclass(frozen=True)
class Middle:
    """Servers in the middle: one, at its other port, at another address, and there at another port."""

    one: Udp
    other_port: Udp
    other_address: Udp
    both_other: Udp


@contextlib.contextmanager
def middle(lab: Lab) -> Iterator[Middle]:
    with (
        Udp(lab, "m", Lab.SERVER, 4001) as one,
        Udp(lab, "m", Lab.SERVER, 4002) as other_port,
        Udp(lab, "m", Lab.SERVER_2, 4001) as other_address,
        Udp(lab, "m", Lab.SERVER_2, 4002) as both_other,
    ):
        yield Middle(one, other_port, other_address, both_other)


@pytest.mark.parametrize(
    ("kind", "same_mapping", "preserved", "filtering"),
    [
        (Nat.NONE, True, True, [True, True, True]),
        (Nat.FULL_CONE, True, True, [True, True, True]),
        (Nat.ADDRESS_RESTRICTED, True, True, [True, False, False]),
        (Nat.PORT_RESTRICTED, True, True, [False, False, False]),
        (Nat.SYMMETRIC, False, False, [False, False, False]),
    ],
)
def test_mapping_and_filtering(kind: Nat, same_mapping: bool, preserved: bool, filtering: list[bool]) -> None:
    with Lab.between(kind, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        mapped = host.seen_by(servers.one)
        assert mapped[0] == PUBLIC
        assert (mapped[1] == host.address[1]) is preserved
        strangers = (servers.other_port, servers.other_address, servers.both_other)
        assert host.hears(*((each, mapped) for each in strangers), (servers.one, mapped))[:3] == filtering
        seen = {host.seen_by(each) for each in strangers}
        assert ({mapped} == seen) is same_mapping
        assert same_mapping or len({mapped, *seen}) > 2  # two of these random ports may be the same


@pytest.mark.parametrize("kind", TRANSLATING)
def test_what_nobody_asked_for_takes_no_port_and_gets_no_answer(kind: Nat) -> None:
    with Lab.between(kind, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        servers.one.send(b"too early", (PUBLIC, host.address[1]))
        with pytest.raises(TimeoutError):  # and not ConnectionRefusedError
            servers.one.receive(NEVER_S)
        mapped = host.seen_by(servers.one)
        assert (mapped[1] == host.address[1]) is (kind is not Nat.SYMMETRIC)
        assert host.hears((servers.one, mapped)) == [True]


@pytest.mark.parametrize("kind", TRANSLATING)
def test_one_that_refuses_says_so_and_lets_the_host_have_its_port(kind: Nat) -> None:
    layout = Layout(Site(kind), Site())
    with Lab(layout, refuses=True) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        for _ in range(2):
            with lab.inside("m"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((Lab.SERVER, 4005))
                stranger.connect((PUBLIC, host.address[1]))
                stranger.settimeout(ARRIVES_S)
                stranger.send(b"too early")
                with pytest.raises(ConnectionRefusedError):
                    stranger.recv(1)
        mapped = host.seen_by(servers.one)
        assert (mapped[1] == host.address[1]) is (kind is not Nat.SYMMETRIC)
        assert host.hears((servers.one, mapped)) == [True]


def test_who_answered_a_stranger_keeps_the_mapping() -> None:
    with Lab.between(Nat.FULL_CONE, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        mapped = host.seen_by(servers.one)
        servers.other_address.send(b"hello", mapped)
        assert host.receive()[1] == servers.other_address.address
        assert host.seen_by(servers.other_address) == mapped
        assert host.seen_by(servers.both_other) == mapped
        assert host.hears((servers.other_port, mapped)) == [True]


@pytest.mark.parametrize("kind", CONES)
def test_two_hosts_punch_holes(kind: Nat) -> None:
    with (
        Lab.between(kind, Nat.PORT_RESTRICTED) as lab,
        middle(lab) as servers,
        Udp(lab, "a") as a,
        Udp(lab, "b") as b,
    ):
        at_a, at_b = a.seen_by(servers.one), b.seen_by(servers.one)
        a.send(b"hole", at_b)
        b.send(b"hole", at_a)
        assert a.receive() == (b"hole", at_b)
        assert b.hears((a, at_b)) == [True]


def test_blocked_udp_leaves_tcp() -> None:
    with Lab.between(Nat.UDP_BLOCKED, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        host.send(b"anybody?", servers.one.address)
        with pytest.raises(TimeoutError):
            servers.one.receive(NEVER_S)
        with (
            lab.inside("m"),
            socket.create_server((Lab.SERVER, 80)) as listening,
            lab.inside("a"),
            socket.create_connection(listening.getsockname(), timeout=10),
        ):
            accepted, (address, _) = listening.accept()
            accepted.close()
            assert address == PUBLIC


@pytest.mark.parametrize("kind", CONES)
def test_a_restart_forgets_and_a_rebinding_changes_ports(kind: Nat) -> None:
    with Lab.between(kind, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a", port=4000) as host:
        first = host.seen_by(servers.one)
        lab.forget_mappings("a")
        servers.one.send(b"gone", first)
        with pytest.raises(TimeoutError):
            host.receive(NEVER_S)
        assert host.seen_by(servers.one) == first
        lab.rebind("a")
        servers.one.send(b"gone", first)
        with pytest.raises(TimeoutError):
            host.receive(NEVER_S)
        second = host.seen_by(servers.one)
        assert second != first
        assert second == host.seen_by(servers.both_other)
        assert host.hears((servers.one, second)) == [True]
        lab.rebind("a")
        assert host.seen_by(servers.one) not in (first, second)


def test_a_symmetric_nat_has_other_ports_after_a_restart() -> None:
    with Lab.between(Nat.SYMMETRIC, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        first = host.seen_by(servers.one)
        assert host.seen_by(servers.one) == first
        lab.forget_mappings("a")
        second = host.seen_by(servers.one)
        assert second != first
        lab.rebind("a")
        assert host.seen_by(servers.one) not in (first, second)


def test_a_mapping_that_is_not_used_ends() -> None:
    with Lab(Layout(Site(Nat.FULL_CONE), Site()), mapping_s=1) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        mapped = host.seen_by(servers.one)
        assert host.hears((servers.other_port, mapped)) == [True]
        with pytest.raises(TimeoutError):
            host.receive(1.5)
        for each in (servers.one, servers.other_port, servers.both_other):
            each.send(b"too late", mapped)
        with pytest.raises(TimeoutError):
            host.receive(NEVER_S)


def test_there_is_nothing_to_forget_without_a_nat() -> None:
    with Lab.between(Nat.NONE, Nat.NONE) as lab, pytest.raises(ValueError, match="no NAT"):
        lab.forget_mappings("a")


@pytest.mark.parametrize(
    ("kind", "to"), [(None, "192.0.2.18"), (Nat.NONE, "192.0.2.18"), (Nat.SYMMETRIC, "192.0.2.18")]
)
def test_a_host_goes_to_another_network(kind: Nat | None, to: str) -> None:
    with Lab.between(Nat.PORT_RESTRICTED, Nat.NONE) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        before = host.seen_by(servers.one)
        lab.cut("a")
        lab.roam("a", Site(kind) if kind else None)
        address, port = host.seen_by(servers.one)
        assert address == to
        assert (port == before[1]) is (kind is not Nat.SYMMETRIC)
        servers.one.send(b"nobody is there", before)
        with pytest.raises(TimeoutError):
            host.receive(NEVER_S)
        with Udp(lab, "a", "10.1.1.2" if kind is not Nat.NONE else to):
            pass
        with pytest.raises(OSError, match="Cannot assign"), Udp(lab, "a", "10.1.0.2"):
            pass
        lab.roam("a")
        assert host.seen_by(servers.one)[0] == "192.0.2.34"


@pytest.mark.parametrize(("kind", "private"), [(Nat.PORT_RESTRICTED, "10.1.0."), (Nat.NONE, "203.0.113.")])
def test_a_host_gets_another_address_in_the_same_network(kind: Nat, private: str) -> None:
    with Lab.between(kind, Nat.NONE, Family.DUAL) as lab, middle(lab) as servers, Udp(lab, "a") as host:
        before = host.seen_by(servers.one)
        lab.renumber("a")
        after = host.seen_by(servers.one)
        assert (after[0] == before[0] == PUBLIC) is (kind is not Nat.NONE)
        lab.renumber("a")
        with Udp(lab, "a", private + ("122" if kind is not Nat.NONE else "121")) as other:
            assert other.seen_by(servers.one)[1] == other.address[1]
        with Udp(lab, "m", Lab.SERVER6, 4003) as six, Udp(lab, "a", "::") as other:
            assert other.seen_by(six)[0].startswith("2001:db8:1:")


def test_hosts_on_one_lan_reach_each_other_and_isolated_ones_do_not() -> None:
    with Lab.together(Nat.SYMMETRIC) as lab, Udp(lab, "a") as a, Udp(lab, "b", "10.1.0.3") as b:
        assert a.seen_by(b) == ("10.1.0.2", a.address[1])
    with Lab.isolated(Nat.FULL_CONE) as lab, middle(lab) as servers, Udp(lab, "a") as a, Udp(lab, "b", "10.2.0.2") as b:
        at_a, at_b = a.seen_by(servers.one), b.seen_by(servers.one)
        assert at_a[0] == at_b[0] == PUBLIC
        for address in (b.address, at_b):
            a.send(b"neighbour?", address)
        assert b.hears((a, at_b), (a, b.address), (servers.one, at_b)) == [False, False, True]
        assert a.hears((b, at_a), (servers.one, at_a)) == [False, True]


@pytest.mark.parametrize("family", [Family.DUAL, Family.IPV6])
def test_a_firewall_for_ipv6_lets_in_only_answers(family: Family) -> None:
    with (
        Lab.between(Nat.PORT_RESTRICTED, Nat.NONE, family) as lab,
        Udp(lab, "m", Lab.SERVER6, 4001) as server,
        Udp(lab, "a", "2001:db8:1:2::2") as a,
        Udp(lab, "b", "2001:db8:2:1::2") as b,
    ):
        assert a.seen_by(server) == a.address
        assert a.hears((b, a.address), (server, a.address)) == [False, True]
        assert b.seen_by(server) == b.address
        assert a.seen_by(b) == a.address
        assert a.hears((b, a.address)) == [True]


def test_a_firewall_can_block_udp_over_ipv6() -> None:
    with (
        Lab.between(Nat.UDP_BLOCKED, Nat.NONE, Family.IPV6) as lab,
        Udp(lab, "m", Lab.SERVER6, 4001) as server,
        Udp(lab, "a", "::") as a,
    ):
        a.send(b"anybody?", server.address)
        with pytest.raises(TimeoutError):
            server.receive(NEVER_S)


def test_ipv6_only_is_without_ipv4_and_the_other_way_round() -> None:
    def reaches(lab: Lab, address: Address) -> bool:
        with Udp(lab, "a", "::" if ":" in address[0] else "0.0.0.0") as host:
            try:
                host.send(b"hello", address)
            except OSError:
                return False
            return True

    four, six = (Lab.SERVER, 4001), (Lab.SERVER6, 4001)
    for family, expected in ((Family.IPV4, (True, False)), (Family.DUAL, (True, True)), (Family.IPV6, (False, True))):
        with Lab.between(Nat.PORT_RESTRICTED, Nat.NONE, family) as lab:
            assert (reaches(lab, four), reaches(lab, six)) == expected
