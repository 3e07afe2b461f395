from __future__ import annotations

import ipaddress

import pytest
from simulated_network import End

from p2pcopy.events import PathKind
from p2pcopy.net.interfaces import LocalAddress, local_addresses
from p2pcopy.net.pairs import CHECK_PRIORITY, RELAYED_PRIORITY, Pair, Remote, RemoteType
from p2pcopy.net.path import describe
from p2pcopy.signaling.addresses import is_private


def pair(
    local: str,
    kind: RemoteType,
    remote: str,
    *,
    port: int = 1000,
    mapped: str = "",
    relay: str = "",
    priority: int = CHECK_PRIORITY,
    rtt_s: float | None = None,
) -> Pair:
    made = Pair(End((local, 1000), relay), Remote((remote, port), kind, priority), due=0, pause=0, seen=0)
    made.mapped = (mapped, 1000) if mapped else None
    if rtt_s is not None:
        made.rtts.append(rtt_s)
    return made


OWN = (
    LocalAddress("192.168.1.5", "eth0", 24),
    LocalAddress("198.51.100.7", "eth1", 25),
    LocalAddress("2001:db8::5", "eth0", 64),
)


@pytest.mark.parametrize(
    ("selected", "kind"),
    [
        (pair("192.168.1.5", "host", "192.168.1.9"), PathKind.LOCAL),
        (pair("192.168.1.5", "prflx", "10.9.9.9"), PathKind.LOCAL),
        (pair("198.51.100.7", "host", "198.51.100.9"), PathKind.LOCAL),
        (pair("2001:db8::5", "host", "2001:db8::6"), PathKind.LOCAL),
        (pair("2001:db8::5", "host", "2001:db8:1::6"), PathKind.DIRECT),
        (pair("198.51.100.7", "host", "198.51.100.200"), PathKind.DIRECT),
        (pair("198.51.100.7", "srflx", "198.51.100.9"), PathKind.DIRECT),
        (pair("192.168.1.5", "srflx", "203.0.113.9", mapped="203.0.113.1"), PathKind.DIRECT),
        (pair("203.0.113.1", "host", "192.168.1.9", relay="turn:x"), PathKind.RELAYED),
        (pair("192.168.1.5", "relay", "203.0.113.9"), PathKind.RELAYED),
        (pair("192.168.1.5", "prflx", "203.0.113.9", priority=RELAYED_PRIORITY), PathKind.RELAYED),
    ],
)
def test_names_the_kind(selected: Pair, kind: PathKind) -> None:
    assert describe(selected, OWN).kind is kind


def test_a_nat_on_our_side_is_told() -> None:
    path = describe(pair("192.168.1.5", "srflx", "203.0.113.9", port=2000, mapped="203.0.113.1", rtt_s=0.01234), OWN)
    assert (path.local, path.local_type) == ("203.0.113.1:1000", "srflx")
    assert (path.remote, path.remote_type) == ("203.0.113.9:2000", "srflx")
    assert path.rtt_ms == 12.3


def test_our_relay_is_named() -> None:
    path = describe(pair("203.0.113.1", "host", "2001:db8::9", relay="turn:x"), OWN)
    assert (path.local, path.local_type, path.relay) == ("203.0.113.1:1000", "relay", "turn:x")
    assert path.remote == "[2001:db8::9]:1000"
    assert path.rtt_ms is None


def test_private_addresses() -> None:
    private = [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "127.0.0.1",
        "fd00::1",
        "fe80::1",
        "::1",
    ]
    assert all(map(is_private, private))
    assert not any(map(is_private, ["203.0.113.1", "172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1"]))


def test_this_machine_has_an_address_that_others_can_use_or_only_its_own() -> None:
    found = local_addresses()
    assert found
    loopback = [ipaddress.ip_address(each.address).is_loopback for each in found]
    assert all(loopback) or not any(loopback)
    assert all(each.interface and each.is_on_link(each.address) for each in found)
