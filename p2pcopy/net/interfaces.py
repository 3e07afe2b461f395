"""The addresses of this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import ifaddr

_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598
        "169.254.0.0/16",  # RFC 3927
        "127.0.0.0/8",
        "fc00::/7",  # RFC 4193
        "fe80::/10",
        "::1/128",
    )
)


@dataclass(frozen=True)
class LocalAddress:
    """An address of an interface. prefix: length of the network's prefix in bits."""

    address: str
    interface: str
    prefix: int

    def is_on_link(self, address: str) -> bool:
        """Is address in the network that this interface is part of?"""
        return ipaddress.ip_address(address) in ipaddress.ip_network(f"{self.address}/{self.prefix}", strict=False)


def local_addresses() -> tuple[LocalAddress, ...]:
    """All addresses that another process can send to. Those of the loopback interface only when there are no others.

    IPv6 link-local addresses are left out: they mean nothing without the name of an interface.
    """
    found = [
        LocalAddress(ip.ip if isinstance(ip.ip, str) else ip.ip[0], adapter.nice_name, ip.network_prefix)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str) or ip.ip[2] == 0
    ]
    return tuple([a for a in found if not ipaddress.ip_address(a.address).is_loopback] or found)


def is_private(address: str) -> bool:
    """Is this an address that has a meaning only inside some local network?"""
    ip = ipaddress.ip_address(address)
    return any(ip in network for network in _PRIVATE)
