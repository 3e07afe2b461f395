"""Our channels against other WebRTC stacks: aiortc as it comes, libdatachannel, and Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from aiortc.rtcsctptransport import InitChunk
from crossing import Crossing
from foreign import AiortcPeer, Browser, Foreign, Node, Stack, running
from meeting import run
from ours import CHANNELS, Entry, Label, Message, Ours, entry, in_band

from p2pcopy.net.fastsctp import FastSctpTransport
from p2pcopy.net.sctp import BoundedSctpTransport

SIZES: Final = (0, 1, 1200, 65536, 262144)
ONE_OF_EACH: Final[list[Message]] = [(kind, size) for size in SIZES for kind in ("binary", "text")]
MANY: Final = {BoundedSctpTransport: 64, FastSctpTransport: 320}  # messages of 64 KiB
LABELS: Final[tuple[Label, ...]] = ("control", "data")
MOMENT_S: Final = 20.0

ASSOCIATIONS: Final = {"stock": BoundedSctpTransport, "fast": FastSctpTransport}
Association = type[BoundedSctpTransport]
MakeForeign = Callable[..., Awaitable[Foreign]]


@pytest.fixture(params=ASSOCIATIONS)
def association(request: pytest.FixtureRequest) -> Association:
    return ASSOCIATIONS[request.param]


@pytest.fixture(scope="session")
def libdatachannel() -> Iterator[Stack]:
    yield from _running(Node)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Stack]:
    yield from _running(Browser)


def _running(stack: type[Node] | type[Browser]) -> Iterator[Stack]:
    if reason := stack.why_not():
        if os.environ.get("CI"):
            pytest.fail(f"this test has to run here: {reason}", pytrace=False)
        pytest.skip(reason)
    with running(stack) as program:
        yield program


@pytest.fixture(
    params=["aiortc", "libdatachannel", pytest.param("chromium", marks=pytest.mark.xdist_group("chromium"))]
)
def foreign(request: pytest.FixtureRequest) -> MakeForeign:
    """Makes a peer of another stack, on an address of this machine."""
    if request.param == "aiortc":

        async def aiortc(address: str = "127.0.0.1") -> Foreign:
            return AiortcPeer(address)

        return aiortc
    stack: Stack = request.getfixturevalue(request.param)

    async def scripted(address: str = "127.0.0.1") -> Foreign:
        return await stack.peer(bindAddress=address)

    return scripted


@contextlib.asynccontextmanager
async def meeting(ours: Ours, theirs: Foreign) -> AsyncIterator[None]:
    try:
        await ours.open()
        if ours.offering:
            ours.accept(await theirs.answer(ours.describe(), CHANNELS))
        else:
            ours.accept(await theirs.offer(CHANNELS))
            await theirs.accept(ours.describe())
        await ours.connect()
        for channel in CHANNELS:
            await theirs.opened(channel["label"])
        yield
    finally:
        await ours.leave()
        await theirs.close()


async def exchange(ours: Ours, theirs: Foreign, messages: list[Message], labels: tuple[Label, ...] = LABELS) -> None:
    """Both ways and in all channels at once; everything arrives whole, once, and in order where that is promised."""

    async def to_them(label: Label) -> None:
        sent, received = await asyncio.gather(ours.send(label, messages), theirs.received(label, len(messages)))
        same(label, sent, [each for _, each in received])
        assert sorted(kind for kind, _ in received) == sorted(kind for kind, _ in messages)

    async def to_us(label: Label) -> None:
        same(label, *await asyncio.gather(theirs.send(label, messages), ours.record.received(label, len(messages))))

    await asyncio.gather(*(way(label) for way in (to_them, to_us) for label in labels))


def same(label: Label, sent: list[Entry], received: list[Entry]) -> None:
    if label == "data":
        sent, received = sorted(sent), sorted(received)
    assert received == sent


@pytest.mark.parametrize("offering", [True, False], ids=["we-offer", "they-offer"])
def test_messages_of_all_sizes_and_kinds(foreign: MakeForeign, association: Association, offering: bool) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=offering), await foreign()
        async with meeting(ours, theirs):
            await exchange(ours, theirs, ONE_OF_EACH)

    run(story())


def test_many_megabytes_both_ways_at_once(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            await exchange(ours, theirs, [("binary", 65536)] * MANY[association], ("data",))

    run(story())


def test_we_end_it_when_they_have_everything(foreign: MakeForeign, association: Association) -> None:
    """Their application has it, as p2pcopy's own protocol makes sure: libdatachannel drops at the end what nobody has read yet."""

    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            sent = await ours.send("data", [("binary", 65536)] * 16)
            same("data", sent, [each for _, each in await theirs.received("data", len(sent))])
            await ours.close()
            async with asyncio.timeout(MOMENT_S):
                for label in LABELS:
                    await theirs.closed(label)

    run(story())


