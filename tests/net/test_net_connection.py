"""The data part of the ICE connection, over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from meeting import TIMES, run
from simulated_network import keys

from p2pcopy.config import Relay
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.endpoint import Address, HostEndpoint, open_host
from p2pcopy.signaling.candidates import Candidate


@dataclass
class Sink:
    got: list[bytes] = field(default_factory=list)
    batches: int = 0
    endings: int = 0
    changes: int = 0
    rooms: int = 0
    answers: int = 0
    buffers: set[int] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def datagrams(self, data: bytearray, size: int, segment: int) -> None:
        self.got += [bytes(data[at : min(at + segment, size)]) for at in range(0, size, segment)]
        self.batches += 1
        self.buffers.add(id(data))

    def batch_ended(self) -> None:
        self.endings += 1
        self.news.set()

    def writable(self) -> None:
        self.rooms += 1

    def path_changed(self) -> None:
        self.changes += 1
        self.news.set()

    def path_answers(self) -> None:
        self.answers += 1
        self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()


@dataclass
class Side:
    ice: IceConnection
    endpoints: list[HostEndpoint]

    async def listen(self) -> HostEndpoint:
        endpoint = await open_host(self.ice, "127.0.0.1")
        self.endpoints.append(endpoint)
        self.ice.add_local(endpoint)
        return endpoint

    def send(self, *datagrams: bytes) -> None:
        """Of equal size, but for the last."""
        pair = self.ice.pair
        assert pair is not None
        pair.local.send_burst(memoryview(b"".join(datagrams)), len(datagrams[0]), pair.remote.address)

    def introduce(self, *addresses: Address) -> None:
        self.ice.add_remote([Candidate("host", *address) for address in addresses])


@contextlib.asynccontextmanager
async def two(*, in_session: bool = True) -> AsyncIterator[tuple[Side, Side]]:
    secret = os.urandom(16)
    sides = [
        Side(
            IceConnection(
                controlling=offering,
                keys=keys(secret, offering=offering),
                relay=Relay.AUTO,
                times=TIMES,
                stall_limit_s=60,
            ),
            [],
        )
        for offering in (True, False)
    ]
    left, right = sides
    try:
        for side in sides:
            await side.listen()
        left.introduce(right.endpoints[0].address)
        right.introduce(left.endpoints[0].address)
        await asyncio.gather(left.ice.connected(), right.ice.connected())
        if in_session:
            session = os.urandom(16)
            began = [side.ice.begin_session(keys(session, offering=side is left)) for side in sides]
            assert await asyncio.gather(*began) == [True, True]
        yield left, right
    finally:
        for side in sides:
            side.ice.close()
            for endpoint in side.endpoints:
                await endpoint.close()


def dtls(count: int, size: int = 100) -> list[bytes]:
    return [bytes([0x17, number]) + bytes(size) for number in range(count)]


def test_data_goes_to_the_sink_while_there_is_one_and_else_to_the_queue() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sent = dtls(5)
            right.send(*sent)
            assert [await left.ice.recv() for _ in sent] == sent
            sink = Sink()
            left.ice.take_data(sink)
            right.send(*sent)
            await sink.until(lambda: len(sink.got) >= 5)
            assert sink.got == sent
            assert sink.endings == sink.batches == 1
            left.ice.take_data(None)
            right.send(*sent)
            assert [await left.ice.recv() for _ in sent] == sent
            assert len(sink.got) == 5
            assert (sink.changes, sink.rooms) == (0, 0)

    run(story())


def test_data_of_others_does_not_reach_the_sink() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sink = Sink()
            left.ice.take_data(sink)
            with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                for _ in range(10):
                    stranger.sendto(dtls(1)[0], left.endpoints[0].address)
            right.send(*dtls(3))
            await sink.until(lambda: len(sink.got) >= 3)
            assert sink.got == dtls(3)
            assert sink.endings == 1

    run(story())


def test_data_is_a_sign_of_life_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float] = []

    async def story() -> None:
        async with two() as (left, right):
            monkeypatch.setattr(left.ice._agent, "heard_data", heard.append)
            sink = Sink()
            left.ice.take_data(sink)
            right.send(*dtls(20))
            await sink.until(lambda: len(sink.got) >= 20)
            assert len(heard) == sink.endings == 1

    run(story())


def test_a_single_datagram_as_relays_hand_them_over() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sink = Sink()
            left.ice.take_data(sink)
            for number in range(3):
                left.ice.data_received(dtls(1, number)[0], right.endpoints[0].address, left.endpoints[0])
            left.ice.batch_ended(left.endpoints[0])
            assert sink.got == [dtls(1, number)[0] for number in range(3)]
            assert (len(sink.buffers), sink.endings) == (1, 1)

    run(story())


def test_the_sink_is_told_of_another_path_and_of_nothing_else() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sinks = [Sink(), Sink()]
            for side, sink in zip((left, right), sinks, strict=True):
                side.ice.take_data(sink)
            first = left.ice.pair
            assert first is not None
            other = await left.listen()
            right.introduce(left.endpoints[0].address, other.address)
            left.ice.remove_local(left.endpoints[0])  # as when its address is gone
            await sinks[0].until(lambda: sinks[0].changes > 0)
            await sinks[1].until(lambda: sinks[1].changes > 0)
            assert left.ice.pair is not None
            assert left.ice.pair.local is other
            assert [sink.changes for sink in sinks] == [1, 1]
            right.send(*dtls(2))
            await sinks[0].until(lambda: len(sinks[0].got) >= 2)

    run(story())


def test_room_is_told_for_the_selected_pair_only() -> None:
    async def story() -> None:
        async with two() as (left, _):
            sink = Sink()
            left.ice.writable(left.endpoints[0])
            left.ice.take_data(sink)
            left.ice.writable(await left.listen())
            assert sink.rooms == 0
            left.ice.writable(left.endpoints[0])
            assert sink.rooms == 1

    run(story())


def test_the_selected_pair_is_checked_when_the_association_wants_it() -> None:
    async def story() -> None:
        async with two() as (left, _):
            loop = asyncio.get_running_loop()
            pair = left.ice.pair
            assert pair is not None
            while pair.answered_at < pair.sent_at or pair.due < loop.time() + 0.7:  # just checked, and not soon again
                await asyncio.sleep(0.02)
            asked = loop.time()
            assert not left.ice.answered_since(asked)
            for _ in range(50):
                left.ice.ask_now()
            assert pair.due < asked + 0.4
            before = left.ice.remotes[0][1].checks
            async with asyncio.timeout(30):
                while not left.ice.answered_since(asked):
                    await asyncio.sleep(0.02)
            assert left.ice.remotes[0][1].checks <= before + 2  # once, and again when the answer was late

    run(story())


def test_the_association_is_told_at_once_when_a_path_that_was_silent_answers() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sink = Sink()
            left.ice.take_data(sink)
            receive = left.ice.stun_received
            left.ice.stun_received = lambda message, address, endpoint: None  # type: ignore[method-assign]
            before = left.ice.remotes[0][1].checks
            left.ice.ask_now()
            left.ice.ask_now()
            async with asyncio.timeout(30):
                while left.ice.remotes[0][1].checks < before + 4:  # more often than a pair that answers
                    await asyncio.sleep(0.02)
            assert sink.answers == 0
            left.ice.stun_received = receive  # type: ignore[method-assign]
            asked = left.ice.remotes[0][1].checks
            await sink.until(lambda: sink.answers > 0)
            assert left.ice.remotes[0][1].checks <= asked + 2
            right.send(*dtls(1))
            await asyncio.sleep(2 * TIMES.recheck_s)
            assert sink.answers == 1

    run(story())


def test_before_the_session_nothing_more_is_checked() -> None:
    async def story() -> None:
        async with two(in_session=False) as (left, _):
            pair = left.ice.pair
            assert pair is not None
            due = pair.due
            left.ice.ask_now()
            assert pair.due == due

    run(story())


def test_nothing_is_handed_over_after_the_end() -> None:
    async def story() -> None:
        async with two() as (left, right):
            sink = Sink()
            left.ice.take_data(sink)
            left.ice.close()
            right.send(*dtls(3))
            left.ice.batch_received(bytearray(dtls(1)[0]), 102, 102, right.endpoints[0].address, left.endpoints[0])
            assert not sink.got
            with pytest.raises(ConnectionError):
                await left.ice.recv()

    run(story())
