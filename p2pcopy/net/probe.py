"""What p2pcopy touches of aiortc's and aioice's inside, in one list, checked at start."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final

import aioice.ice
import aioice.stun
import aioice.turn
import aiortc
import aiortc.rtcdtlstransport
import aiortc.rtcsctptransport

from p2pcopy.errors import InternalError

# Distribution, first version that is tested, first that is not, what to install.
TESTED: Final = (("aiortc", (1, 16), (1, 17), "1.16.0"), ("aioice", (0, 13), (0, 14), "0.13.0"))

TOUCHED: Final[tuple[tuple[type | object, tuple[str, ...]], ...]] = (
    (
        aioice.ice.Connection,
        (
            "_add_remote_candidate",
            "_check_list",
            "_check_list_done",
            "_closing",
            "_early_checks",
            "_early_checks_done",
            "_local_candidates",
            "_local_candidates_end",
            "_nominated",
            "_nominating",
            "_pair_remote_candidate",
            "_protocols",
            "_query_consent_task",
            "_queue",
            "_remote_candidates",
            "_transport_policy",
            "build_request",
            "check_complete",
            "check_incoming",
            "check_start",
            "check_start_task",
            "check_state",
            "data_received",
            "protocol_lost",
            "query_consent",
            "request_received",
            "respond_error",
            "sort_check_list",
            "switch_role",
        ),
    ),
    (aioice.ice.CandidatePair, ("nominated", "protocol", "remote_candidate", "remote_nominated", "state", "task")),
    (aioice.ice.StunProtocol, ("receiver", "transactions", "request", "send_data", "send_stun")),
    (aioice.stun, ("RETRY_RTO", "parse_message")),
    (aioice.turn, ("DEFAULT_ALLOCATION_LIFETIME", "TurnClientTcpProtocol", "TurnClientUdpProtocol")),
    (aioice.turn.TurnClientMixin, ("delete",)),
    (aioice.turn.TurnTransport, ("_connect",)),
    (aiortc.RTCIceGatherer, ("_connection",)),
    (
        aiortc.RTCDtlsTransport,
        ("_set_role", "_set_state", "_ssl", "_task", "_validate_peer_identity", "_write_ssl"),
    ),
    (
        aiortc.RTCSctpTransport,
        (
            "_data_channel_flush",
            "_data_channel_receive",
            "_data_channels",
            "_inbound_streams",
            "_outbound_queue",
            "_receive_data_chunk",
            "_receive_sack_chunk",
            "_send_chunk",
            "_sent_queue",
            "_set_state",
        ),
    ),
    (aiortc.rtcsctptransport.InboundStream, ("reassembly",)),
)


def probe_libraries() -> None:
    """Raises InternalError when a library is of an untested version, or lacks something that is used here."""
    for name, first, beyond, _ in TESTED:
        installed = version(name)
        numbers = tuple(int(number) for number in re.findall(r"\d+", installed)[:2])
        if not first <= numbers < beyond:
            raise _unusable(f"{name} {installed} is not a version that p2pcopy has been tested with")
    for owner, names in TOUCHED:
        for name in names:
            if not _has(owner, name):
                where = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
                raise _unusable(f"the installed aiortc or aioice has no {where}.{name}")


def _has(owner: type | object, name: str) -> bool:
    """Is it there, or does the constructor set it?"""
    return hasattr(owner, name) or (isinstance(owner, type) and name in owner.__init__.__code__.co_names)  # type: ignore[misc]


def _unusable(message: str) -> InternalError:
    wanted = " ".join(f"'{name}=={good}'" for name, *_, good in TESTED)
    return InternalError(message, f"Install the tested ones: python3 -m pip install {wanted}")
