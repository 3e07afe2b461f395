"""Allocations on a real coturn on an address of this machine; no root needed. And on servers that play foul."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aioice import stun
from meeting import run
from turnserver import (
    HERE,
    HERE_6,
    PASSWORD,
    SECRET,
    USERNAME,
    TurnServer,
    deaf_port,
    reply,
    stream_server,
    talking_server,
)

from p2pcopy.config import Family, IceServer
from p2pcopy.net import allocation
from p2pcopy.net import relay as relays
from p2pcopy.net.allocation import Resolver, allocate, credential
from p2pcopy.net.allocation import TurnServer as Turn
from p2pcopy.net.endpoint import Address, Endpoint
from p2pcopy.net.offload import EVERYTHING, Offload
from p2pcopy.net.reasons import AllocationFailed, NotApplicable, is_refused_credential, reason
from p2pcopy.net.relay import AllocationLost, RelayEndpoint, open_relay
from p2pcopy.net.turnclient import TurnClient, Way
from p2pcopy.net.turnways import open_client
from p2pcopy.net.uri import parse_server_uri

pytestmark = pytest.mark.coturn

PLAIN = replace(EVERYTHING, batch=False)
# What must not wait does not, however busy the machine is: what it must not wait for takes three times as long.
PROMPT_S = 10.0
LONG_S = 3 * PROMPT_S
EVERY_WAY = [("turn", "?transport=udp"), ("turn", "?transport=tcp"), ("turns", "")]


@dataclass
class Inbox:
    got: list[tuple[bytes, Address]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        self.data_received(bytes(message), address, endpoint)

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        self.got.append((data, address))
        self.changed.set()

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        if self.fails:
            raise RuntimeError("a mistake")
        for at in range(0, size, segment):
            self.data_received(bytes(data[at : min(at + segment, size)]), address, endpoint)

    def batch_ended(self, endpoint: Endpoint) -> None:
        assert self.got

    def writable(self, endpoint: Endpoint) -> None:
        self.room.set()

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        raise AssertionError

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()


async def asked(server: IceServer, inbox: Inbox | None = None, **options: Any) -> RelayEndpoint:
    uri = parse_server_uri(server.url)
    given: dict[str, Any] = {
        "ipv6": False,
        "sources": (),
        "limit_s": LONG_S,
        "verify": True,
        "wish": EVERYTHING,
        **options,
    }
    resolver = Resolver(given.pop("family", Family.ANY))
    try:
        return await allocate(
            inbox or Inbox(), Turn(server, uri, given.pop("verify"), given.pop("wish")), resolver, **given
        )
    finally:
        await resolver.close()


@contextlib.asynccontextmanager
async def lent(server: IceServer, **options: Any) -> AsyncIterator[tuple[RelayEndpoint, Inbox]]:
    inbox = Inbox()
    endpoint = await asked(server, inbox, **options)
    try:
        yield endpoint, inbox
    finally:
        await endpoint.close(0.5)


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY)
@pytest.mark.parametrize("address", [HERE, HERE_6])
def test_two_allocations_on_one_server_reach_each_other(address: str, scheme: str, query: str) -> None:
    with TurnServer(address) as server:
        ours = IceServer(server.url(query, scheme), USERNAME, PASSWORD)
        ipv6 = ":" in address

        async def story() -> None:
            async with (
                lent(ours, ipv6=ipv6, verify=False) as (left, told),
                lent(ours, ipv6=ipv6, verify=False) as (right, inbox),
            ):
                assert left.address[0] == address
                assert (left.relay, left.mapped, left.base) == (ours.url, None, address)
                assert left.over == ("tls" if scheme == "turns" else query[-3:])
                while not inbox.got:  # the right one knows nothing of the left one; its permission may be on the way
                    left.send(b"\x16hello", right.address)
                    await asyncio.sleep(0.05)
                assert inbox.got[0] == (b"\x16hello", left.address)
                for size in range(1, 60):
                    right.send(b"\x16" + bytes(size), left.address)
                    await told.until(size)
                assert [len(data) for data, _ in told.got] == list(range(2, 61))
                await left.refresh(LONG_S)
                left.send(b"\x16again", right.address)
                while inbox.got[-1][0] != b"\x16again":
                    await asyncio.sleep(0.01)

        run(story())


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY)
@pytest.mark.parametrize("wish", [EVERYTHING, replace(EVERYTHING, gso=False, gro=False), PLAIN], ids=str)
def test_bursts_arrive_as_they_were_sent(scheme: str, query: str, wish: Offload) -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url(query, scheme), USERNAME, PASSWORD)

        async def story() -> None:
            async with (
                lent(ours, verify=False, wish=wish) as (left, told),
                lent(ours, verify=False, wish=wish) as (right, inbox),
            ):
                assert left.overhead == 4
                assert left.burst == (88 if scheme == "turns" or "tcp" in query or left.offload.gso else 16)
                largest = 1468 if query == "?transport=udp" and sys.platform == "linux" else 0
                assert left.probe_mtu(True) == left.probe_mtu(False) == largest
                while not told.got or not inbox.got:  # until both channels are bound
                    left.send_burst(memoryview(b"\x16" * 20), 10, right.address)
                    right.send(b"\x16hello", left.address)
                    await asyncio.sleep(0.05)
                # To streams coturn drops what is beyond 32 KiB.
                for size, count, last in ((1001, 16, 0), (501, 43, 3), (1463, 16, 0), (7, 5, 1)):
                    sent = [b"\x17" + bytes([number]) * (size - 1) for number in range(count)]
                    sent += [b"\x17" * last] if last else []
                    inbox.got.clear()
                    left.send_burst(memoryview(b"".join(sent)), size, right.address)
                    while len(found := [each for each in inbox.got if each[0][0] == 0x17]) < len(sent):
                        await inbox.until(len(inbox.got) + 1)
                    assert found == [(data, left.address) for data in sent]
                assert not left.is_full

        run(story())


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY[1:])
def test_a_stream_that_takes_no_more_is_full_until_it_does(scheme: str, query: str) -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url(query, scheme), USERNAME, PASSWORD)

        async def story() -> None:
            async with lent(ours, verify=False) as (left, told), lent(ours, verify=False) as (right, inbox):
                while not inbox.got:
                    left.send(b"\x16hello", right.address)
                    await asyncio.sleep(0.05)
                server.freeze()
                data = memoryview(b"\x17" * 44000)
                async with asyncio.timeout(10):
                    while not left.is_full:
                        left.send_burst(data, 1000, right.address)
                        await asyncio.sleep(0)
                for _ in range(100):
                    left.send_burst(data, 1000, right.address)  # who does not heed it loses data, and nothing else
                assert not told.room.is_set()
                server.thaw()
                await asyncio.wait_for(told.room.wait(), 10)
                await left.refresh(LONG_S)
                inbox.got.clear()
                left.send(b"\x16again", right.address)
                async with asyncio.timeout(10):
                    while not any(data == b"\x16again" for data, _ in inbox.got):
                        await asyncio.sleep(0.01)

        run(story())


def test_messages_that_come_in_small_pieces_are_put_together() -> None:
    """ChannelData of a channel, then nonsense, which ends it."""

    async def story() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for byte in b"\x40\x00\x00\x05abcde\0\0\0" * 3 + b"\x40\x01\x00\x00" + b"\x80\x00\x00\x00":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)

        got: list[bytes] = []
        lost = asyncio.Event()
        async with stream_server(talk) as address:
            client = await open_client(Way(address, "", "tcp", "", ""))
            client.channels[0x4000] = ("192.0.2.7", 9)
            client.on_batch = lambda data, size, segment, address: got.append(bytes(data[:size]))
            client.on_trouble = lost.set
            await asyncio.wait_for(lost.wait(), 10)
            assert client.is_lost
            assert b"".join(got) == b"abcde" * 3
            await client.close()

    run(story())


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY)
def test_a_mistake_of_who_takes_the_data_is_reported_and_the_next_data_arrives(scheme: str, query: str) -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url(query, scheme), USERNAME, PASSWORD)

        async def story() -> None:
            reports: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: reports.append(str(context["exception"])))
            async with lent(ours, verify=False) as (left, told), lent(ours, verify=False) as (right, inbox):
                while not told.got or not inbox.got:  # until both channels are bound
                    left.send(b"\x16hello", right.address)
                    right.send(b"\x16hello", left.address)
                    await asyncio.sleep(0.05)
                inbox.fails = True
                while not reports:
                    left.send(b"\x16fails", right.address)
                    await asyncio.sleep(0.05)
                inbox.fails = False
                assert set(reports) == {"a mistake"}
                left.send(b"\x16again", right.address)
                while inbox.got[-1][0] != b"\x16again":
                    await asyncio.sleep(0.01)

        run(story())


def test_a_peer_that_cannot_be_reached_disturbs_no_other() -> None:
    with TurnServer(HERE, "denied-peer-ip=198.51.100.7") as server:
        ours = IceServer(server.url(), USERNAME, PASSWORD)

        async def story() -> None:
            async with lent(ours) as (left, _), lent(ours) as (right, inbox):
                left.send(b"\x16first", right.address)
                await inbox.until(1)  # the channel is bound
                for number in range(50):
                    left.send(b"\x16lost", ("198.51.100.7", 4242))  # 403
                    left.send(b"\x16lost", ("2001:db8::7", 4242))  # another family
                    left.send(b"\x16%d" % number, right.address)
                    await asyncio.sleep(0.01)
                await inbox.until(51)
                await left.refresh(LONG_S)

        run(story())


def test_channels_are_few_and_numbers_are_not_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "MAX_CHANNELS", 3)
    bound: list[int] = []

    async def bind(client: TurnClient, channel: int, address: Address, limit_s: float) -> None:
        bound.append(channel)

    monkeypatch.setattr(TurnClient, "bind", bind)
    with TurnServer(HERE) as server:

        async def story() -> None:
            async with lent(IceServer(server.url(), USERNAME, PASSWORD)) as (endpoint, _):
                for port in range(1, 10):
                    endpoint.send(b"\x16", ("192.0.2.7", port))
                await asyncio.sleep(0)
                assert bound == [0x4000, 0x4001, 0x4002]
                monkeypatch.setattr(relays, "_FORGET_S", -1.0)
                endpoint.send(b"\x16", ("192.0.2.7", 20))
                await asyncio.sleep(0)
                assert bound[3:] == [0x4003]

        run(story())


def test_what_runs_out_is_renewed_with_the_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[object] = []
    bind, permit = TurnClient.bind, TurnClient.permit

    async def counted_bind(client: TurnClient, channel: int, address: Address, limit_s: float) -> None:
        await bind(client, channel, address, limit_s)
        renewed.append(channel)

    async def counted_permit(client: TurnClient, address: Address, limit_s: float) -> None:
        await permit(client, address, limit_s)
        renewed.append("itself")

    monkeypatch.setattr(TurnClient, "bind", counted_bind)
    monkeypatch.setattr(TurnClient, "permit", counted_permit)
    with TurnServer(HERE) as server:

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(renewed) < count:
                    await asyncio.sleep(0.01)

        async def story() -> None:
            async with lent(IceServer(server.url(), USERNAME, PASSWORD)) as (endpoint, _):
                endpoint.send(b"\x16", ("192.0.2.7", 9))
                await until(2)
                await endpoint.refresh(LONG_S)
                await asyncio.sleep(0.05)
                assert len(renewed) == 2
                monkeypatch.setattr(relays, "BIND_AGAIN_S", 0.0)
                await endpoint.refresh(LONG_S)
                await until(4)
                assert sorted(map(str, renewed)) == ["16384", "16384", "itself", "itself"]

        run(story())


@pytest.mark.parametrize("query", ["?transport=udp", "?transport=tcp"])
@pytest.mark.parametrize(("username", "password"), [(USERNAME, "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_credential(query: str, username: str, password: str) -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url(query), username, password)
        with pytest.raises(AllocationFailed) as caught:
            run(asked(ours))
        assert is_refused_credential(caught.value)
        assert reason(caught.value, ours, 0) == "the user name or the password was not accepted (401)"


def test_no_credential_where_one_is_wanted() -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url())
        with pytest.raises(AllocationFailed) as caught:
            run(asked(ours))
        assert is_refused_credential(caught.value)
        assert reason(caught.value, ours, 0) == "the server wants a user name and a password (401)"


@pytest.mark.parametrize("name", ["", "somebody"])
def test_a_credential_made_of_a_shared_secret(name: str) -> None:
    with TurnServer(HERE, secret=True) as server:

        async def story() -> None:
            async with lent(IceServer(server.url(), name, secret=SECRET)) as (endpoint, _):
                await endpoint.refresh(LONG_S)

        run(story())


def test_a_shared_secret_that_is_not_the_servers_and_a_credential_that_has_ended() -> None:
    now = time.time()
    with TurnServer(HERE, secret=True) as server:
        wrong = IceServer(server.url(), secret="another")
        old = IceServer(server.url(), *credential(IceServer("", secret=SECRET), now - 2 * 86400))
        later = IceServer(server.url(), *credential(IceServer("", "me", secret="another"), now))
        for ours, why in (
            (wrong, "the shared secret was not accepted, or the clock of this machine is wrong (401)"),
            (old, "the credential has expired, or the clock of this machine is wrong (401)"),
            (later, "the time-limited credential was not accepted, or the clock of the server is ahead (401)"),
        ):
            with pytest.raises(AllocationFailed) as caught:
                run(asked(ours))
            assert is_refused_credential(caught.value)
            assert reason(caught.value, ours, now) == why


def test_a_quota_is_no_fault_of_the_credential() -> None:
    with TurnServer(HERE, "user-quota=1") as server:
        ours = IceServer(server.url(), USERNAME, PASSWORD)

        async def story() -> None:
            async with lent(ours):
                with pytest.raises(AllocationFailed) as caught:
                    await asked(ours)
                assert not is_refused_credential(caught.value)
                assert reason(caught.value, ours, 0) == "the user has reached the limit of allocations (486)"

        run(story())


def test_a_certificate_is_verified_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with TurnServer(HERE) as server:
        ours = IceServer(server.url(scheme="turns"), USERNAME, PASSWORD)
        with pytest.raises(AllocationFailed) as caught:
            run(asked(ours))
        assert reason(caught.value, ours, 0).startswith("its certificate is not accepted: ")

        async def story(**options: Any) -> None:
            async with lent(ours, **options) as (endpoint, _):
                assert endpoint.over == "tls"

        run(story(verify=False))
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        run(story())
        named = IceServer(
            f"turns:localhost:{server.tls_port}", USERNAME, PASSWORD
        )  # another name than in the certificate
        monkeypatch.setattr(Resolver, "addresses", _always_here)
        with pytest.raises(AllocationFailed) as caught:
            run(asked(named))
        assert "certificate" in reason(caught.value, named, 0)


async def _always_here(*_: object, **__: object) -> list[str]:
    return [HERE]


def test_tcp_where_udp_does_not_get_through() -> None:
    with TurnServer(HERE, "no-udp") as server, socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind((HERE, server.port))
        ours = IceServer(server.url(), USERNAME, PASSWORD)

        async def story() -> None:
            started = time.monotonic()
            async with lent(ours, limit_s=LONG_S) as (endpoint, _):
                assert 0.5 <= time.monotonic() - started < PROMPT_S
                assert (endpoint.over, endpoint.relay) == ("tcp", ours.url)
            with pytest.raises(AllocationFailed) as caught:
                await asked(IceServer(server.url("?transport=udp"), USERNAME, PASSWORD), limit_s=0.7)
            assert [over for over, _ in caught.value.errors] == ["udp"]

        run(story())


def test_each_way_that_was_tried_is_named() -> None:
    with deaf_port() as port:
        ours = IceServer(f"turn:{HERE}:{port}", USERNAME, PASSWORD)
        with pytest.raises(AllocationFailed) as caught:
            run(asked(ours, limit_s=1.5))
        assert reason(caught.value, ours, 0) == "over UDP: no answer, over TCP: no answer"
    with pytest.raises(AllocationFailed) as caught:
        run(asked(ours))
    assert reason(caught.value, ours, 0) == "over UDP: the connection was refused, over TCP: the connection was refused"


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is at the first, the second is deaf."""
    with TurnServer(HERE) as server, deaf_udp("127.0.0.2", server.port):

        async def three(*_: object, **__: object) -> list[str]:
            return ["127.0.0.3", "127.0.0.2", HERE]

        monkeypatch.setattr(Resolver, "addresses", three)

        async def story() -> None:
            started = time.monotonic()
            ours = IceServer(server.url("?transport=udp"), USERNAME, PASSWORD)
            async with lent(ours, limit_s=LONG_S) as (endpoint, _):
                assert endpoint.server[0] == HERE
                assert time.monotonic() - started < PROMPT_S

        run(story())


