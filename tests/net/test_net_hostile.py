"""What anybody on the network, and a peer that holds the code, can send."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aioice import stun
from aiortc.rtcsctptransport import DataChunk
from meeting import ALONE, STOCK, Inbox, Meeting, introduce, meeting, run

from p2pcopy.config import NetSettings
from p2pcopy.errors import ConnectionLost
from p2pcopy.net import sctp

GARBAGE = [
    b"",
    b"\x00",
    b"\x16",
    b"\x16\xfe\xfd" + bytes(40),
    b"\x80" * 60,
    b"\xff" * 1400,
    bytes(20),
    struct.pack("!HHI12s", 0x0001, 0, stun.COOKIE, b"x" * 12),
    struct.pack("!HHI12sHHH", 0x0001, 8, stun.COOKIE, b"x" * 12, 0x0024, 2, 1) + bytes(2),
    struct.pack("!HHI12sHH", 0x0001, 4, stun.COOKIE, b"x" * 12, 0x8028, 0),
    struct.pack("!HHI12sHH", 0x0101, 4, stun.COOKIE, b"x" * 12, 0x0020, 0),
]


def test_garbage_at_the_open_ports_changes_nothing() -> None:
    async def story() -> None:
        offering, answering = await introduce()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

            def throw() -> None:
                for peer in (offering, answering):
                    for endpoint in peer._ice._endpoints:
                        if ":" not in endpoint.address[0]:
                            for datagram in (*GARBAGE, os.urandom(1200)):
                                stranger.sendto(datagram, endpoint.address)

            try:
                throw()
                connecting = [asyncio.create_task(peer.connect()) for peer in (offering, answering)]
                throw()
                left, right = await asyncio.gather(*connecting)
                inbox = Inbox()
                right.attach(inbox)
                throw()
                left.send_control(b"still there")
                await inbox.until(control=1)
                assert inbox.closed == 0
                assert answering._ice._queue.qsize() == 0
            finally:
                await asyncio.gather(offering.close(), answering.close())

    run(story())


async def _other_stream(both: Meeting) -> None:
    await both.offering_sctp()._send(7, 53, b"x")


async def _nonsense_about_the_connection(both: Meeting) -> None:
    both.left.send_link(b"{")


async def _much_about_the_connection(both: Meeting) -> None:
    both.left.send_link(b'{"type":"addresses","candidates":[]' + b" " * 5000 + b"}")


async def _open_a_channel(both: Meeting) -> None:
    await both.offering_sctp()._send(4, 50, b"\x03" + bytes(11))


async def _too_large(both: Meeting) -> None:
    await both.offering_sctp()._send(0, 53, bytes(sctp.MAX_MESSAGE + 1))


async def _never_whole(both: Meeting) -> None:
    transport = both.offering_sctp()
    for _ in range(sctp.MAX_FRAGMENTS + 100):
        chunk = DataChunk()
        chunk.tsn, chunk.user_data = transport._local_tsn, b"x"
        transport._local_tsn += 1
        chunk.stream_id, chunk.protocol, chunk.flags = 1, 53, 4
        await transport._send_chunk(chunk)
        await asyncio.sleep(0)


async def _empty_chunk(both: Meeting) -> None:
    chunk = DataChunk()
    chunk.tsn, chunk.protocol = both.offering_sctp()._local_tsn, 53
    await both.offering_sctp()._send_chunk(chunk)


async def _broken_record(both: Meeting) -> None:
    """An SCTP packet that aiortc cannot read raises in the task that reads."""
    transport = both.offering_sctp()
    packet = struct.pack("!HHL", 5000, 5000, transport._remote_verification_tag)
    chunk = struct.pack("!BBHL", 0, 3, 8, 0)  # DATA without its header
    body = packet + bytes(4) + chunk
    await transport.transport._send_data(packet + struct.pack("<L", _crc32c(body)) + chunk)


def _crc32c(data: bytes) -> int:
    from google_crc32c import value

    return int(value(data))


@pytest.mark.parametrize(
    "attack",
    [
        _other_stream,
        _open_a_channel,
        _nonsense_about_the_connection,
        _much_about_the_connection,
        _too_large,
        _never_whole,
        _empty_chunk,
        _broken_record,
    ],
)
@pytest.mark.parametrize("victim", [ALONE, STOCK], ids=["fast", "stock"])
def test_a_peer_that_breaks_the_rules_ends_the_connection(
    attack: Callable[[Meeting], Coroutine[Any, Any, None]], victim: NetSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp, "MAX_FRAGMENTS", 1000)

    async def story() -> None:
        async with meeting(STOCK, answering_settings=victim) as both:
            inbox = Inbox()
            both.right.attach(inbox)
            await attack(both)
            await inbox.until(closed=1)
            assert (inbox.control, inbox.data) == ([], [])
            with pytest.raises(ConnectionLost):
                both.right.send_control(b"x")

    run(story())


def test_a_parameter_without_length_holds_nothing_up() -> None:
    """aiortc would look at it for ever, and remember each time."""

    async def story() -> None:
        async with meeting(STOCK, answering_settings=STOCK) as both:
            inbox = Inbox()
            both.right.attach(inbox)
            transport = both.offering_sctp()
            header = struct.pack("!HHL", 5000, 5000, transport._remote_verification_tag)
            chunk = struct.pack("!BBHHH", 4, 0, 8, 1, 0)  # HEARTBEAT
            checksum = struct.pack("<L", _crc32c(header + bytes(4) + chunk))
            await transport.transport._send_data(header + checksum + chunk)
            both.left.send_control(b"still there")
            await inbox.until(control=1)

    run(story())
