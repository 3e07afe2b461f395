"""Which addresses of this machine would go into a code, and why the others would not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import ifaddr

from p2pcopy.config import Family, NetSettings, Relay
from p2pcopy.net.findings import OwnAddress
from p2pcopy.net.interfaces import is_allowed
from p2pcopy.signaling.candidates import Candidate, select_candidates

_PORT: Final = 9  # a candidate has one; which it is does not matter here
_BETTER: Final = "there are better ones"
_VIRTUAL: Final = "its interface leads to containers, virtual machines or a tunnel"


def host_addresses(settings: NetSettings) -> tuple[OwnAddress, ...]:
    """All of this machine, as if every way were allowed (see in_code)."""
    present = [
        (str(ip.ip if isinstance(ip.ip, str) else ip.ip[0]).partition("%")[0], adapter.nice_name)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    return judge_hosts(present, settings)


def judge_hosts(present: Iterable[tuple[str, str]], settings: NetSettings) -> tuple[OwnAddress, ...]:
    """present: addresses with the names of their interfaces."""
    judged = [
        OwnAddress(address, "host", interface, False, _unusable(address, interface, settings))
        for address, interface in dict.fromkeys(present)
    ]
    usable = [each for each in judged if not each.reason]
    interfaces = {each.address: each.interface for each in usable}
    candidates, keep = [_candidate(each) for each in usable], bool(settings.interfaces)
    chosen = set(select_candidates(candidates, interfaces=interfaces, keep_all=keep))
    helpful = set(select_candidates(candidates, interfaces=interfaces, keep_all=keep, limit=len(candidates)))

    def final(each: OwnAddress) -> OwnAddress:
        if each.reason:
            return each
        if _candidate(each) in chosen:
            return replace(each, in_code=True)
        return replace(each, reason=_BETTER if _candidate(each) in helpful else _VIRTUAL)

    return tuple(map(final, judged))


def in_code(
    hosts: Iterable[OwnAddress], public: Iterable[str], lent: Iterable[str], relay: Relay
) -> tuple[OwnAddress, ...]:
    """All addresses, with those that servers see this machine at and those that they lend, as the policy allows them."""
    hosts = tuple(hosts)
    own = {each.address for each in hosts}
    seen = [OwnAddress(each, "srflx", "", True, "") for each in dict.fromkeys(public) if each not in own]
    borrowed = [OwnAddress(each, "relay", "", True, "") for each in dict.fromkeys(lent)]
    allowed = [_under(relay, each) for each in (*hosts, *seen, *borrowed)]
    chosen = set(select_candidates((_candidate(each) for each in allowed if each.in_code), keep_all=True))
    return tuple(
        replace(each, in_code=False, reason=_BETTER) if each.in_code and _candidate(each) not in chosen else each
        for each in allowed
    )


def _under(relay: Relay, each: OwnAddress) -> OwnAddress:
    if each.in_code and relay is Relay.ONLY and each.type != "relay":
        return replace(each, in_code=False, reason="only a relay is allowed")
    if each.in_code and relay is Relay.NEVER and each.type == "relay":
        return replace(each, in_code=False, reason="no relay is allowed")
    return each


def _unusable(address: str, interface: str, settings: NetSettings) -> str:
    """Why it cannot be in any code of these settings, "" when it can."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_loopback:
        return "it leads to this machine only"
    if parsed.is_link_local:
        return "it is link-local, without a meaning on other networks"
    if not is_allowed(address, settings.family):
        return f"only {'IPv6' if settings.family is Family.IPV6 else 'IPv4'} is allowed"
    if settings.interfaces and interface not in settings.interfaces:
        return "another interface was chosen"
    return ""


def _candidate(each: OwnAddress) -> Candidate:
    return Candidate(each.type, each.address, _PORT)
