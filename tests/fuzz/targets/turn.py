"""What a TURN server can send: ChannelData and STUN, in datagrams and as a stream that is cut anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from aioice import stun

from fuzz.feed import Feed
from p2pcopy.net.channeldata import HEADER_SIZE, framed
from p2pcopy.net.turnclient import TurnClient, Way
from p2pcopy.net.turnways import TcpClient, UdpClient

MODULES = ("p2pcopy.net.channeldata", "p2pcopy.net.turnclient", "p2pcopy.net.turnways")

CHANNEL: Final = 0x4001
PEER: Final = ("192.0.2.7", 4711)
SERVER: Final = ("192.0.2.1", 3478)
MAX_MESSAGE: Final = 65535 + 20
Got = list[tuple[bytes, tuple[str, int]]]  # datagrams, with who they are from

CHANNELS: Final = {CHANNEL: PEER, 0x4002: ("192.0.2.8", 9)}


class Transport:
    """Of a stream: takes what is sent."""

    def __init__(self) -> None:
        self.is_aborted = False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.2", 5000) if name == "sockname" else _Options()

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class _Options:
    def setsockopt(self, *option: int) -> None: ...


def one(data: bytes) -> None:
    asyncio.run(story(Feed(data)))


async def story(feed: Feed) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, report: raised.append(report))
    kind = feed.number(3)
    if kind == 0:
        framed_again(feed)
    elif kind == 1:
        streamed(feed)
    else:
        datagrams(feed)
    assert not raised, raised


def framed_again(feed: Feed) -> None:
    """What we frame comes out as it was."""
    segment = 1 + feed.number(300)
    data = feed.rest()
    expected = [(data[at : at + segment], PEER) for at in range(0, len(data), segment)]
    for padded in (True, False):
        frames = framed(CHANNEL, memoryview(data), segment, padded=padded)
        client: TurnClient
        got: Got = []
        if padded:
            client = tcp()
            watch(client, got)
            client.data_received(frames)
        else:
            client = UdpClient(Way(SERVER, "", "udp", "", ""))
            watch(client, got)
            client.batch_read(bytearray(frames), len(frames), segment + HEADER_SIZE, SERVER)
        assert got == expected


def streamed(feed: Feed) -> None:
    """However the stream is cut, the same comes out of it."""
    cuts = [1 + feed.number(65536) % 700 for _ in range(feed.number(6))]
    data = messages(feed)
    whole: Got = []
    in_pieces: Got = []
    first, second = tcp(), tcp()
    watch(first, whole)
    watch(second, in_pieces)
    first.data_received(data)
    at = 0
    for cut in [*cuts, len(data)]:
        if at < len(data) and not second.transport.is_aborted:
            second.data_received(data[at : at + cut])
        at += cut
        assert len(second._rest) <= MAX_MESSAGE
    assert whole == in_pieces
    assert first.transport.is_aborted == second.transport.is_aborted
    assert first.transport.is_aborted or first._rest == second._rest


def datagrams(feed: Feed) -> None:
    """What came in one batch comes out as if each had come alone."""
    segment = 1 + feed.number(300)
    data = bytearray(messages(feed))
    together: Got = []
    alone: Got = []
    client = UdpClient(Way(SERVER, "", "udp", "", ""))
    watch(client, together)
    client.batch_read(data, len(data), segment, SERVER)
    client = UdpClient(Way(SERVER, "", "udp", "", ""))
    watch(client, alone)
    for at in range(0, len(data), segment):
        datagram = data[at : at + segment]
        client.batch_read(datagram, len(datagram), segment, SERVER)
    assert together == alone


def messages(feed: Feed) -> bytes:
    """In a row, some of them broken."""
    made: list[bytes] = []
    while feed and len(made) < 64:
        match feed.number(8):
            case 0:
                made.append(feed.chunk())
            case 1:
                made.append(indication(feed))
            case 2:
                made.append(feed.number(65536).to_bytes(2, "big") + feed.number(65536).to_bytes(2, "big"))
            case _:
                content = feed.chunk(40)
                channel = feed.choice((CHANNEL, 0x4002, 0x4003))
                burst = memoryview(content * feed.choice((1, 1, 3)))
                made.append(framed(channel, burst, max(1, len(content)), padded=feed.number(4) > 0))
    return b"".join(made)


def indication(feed: Feed) -> bytes:
    message = stun.Message(
        feed.choice((stun.Method.DATA, stun.Method.BINDING)),
        feed.choice((stun.Class.INDICATION, stun.Class.RESPONSE, stun.Class.ERROR, stun.Class.REQUEST)),
        bytes(12),
    )
    if feed.flag():
        message.attributes["XOR-PEER-ADDRESS"] = feed.choice((PEER, ("198.51.100.9", 1), ("2001:db8::1", 2)))
    if feed.flag():
        message.attributes["DATA"] = feed.chunk(40)
    return bytes(message)


def tcp() -> TcpClient:
    client = TcpClient(Way(SERVER, "", "tcp", "", ""))
    client.connection_made(Transport())  # type: ignore[arg-type]
    return client


def watch(client: TurnClient, got: Got) -> None:
    client.channels = dict(CHANNELS)
    client.permitted = {PEER[0]}

    def on_batch(data: bytearray, size: int, segment: int, address: tuple[str, int]) -> None:
        assert 0 < segment <= size <= len(data)
        got.extend((bytes(data[at : min(at + segment, size)]), address) for at in range(0, size, segment))

    client.on_batch = on_batch
    client.on_data = lambda data, address: got.append((data, address))


def seeds() -> Iterator[bytes]:
    payload = bytes(range(20, 60))
    data = bytes([3, 30]) + payload[:30] + b"\x00\x00\x01"
    burst = bytes([3, 40]) + payload + b"\x00\x02\x01"
    other = bytes([3, 4]) + payload[:4] + b"\x01\x00\x01"
    said = bytes([1, 0, 0, 1, 0, 1, 5]) + b"hello"
    broken = bytes([2, 0x40, 1, 0, 9]) + bytes([2, 0xFF, 1, 0, 9])
    for size in (1, 7, 40):
        yield b"\x00" + size.to_bytes(2, "big") + payload * 5
    for cuts in (b"\x00", b"\x02\x00\x05\x00\x11", b"\x05" + b"\x00\x03" * 5):
        yield b"\x01" + cuts + data + burst + said + other + data
        yield b"\x01" + cuts + burst + broken + data
    for segment in (43, 33, 7):
        yield b"\x02" + segment.to_bytes(2, "big") + burst + said + data * 2 + other + broken
