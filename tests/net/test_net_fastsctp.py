"""The fast association and packets that are lost, come too early, twice, or were never meant well."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from random import Random

import pytest
from aiortc.rtcsctptransport import AbortChunk, Chunk, CookieAckChunk, CookieEchoChunk, HeartbeatChunk, ShutdownChunk
from meeting import run
from memory_pair import End, pair
from OpenSSL import SSL

from p2pcopy.errors import ConnectionLost
from p2pcopy.net import calm, fastsctp, outbound
from p2pcopy.net.fastsctp import MAX_CHUNKS
from p2pcopy.net.packets import BEGINS, ENDS
from p2pcopy.net.runs import RUN
from p2pcopy.net.slices import MAX_SLICE, MAX_SLICES, MAX_WAITING, SLICE


@pytest.fixture
def long_records_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast this machine is at the moment."""
    for module, name, value in (
        (calm, "LEAST", 50),
        (calm, "MOST", 50),
        (outbound, "BURST_S", 1.0),
        (outbound, "FEW_RECORDS", 1),
    ):
        monkeypatch.setattr(module, name, value)


def loses(end: End, *kinds: type[Chunk]) -> None:
    """The first chunk of each kind does not leave."""
    lost: set[type[Chunk]] = set()
    send = end.sctp._send_chunk

    async def sieve(chunk: Chunk) -> None:
        if type(chunk) in kinds and type(chunk) not in lost:
            lost.add(type(chunk))
        else:
            await send(chunk)

    end.sctp._send_chunk = sieve  # type: ignore[method-assign]


@pytest.mark.parametrize("kinds", [(CookieEchoChunk,), (CookieAckChunk,), (CookieEchoChunk, CookieAckChunk)], ids=len)
def test_a_handshake_that_loses_its_end(kinds: tuple[type[Chunk], ...]) -> None:
    async def story() -> None:
        async with pair(lambda a, b: loses(a, *kinds)) as (a, b):
            a.channel.send_control(b"there")
            b.channel.send_control(b"back")
            await asyncio.gather(a.inbox.until(control=1), b.inbox.until(control=1))

    run(story())


def test_data_that_overtakes_the_end_of_the_handshake() -> None:
    """What comes before the association is up is sent again, and nothing of it is lost."""

    async def story() -> None:
        held: list[Chunk] = []

        def prepare(a: End, b: End) -> None:
            loses(a, CookieEchoChunk)
            send = a.sctp._send_chunk

            async def hold(chunk: Chunk) -> None:
                if isinstance(chunk, CookieAckChunk) and not held:
                    held.append(chunk)
                    asyncio.get_running_loop().call_later(0.3, lambda: a.say(bytes(chunk)))
                else:
                    await send(chunk)

            a.sctp._send_chunk = hold  # type: ignore[method-assign]
            a.channel._control.on("open", lambda: a.channel.send_control(bytes(20_000)))

        async with pair(prepare) as (_, b):
            await b.inbox.until(control=1)
            assert b.inbox.control == [bytes(20_000)]

    run(story())


def reconfig(parameter: int, body: bytes) -> bytes:
    return struct.pack("!BBHHH", 130, 0, 8 + len(body), parameter, 4 + len(body)) + body


@pytest.mark.parametrize(
    "chunk", [reconfig(13, bytes(4)), reconfig(13, bytes(13)), reconfig(16, b""), b"\x82\0\0\x08\0\x0d\0\0"]
)
def test_a_malformed_chunk_ends_the_association(chunk: bytes) -> None:
    async def story() -> None:
        async with pair() as (a, b):
            a.say(chunk)
            await b.inbox.until(closed=1)
            assert b.state == "CLOSED"

    run(story())


def run_chunk(tsn: int, step: int, payload: bytes, flags: int = BEGINS | ENDS) -> bytes:
    body = struct.pack("!LHHLHH", tsn & 0xFFFFFFFF, 1, 0, 53, step, 0) + payload
    return struct.pack("!BBH", RUN, flags, 4 + len(body)) + body + bytes(-len(body) % 4)