def test_nothing_is_left_of_an_allocation_that_nobody_waits_for_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the first one to come about, while what else was tried is being given up, nor of that."""
    opened: list[RelayEndpoint] = []
    slow, giving_up = asyncio.Event(), asyncio.Event()

    async def opens(receiver: Inbox, way: Way, **options: Any) -> RelayEndpoint:
        if way.source == "127.0.0.5":
            slow.set()
            try:
                return await asyncio.Future()
            finally:
                giving_up.set()
                await asyncio.sleep(0.1)
        await slow.wait()
        opened.append(await open_relay(receiver, way, **options))
        return opened[0]

    monkeypatch.setattr(allocation, "open_relay", opens)
    with TurnServer("127.0.0.1") as server:

        async def story() -> None:
            ours = IceServer(server.url("?transport=udp"), USERNAME, PASSWORD)
            asking = asyncio.create_task(asked(ours, sources=["127.0.0.4", "127.0.0.5"]))
            await giving_up.wait()
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            (relay,) = opened
            with pytest.raises(AllocationLost):
                await relay.refresh(LONG_S)

        run(story())


@contextlib.contextmanager
def deaf_udp(address: str, port: int) -> Any:
    with socket.socket(type=socket.SOCK_DGRAM) as deaf:
        deaf.bind((address, port))
        yield


def test_only_addresses_of_the_allowed_family() -> None:
    with TurnServer(HERE_6) as server:
        ours = IceServer(server.url(), USERNAME, PASSWORD)

        async def story() -> None:
            async with lent(ours, ipv6=True, family=Family.IPV6) as (endpoint, _):
                assert endpoint.address[0] == HERE_6
            for options in ({"ipv6": False}, {"ipv6": True, "family": Family.IPV4}):
                with pytest.raises(NotApplicable):
                    await asked(ours, **options)

        run(story())


def test_the_address_to_ask_from_can_be_chosen() -> None:
    with TurnServer("127.0.0.1") as server:
        ours = IceServer(server.url("?transport=tcp"), USERNAME, PASSWORD)

        async def story() -> None:
            async with lent(ours, sources=["127.0.0.5"]) as (endpoint, _):
                assert endpoint.base == "127.0.0.5"

        run(story())


@pytest.mark.parametrize("query", ["?transport=udp", "?transport=tcp"])
def test_a_server_that_starts_again_does_not_know_us(query: str) -> None:
    with TurnServer(HERE) as server:

        async def story() -> None:
            trouble = asyncio.Event()
            async with lent(IceServer(server.url(query), USERNAME, PASSWORD)) as (endpoint, _):
                endpoint.on_trouble = trouble.set
                await asyncio.to_thread(server.stop)
                if query.endswith("tcp"):
                    await asyncio.wait_for(trouble.wait(), LONG_S)
                else:
                    started = time.monotonic()
                    with pytest.raises(ConnectionRefusedError):
                        await endpoint.refresh(LONG_S)
                    assert time.monotonic() - started < PROMPT_S
                    assert endpoint.is_silent
                await asyncio.to_thread(server.start)
                with pytest.raises(AllocationLost):
                    await endpoint.refresh(LONG_S)
                assert endpoint.is_lost
                endpoint.send(b"\x16lost", ("192.0.2.7", 9))

        run(story())


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY)
def test_a_server_that_hangs_is_silent_and_comes_back(scheme: str, query: str) -> None:
    with TurnServer(HERE) as server:

        async def story() -> None:
            async with lent(IceServer(server.url(query, scheme), USERNAME, PASSWORD), verify=False) as (endpoint, _):
                server.freeze()
                started = time.monotonic()
                with pytest.raises(TimeoutError):
                    await endpoint.refresh(0.6)
                assert time.monotonic() - started < PROMPT_S
                assert endpoint.is_silent
                assert not endpoint.is_lost
                server.thaw()
                await endpoint.refresh(LONG_S)
                assert not endpoint.is_silent

        run(story())


@pytest.mark.parametrize(("scheme", "query"), EVERY_WAY)
def test_closing_does_not_wait_for_a_server_that_hangs(scheme: str, query: str) -> None:
    with TurnServer(HERE) as server:

        async def story() -> None:
            endpoint = await asked(IceServer(server.url(query, scheme), USERNAME, PASSWORD), verify=False)
            endpoint.send(b"\x16lost", ("192.0.2.7", 9))
            server.freeze()
            started = time.monotonic()
            await endpoint.close(0.3)
            await endpoint.close(0.3)
            assert time.monotonic() - started < PROMPT_S
            server.thaw()

        run(story())


@pytest.mark.parametrize("goodbye_s", [0.0, 1.0])
def test_the_goodbye_frees_the_allocation(goodbye_s: float) -> None:
    with TurnServer(HERE, "user-quota=1") as server:
        ours = IceServer(server.url(), USERNAME, PASSWORD)

        async def story() -> None:
            first = await asked(ours)
            await first.close(goodbye_s)
            async with asyncio.timeout(10):  # without the goodbye it would be ten minutes
                while True:
                    with contextlib.suppress(AllocationFailed):
                        second = await asked(ours)
                        break
                    await asyncio.sleep(0.1)
            await second.close()

        run(story())


def test_an_allocation_without_an_address_makes_no_sense() -> None:
    async def story() -> None:
        async with talking_server(lambda request, who: reply(request, LIFETIME=600)) as port:
            ours = IceServer(f"turn:{HERE}:{port}?transport=udp", "", "")
            with pytest.raises(AllocationFailed) as caught:
                await asked(ours)
            assert reason(caught.value, ours, 0) == "its answer makes no sense"

    run(story())


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64, b"\x00\x01\xff\xff" + bytes(100)])
def test_junk_in_a_stream_is_the_end_of_it_or_nothing(junk: bytes) -> None:
    async def story() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(junk)

        async with stream_server(talk) as (_, port):
            for url in (f"turn:{HERE}:{port}?transport=tcp", f"turns:{HERE}:{port}"):
                with pytest.raises(AllocationFailed) as caught:
                    await asked(IceServer(url), limit_s=2.0)
                assert reason(caught.value, IceServer(url), 0)

    run(story())
