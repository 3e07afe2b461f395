"""Sockets that send and read many datagrams at once, on the loopback interface, and what happens when the system does not want."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from lab import Lab, Place, Topology
from meeting import run

from p2pcopy.net import offload, udp
from p2pcopy.net.udp import EVERYTHING, Offload, UdpSocket, available, offload_of, open_socket, udp_socket

LOOPBACKS = ("127.0.0.1", "::1")
WISHES = [
    EVERYTHING,
    replace(EVERYTHING, gso=False),
    replace(EVERYTHING, gro=False),
    replace(EVERYTHING, gso=False, gro=False),
    replace(EVERYTHING, batch=False),
]
linux = pytest.mark.skipif(sys.platform != "linux", reason="GSO and GRO are there only on Linux")


@dataclass
class Owner:
    """Takes datagrams apart again. on_batch: called with each batch."""

    got: list[bytes] = field(default_factory=list)
    batches: list[tuple[int, int]] = field(default_factory=list)
    buffers: set[int] = field(default_factory=set)
    senders: set[tuple[str, int]] = field(default_factory=set)
    endings: int = 0
    errors: list[OSError] = field(default_factory=list)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    on_batch: Callable[[], None] = lambda: None

    def batch_read(self, data: bytearray, size: int, segment: int, address: tuple[str, int]) -> None:
        self.got += [bytes(data[at : min(at + segment, size)]) for at in range(0, size, segment)]
        self.batches.append((size, segment))
        self.buffers.add(id(data))
        self.senders.add(address)
        self.changed.set()
        self.on_batch()

    def reading_ended(self) -> None:
        self.endings += 1
        self.changed.set()

    def failed(self, error: OSError) -> None:
        self.errors.append(error)

    def writable(self) -> None:
        self.room.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()


class Reluctant(socket.socket):
    """A socket whose system refuses. refuses: called with the number of bytes and of a segment (0: a single datagram) of what is
    to be sent; returns an error number, or 0 to let it through."""

    refuses: Callable[[int, int], int]
    calls: list[tuple[int, int]]

    def _try(self, size: int, segment: int) -> None:
        self.calls.append((size, segment))
        if code := self.refuses(size, segment):
            raise OSError(code, "refused")

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:  # type: ignore[override]
        self._try(len(data), 0)
        return super().sendto(data, address)

    def sendmsg(self, buffers, ancillary, flags, address):  # type: ignore[no-untyped-def,override]
        self._try(len(buffers[0]), int.from_bytes(ancillary[0][2], sys.byteorder))
        return super().sendmsg(buffers, ancillary, flags, address)


@contextlib.asynccontextmanager
async def opened(address: str = "127.0.0.1", wish: Offload = EVERYTHING) -> AsyncIterator[tuple[UdpSocket, Owner]]:
    raw = udp_socket(address)
    raw.bind((address, 0))
    owner = Owner()
    found = await open_socket(raw, owner, wish)
    try:
        yield found, owner
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def reluctant(refuses: Callable[[int, int], int]) -> AsyncIterator[tuple[UdpSocket, Reluctant]]:
    raw = Reluctant(socket.AF_INET, socket.SOCK_DGRAM)
    raw.setblocking(False)
    raw.bind(("127.0.0.1", 0))
    raw.refuses, raw.calls = refuses, []
    found = await open_socket(raw, Owner())
    try:
        yield found, raw
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def stuck(wish: Offload = EVERYTHING) -> AsyncIterator[tuple[UdpSocket, Owner, socket.socket]]:
    """A datagram socket that takes only a few datagrams while the other end does not read them."""
    near, far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    with tempfile.TemporaryDirectory() as place, far:
        far.bind(f"{place}/far")
        near.connect(f"{place}/far")
        near.setblocking(False)
        far.settimeout(30)
        owner = Owner()
        found = await open_socket(near, owner, wish)
        try:
            yield found, owner, far
        finally:
            await found.close()


def fill(found: UdpSocket) -> list[bytes]:
    """Send until it is full."""
    sent = []
    for _ in range(1000):
        burst = datagrams(16, 1000, 7)
        found.send_burst(memoryview(b"".join(burst)), 1000, None)
        sent += burst
        if found.is_full:
            return sent
    raise AssertionError("the system takes everything")


def is_readable(raw: socket.socket) -> bool:
    return bool(select.select([raw], [], [], 0)[0])


def where(found: UdpSocket) -> tuple[str, int]:
    host, port = found.raw.getsockname()[:2]
    return host, port


def datagrams(count: int, size: int = 1000, last: int = 0) -> list[bytes]:
    return [bytes([number % 256]) * size for number in range(count)] + ([b"z" * last] if last else [])


def plain() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(("127.0.0.1", 0))
    return found


@pytest.mark.parametrize("address", LOOPBACKS)
@pytest.mark.parametrize("wish", WISHES, ids=str)
@pytest.mark.parametrize(
    ("count", "size", "last"), [(44, 1472, 0), (43, 1472, 1), (1, 1200, 0), (200, 300, 77), (3, 30000, 9)]
)
def test_a_burst_arrives_as_it_was_sent(address: str, wish: Offload, count: int, size: int, last: int) -> None:
    async def story() -> None:
        async with opened(address, wish) as (left, _), opened(address, wish) as (right, owner):
            sent = datagrams(count, size, last)
            assert left.send_burst(memoryview(b"".join(sent)), size, where(right)) is None
            await owner.until(len(sent))
            assert owner.got == sent
            assert owner.senders == {where(left)}
            assert len(owner.buffers) == 1
            assert owner.endings <= len(owner.batches)

    run(story())


@linux
def test_bursts_are_cut_and_put_together_by_the_kernel() -> None:
    async def story() -> None:
        async with opened() as (left, _), opened() as (right, owner):
            assert left.offload == right.offload == EVERYTHING
            assert left.burst == 88
            left.send_burst(memoryview(b"".join(datagrams(88, 1472))), 1472, where(right))
            await owner.until(88)
            assert owner.batches == [(88 * 1472, 1472)]
        async with opened(wish=replace(EVERYTHING, gso=False)) as (left, _):
            assert (left.offload.gso, left.burst) == (False, 16)

    run(story())


@pytest.mark.parametrize("gro", [False, True])
def test_what_came_one_by_one_is_handed_over_together(gro: bool) -> None:
    async def story() -> None:
        async with opened(wish=replace(EVERYTHING, gro=gro)) as (found, owner):
            with plain() as one, plain() as other:
                sizes = [300, 300, 300, 200, 300, 500, 500, 40, 40, 0, 40]
                for number, size in enumerate(sizes):
                    one.sendto(bytes([number]) * size, where(found))
                for sender in (one, other, other):
                    sender.sendto(b"x" * 40, where(found))
                await owner.until(len(sizes) - 1 + 3)
                assert owner.batches == [(1100, 300), (300, 300), (1040, 500), (120, 40), (80, 40)]
                assert owner.endings == 1
                assert owner.got[:9] == [bytes([number]) * size for number, size in enumerate(sizes[:9])]

    run(story())


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_a_flood_leaves_turns_of_the_loop_to_others(wish: Offload) -> None:
    async def story() -> None:
        async with opened(wish=wish) as (found, owner):
            with plain() as stranger:
                for _ in range(600):
                    stranger.sendto(b"flood", where(found))
            while not owner.got:
                await asyncio.sleep(0)
            assert len(owner.got) <= udp.READ_AT_ONCE

    run(story())


# What the system does not want


@linux
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EMSGSIZE])
def test_segments_that_are_too_long_are_sent_singly_and_others_are_not(code: int) -> None:
    async def story() -> None:
        def refuses(size: int, segment: int) -> int:
            return code if segment > 1000 else 0

        async with reluctant(refuses) as (found, raw), opened() as (right, owner):
            for _ in range(2):
                found.send_burst(memoryview(bytes(3600)), 1200, where(right))
            assert raw.calls == [(3600, 1200)] + [(1200, 0)] * 6
            found.send_burst(memoryview(bytes(2000)), 1000, where(right))
            with plain() as elsewhere:
                found.send_burst(memoryview(bytes(2400)), 1200, elsewhere.getsockname())
            assert raw.calls[7:] == [(2000, 1000), (2400, 1200), (1200, 0), (1200, 0)]
            await owner.until(8)
            assert found.offload.gso
            found.probe_mtu(False)
            raw.refuses = lambda size, segment: 0
            raw.calls.clear()
            found.send_burst(memoryview(bytes(2400)), 1200, elsewhere_or(right))
            assert raw.calls == [(2400, 1200)]

    def elsewhere_or(right: UdpSocket) -> tuple[str, int]:
        return where(right)

    run(story())


@linux
def test_after_a_while_they_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "RETRY_SEGMENT_S", 0.0)

    async def story() -> None:
        async with (
            reluctant(lambda size, segment: errno.EINVAL if segment else 0) as (found, raw),
            opened() as (right, _),
        ):
            for _ in range(2):
                found.send_burst(memoryview(bytes(2400)), 1200, where(right))
            assert raw.calls == [(2400, 1200), (1200, 0), (1200, 0)] * 2

    run(story())


@linux
@pytest.mark.parametrize("code", [errno.EIO, errno.EOPNOTSUPP])
def test_where_bursts_are_not_taken_there_are_none(code: int) -> None:
    async def story() -> None:
        async with reluctant(lambda size, segment: code if segment else 0) as (found, raw), opened() as (right, owner):
            sent = datagrams(20)
            for _ in range(2):
                found.send_burst(memoryview(b"".join(sent)), 1000, where(right))
            await owner.until(40)
            assert owner.got == sent * 2
            assert raw.calls == [(20000, 1000)] + [(1000, 0)] * 40
            assert (found.offload.gso, found.offload.gro, found.burst) == (False, True, 16)
            assert "GSO" in found.offload.why

    run(story())


@linux
@pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENETUNREACH, errno.EPERM, errno.ECONNREFUSED])
def test_other_errors_are_losses(code: int) -> None:
    """After a second try: the error may be that of an earlier datagram."""

    async def story() -> None:
        async with reluctant(lambda size, segment: code) as (found, raw), opened() as (right, owner):
            error = found.send_burst(memoryview(bytes(2400)), 1200, where(right))
            assert error is not None
            assert error.errno == code
            assert raw.calls == [(2400, 1200)] * 2
            assert found.offload.gso
            assert not found.is_full
            raw.calls.clear()
            raw.refuses = lambda size, segment: code if len(raw.calls) == 1 else 0
            assert found.send_burst(memoryview(bytes(2400)), 1200, where(right)) is not None
            await owner.until(2)

    run(story())


def test_a_datagram_that_is_too_long_is_lost() -> None:
    async def story() -> None:
        async with opened() as (left, _), opened() as (right, owner):
            error = left.send_burst(memoryview(bytes(70000)), 70000, where(right))
            assert error is not None
            assert error.errno == errno.EMSGSIZE
            left.send_burst(memoryview(b"".join(datagrams(3))), 1000, where(right))
            await owner.until(3)
            assert not left.is_full

    run(story())


@pytest.mark.parametrize("wish", [EVERYTHING, replace(EVERYTHING, batch=False)], ids=str)
def test_what_the_system_does_not_take_now_waits_and_nothing_is_lost(wish: Offload) -> None:
    async def story() -> None:
        async with stuck(wish) as (found, owner, far):
            sent = fill(found)
            assert not owner.room.is_set()
            got = [await asyncio.to_thread(far.recv, 2000) for _ in sent]
            assert got == sent
            await asyncio.wait_for(owner.room.wait(), 30)
            assert not found.is_full

    run(story())


def test_what_is_urgent_does_not_wait_behind_the_rest() -> None:
    async def story() -> None:
        async with stuck() as (found, _, far):
            before = len(fill(found))
            for _ in range(100):
                found.send(b"data", None, urgent=False)
            found.send(b"check", None, urgent=True)
            got = [await asyncio.to_thread(far.recv, 2000) for _ in range(before + 101)]
            assert got.index(b"check") < before
            assert got[-100:] == [b"data"] * 100

    run(story())


@pytest.mark.parametrize("wish", [EVERYTHING, replace(EVERYTHING, batch=False)], ids=str)
def test_what_waits_is_bounded(wish: Offload) -> None:
    async def story() -> None:
        async with stuck(wish) as (found, _, far):
            for _ in range(400):
                found.send_burst(memoryview(bytes(32000)), 16000, None)
            got = 0
            while found.is_full or is_readable(far):
                got += len(await asyncio.to_thread(far.recv, 20000))
            assert udp.MAX_UNSENT < got < 2 * udp.MAX_UNSENT + 16000 * 300

    run(story())


@pytest.mark.parametrize("wish", [EVERYTHING, replace(EVERYTHING, batch=False)], ids=str)
def test_closing_leaves_what_waits_a_moment_and_not_more(wish: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with monkeypatch.context() as patient:
            patient.setattr(udp, "_CLOSE_S", 30)
            async with stuck(wish) as (found, owner, far):
                count = len(fill(found))
                closing = asyncio.create_task(found.close())
                for _ in range(count):
                    await asyncio.to_thread(far.recv, 2000)
                await closing
                await found.close()
                assert not owner.room.is_set()
        async with stuck(wish) as (found, _, _far):
            fill(found)
            async with asyncio.timeout(10):
                await asyncio.gather(found.close(), found.close())
            found.send(b"late", None, urgent=True)
            found.send_burst(memoryview(b"late"), 4, None)

    run(story())


# What the owner does


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_a_mistake_of_the_owner_is_reported_and_reading_goes_on(wish: Offload) -> None:
    async def story() -> None:
        reports: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reports.append(str(context["exception"]))
        )
        async with opened(wish=wish) as (found, owner):

            def fail() -> None:
                raise RuntimeError("a mistake")

            owner.on_batch = fail
            with plain() as sender:
                sender.sendto(b"one", where(found))
                await owner.until(1)
                owner.on_batch = lambda: None
                sender.sendto(b"two", where(found))
                await owner.until(2)
            assert reports == ["a mistake"]
            assert owner.endings

    run(story())


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_a_socket_that_is_closed_in_the_middle_of_a_batch_hands_over_no_more(wish: Offload) -> None:
    async def story() -> None:
        async with opened(wish=wish) as (found, owner):
            closing: list[asyncio.Task[None]] = []
            owner.on_batch = lambda: closing.append(asyncio.create_task(found.close()))
            with plain() as one, plain() as other:
                for number in range(20):
                    (one, other)[number % 2].sendto(b"x", where(found))
            await owner.until(1)
            await closing[0]
            await asyncio.sleep(0.05)
            seen = len(owner.got)
            assert found.raw.fileno() == -1 or not found.offload.batch
            await asyncio.sleep(0.05)
            assert len(owner.got) == seen

    run(story())


# What there is


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with udp_socket("127.0.0.1") as raw:
            assert "GSO: switched off" in offload_of(raw, replace(EVERYTHING, gso=False)).why
            assert "GRO: switched off" in offload_of(raw, replace(EVERYTHING, gro=False)).why
            assert offload_of(raw, replace(EVERYTHING, batch=False)) == Offload(False, False, False, "switched off")
            monkeypatch.setattr(offload, "UDP_GRO", 250)
            if sys.platform == "linux":
                assert offload_of(raw) == Offload(True, False, True, "GRO: not in this kernel")
            monkeypatch.setattr(sys, "platform", "other")
            assert offload_of(raw) == Offload(False, False, True, "GSO: only on Linux, GRO: only on Linux")
            monkeypatch.setattr(asyncio, "SelectorEventLoop", asyncio.Event)  # which the running loop is not
            assert offload_of(raw) == Offload(False, False, False, "this event loop keeps sockets to itself")

    run(story())


@linux
def test_what_this_machine_can_do() -> None:
    assert available() == EVERYTHING

    async def story() -> None:
        assert available() == EVERYTHING

    run(story())


@linux
@pytest.mark.parametrize(("address", "largest"), [("127.0.0.1", 1472), ("::1", 1452)])
@pytest.mark.parametrize("wish", [EVERYTHING, replace(EVERYTHING, batch=False)], ids=str)
def test_the_largest_datagram_worth_a_try(address: str, largest: int, wish: Offload) -> None:
    async def story() -> None:
        async with opened(address, wish) as (found, _):
            assert found.probe_mtu(True) == largest
            assert found.probe_mtu(False) == largest
            await found.close()
            assert found.probe_mtu(True) == 0

    run(story())


# A path that is narrow


@pytest.fixture(scope="module")
def narrow() -> Iterator[tuple[Place, Place]]:
    """Two hosts on a LAN; packets of the first can be 1300 bytes long."""
    with Lab(Topology.LAN) as lab:
        interface = lab.link("a").host_device
        subprocess.run(lab.command("a", "ip", "link", "set", "dev", interface, "mtu", "1300"), check=True)
        with Place(lab, "a") as left, Place(lab, "b") as right:
            yield left, right


@pytest.mark.lab
@pytest.mark.parametrize("gso", [True, False])
def test_a_path_that_is_too_narrow(narrow: tuple[Place, Place], gso: bool) -> None:
    left, right = narrow
    wish = replace(EVERYTHING, gso=gso)

    async def listen() -> tuple[UdpSocket, Owner]:
        raw = udp_socket("10.77.0.3")
        raw.bind(("10.77.0.3", 0))
        owner = Owner()
        return await open_socket(raw, owner), owner

    there, owner = right.run(listen())

    async def send() -> None:
        raw = udp_socket("10.77.0.2")
        raw.bind(("10.77.0.2", 0))
        found = await open_socket(raw, Owner(), wish)
        try:
            assert found.probe_mtu(True) == 1472
            found.send_burst(memoryview(bytes(10 * 1400)), 1400, where(there))  # lost, all of it
            found.send_burst(memoryview(bytes(10 * 1200)), 1200, where(there))
            assert found.offload.gso == gso
            found.probe_mtu(False)
            found.send_burst(memoryview(bytes(10 * 1400)), 1400, where(there))  # in fragments
            assert found.offload.gso == gso
        finally:
            await found.close()

    left.run(send())
    right.run(owner.until(20))
    right.run(there.close())
    assert [len(each) for each in owner.got] == [1200] * 10 + [1400] * 10
