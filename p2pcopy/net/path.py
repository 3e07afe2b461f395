"""The nominated candidate pair in the user's terms."""

from __future__ import annotations

from collections.abc import Iterable

from p2pcopy.events import Path, PathKind
from p2pcopy.net.ice import SelectedPair
from p2pcopy.net.interfaces import LocalAddress, is_private
from p2pcopy.net.sockets import Address


def describe(selected: SelectedPair, own: Iterable[LocalAddress]) -> Path:
    """The path over this pair. own: the addresses of this machine.

    aioice calls our side "host" although a NAT changes the address on the way; what the peer sees decides here.
    """
    base = (selected.local.host, selected.local.port)
    remote = (selected.remote.host, selected.remote.port)
    local_type = selected.local.type
    if local_type == "host" and selected.mapped != base:
        local_type = "srflx"
    return Path(
        kind=_kind(selected, own),
        local=_text(selected.mapped if local_type == "srflx" else base),
        remote=_text(remote),
        local_type=local_type,
        remote_type=selected.remote.type,
        rtt_ms=None if selected.rtt_s is None else round(selected.rtt_s * 1000, 1),
        relay=selected.relay,
    )


def _kind(selected: SelectedPair, own: Iterable[LocalAddress]) -> PathKind:
    if selected.is_relayed:
        return PathKind.RELAYED
    local, remote = selected.local, selected.remote
    if selected.mapped != (local.host, local.port) or remote.type == "srflx":
        return PathKind.DIRECT  # through a NAT
    on_link = any(each.is_on_link(remote.host) for each in own if each.address == local.host)
    return PathKind.LOCAL if on_link or is_private(remote.host) else PathKind.DIRECT


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
