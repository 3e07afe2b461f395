"""Gathering from STUN servers that live in the test: one that answers, one that is deaf, one that talks nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aioice import stun
from meeting import run

from p2pcopy.config import IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import NoConnection
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.peer import Peer
from p2pcopy.net.sockets import Address, is_ipv6

SECRET = bytes(16)
OUTSIDE = ("198.51.100.7", 4242)
HERE = next(each.address for each in local_addresses() if not is_ipv6(each.address))

Answer = Callable[[stun.Message, Address], bytes | None]


def mapped(request: stun.Message, addr: Address) -> bytes:
    reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
    reply.attributes["XOR-MAPPED-ADDRESS"] = OUTSIDE
    return bytes(reply)


def same_address(request: stun.Message, addr: Address) -> bytes:
    reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
    reply.attributes["XOR-MAPPED-ADDRESS"] = addr
    return bytes(reply)


def says_nothing(request: stun.Message, addr: Address) -> bytes:
    return bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id))


def refuses(request: stun.Message, addr: Address) -> bytes:
    reply = stun.Message(stun.Method.BINDING, stun.Class.ERROR, request.transaction_id)
    reply.attributes["ERROR-CODE"] = (420, "\x1b[31mred\x1b[0m")
    return bytes(reply)


def deaf(request: stun.Message, addr: Address) -> None:
    return None


@contextlib.asynccontextmanager
async def stun_server(answer: Answer, heard: list[stun.Message] | None = None) -> AsyncIterator[str]:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Address) -> None:
            request = stun.parse_message(data)
            if heard is not None:
                heard.append(request)
            reply = answer(request, addr)
            if reply is not None and request.message_class is stun.Class.REQUEST:
                self.transport.sendto(reply, addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(HERE, 0))
    try:
        yield f"stun:{HERE}:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
        await asyncio.sleep(0)


async def gathered(*urls: str, times: NetTimes = NetTimes()) -> tuple[Peer, list[tuple[str, str, int]], float]:  # noqa: B008
    peer = Peer(NetSettings(stun=tuple(map(IceServer, urls))), SECRET, offering=True, times=times)
    started = time.monotonic()
    candidates = await peer.gather()
    took = time.monotonic() - started
    return peer, [(each.type, each.host, each.port) for each in candidates], took


def test_what_a_stun_server_sees_becomes_a_candidate() -> None:
    async def story() -> None:
        async with stun_server(mapped) as url:
            peer, candidates, took = await gathered(url)
            await peer.close()
            assert ("srflx", *OUTSIDE) in candidates
            assert [kind for kind, *_ in candidates] == sorted(kind for kind, *_ in candidates)
            (report,) = peer.server_reports
            assert (report.url, report.ok, report.reason) == (url, True, "")
            assert report.seconds <= took < 1

    run(story())


def test_without_a_nat_there_is_nothing_to_add() -> None:
    async def story() -> None:
        async with stun_server(same_address) as url:
            peer, candidates, _ = await gathered(url)
            await peer.close()
            assert {kind for kind, *_ in candidates} == {"host"}
            assert peer.server_reports[0].ok

    run(story())


def test_a_deaf_server_is_reported_and_not_waited_for() -> None:
    async def story() -> None:
        async with stun_server(deaf) as dead, stun_server(mapped) as alive:
            peer, candidates, took = await gathered(dead, alive, times=NetTimes(gather_limit_s=30, gather_grace_s=0.5))
            await peer.close()
            assert took < 2
            assert ("srflx", *OUTSIDE) in candidates
            reports = {report.url: report for report in peer.server_reports}
            assert reports[alive].ok
            assert not reports[dead].ok
            assert reports[dead].reason.startswith("no answer within")

    run(story())


@pytest.mark.parametrize(
    ("answer", "reason"), [(says_nothing, "its answer makes no sense"), (refuses, "the server answered with error 420")]
)
def test_a_server_that_does_not_help_is_reported_in_our_words(answer: Answer, reason: str) -> None:
    async def story() -> None:
        async with stun_server(answer) as url:
            peer, _, took = await gathered(url, times=NetTimes(gather_limit_s=30))
            await peer.close()
            assert took < 2
            assert [(report.ok, report.reason) for report in peer.server_reports] == [(False, reason)]

    run(story())


def test_an_unknown_name_is_reported() -> None:
    async def story() -> None:
        peer, candidates, _ = await gathered("stun:does-not-exist.invalid")
        await peer.close()
        assert candidates
        assert not peer.server_reports[0].ok
        assert peer.server_reports[0].reason

    run(story())


def test_the_way_through_a_nat_is_kept_open_while_waiting() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []
        async with stun_server(mapped, heard) as url:
            peer, *_ = await gathered(url, times=NetTimes(keepalive_s=0.05))
            while sum(message.message_class is stun.Class.INDICATION for message in heard) < 3:
                await asyncio.sleep(0.05)
            await peer.close()

    run(story())


def test_who_only_wants_a_relay_asks_no_stun_server() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []
        async with stun_server(mapped, heard) as url:
            turn = IceServer(url.replace("stun:", "turn:"), "user", "password")
            settings = NetSettings(stun=(IceServer(url),), turn=(turn,), relay=Relay.ONLY)
            peer = Peer(settings, SECRET, offering=True, times=NetTimes(gather_limit_s=0.3))
            with pytest.raises(NoConnection, match="no TURN server could be used"):
                await peer.gather()
            await peer.close()
            assert heard
            assert all(message.message_method is stun.Method.ALLOCATE for message in heard)

    run(story())


def test_a_turn_server_that_is_not_there_over_tcp() -> None:
    with socket.socket() as unused:
        unused.bind((HERE, 0))
        port = unused.getsockname()[1]

    async def story() -> None:
        settings = NetSettings(
            stun=(),
            turn=(
                IceServer(f"turn:{HERE}:{port}?transport=tcp", "user", "password"),
                IceServer(f"turns:{HERE}:{port}", "user", "password"),
            ),
        )
        peer = Peer(settings, SECRET, offering=True)
        assert await peer.gather()
        await peer.close()
        assert [report.ok for report in peer.server_reports] == [False, False]
        assert all("refused" in report.reason.lower() for report in peer.server_reports)

    run(story())
