"""What p2pcopy touches of aiortc's and aioice's inside, in one list, checked at start."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import isfunction
from types import FunctionType
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
            "_association_state",
            "_data_channel_closed",
            "_data_channel_flush",
            "_data_channel_queue",
            "_data_channel_receive",
            "_data_channels",
            "_handle_data",
            "_inbound_streams",
            "_last_received_tsn",
            "_outbound_queue",
            "_receive_chunk",
            "_receive_data_chunk",
            "_receive_sack_chunk",
            "_send_chunk",
            "_send_sack",
            "_sent_queue",
            "_set_state",
            "_t3_cancel",
            "_t3_expired",
            "_t3_handle",
        ),
    ),
    (aiortc.rtcsctptransport.InboundStream, ("reassembly",)),
)

# What only the fast data path needs: without it, aiortc's own association moves the data.
FAST_TESTED: Final = (
    ("pyOpenSSL", (25, 1), (27, 0)),
    ("cryptography", (45, 0), (51, 0)),
    ("google-crc32c", (1, 1), (2, 0)),
)

# Module, what is in it, "" for the module itself, and what that has.
FAST_TOUCHED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "OpenSSL._util",
        "lib",
        (
            "BIO_read",
            "BIO_write",
            "ERR_clear_error",
            "SSL_ERROR_WANT_READ",
            "SSL_ERROR_ZERO_RETURN",
            "SSL_get_error",
            "SSL_read",
            "SSL_write",
        ),
    ),
    ("OpenSSL._util", "ffi", ("buffer", "from_buffer", "new")),
    ("OpenSSL.SSL", "Connection", ("_from_ssl", "_into_ssl", "_ssl")),
    ("google_crc32c", "", ("extend", "value")),
    ("aiortc.rtcdatachannel", "RTCDataChannel", ("_addBufferedAmount", "_setId")),
    (
        "aiortc.rtcsctptransport",
        "RTCSctpTransport",
        (
            "_advertised_rwnd",
            "_association_state",
            "_data_channel_closed",
            "_data_channel_flush",
            "_data_channel_id",
            "_data_channel_queue",
            "_data_channel_receive",
            "_data_channel_send",
            "_data_channels",
            "_get_extensions",
            "_handle_data",
            "_last_received_tsn",
            "_local_port",
            "_local_tsn",
            "_local_verification_tag",
            "_loop",
            "_outbound_stream_seq",
            "_receive_chunk",
            "_reconfig_deferred",
            "_reconfig_queue",
            "_remote_max_message_size",
            "_remote_port",
            "_remote_verification_tag",
            "_reset_deferred_streams",
            "_send_chunk",
            "_set_extensions",
            "_set_state",
            "_ssthresh",
            "_transmit",
            "_transmit_reconfig",
        ),
    ),
)


def probe_libraries() -> None:
    """Raises InternalError when a library is of an untested version, or lacks something that is used here."""
    for name, *_ in TESTED:
        if not is_tested(name):
            raise _unusable(f"{name} {installed(name)} is not a version that p2pcopy has been tested with")
    for owner, names in TOUCHED:
        for name in names:
            if not _has(owner, name):
                where = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
                raise _unusable(f"the installed aiortc or aioice has no {where}.{name}")


def fast_faults() -> Iterator[str]:
    """Why the fast data path does not work with these libraries, as far as that can be seen from outside."""
    for name, *_ in FAST_TESTED:
        if not is_tested(name):
            yield f"{name} {installed(name)} is not a version that p2pcopy has been tested with"
    for module, name, members in FAST_TOUCHED:
        try:
            owner = import_module(module)
            owner = getattr(owner, name) if name else owner
        except (ImportError, AttributeError) as error:
            yield str(error)
            continue
        for member in members:
            if not _has(owner, member):
                yield f"there is no {'.'.join(filter(None, (module, name, member)))}"


def is_tested(library: str) -> bool:
    """Has p2pcopy been tested with the installed version? For what is neither in TESTED nor in FAST_TESTED, no."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", installed(library))[:2])
    ranges = ((name, first, beyond) for name, first, beyond, *_ in (*TESTED, *FAST_TESTED))
    return any(name == library and first <= numbers < beyond for name, first, beyond in ranges)


def installed(library: str) -> str:
    """Its version."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "(version unknown)"


def _has(owner: type | object, name: str) -> bool:
    """Is it there, or does a method of the class set it?"""
    methods = vars(owner).values() if isinstance(owner, type) else ()
    return hasattr(owner, name) or any(
        name in each.__code__.co_names and name in _set_by(each) for each in methods if isfunction(each)
    )


@cache
def _set_by(method: FunctionType) -> frozenset[str]:
    return frozenset(each.argval for each in dis.get_instructions(method) if each.opname == "STORE_ATTR")


def _unusable(message: str) -> InternalError:
    wanted = " ".join(f"'{name}=={good}'" for name, *_, good in TESTED)
    return InternalError(message, f"Install the tested ones: python3 -m pip install {wanted}")