@pytest.mark.parametrize(
    ("step", "payload", "flags"),
    [
        (4, b"", 3),
        (0, b"abcd", 3),
        (3, b"abcd", 3),
        (1, bytes(17), 3),
        (65_535, b"abcd", 3),
        (4, b"abcdefgh", ENDS),
        (1000, bytes(16_000), 0),
    ],
)
@pytest.mark.parametrize("more", [b"", bytes(HeartbeatChunk())])
def test_a_run_that_makes_no_sense_ends_the_association(step: int, payload: bytes, flags: int, more: bytes) -> None:
    """By itself and among other chunks of a packet, which is another way through the code."""

    async def story() -> None:
        async with pair() as (a, b):
            a.say(run_chunk(a.sctp._outbound.next_tsn, step, payload, flags) + more)
            await b.inbox.until(closed=1)
            assert b.inbox.data == []

    run(story())


def test_runs_with_numbers_of_any_time() -> None:
    """What is long gone or far off changes nothing, and little of what could be next is kept."""

    async def story() -> None:
        async with pair() as (a, b):
            tsn = a.sctp._outbound.next_tsn
            for offset in (-1 << 31, -70_000, -16, 40, 60_000, 65_530, 70_000, (1 << 31) - 1):
                a.say(run_chunk(tsn + offset, 900, bytes(14_400)))
            for number in range(4000):
                a.say(run_chunk(tsn + 20 * number + 40, 100, bytes(1600)))
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            assert b.sctp._inbound.arrivals.held_bytes <= b.sctp.window
            a.channel.send_data(b"still there")
            await b.inbox.until(data=1)
            assert b.inbox.data[0] == b"still there"
            assert b.inbox.closed == 0

    run(story())


def test_a_flood_of_slices() -> None:
    """From anybody who knows our address and can take that of the peer."""

    async def story() -> None:
        async with pair() as (a, b):
            random = Random(1)
            for number in range(2000):
                head = bytes([SLICE, random.randrange(256)]) + (number & 0xFFFF).to_bytes(2, "big")
                record = struct.pack(
                    "!BHQH", random.choice([20, 21, 22, 23]), 0xFEFD, 1 << 48, random.randrange(1 << 16)
                )
                size = random.choice([300, 1200, 2048])
                b.wires.receive((head + record).ljust(size, b"\0") * random.randrange(1, 20), size)
            waiting = b.sctp._opener._joiner._waiting
            assert (
                sum(len(piece) for pieces in waiting.values() for piece in pieces)
                <= MAX_WAITING * MAX_SLICES * MAX_SLICE
            )
            a.channel.send_data(b"still there")
            await b.inbox.until(data=1)
            assert b.inbox.closed == 0

    run(story())


def test_nothing_counts_after_an_abort() -> None:
    async def story() -> None:
        async with pair() as (a, b):
            a.say(bytes(AbortChunk()) + bytes(ShutdownChunk()))
            await b.inbox.until(closed=1)
            await asyncio.sleep(0)
            assert b.state == "CLOSED"

    run(story())


def test_a_shutdown_ends_it_when_all_is_delivered() -> None:
    async def story() -> None:
        async with pair() as (a, b):
            b.wires.is_lost = lambda datagram: True
            b.channel.send_control(bytes(100_000))
            a.say(bytes(ShutdownChunk()))
            await asyncio.sleep(0.05)
            assert b.state == "ESTABLISHED"
            with pytest.raises(ConnectionLost):
                b.channel.send_control(b"one more")
            b.wires.is_lost = lambda datagram: False
            await b.inbox.until(closed=1)
            await a.inbox.until(control=1)
            assert b.state == "SHUTDOWN_ACK_SENT"

    run(story())


def test_a_flood_of_questions_gets_few_answers() -> None:
    async def story() -> None:
        async with pair() as (a, b):
            sent: list[bytes] = []

            def count(datagram: bytes) -> bool:
                sent.append(datagram)
                return False

            b.wires.is_lost = count
            a.say(bytes(HeartbeatChunk()) * 1000)
            await asyncio.sleep(0.05)
            assert 0 < len(sent) <= MAX_CHUNKS + 1

    run(story())


def renegotiate(a: End) -> None:
    a.dtls.session.renegotiate()
    with contextlib.suppress(SSL.Error):
        a.dtls.session.do_handshake()
    a.sctp._wire.flush()


def close_notify(a: End) -> None:
    a.dtls.session.shutdown()
    a.sctp._wire.flush()


