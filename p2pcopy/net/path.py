"""The selected candidate pair in the user's terms."""

from __future__ import annotations

from collections.abc import Iterable

from p2pcopy.events import Path, PathKind
from p2pcopy.net.interfaces import LocalAddress
from p2pcopy.net.pairs import Pair
from p2pcopy.signaling.addresses import is_private, written


def describe(pair: Pair, own: Iterable[LocalAddress]) -> Path:
    """The path over this pair. own: the addresses of this machine.

    Our side is "srflx" where a NAT changes the address on the way; what the peer sees decides.
    """
    base = pair.local.address
    mapped = pair.mapped or base
    local_type = "relay" if pair.local.relay else "host" if mapped == base else "srflx"
    return Path(
        kind=_kind(pair, own),
        local=written(*(mapped if local_type == "srflx" else base)),
        remote=written(*pair.remote.address),
        local_type=local_type,
        remote_type=pair.remote.type,
        rtt_ms=None if pair.rtt_s is None else round(pair.rtt_s * 1000, 1),
        relay=pair.local.relay,
    )


def _kind(pair: Pair, own: Iterable[LocalAddress]) -> PathKind:
    if pair.is_relayed:
        return PathKind.RELAYED
    local, remote = pair.local.address, pair.remote.address[0]
    if (pair.mapped or local) != local or pair.remote.type == "srflx":
        return PathKind.DIRECT  # through a NAT
    on_link = any(each.is_on_link(remote) for each in own if each.address == local[0])
    return PathKind.LOCAL if on_link or is_private(remote) else PathKind.DIRECT
