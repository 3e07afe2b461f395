"""What of the fast data path can be used here: each part by itself, tried out and not only looked for."""

from __future__ import annotations

import socket
from functools import cache
from typing import Final

from p2pcopy import events
from p2pcopy.config import NetSettings
from p2pcopy.net.findings import Abilities, Ability
from p2pcopy.net.offload import Offload, available, probe_mtu
from p2pcopy.net.probe import fast_faults

__all__ = ["Abilities", "describe", "probe"]

OFF: Final = "it is switched off"
_WITHOUT_GSO: Final = "each packet that is sent costs a system call"
_WITHOUT_GRO: Final = "each packet that arrives costs a system call"
_WITHOUT_BATCH: Final = "each packet that arrives costs a turn of the event loop"
_WITHOUT_PATH_MTU: Final = "packets stay small, so there are more of them"


def probe(settings: NetSettings) -> Abilities:
    """For the running event loop. Takes some milliseconds the first time, next to nothing later; never raises."""
    reasons = _faults() if settings.fast_path else (OFF,)
    offload = _offload()
    return Abilities(
        fast=not reasons,
        reasons=reasons,
        gso=_ability(offload.gso and settings.gso, _why("GSO", offload) if settings.gso else OFF, _WITHOUT_GSO),
        gro=_ability(offload.gro and settings.gro, _why("GRO", offload) if settings.gro else OFF, _WITHOUT_GRO),
        batch=_ability(offload.batch, offload.why, _WITHOUT_BATCH),
        path_mtu=_path_mtu(),
    )


def describe(
    abilities: Abilities, offload: Offload, *, packet_bytes: int | None = None, peer_fast: bool | None = None
) -> events.DataPath:
    """What to tell of the data path. offload: of the endpoint in use; the rest as in events.DataPath."""
    if not abilities.fast:
        return events.DataPath(fast=False, reason="; ".join(abilities.reasons))
    is_whole = offload.gso and offload.gro
    return events.DataPath(True, offload.gso, offload.gro, packet_bytes, peer_fast, "" if is_whole else offload.why)


@cache
def _faults() -> tuple[str, ...]:
    """Why our own association cannot be used. The libraries stay as they are while the program runs."""
    if faults := tuple(fast_faults()):
        return faults
    try:
        from p2pcopy.net.rehearsal import rehearse
    except (ImportError, AttributeError) as error:
        return (f"OpenSSL cannot be called straight: {error}",)
    return tuple(filter(None, (rehearse(),)))


def _offload() -> Offload:
    try:
        return available()
    except OSError as error:
        return Offload(gso=False, gro=False, batch=False, why=error.strerror or str(error))


def _why(part: str, offload: Offload) -> str:
    """What offload.why says of this part; all of it where that goes for every part."""
    reasons = dict(reason.split(": ", 1) for reason in offload.why.split(", ") if ": " in reason)
    return reasons.get(part, offload.why)


def _path_mtu() -> Ability:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probed:
            probe_mtu(probed, True)
    except OSError as error:
        return Ability(False, error.strerror or str(error), _WITHOUT_PATH_MTU)
    return Ability(True)


def _ability(works: bool, reason: str, meaning: str) -> Ability:
    return Ability(True) if works else Ability(False, reason, meaning)
