"""IP addresses: what they mean, and how they are written with a port. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

_PRIVATE: Final = tuple(
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


def is_private(address: str) -> bool:
    """Is this an address that has a meaning only inside some local network?"""
    ip = ipaddress.ip_address(address)
    return any(ip in network for network in _PRIVATE)


def written(host: str, port: int) -> str:
    """ "192.0.2.1:4242", "[2001:db8::1]:4242"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