def test_we_end_it_right_behind_the_last_message(foreign: MakeForeign, association: Association) -> None:
    """Their application may not have read it yet."""

    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            sent = await ours.send("data", [("binary", 65536)] * 16)
            await ours.close()
            assert ours.sctp._association_state == ours.sctp.State.CLOSED
            async with asyncio.timeout(MOMENT_S):
                same("data", sent, [each for _, each in await theirs.received("data", len(sent))])
                for label in LABELS:
                    await theirs.closed(label)

    run(story())


def test_they_end_it(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=False), await foreign()
        async with meeting(ours, theirs):
            await exchange(ours, theirs, [("binary", 1200)])
            await theirs.close()
            async with asyncio.timeout(MOMENT_S):
                await ours.record.closed()

    run(story())


def test_they_close_one_channel(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            await theirs.close_channel("data")
            async with asyncio.timeout(MOMENT_S):
                await asyncio.gather(ours.record.closed(), theirs.closed("data"))

    run(story())


def test_we_close_one_channel(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            ours.channel._data.close()
            async with asyncio.timeout(MOMENT_S):
                await asyncio.gather(ours.record.closed(), theirs.closed("data"))

    run(story())


@pytest.mark.parametrize("ordered", [True, False])
def test_channels_opened_in_band(foreign: MakeForeign, association: Association, ordered: bool) -> None:
    """p2pcopy opens none and takes none: the association can do it all the same."""

    async def story() -> None:
        ours, theirs = Ours(in_band(association), offering=True), await foreign()
        async with meeting(ours, theirs):
            channel = await ours.open_in_band("of ours", ordered=ordered)
            await theirs.opened("of ours")
            channel.send("grüße")
            channel.send(bytes(70000))
            assert await theirs.received("of ours", 2) == [
                ("text", entry("grüße".encode())),
                ("binary", entry(bytes(70000))),
            ]

            await theirs.open_in_band("of theirs", ordered=ordered)
            await theirs.opened("of theirs")
            sent = await theirs.send("of theirs", ONE_OF_EACH)
            same("data", sent, await ours.record.received("data", len(sent)))

    run(story())


def test_a_channel_of_theirs_ends_it(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True), await foreign()
        async with meeting(ours, theirs):
            await theirs.open_in_band("extra", ordered=True)
            async with asyncio.timeout(MOMENT_S):
                await asyncio.gather(ours.record.closed(), theirs.closed("control"))

    run(story())


def test_our_handshake_alone_is_enough(foreign: MakeForeign, association: Association) -> None:
    """Most stacks begin one themselves, which hides what is wrong with ours."""

    async def story() -> None:
        ours, theirs = Ours(association, offering=True, before=ignore_init), await foreign()
        async with meeting(ours, theirs):
            await exchange(ours, theirs, [("binary", 1200)])

    run(story())


def ignore_init(sctp: BoundedSctpTransport) -> None:
    handle = sctp._handle_data

    async def handle_others(data: bytes) -> None:
        if data[12] != InitChunk.type:
            await handle(data)

    sctp._handle_data = handle_others  # type: ignore[method-assign]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as raw:
            raw.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="needs the IPv6 loopback address")
def test_over_ipv6(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True, address="::1"), await foreign("::1")
        async with meeting(ours, theirs):
            await exchange(ours, theirs, ONE_OF_EACH)

    run(story())


def test_past_the_last_sequence_number(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        ours, theirs = Ours(association, offering=True, before=near_the_last), await foreign()
        if isinstance(theirs, AiortcPeer):
            theirs.before = near_the_last
        async with meeting(ours, theirs):
            await exchange(ours, theirs, ONE_OF_EACH)

    run(story())


def near_the_last(sctp: Any) -> None:
    """Its sequence numbers begin 50 below the end."""
    sctp._local_tsn = sctp._reconfig_request_seq = 2**32 - 50
    sctp._last_sacked_tsn = sctp._advanced_peer_ack_tsn = sctp._local_tsn - 1


def test_over_a_way_that_loses_repeats_and_reorders(foreign: MakeForeign, association: Association) -> None:
    async def story() -> None:
        crossing = Crossing(seed=4)
        await crossing.open()
        ours, theirs = Ours(association, offering=True, crossing=crossing), await foreign()
        try:
            async with meeting(ours, theirs):
                await exchange(ours, theirs, ONE_OF_EACH)
            assert crossing.lost
        finally:
            crossing.close()

    run(story())
