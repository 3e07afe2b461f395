"""What `p2pcopy doctor` says: as text for people, or as one line of JSON. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from p2pcopy.files.names import display
from p2pcopy.net.findings import (
    Abilities,
    Ability,
    Check,
    Diagnosis,
    FamilyFinding,
    OwnAddress,
    ServerFinding,
    Software,
    Udp,
)
from p2pcopy.net.natkind import Kind, Nat
from p2pcopy.ui.jsonlines import to_json

_Row = tuple[str, ...]
_ORIGIN: Final = {"host": "", "srflx": "as servers see this machine", "relay": "lent by a TURN server"}
_NOTHING: Final = {
    Udp.WORKS: "UDP works",
    Udp.BLOCKED: "UDP blocked",
    Udp.NO_ANSWER: "no server answers",
    Udp.NOT_TRIED: "no server was asked over UDP",
    Udp.NO_ADDRESS: "no address that could be used",
}
_KINDS: Final = {
    Kind.OPEN: "no NAT",
    Kind.FIREWALL: "firewall without NAT",
    Kind.UDP_BLOCKED: "UDP blocked",
    Kind.UNKNOWN: "kind of NAT not known",
}


def as_json(diagnosis: Diagnosis) -> str:
    """One line with its end; docs/doctor.md has every field."""
    return to_json(diagnosis) + "\n"


def as_text(diagnosis: Diagnosis, *, verbose: bool = False) -> str:
    """Lines; verbose: also loopback and link-local addresses, and at which address each server was asked."""
    network = diagnosis.network
    addresses = [_address(each) for each in network.addresses if verbose or not _is_everywhere(each)]
    servers = [row for server in network.servers for row in _server(server, verbose)]
    families = [*_family("IPv4", network.ipv4), *_family("IPv6", network.ipv6)]
    paragraphs = [
        ["Addresses", *_table(addresses or [("none",)])],
        ["Servers", *_table(servers or [("none was asked",)])],
        ["Network", *_table(families)],
        ["Data path", *_table(_data_path(diagnosis.data_path))],
        ["Software", *_table(_software(diagnosis.software))],
        [display(diagnosis.verdict.meaning), *(f"- {display(each)}" for each in diagnosis.verdict.advice)],
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs) + "\n"


def _address(each: OwnAddress) -> _Row:
    return (
        each.address,
        each.interface or _ORIGIN[each.type],
        (each.reason and f"left out: {each.reason}") or "goes into a code",
    )


def _is_everywhere(each: OwnAddress) -> bool:
    address = ipaddress.ip_address(each.address)
    return address.is_loopback or address.is_link_local


def _server(server: ServerFinding, verbose: bool) -> Iterator[_Row]:
    if not server.checks:
        yield server.url, "", server.reason
    several = len({check.address for check in server.checks}) > 1
    for number, check in enumerate(server.checks):
        where = f"{check.transport} {check.address}" if verbose or several else check.transport
        yield "" if number else server.url, where, _check(check, server)
    if verbose and server.behaviour_tests:
        yield "", "", "offers tests of NATs (RFC 5780)"


def _check(check: Check, server: ServerFinding) -> str:
    if not check.ok:
        return check.reason
    details = [f"ok, {check.time_ms:.0f} ms"]
    if check.credential is not None:
        details.append(f"credential {check.credential}")
    if server.kind == "stun" and not check.used:
        details.append("not used")
    return ", ".join(details)


def _family(name: str, finding: FamilyFinding) -> Iterator[_Row]:
    nat = finding.nat
    if nat is None or nat.kind is Kind.UDP_BLOCKED:
        yield name, _NOTHING[finding.udp]
        return
    yield name, f"{_kind(nat)}; {_NOTHING[finding.udp]}"
    if nat.kind not in (Kind.OPEN, Kind.FIREWALL):
        yield "", f"mapping {nat.mapping}"
    yield "", f"filtering {nat.filtering}"
    if nat.port_preserved is not None:
        yield "", "port preserved" if nat.port_preserved else "port changed"
    if nat.hairpinning is not None:
        yield "", "hairpinning" if nat.hairpinning else "no hairpinning"


def _kind(nat: Nat) -> str:
    return _KINDS.get(nat.kind, f"{nat.kind} NAT")


def _data_path(abilities: Abilities) -> Iterator[_Row]:
    reasons = "; ".join(abilities.reasons)
    yield "association", "fast" if abilities.fast else f"stock: {reasons}; aiortc by itself moves data more slowly"
    yield "GSO", _ability(abilities.gso)
    yield "GRO", _ability(abilities.gro)
    yield "batch reads", _ability(abilities.batch)
    yield "path-MTU discovery", _ability(abilities.path_mtu)


def _ability(ability: Ability) -> str:
    return "works" if ability.works else f"no: {ability.reason}; {ability.meaning}"


def _software(software: Software) -> Iterator[_Row]:
    yield (f"p2pcopy {software.version}, Python {software.python}, {software.platform}",)
    for library in software.libraries:
        yield (f"{library.name} {library.version}, {'tested' if library.tested else 'NOT tested with p2pcopy'}",)


def _table(rows: Iterable[_Row]) -> list[str]:
    """Cells in columns, indented. The last cell of a row has no width."""
    rows = [tuple(map(display, row)) for row in rows]
    columns = max(map(len, rows))
    widths = [max((len(row[column]) for row in rows if column < len(row) - 1), default=0) for column in range(columns)]
    return ["  " + "  ".join(cell.ljust(widths[column]) for column, cell in enumerate(row)).rstrip() for row in rows]
