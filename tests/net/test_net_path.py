from __future__ import annotations

import ipaddress

import pytest
from aioice import Candidate

from p2pcopy.events import PathKind
from p2pcopy.net.ice import SelectedPair
from p2pcopy.net.interfaces import LocalAddress, is_private, local_addresses
from p2pcopy.net.path import describe


def candidate(kind: str, host: str, port: int = 1000) -> Candidate:
    return Candidate("1", 1, "udp", 1, host, port, kind)


def selected(
    local: Candidate,
    remote: Candidate,
    *,
    mapped: str = "",
    is_relayed: bool = False,
    relay: str = "",
    rtt_s: float | None = None,
) -> SelectedPair:
    return SelectedPair(local, remote, (mapped or local.host, local.port), relay, is_relayed, rtt_s)


OWN = (
    LocalAddress("192.168.1.5", "eth0", 24),
    LocalAddress("198.51.100.7", "eth1", 25),
    LocalAddress("2001:db8::5", "eth0", 64),
)


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (selected(candidate("host", "192.168.1.5"), candidate("host", "192.168.1.9")), PathKind.LOCAL),
        (selected(candidate("host", "192.168.1.5"), candidate("prflx", "10.9.9.9")), PathKind.LOCAL),
        (selected(candidate("host", "198.51.100.7"), candidate("host", "198.51.100.9")), PathKind.LOCAL),
        (selected(candidate("host", "2001:db8::5"), candidate("host", "2001:db8::6")), PathKind.LOCAL),
        (selected(candidate("host", "2001:db8::5"), candidate("host", "2001:db8:1::6")), PathKind.DIRECT),
        (selected(candidate("host", "198.51.100.7"), candidate("host", "198.51.100.200")), PathKind.DIRECT),
        (selected(candidate("host", "198.51.100.7"), candidate("srflx", "198.51.100.9")), PathKind.DIRECT),
        (
            selected(candidate("host", "192.168.1.5"), candidate("srflx", "203.0.113.9"), mapped="203.0.113.1"),
            PathKind.DIRECT,
        ),
        (
            selected(candidate("relay", "203.0.113.1"), candidate("host", "192.168.1.9"), is_relayed=True),
            PathKind.RELAYED,
        ),
        (
            selected(candidate("host", "192.168.1.5"), candidate("prflx", "203.0.113.9"), is_relayed=True),
            PathKind.RELAYED,
        ),
    ],
)
def test_names_the_kind(pair: SelectedPair, kind: PathKind) -> None:
    assert describe(pair, OWN).kind is kind


def test_a_nat_on_our_side_is_told() -> None:
    pair = selected(
        candidate("host", "192.168.1.5"), candidate("srflx", "203.0.113.9", 2000), mapped="203.0.113.1", rtt_s=0.01234
    )
    path = describe(pair, OWN)
    assert (path.local, path.local_type) == ("203.0.113.1:1000", "srflx")
    assert (path.remote, path.remote_type) == ("203.0.113.9:2000", "srflx")
    assert path.rtt_ms == 12.3


def test_our_relay_is_named() -> None:
    pair = selected(
        candidate("relay", "203.0.113.1"),
        candidate("host", "2001:db8::9"),
        mapped="192.0.2.1",
        is_relayed=True,
        relay="turn:x",
    )
    path = describe(pair, OWN)
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
