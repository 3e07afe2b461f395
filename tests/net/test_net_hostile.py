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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meeting import ALONE, Inbox, Meeting, introduce, meeting, run

from p2pcopy.errors import ConnectionLost
from p2pcopy.net import sctp
from p2pcopy.net.peer import Peer
from p2pcopy.net.sockets import Address, IceProtocol
from p2pcopy.signaling import derive

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
                    for protocol in peer._ice._protocols:
                        local = protocol.local_candidate
                        if ":" not in local.host:
                            for datagram in (*GARBAGE, os.urandom(1200)):
                                stranger.sendto(datagram, (local.host, local.port))

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


class _Receiver:
    def __init__(self) -> None:
        self.data: list[bytes] = []

    def takes_data_from(self, address: Address, protocol: IceProtocol) -> bool:
        return address[1] == 1

    def request_received(self, message: stun.Message, addr: Address, protocol: object) -> None:
        bytes(message)

    def data_received(self, data: bytes, component: int) -> None:
        self.data.append(data)

    def protocol_lost(self, protocol: object) -> None: ...


@given(
    st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda body: struct.pack("!HHI12s", 1, len(body), stun.COOKIE, b"x" * 12) + body)
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_datagram_raises(datagram: bytes) -> None:
    async def story() -> list[bytes]:
        receiver = _Receiver()
        protocol = IceProtocol(receiver)
        for port in (1, 2):
            protocol.datagram_received(datagram, ("192.0.2.1", port))
        return receiver.data

    taken = asyncio.run(story())
    assert taken == ([datagram] if datagram and 20 <= datagram[0] <= 63 else [])


def test_a_check_without_priority_is_refused() -> None:
    """Authenticated, so that only who holds the code can send it; aioice stumbles over it."""

    async def story() -> None:
        secret = os.urandom(16)
        peer = Peer(ALONE, secret, offering=True)
        candidate = next(each for each in await peer.gather() if ":" not in each.host)
        connecting = asyncio.create_task(peer.connect())
        try:
            await asyncio.sleep(0)
            offer, answer = derive.ice_credentials(secret, "offer"), derive.ice_credentials(secret, "answer")
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{offer.ufrag}:{answer.ufrag}"
            request.attributes["ICE-CONTROLLED"] = 1
            request.add_message_integrity(offer.password.encode())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as code_holder:
                code_holder.settimeout(10)
                code_holder.sendto(bytes(request), (candidate.host, candidate.port))
                reply = stun.parse_message(await asyncio.to_thread(code_holder.recv, 1500))
            assert reply.error_code == 400
            assert not connecting.done()
        finally:
            connecting.cancel()
            await asyncio.wait([connecting])
            await peer.close()

    run(story())


def test_who_else_holds_the_code_cannot_take_a_session_over() -> None:
    async def story() -> None:
        secret = os.urandom(16)
        offering = Peer(ALONE, secret, offering=True)
        offered = await offering.gather()
        receivers = [Peer(ALONE, secret, offering=False, remote_pin=offering.pin) for _ in range(2)]
        for peer in receivers:
            peer.add_remote(offered)
            await peer.gather()
        first, late = receivers
        try:
            left, right = await asyncio.gather(offering.connect(), first.connect())
            path = offering.path()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await late.connect()
            assert offering.path().remote == path.remote
            inbox = Inbox()
            right.attach(inbox)
            left.send_control(b"for the first")
            await inbox.until(control=1)
        finally:
            await asyncio.gather(offering.close(), *(peer.close() for peer in receivers))

    run(story())


async def _other_stream(both: Meeting) -> None:
    await both.offering_sctp()._send(7, 53, b"x")


async def _open_a_channel(both: Meeting) -> None:
    await both.offering_sctp()._send(2, 50, b"\x03" + bytes(11))


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
    "attack", [_other_stream, _open_a_channel, _too_large, _never_whole, _empty_chunk, _broken_record]
)
def test_a_peer_that_breaks_the_rules_ends_the_connection(
    attack: Callable[[Meeting], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp, "MAX_FRAGMENTS", 1000)

    async def story() -> None:
        async with meeting() as both:
            inbox = Inbox()
            both.right.attach(inbox)
            await attack(both)
            await inbox.until(closed=1)
            assert (inbox.control, inbox.data) == ([], [])
            with pytest.raises(ConnectionLost):
                both.right.send_control(b"x")

    run(story())
