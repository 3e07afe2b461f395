"""A real coturn on an address of this machine; no root needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from lab import PASSWORD, USERNAME, Coturn
from meeting import Inbox, introduce, run

from p2pcopy.config import IceServer, NetSettings, NetTimes, Relay
from p2pcopy.errors import NoConnection
from p2pcopy.events import PathKind
from p2pcopy.net.interfaces import local_addresses
from p2pcopy.net.peer import Peer
from p2pcopy.net.sockets import is_ipv6

pytestmark = pytest.mark.coturn

SECRET = bytes(16)
ADDRESSES = [each.address for each in local_addresses()]
HERE = next(address for address in ADDRESSES if not is_ipv6(address))


@pytest.fixture
def coturn() -> Iterator[Coturn]:
    with Coturn(HERE) as server:
        yield server


@pytest.mark.parametrize("transport", ["", "?transport=tcp"])
def test_relay_only_is_relayed_on_both_sides(coturn: Coturn, transport: str) -> None:
    url = coturn.turn_url + transport
    settings = NetSettings(stun=(), turn=(IceServer(url, USERNAME, PASSWORD),), relay=Relay.ONLY)

    async def story() -> None:
        offering, answering = await introduce(settings)
        try:
            left, right = await asyncio.gather(offering.connect(), answering.connect())
            for peer in (offering, answering):
                path = peer.path()
                assert path.kind is PathKind.RELAYED
                assert path.relay == url
                assert path.local_type == "relay"
                assert path.local.startswith(HERE)
            inbox = Inbox()
            right.attach(inbox)
            for _ in range(16):
                left.send_data(bytes(65536))
            await inbox.until(data=16)
        finally:
            await asyncio.gather(offering.close(), answering.close())

    run(story())


def test_a_relay_on_one_side_only_is_told_by_the_other_too(coturn: Coturn) -> None:
    relay = NetSettings(stun=(), turn=(IceServer(coturn.turn_url, USERNAME, PASSWORD),), relay=Relay.ONLY)

    async def story() -> None:
        offering, answering = await introduce(NetSettings(stun=()), answering_settings=relay)
        try:
            await asyncio.gather(offering.connect(), answering.connect())
            assert answering.path().kind is PathKind.RELAYED
            # It was never told about the relay: to it this is just an address that checks come from.
            assert offering.path().remote_type == "prflx"
            assert offering.path().kind is PathKind.RELAYED
            assert offering.path().relay == ""
        finally:
            await asyncio.gather(offering.close(), answering.close())

    run(story())


def test_a_relayed_pair_waits_for_a_direct_one(coturn: Coturn) -> None:
    settings = NetSettings(stun=(), turn=(IceServer(coturn.turn_url, USERNAME, PASSWORD),))

    async def story() -> None:
        offering, answering = await introduce(settings)
        try:
            await asyncio.gather(offering.connect(), answering.connect())
            assert offering.path().kind is answering.path().kind is PathKind.LOCAL
        finally:
            await asyncio.gather(offering.close(), answering.close())

    run(story())


def test_never_a_relay(coturn: Coturn) -> None:
    turn = (IceServer(coturn.turn_url, USERNAME, PASSWORD),)

    async def story() -> None:
        never = Peer(NetSettings(stun=(), turn=turn, relay=Relay.NEVER), SECRET, offering=True)
        only = Peer(NetSettings(stun=(), turn=turn, relay=Relay.ONLY), SECRET, offering=False, remote_pin=never.pin)
        offered, relayed = await asyncio.gather(never.gather(), only.gather())
        try:
            assert {each.type for each in offered} == {"host"}
            assert {each.type for each in relayed} == {"relay"}
            assert never.server_reports == []
            never.add_remote(relayed)
            only.add_remote(offered)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.gather(never.connect(), only.connect())
        finally:
            await asyncio.gather(never.close(), only.close())

    run(story())


@pytest.mark.parametrize("transport", ["", "?transport=tcp"])
@pytest.mark.parametrize(("username", "password"), [(USERNAME, "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_credential_is_reported_at_once(coturn: Coturn, transport: str, username: str, password: str) -> None:
    url = coturn.turn_url + transport

    async def story() -> None:
        settings = NetSettings(stun=(), turn=(IceServer(url, username, password),))
        peer = Peer(settings, SECRET, offering=True, times=NetTimes(gather_limit_s=30))
        started = time.monotonic()
        candidates = await peer.gather()
        assert time.monotonic() - started < 5
        await peer.close()
        assert {each.type for each in candidates} == {"host"}
        (report,) = peer.server_reports
        assert (report.url, report.ok) == (url, False)
        assert "password was not accepted (401)" in report.reason
        if password == "wrong":
            only = Peer(NetSettings(stun=(), turn=settings.turn, relay=Relay.ONLY), SECRET, offering=True)
            with pytest.raises(NoConnection, match="password was not accepted"):
                await only.gather()
            await only.close()

    run(story())


def test_closing_does_not_wait_for_a_dead_server(coturn: Coturn) -> None:
    settings = NetSettings(stun=(), turn=(IceServer(coturn.turn_url, USERNAME, PASSWORD),), relay=Relay.ONLY)

    async def story() -> None:
        times = NetTimes(close_s=0.6)
        waiting = Peer(settings, SECRET, offering=True, times=times)
        await waiting.gather()
        offering, answering = await introduce(settings, times)
        left, _ = await asyncio.gather(offering.connect(), answering.connect())
        await asyncio.to_thread(coturn.stop)
        left.send_data(bytes(65536))
        started = time.monotonic()
        await asyncio.gather(waiting.close(), offering.close(), answering.close())
        assert time.monotonic() - started < 1.5

    run(story())


def test_a_stun_server_with_an_ipv6_address() -> None:
    ours = next((address for address in ADDRESSES if is_ipv6(address)), None)
    if ours is None:
        pytest.skip("this machine has no IPv6 address")
    with Coturn(ours) as server:

        async def story() -> None:
            peer = Peer(NetSettings(stun=(IceServer(server.stun_url),)), SECRET, offering=True)
            candidates = await peer.gather()
            await peer.close()
            assert any(each.type == "host" and each.host == ours for each in candidates)
            assert [report.ok for report in peer.server_reports] == [True]

        run(story())
