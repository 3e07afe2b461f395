"""What p2pcopy touches of aiortc's and aioice's inside, in one list, checked at start."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final

import aioice.stun
import aioice.turn
import aiortc
import aiortc.rtcdtlstransport
import aiortc.rtcsctptransport

from p2pcopy.errors import InternalError

# Distribution, first version that is tested, first that is not, what to install.
TESTED: Final = (("aiortc", (1, 16), (1, 17), "1.16.0"), ("aioice", (0, 13), (0, 14), "0.13.0"))

TOUCHED: Final[tuple[tuple[type | object, tuple[str, ...]], ...]] = (
    (aioice.stun, ("COOKIE", "Message", "TransactionError", "TransactionFailed", "parse_message")),
    (aioice.stun.Message, ("add_message_integrity", "check_message_integrity", "error_code")),
    (aioice.turn, ("UDP_TRANSPORT",)),
    (
        aioice.turn.TurnClientMixin,
        ("integrity_key", "nonce", "realm", "request_with_retry", "transactions", "username"),
    ),
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
            "_handle_data",
            "_inbound_streams",
            "_outbound_queue",
            "_receive_data_chunk",
            "_receive_sack_chunk",
            "_send_chunk",
            "_sent_queue",
            "_set_state",
            "_t3_cancel",
            "_t3_expired",
            "_t3_handle",
        ),
    ),
    (aiortc.rtcsctptransport.InboundStream, ("reassembly",)),
)


def probe_libraries() -> None:
    """Raises InternalError when a library is of an untested version, or lacks something that is used here."""
    for name, *_ in TESTED:
        if not is_tested(name):
            raise _unusable(f"{name} {version(name)} is not a version that p2pcopy has been tested with")
    for owner, names in TOUCHED:
        for name in names:
            if not _has(owner, name):
                where = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
                raise _unusable(f"the installed aiortc or aioice has no {where}.{name}")


def is_tested(library: str) -> bool:
    """Has p2pcopy been tested with the installed version? For what is not in TESTED, no."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version(library))[:2])
    return any(name == library and first <= numbers < beyond for name, first, beyond, _ in TESTED)


def _has(owner: type | object, name: str) -> bool:
    """Is it there, or does the constructor set it?"""
    return hasattr(owner, name) or (isinstance(owner, type) and name in owner.__init__.__code__.co_names)  # type: ignore[misc]


def _unusable(message: str) -> InternalError:
    wanted = " ".join(f"'{name}=={good}'" for name, *_, good in TESTED)
    return InternalError(message, f"Install the tested ones: python3 -m pip install {wanted}")