@pytest.mark.parametrize("attack", [renegotiate, close_notify])
def test_a_session_that_cannot_go_on_ends(attack: Callable[[End], None]) -> None:
    async def story() -> None:
        async with pair() as (victim, client):
            attack(client)
            await asyncio.sleep(0.05)
            if victim.state != "CLOSED":
                victim.channel.send_control(b"still there?")
            await victim.inbox.until(closed=1)

    run(story())


def test_the_path_is_back_after_the_end() -> None:
    async def story() -> None:
        async with pair() as (a, b):
            a.say(bytes(AbortChunk()))
            await b.inbox.until(closed=1)
            await b.dtls.stop()
            b.sctp.path_is_back()
            b.sctp.path_changed()
            b.sctp.path_answers()
            b.sctp.consumed(0)
            b.sctp.writable()
            assert b.state == "CLOSED"

    run(story())


@pytest.mark.parametrize("in_batches", [True, False])
@pytest.mark.parametrize("loss", [0, 0.02])
@pytest.mark.usefixtures("long_records_soon")
def test_long_records_carry_what_is_sent(in_batches: bool, loss: float) -> None:
    """In slices of a datagram each, both ways; of those that get lost the packets come once more."""
    random = Random(1)

    async def story() -> None:
        async with pair() as (a, b):
            slices = {id(a): 0, id(b): 0}
            for end in (a, b):

                def is_lost(datagram: bytes, end: End = end) -> bool:
                    is_slice = datagram[0] == SLICE
                    slices[id(end)] += is_slice
                    return is_slice and random.random() < loss

                end.wires.is_lost, end.wires.in_batches = is_lost, in_batches
            messages: list[bytes] = []
            while min(slices.values()) < 100:
                for _ in range(8):
                    messages.append(random.randbytes(a.sctp.message_size - len(messages)))
                    a.channel.send_data(messages[-1])
                    b.channel.send_data(messages[-1][::-1])
                await asyncio.gather(a.inbox.until(data=len(messages)), b.inbox.until(data=len(messages)))
                for end in (a, b):
                    end.sctp.consumed(sum(map(len, messages[-8:])))
            assert b.inbox.data == messages
            assert a.inbox.data == [message[::-1] for message in messages]

    run(story())


@pytest.mark.usefixtures("long_records_soon")
def test_a_peer_that_does_not_know_them_gets_no_long_records() -> None:
    """One of an earlier version says that it is fast, and no more."""
    kinds: set[int] = set()

    def is_lost(datagram: bytes) -> bool:
        kinds.add(datagram[0])
        return False

    def prepare(a: End, b: End) -> None:
        b.sctp._set_extensions = lambda params: params.extend(  # type: ignore[method-assign]
            [(fastsctp._ZERO_CHECKSUM, fastsctp._OVER_DTLS), (fastsctp._FAST, b"")]
        )

    async def story() -> None:
        async with pair(prepare) as (a, b):
            a.wires.is_lost = is_lost
            for _ in range(8):
                a.channel.send_data(bytes(200_000))
            await b.inbox.until(data=8)
            assert a.sctp.is_peer_fast
            assert not a.sctp._outbound._takes_runs
            assert b.sctp._outbound._takes_runs

    run(story())
    assert SLICE not in kinds


def test_only_another_p2pcopy_waits_for_sacks() -> None:
    async def story() -> None:
        async with pair() as (a, b):
            b.sctp.is_peer_fast = False
            assert (a.sctp._may_hold, b.sctp._may_hold) == (True, False)
            a.sctp._inbound.arrivals.has_gaps = True
            missing = a.sctp._may_hold
            a.sctp._inbound.arrivals.has_gaps = False
            assert not missing

    run(story())


@pytest.mark.usefixtures("long_records_soon")
def test_openssl_that_gives_other_records_than_it_has_sealed_ends_the_session() -> None:
    async def story() -> None:
        async with pair() as (a, b):

            def is_lost(datagram: bytes) -> bool:
                if datagram[0] == SLICE:
                    a.sctp._wire.overhead = 1
                return False

            a.wires.is_lost = is_lost
            for _ in range(40):
                a.channel.send_data(bytes(200_000))
            await a.inbox.until(closed=1)
            assert len(b.inbox.data) < 40

    run(story())
