"""The addresses of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

import ifaddr

from p2pcopy.config import Family
from p2pcopy.errors import UsageError


@dataclass(frozen=True)
class LocalAddress:
    """An address of an interface. prefix: length of the network's prefix in bits."""

    address: str
    interface: str
    prefix: int

    def is_on_link(self, address: str) -> bool:
        """Is address in the network that this interface is part of?"""
        return ipaddress.ip_address(address) in ipaddress.ip_network(f"{self.address}/{self.prefix}", strict=False)

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


def local_addresses(interfaces: Collection[str] = (), family: Family = Family.ANY) -> tuple[LocalAddress, ...]:
    """All addresses that another process can send to. Those of the loopback interface only when there are no others.

    interfaces: names of those to look at, none: all. IPv6 link-local addresses are left out: they mean nothing without the
    name of an interface.
    """
    found = [
        LocalAddress(address, adapter.nice_name, ip.network_prefix)
        for adapter in ifaddr.get_adapters()
        if not interfaces or adapter.nice_name in interfaces
        for ip in adapter.ips
        if isinstance(ip.ip, str) or ip.ip[2] == 0
        if is_allowed(address := ip.ip if isinstance(ip.ip, str) else ip.ip[0], family)
    ]
    return tuple([each for each in found if not each.is_loopback] or found)


def interface_names() -> list[str]:
    """Of every interface of this machine, those without an address too."""
    return sorted({adapter.nice_name for adapter in ifaddr.get_adapters(include_unconfigured=True)})


def check_interfaces(names: Collection[str]) -> None:
    """Raises UsageError for a name that no interface of this machine has."""
    known = interface_names()
    for name in names:
        if name not in known:
            raise UsageError(f"there is no network interface {name!r}", f"Give one of these: {', '.join(known)}.")


def is_allowed(address: str, family: Family) -> bool:
    version = ipaddress.ip_address(address).version
    return family is Family.ANY or version == (4 if family is Family.IPV4 else 6)
