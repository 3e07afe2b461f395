"""Sockets of this machine, talked to by plain sockets that play the peer, STUN servers, and everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st
from lab.ports import free_port
from meeting import run
from turnserver import reply, talking_server

from p2pcopy.net import udp
from p2pcopy.net.endpoint import Address, Endpoint, HostEndpoint, open_host, parse_stun
from p2pcopy.net.offload import EVERYTHING, Offload

PLAIN = replace(EVERYTHING, batch=False)
LOOPBACKS = ("127.0.0.1", "::1")
OUTSIDE = ("198.51.100.7", 4242)


@dataclass
class Inbox:
    """A receiver that can be waited for."""

    got: list[tuple[str, object, Address]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: int = 0

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        self._take("stun", message.transaction_id, address)

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        self._take("data", data, address)

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        for at in range(0, size, segment):
            self._take("data", bytes(data[at : min(at + segment, size)]), address)

    def batch_ended(self, endpoint: Endpoint) -> None:
        assert self.got
        self.ended += 1

    def writable(self, endpoint: Endpoint) -> None:
        raise AssertionError

    def refused(self, address: Address, endpoint: Endpoint) -> None:
        self._take("refused", None, address)

    def _take(self, kind: str, what: object, address: Address) -> None:
        self.got.append((kind, what, address))
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def opened(address: str = "127.0.0.1", wish: Offload = EVERYTHING) -> AsyncIterator[tuple[HostEndpoint, Inbox]]:
    inbox = Inbox()
    endpoint = await open_host(inbox, address, wish)
    try:
        yield endpoint, inbox
    finally:
        await endpoint.close()


def plain(address: str = "127.0.0.1") -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((address, 0))
    return found


@pytest.mark.parametrize("address", LOOPBACKS)
@pytest.mark.parametrize("wish", [EVERYTHING, PLAIN], ids=str)
def test_stun_and_dtls_are_told_apart_and_the_rest_is_dropped(address: str, wish: Offload) -> None:
    async def story() -> None:
        async with opened(address, wish) as (left, _), opened(address, wish) as (right, inbox):
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            for junk in (b"", b"\x04", b"\x13x", b"\x40\x00\x00\x04abcd", b"\xff" * 1400, b"\x00\x01"):
                left.send(junk, right.address)
            left.send_stun(request, right.address)
            left.send(b"\x14first", right.address)
            left.send(b"\x3flast", right.address)
            await inbox.until(3)
            assert inbox.got == [
                ("stun", request.transaction_id, left.address),
                ("data", b"\x14first", left.address),
                ("data", b"\x3flast", left.address),
            ]

    run(story())


@pytest.mark.parametrize("wish", [EVERYTHING, PLAIN], ids=str)
def test_stun_and_dtls_in_one_batch_are_told_apart(wish: Offload) -> None:
    """Of equal size, so that the kernel puts them together."""

    async def story() -> None:
        async with opened() as (left, _), opened(wish=wish) as (right, inbox):
            check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            check.attributes["USERNAME"] = "somebody"
            data = [b"\x17%d" % number + bytes(len(bytes(check)) - 2) for number in range(4)]
            junk = b"\xff" * len(data[0])
            parts = [data[0], data[1], bytes(check), junk, data[2], bytes(check), data[3], b"\x16last"]
            left.send_burst(memoryview(b"".join(parts)), len(data[0]), right.address)
            await inbox.until(7)
            found = [(kind, what) for kind, what, _ in inbox.got]
            assert [what for kind, what in found if kind == "data"] == [*data, b"\x16last"]
            assert [what for kind, what in found if kind == "stun"] == [check.transaction_id] * 2
            assert inbox.ended == (1 if wish.batch else inbox.ended)

    run(story())


def test_what_an_endpoint_says_of_itself() -> None:
    async def story() -> None:
        async with opened() as (endpoint, _), opened(wish=PLAIN) as (other, _):
            assert (endpoint.overhead, endpoint.is_full) == (0, False)
            assert endpoint.burst == (88 if endpoint.offload.gso else 16)
            assert endpoint.probe_mtu(True) == (1472 if sys.platform == "linux" else 0)
            assert (other.burst, other.offload.batch, other.offload.why) == (16, False, "switched off")

    run(story())


def test_malformed_stun_is_dropped() -> None:
    good = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    good.attributes["USERNAME"] = "who"
    good.add_message_integrity(b"key")
    data = bytes(good)
    assert parse_stun(data) is not None
    assert parse_stun(data + bytes(4)) is None
    assert parse_stun(data[:-4]) is None
    assert parse_stun(data[:4] + b"\x00\x00\x00\x00" + data[8:]) is None  # the magic cookie
    assert parse_stun(data[:-1] + bytes([data[-1] ^ 1])) is None  # the fingerprint
    assert parse_stun(data[:24] + b"\xff\xff\xff" + data[27:]) is None  # what should be UTF-8
    long = struct.pack("!HHI12x", 1, 1600, stun.COOKIE) + bytes(1600)
    assert parse_stun(long) is None


@given(st.binary(max_size=200), st.integers(0, 0x3FFF))
def test_no_bytes_are_too_much_for_the_parser(body: bytes, kind: int) -> None:
    body += bytes(-len(body) % 4)
    parse_stun(struct.pack("!HHI12s", kind, len(body), stun.COOKIE, b"transaction!") + body)
    parse_stun(body)


@pytest.mark.parametrize("address", LOOPBACKS)
def test_answers_to_own_questions_stay_here_and_others_do_not(address: str) -> None:
    async def story() -> None:
        async with (
            talking_server(lambda request, who: reply(request, XOR_MAPPED_ADDRESS=who), address=address) as port,
            opened(address) as (endpoint, inbox),
        ):
            mapped, server = await endpoint.ask([(address, port)])
            assert (mapped, server) == (endpoint.address, (address, port))
            other = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            endpoint.send_stun(other, (address, port))
            await inbox.until(1)
            assert inbox.got == [("stun", other.transaction_id, (address, port))]

    run(story())


def test_a_question_is_repeated_and_asks_all_addresses_of_a_name() -> None:
    async def story() -> None:
        heard: list[stun.Message] = []

        def third_time(request: stun.Message, who: Address) -> bytes | None:
            return reply(request, XOR_MAPPED_ADDRESS=OUTSIDE) if len(heard) == 3 else None

        async with talking_server(third_time, heard, "127.0.0.1") as port, opened() as (endpoint, _):
            nobody = ("127.0.0.1", free_port("127.0.0.1"))
            mapped, server = await endpoint.ask([("127.0.0.1", port), nobody], [0.02] * 8)
            assert (mapped, server) == (OUTSIDE, ("127.0.0.1", port))

    run(story())


def test_why_a_question_remains_unanswered() -> None:
    async def story() -> None:
        async with opened() as (endpoint, inbox):
            with plain() as deaf, pytest.raises(TimeoutError):
                await endpoint.ask([deaf.getsockname()], [0.02, 0.02])
            with pytest.raises(OSError, match=r"\w"):  # from 127.0.0.1 there is no way out
                await endpoint.ask([OUTSIDE, OUTSIDE])
            async with talking_server(lambda request, who: reply(request), address="127.0.0.1") as port:
                with pytest.raises(ValueError, match="does not say"):
                    await endpoint.ask([("127.0.0.1", port)])
            error = (420, "Unknown Attribute")
            async with talking_server(
                lambda request, who: reply(request, ERROR_CODE=error), address="127.0.0.1"
            ) as port:
                with pytest.raises(stun.TransactionFailed):
                    await endpoint.ask([("127.0.0.1", port)])
            assert inbox.got == []

    run(story())


def test_only_who_was_asked_can_answer() -> None:
    async def story() -> None:
        with plain() as asked, plain() as stranger:
            async with opened() as (endpoint, _):
                asking = asyncio.create_task(endpoint.ask([asked.getsockname()], [0.3]))
                request = stun.parse_message(await asyncio.to_thread(asked.recv, 1500))
                stranger.sendto(reply(request, XOR_MAPPED_ADDRESS=OUTSIDE), endpoint.address)
                with pytest.raises(TimeoutError):
                    await asking

    run(story())


def test_a_question_ends_with_the_socket() -> None:
    async def story() -> None:
        with plain() as deaf:
            async with opened() as (endpoint, _):
                asking = asyncio.create_task(endpoint.ask([deaf.getsockname()], [30]))
                await asyncio.to_thread(deaf.recv, 1500)
                await endpoint.close()
                with pytest.raises(OSError, match="closed"):
                    await asking

    run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("address", LOOPBACKS)
def test_refusals_are_told_and_disturb_nobody(address: str) -> None:
    async def story() -> None:
        async with opened(address) as (left, told), opened(address) as (right, inbox):
            nobody = (address, free_port(address))
            left.watch_refusals(True)
            for number in range(5):
                left.send(b"\x16lost", nobody)
                left.send(b"\x16%d" % number, right.address)
            await told.until(5)
            await inbox.until(5)
            assert told.got == [("refused", None, nobody)] * 5
            left.send_burst(memoryview(b"\x16lost" * 2), 5, nobody)
            left.send_burst(memoryview(b"\x16burst" * 2), 6, right.address)
            await told.until(6)
            await inbox.until(7)
            assert {what for _, what, _ in inbox.got[5:]} == {b"\x16burst"}
            inbox.got.clear()
            left.send(b"\x16lost", nobody)
            left.watch_refusals(False)
            before = len(told.got)
            for number in range(5):
                left.send(b"\x16lost", nobody)
                left.send(b"\x16%d" % number, right.address)
            await inbox.until(5)
            assert [what for _, what, _ in inbox.got] == [b"\x16%d" % number for number in range(5)]
            assert len(told.got) == before

    run(story())


def test_a_flood_leaves_turns_of_the_loop_to_others() -> None:
    async def story() -> None:
        async with opened() as (endpoint, inbox):
            with plain() as stranger:
                for _ in range(600):
                    stranger.sendto(b"\x16flood", endpoint.address)
            while not inbox.got:
                await asyncio.sleep(0)
            assert len(inbox.got) <= udp.READ_AT_ONCE + 1

    run(story())


@pytest.mark.parametrize("address", LOOPBACKS)
def test_sending_never_fails(address: str) -> None:
    async def story() -> None:
        async with opened(address) as (endpoint, _):
            for target in (OUTSIDE, ("2001:db8::7", 4242), ("127.0.0.1", 0), ("255.255.255.255", 9)):
                endpoint.send(b"\x16lost", target)
            endpoint.send(bytes(70000), endpoint.address)
            await endpoint.close()
            endpoint.send(b"\x16lost", OUTSIDE)
            endpoint.watch_refusals(True)
            await endpoint.close()

    run(story())


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(OSError, match=r"\w"):
        run(open_host(Inbox(), OUTSIDE[0]))
