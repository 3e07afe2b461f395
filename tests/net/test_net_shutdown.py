"""The end of an association in agreement, also when parts of it are lost, and with a peer that has none of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiortc.rtcsctptransport import AbortChunk, Chunk, ShutdownAckChunk, ShutdownChunk, ShutdownCompleteChunk
from meeting import ALONE, LIMIT_S, STOCK, Inbox, meeting, run
from memory_pair import End, pair

from p2pcopy.config import NetSettings, NetTimes
from p2pcopy.errors import ConnectionLost
from p2pcopy.net import shutdown

both_associations = pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])


@pytest.fixture
def nothing_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who needs a timer would take longer than any test may."""
    monkeypatch.setattr(shutdown, "REPLY_S", 2 * LIMIT_S)


def watch(end: End, loses: Callable[[Chunk], bool] = lambda chunk: False) -> list[type[Chunk]]:
    """The kinds of chunks that it sends from now on. loses: those that do not leave."""
    sent: list[type[Chunk]] = []
    send = end.sctp._send_chunk

    async def sieve(chunk: Chunk) -> None:
        sent.append(type(chunk))
        if not loses(chunk):
            await send(chunk)

    end.sctp._send_chunk = sieve  # type: ignore[method-assign]
    return sent


def first(kind: type[Chunk]) -> Callable[[Chunk], bool]:
    lost: list[Chunk] = []

    def loses(chunk: Chunk) -> bool:
        if isinstance(chunk, kind) and not lost:
            lost.append(chunk)
            return True
        return False

    return loses


async def leave(end: End) -> None:
    """As Peer does it."""
    end.channel.finish()
    await end.channel.acknowledged()
    await end.channel.part()


@pytest.mark.usefixtures("nothing_is_repeated")
@both_associations
def test_the_end_takes_a_round_trip_and_no_abort(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            sent = watch(a), watch(b)
            a.channel.send_data(bytes(200_000))
            await a.channel.acknowledged()
            await leave(a)
            assert a.state == "CLOSED"
            await b.inbox.until(closed=1)
            assert b.inbox.data_bytes == 200_000
            await b.channel.part()
            assert b.state == "CLOSED"
            assert a.inbox.closed == 0
            kinds = [[kind for kind in each if "Shutdown" in kind.__name__ or kind is AbortChunk] for each in sent]
            assert kinds == [[ShutdownChunk, ShutdownCompleteChunk], [ShutdownAckChunk]]

    run(story())


@both_associations
def test_a_lost_shutdown_is_sent_again(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            watch(a, first(ShutdownChunk))
            await asyncio.gather(leave(a), b.inbox.until(closed=1))
            await b.channel.part()
            assert (a.state, b.state) == ("CLOSED", "CLOSED")

    run(story())


@both_associations
@pytest.mark.parametrize("both_wait", [True, False])
def test_a_lost_answer_is_given_again(fast: bool, both_wait: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            watch(b, first(ShutdownAckChunk))

            async def other() -> None:
                await b.inbox.until(closed=1)
                if both_wait:
                    await b.channel.part()

            await asyncio.gather(leave(a), other())
            await b.channel.part()
            assert (a.state, b.state) == ("CLOSED", "CLOSED")

    run(story())


@pytest.mark.usefixtures("nothing_is_repeated")
@both_associations
def test_where_the_last_word_is_lost_the_end_of_dtls_tells(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            watch(a, first(ShutdownCompleteChunk))
            await leave(a)
            await b.inbox.until(closed=1)
            await asyncio.sleep(0)
            assert (a.state, b.state) == ("CLOSED", "SHUTDOWN_ACK_SENT")
            await asyncio.gather(b.channel.part(), a.dtls.stop())
            assert b.state == "CLOSED"

    run(story())


@pytest.mark.usefixtures("nothing_is_repeated")
@both_associations
def test_dtls_says_goodbye_after_it(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            await leave(a)
            sent: list[bytes] = []

            def keep(datagram: bytes) -> bool:
                sent.append(datagram)
                return False

            a.wires.is_lost = keep
            await a.dtls.stop()
            assert [each[0] for each in sent] == [21]  # an alert (RFC 6347 section 4.1)
            await b.inbox.until(closed=1)

    run(story())


@pytest.mark.usefixtures("nothing_is_repeated")
@both_associations
def test_both_at_once(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            a.channel.send_control(b"bye")
            b.channel.send_control(b"bye")
            await asyncio.gather(a.channel.acknowledged(), b.channel.acknowledged())
            await asyncio.gather(leave(a), leave(b))
            assert (a.state, b.state) == ("CLOSED", "CLOSED")

    run(story())


@both_associations
@pytest.mark.parametrize("kind", [ShutdownChunk, ShutdownAckChunk, ShutdownCompleteChunk])
def test_both_at_once_and_something_is_lost(fast: bool, kind: type[Chunk]) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            watch(a, first(kind))
            await asyncio.gather(leave(a), leave(b))
            assert (a.state, b.state) == ("CLOSED", "CLOSED")

    run(story())


@both_associations
def test_a_peer_that_is_gone_is_waited_for_as_long_as_the_caller_likes(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            sent = watch(a)
            b.wires.is_lost = lambda datagram: True
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await leave(a)
            assert a.state == "SHUTDOWN_SENT"
            await a.sctp.stop()
            assert a.state == "CLOSED"
            assert (set(sent[:-1]), sent[-1]) == ({ShutdownChunk}, AbortChunk)
            await b.inbox.until(closed=1)

    run(story())


@both_associations
def test_the_peer_gets_what_is_left_first(fast: bool) -> None:
    """It has begun the end while something was on the way to it."""

    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            b.channel.send_control(bytes(100_000))
            a.channel._is_ours = False
            await asyncio.gather(a.channel.part(), b.inbox.until(closed=1))
            assert a.inbox.control == [bytes(100_000)]
            with pytest.raises(ConnectionLost):
                b.channel.send_control(b"too late")

    run(story())


@both_associations
def test_who_still_sends_data_is_cut_off(fast: bool) -> None:
    async def story() -> None:
        async with pair(fast=fast) as (a, b):
            sent = watch(a)
            for _ in range(200):
                b.channel.send_data(bytes(65536))
            a.channel.finish()
            await a.channel.part()
            assert AbortChunk in sent
            await b.inbox.until(closed=1)

    run(story())


@pytest.mark.usefixtures("nothing_is_repeated")
@pytest.mark.parametrize("settings", [ALONE, STOCK], ids=["fast", "stock"])
def test_a_session_ends_without_waiting(settings: NetSettings) -> None:
    async def story() -> None:
        async with meeting(settings, NetTimes(close_s=2 * LIMIT_S)) as both:
            there = Inbox()
            both.right.attach(there)
            both.left.send_control(b"goodbye")
            await asyncio.gather(both.offering.close(), there.until(closed=1))
            await both.answering.close()
            assert there.control == [b"goodbye"]

    run(story())


def test_a_peer_that_was_killed_is_not_waited_for_long() -> None:
    async def story() -> None:
        times = NetTimes(close_s=1.0)
        async with meeting(ALONE, times) as both:
            both.answering._ice.close()  # nothing is heard and said there any more
            began = time.monotonic()
            await both.offering.close()
            assert 0.3 <= time.monotonic() - began < 10
            assert both.offering_sctp().state == "closed"

    run(story())
