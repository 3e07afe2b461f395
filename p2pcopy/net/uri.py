"""STUN and TURN URIs (RFC 7064, RFC 7065). Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from p2pcopy.errors import UsageError

_URI: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)
_HINT: Final = (
    "Write it like stun:stun.example.org:3478, turn:turn.example.org?transport=tcp or turns:[2001:db8::1]:5349."
)


@dataclass(frozen=True)
class ServerUri:
    """One server. port: 1 to 65535; transport: between us and the server; tls: over TLS (turns only).

    or_tcp: no transport was named, so that TCP may be tried where UDP does not get through.
    """

    kind: Literal["stun", "turn"]
    host: str
    port: int
    transport: Literal["udp", "tcp"]
    tls: bool
    or_tcp: bool = False


def parse_server_uri(text: str) -> ServerUri:
    """Raises UsageError for what is no URI of these schemes, and for what cannot be done: stuns, and turns over UDP."""
    match = _URI.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not the address of a STUN or TURN server", _HINT)
    scheme, transport = match["scheme"], match["transport"]
    tls = scheme.endswith("s")
    port = int(match["port"]) if match["port"] else 5349 if tls else 3478
    if not 1 <= port <= 65535:
        raise UsageError(f"{text!r}: {port} is not a port", _HINT)
    host = _host(match["literal"], match["name"], text)
    if scheme == "turns" and transport != "udp":
        return ServerUri("turn", host, port, "tcp", tls=True)
    if scheme == "turn":
        return ServerUri("turn", host, port, "tcp" if transport == "tcp" else "udp", tls=False, or_tcp=not transport)
    if scheme == "stun" and transport is None:
        return ServerUri("stun", host, port, "udp", tls=False)
    raise UsageError(
        f"{text!r}: this transport is not supported", "STUN goes over UDP; TURN over UDP, TCP or (turns:) TLS over TCP."
    )


def _host(literal: str | None, name: str | None, text: str) -> str:
    if literal is None:
        return name or ""
    try:
        return str(ipaddress.IPv6Address(literal))
    except ValueError:
        raise UsageError(f"{text!r}: [{literal}] is not an IPv6 address", _HINT) from None
