"""What the state of a network means for p2pcopy, in a sentence, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from p2pcopy.config import Family, NetSettings, Relay
from p2pcopy.net.findings import FamilyFinding, Network, ServerFinding, Software, Udp, Verdict
from p2pcopy.net.natkind import Filtering, Kind


class Reach(IntEnum):
    """With whom direct connections work. FEW: who is reached at the address in their code, whatever our port; MOST: not with
    symmetric NATs; ALMOST_ALL: also with those, whose address is known and only the port is not; ALL: with whoever knows our
    address, even if we do not know theirs."""

    NONE = 0
    UNSURE = 1
    FEW = 2
    MOST = 3
    ALMOST_ALL = 4
    ALL = 5


_REACH: Final = {
    Kind.OPEN: Reach.ALL,
    Kind.FIREWALL: Reach.MOST,
    Kind.FULL_CONE: Reach.ALL,
    Kind.ADDRESS_RESTRICTED: Reach.ALMOST_ALL,
    Kind.PORT_RESTRICTED: Reach.MOST,
    Kind.CONE: Reach.MOST,
    Kind.SYMMETRIC: Reach.FEW,
    Kind.UDP_BLOCKED: Reach.NONE,
    Kind.UNKNOWN: Reach.UNSURE,
}
_PEERS: Final = {
    Reach.FEW: "peers without a NAT, or behind one that does not filter by port",
    Reach.MOST: "most peers",
    Reach.ALMOST_ALL: "almost every peer",
    Reach.ALL: "almost every peer, and one code is enough",
}
_WITHOUT_TURN: Final = {
    Reach.NONE: "; without TURN with nobody else",
    Reach.UNSURE: "; with whom else is not known",
    Reach.FEW: "; without TURN with nobody else",
    Reach.MOST: "; without TURN not with those behind symmetric NATs",
}


def judge(network: Network, software: Software, settings: NetSettings) -> Verdict:
    """settings: those that the network was looked at with."""
    if software.problem:
        return Verdict(False, f"p2pcopy cannot run here: {software.problem}.", (software.remedy,))
    return Verdict(_is_possible(network, settings), _meaning(network, settings), tuple(_advice(network, settings)))


def has_relay(network: Network, settings: NetSettings) -> bool:
    """Can a TURN server be used, and may it?"""
    return settings.relay is not Relay.NEVER and any(server.ok for server in network.servers if server.kind == "turn")


def reach(finding: FamilyFinding) -> Reach:
    nat = finding.nat
    if nat is None:
        return Reach.NONE
    if nat.kind is Kind.OPEN and nat.filtering is Filtering.UNKNOWN:
        return Reach.MOST
    if nat.kind is Kind.FIREWALL and nat.filtering is Filtering.ADDRESS:
        return Reach.ALMOST_ALL
    return _REACH[nat.kind]


def _is_possible(network: Network, settings: NetSettings) -> bool:
    """Is there a way for some peers at least? Where nothing was asked, those of the local network count."""
    if has_relay(network, settings):
        return True
    if settings.relay is Relay.ONLY or not _has_address(network):
        return False
    return _udp(network) is Udp.WORKS or not network.servers


# What it means


def _meaning(network: Network, settings: NetSettings) -> str:
    relay = has_relay(network, settings)
    if settings.relay is Relay.ONLY:
        if relay:
            return "Every connection goes over the TURN relay, as only a relay is allowed."
        return "No connection is possible: only a relay is allowed, and no TURN server can be used."
    if not _has_address(network):
        return "No connection is possible: this machine has no network address that others could use."
    if not network.servers:
        return (
            "Connections within the local network will work; what lies beyond it is not known, as no server was asked."
        )
    match _udp(network):
        case Udp.WORKS:
            return _direct(reach(network.ipv4), reach(network.ipv6), relay)
        case Udp.BLOCKED if not relay:
            return (
                "UDP is blocked: without a TURN server over TCP or TLS, connections work within the local network only."
            )
        case Udp.BLOCKED:
            return "UDP is blocked: beyond the local network every connection goes over the TURN relay."
        case _ if relay:
            return (
                "Connections work over the TURN relay; whether direct ones do is not known, as no STUN server answers."
            )
        case _:
            return "No server could be reached: connections work within the local network at best."


def _direct(ipv4: Reach, ipv6: Reach, relay: bool) -> str:
    if ipv4 >= Reach.FEW:
        whom = _PEERS[ipv4]
        if ipv6 >= Reach.MOST and ipv4 < Reach.ALL:
            whom += ", and over IPv6 with every peer that has it"
    elif ipv6 >= Reach.MOST:
        whom = "peers that have IPv6"
    elif relay:
        return "Direct connections may work, and the TURN relay carries the rest."
    else:
        return "Direct connections may work: the kind of NAT is not known."
    if relay and ipv4 < Reach.ALL:
        return f"Direct connections will work with {whom}; the TURN relay carries the rest."
    return f"Direct connections will work with {whom}{_WITHOUT_TURN.get(ipv4, '')}."


# What to do


def _advice(network: Network, settings: NetSettings) -> Iterator[str]:
    if not _has_address(network) and settings.relay is not Relay.ONLY:
        limited = settings.interfaces or settings.family is not Family.ANY
        yield "Leave out --interface, --ipv4 and --ipv6." if limited else "Connect this machine to a network."
        return
    if not network.servers:
        yield "Leave out --no-stun to learn what lies beyond the local network."
        return
    if any(server.checks for server in network.servers):
        for server in network.servers:
            yield from _about(server, network)
    else:
        yield f"Check the network connection: no server could be asked ({network.servers[0].reason})."
    if any(finding.nat and finding.nat.kind is Kind.UNKNOWN for finding in (network.ipv4, network.ipv6)):
        yield "Name another STUN server with --stun: two at different addresses tell the kind of NAT."
    if not has_relay(network, settings):
        yield from _relay_advice(network, settings)


def _about(server: ServerFinding, network: Network) -> Iterator[str]:
    """What to do about a server that is of no use, where that is not the network's fault."""
    if server.ok:
        return
    used = [check for check in server.checks if check.used]
    if any(check.credential == "refused" for check in used):
        yield f"Check the user name and the password (or the shared secret) for {server.url}."
    elif any(check.reachable for check in used):
        yield f"Have {server.url} looked after: {next(check.reason for check in used if check.reachable)}."
    elif server.reason:
        yield f"Check or leave out {server.url}: {server.reason}."
    elif _udp(network) is Udp.WORKS or any(check.transport != "udp" for check in used):
        yield f"Check the address and port of {server.url}, and whether it runs: nothing answers there."


def _relay_advice(network: Network, settings: NetSettings) -> Iterator[str]:
    """Nobody relays."""
    blocked = _udp(network) is not Udp.WORKS
    if settings.relay is Relay.NEVER:
        if blocked or reach(network.ipv4) < Reach.ALMOST_ALL:
            yield "Leave out --relay never, and name a TURN server with --turn and --turn-user."
    elif blocked:
        yield "Allow UDP, or name a TURN server that is reached over TLS: --turn turns:HOST with --turn-user."
    elif reach(network.ipv4) < Reach.ALMOST_ALL and not any(server.kind == "turn" for server in network.servers):
        yield "Name a TURN server with --turn and --turn-user: then every peer can be reached, and one code is enough."


def _udp(network: Network) -> Udp:
    """The better one of both families."""
    states = (network.ipv4.udp, network.ipv6.udp)
    return next((state for state in (Udp.WORKS, Udp.BLOCKED, Udp.NO_ANSWER) if state in states), Udp.NOT_TRIED)


def _has_address(network: Network) -> bool:
    return any(each.in_code for each in network.addresses)
