"""A DTLS session with ourselves, in memory, through the very calls into OpenSSL that the fast data path makes."""

from __future__ import annotations

import contextlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from p2pcopy.net.records import Records
from p2pcopy.signaling import derive

_ROUNDS: Final = 8  # a handshake in memory takes three
_BUFFER: Final = 1 << 16
_PACKETS: Final = (b"\x13" * 1172, b"\x88" * 1172, b"shorter")


def rehearse() -> str:
    """Why packets do not get through as they should, "" when they do. Takes milliseconds; never raises."""
    try:
        return _mistake(*_session())
    except Exception as error:  # noqa: BLE001 - whatever it is, data can go without these calls
        return f"OpenSSL cannot be called straight: {type(error).__name__}: {error}"


def _session() -> tuple[SSL.Connection, SSL.Connection]:
    """Client and server after their handshake. Raises SSL.Error."""
    key = ec.generate_private_key(ec.SECP256R1())
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(derive.self_signed(key))
    context.use_privatekey(key)
    client, server = SSL.Connection(context), SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(_ROUNDS):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(_BUFFER))
    return client, server


def _mistake(client: SSL.Connection, server: SSL.Connection) -> str:
    sender, receiver = Records(client), Records(server)
    for packet in _PACKETS:
        sender.plain[: len(packet)] = packet
        if sender.seal(len(packet)) != len(packet):
            return "OpenSSL does not encrypt a packet as it should"
    records = bytearray(sender.take())
    receiver.feed(records, 0, len(records))
    opened = []
    while (size := receiver.open()) > 0:
        opened.append(bytes(receiver.opened[:size]))
    if tuple(opened) != _PACKETS or receiver.is_over(size):
        return "OpenSSL does not decrypt packets as it should"
    client.shutdown()
    goodbye = bytearray(sender.take())
    receiver.feed(goodbye, 0, len(goodbye))
    return "" if receiver.is_over(receiver.open()) else "OpenSSL does not tell the end of a session as it should"
