"""Our association, with its data channels and what aiortc does for it, and a peer that sends any packets; DTLS is left out."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest.mock import patch

from aiortc.rtcsctptransport import CHUNK_TYPES

from fuzz.feed import Feed
from fuzz.targets.packets import Buffer
from p2pcopy.net import calm, fastsctp, halves, packets
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.datachannel import MAX_EARLY_BYTES, MAX_EARLY_MESSAGES, PeerChannel
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.fastsctp import MAX_CHUNKS, FastSctpTransport
from p2pcopy.net.packets import BEGINS, ENDS
from p2pcopy.net.pairs import Pair
from p2pcopy.net.runs import MAX_TSNS, RUN
from p2pcopy.net.sctp import MAX_MESSAGE
from p2pcopy.net.slices import HEADER, MAX_SLICE, MAX_SLICES, MAX_WAITING, SLICE

MODULES = (
    "p2pcopy.net.datachannel",
    "p2pcopy.net.fastsctp",
    "p2pcopy.net.mtuprobes",
    "p2pcopy.net.opening",
    "p2pcopy.net.queueing",
    "p2pcopy.net.wire",
)

FIRST: Final = 0xFFFFFFF0  # TSN, of both sides
OUR_TAG, THEIR_TAG = 7, 9
STEPS: Final = 60
_TO_US: Final = packets.Way(5000, 5000, OUR_TAG)
_KINDS: Final = (*sorted(CHUNK_TYPES), halves.HALF, packets.PADDING, 0x40, 0xFF, RUN)
_CALM: Final = 20  # packets
_RECORD: Final = struct.Struct("!B10sH")  # the header of DTLS
_SIZES: Final = (0, 1, 4, 200, 1200)


class PlainRecords:
    """records.Records without encryption: what is fed is one packet. Only what comes in slices has the header of a record."""

    def __init__(self, session: object) -> None:
        self.plain = bytearray(16384)
        self.opened = Buffer(20480)
        self.sealed = bytearray(140000)
        self._sealed = bytearray()
        self._waiting = b""

    def seal(self, size: int) -> int:
        self._sealed += self.plain[:size]
        return size

    def take(self) -> memoryview:
        taken, self._sealed = self._sealed, bytearray()
        self.sealed[: len(taken)] = taken
        return memoryview(self.sealed)[: len(taken)]

    def feed(self, data: bytearray, start: int, stop: int) -> None:
        self._waiting = bytes(data[start:stop])

    def feed_record(self, record: bytes, size: int) -> None:
        self._waiting = record[_RECORD.size : size]

    def open(self) -> int:
        packet, self._waiting = self._waiting, b""
        self.opened[: len(packet)] = packet
        return len(packet)

    def is_over(self, result: int) -> bool:
        return False


class Below:
    """DTLS and ICE, as the association sees them."""

    state = "connected"
    _role = "server"
    session = None

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []  # bytes, bytes of a packet
        local = SimpleNamespace(burst=16, is_full=False, send_burst=self._send_burst, probe_mtu=lambda on: 1472)
        remote = SimpleNamespace(address=("192.0.2.1", 9))
        self.pair = cast(Pair, SimpleNamespace(local=local, remote=remote, is_relayed=False))

    def _send_burst(self, data: memoryview, segment: int, address: tuple[str, int]) -> None:
        self.sent.append((len(data), segment))

    def ended(self) -> None: ...

    def take_data(self, sink: object) -> None: ...

    def ask_now(self) -> None: ...

    def answered_since(self, time: float) -> bool:
        return True

    def _unregister_data_receiver(self, receiver: object) -> None: ...


class Sink:
    """The application: takes its time with what arrives."""

    def __init__(self) -> None:
        self.waiting = 0
        self.closed = 0

    def control_received(self, message: bytes) -> None:
        assert len(message) <= MAX_MESSAGE

    def data_received(self, message: bytes) -> None:
        assert len(message) <= MAX_MESSAGE
        self.waiting += len(message)

    def channel_closed(self) -> None:
        self.closed += 1


def one(data: bytes) -> None:
    asyncio.run(story(Feed(data)))


async def story(feed: Feed) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, report: reports.append(report))
    with patch.object(fastsctp, "Records", PlainRecords), patch.object(calm, "LEAST", _CALM):
        below = Below()
        is_peer_fast = feed.flag()
        sctp, channel = established(below, is_peer_fast=is_peer_fast, takes_runs=is_peer_fast and feed.flag())
    sink = Sink()
    for _ in range(STEPS):
        if not feed:
            break
        step(feed, sctp, channel, sink, below)
        await asyncio.sleep(0)
        bounded(sctp, channel)
    sctp.lost()
    assert not reports, reports


def established(below: Below, *, is_peer_fast: bool, takes_runs: bool) -> tuple[FastSctpTransport, PeerChannel]:
    """As it is after the handshake."""
    sctp = FastSctpTransport(cast(PinnedDtlsTransport, below), cast(IceConnection, below))
    channel = PeerChannel(sctp, on_link=lambda message: message != b"no")
    sctp._local_verification_tag, sctp._remote_verification_tag = OUR_TAG, THEIR_TAG
    sctp._remote_port, sctp._last_received_tsn, sctp._local_tsn = 5000, FIRST - 1, FIRST
    sctp._ssthresh, sctp._takes_zero_checksum, sctp.is_peer_fast = 1 << 20, True, is_peer_fast
    sctp._takes_runs = takes_runs
    sctp._set_state(sctp.State.ESTABLISHED)
    return sctp, channel


def step(feed: Feed, sctp: FastSctpTransport, channel: PeerChannel, sink: Sink, below: Below) -> None:
    is_closed = sctp._association_state == sctp.State.CLOSED
    below.sent.clear()
    match feed.number(10):
        case 0:
            channel.attach(sink)
        case 1 if not is_closed and channel.failure is None:
            said(feed, channel)
        case 2:
            sctp.consumed(sink.waiting)
            sink.waiting = 0
        case 3:
            (sctp.path_is_back if feed.flag() else sctp.path_changed)()
        case 4:
            deliver(sctp, feed.chunk())
        case 5:
            batch, segment = slices(feed)
            deliver(sctp, batch, segment)
        case 6:
            deliver(sctp, _TO_US.packet(all_of_it(sctp), zero_checksum=True))
        case _:
            chunks = b"".join(chunk(feed) for _ in range(feed.choice((1, 1, 1, 2, 40))))
            deliver(sctp, _TO_US.packet(chunks, zero_checksum=feed.flag()))
            answers = sum(-(-size // segment) for size, segment in below.sent)
            assert answers <= 2 * MAX_CHUNKS + 3 * 16 * 6
            assert not is_closed or not answers


def said(feed: Feed, channel: PeerChannel) -> None:
    if channel._control.readyState == channel._data.readyState == "open":
        (channel.send_data if feed.flag() else channel.send_control)(bytes(feed.choice(_SIZES) * 10))


def deliver(sctp: FastSctpTransport, batch: bytes, segment: int = 0) -> None:
    """As IceConnection does: to nobody once the association is over. segment: 0 when it is one datagram."""
    if sctp._association_state != sctp.State.CLOSED and batch:
        sctp.datagrams(bytearray(batch), len(batch), segment or len(batch))
        sctp.batch_ended()


def slices(feed: Feed) -> tuple[bytes, int]:
    """A packet in slices of one size: some of them twice, out of order, of another record or lost, and perhaps with other
    datagrams of that size in between."""
    packet = _TO_US.packet(b"".join(chunk(feed) for _ in range(1 + feed.number(6))), zero_checksum=True)
    record = _RECORD.pack(23, bytes(10), (len(packet) + feed.choice((0, 0, 0, 1, 60_000))) & 0xFFFF) + packet
    count, number = 1 + feed.number(MAX_SLICES), feed.number(1 << 16).to_bytes(2, "big")
    step = max(-(-len(record) // count), feed.choice((252, 252, 1168, 100)))
    datagrams = [
        bytes([SLICE, (count - 1) << 4 | index]) + number + record[index * step : (index + 1) * step].ljust(step, b"\0")
        for index in range(count)
    ]
    for _ in range(feed.number(8)):
        match feed.number(4):
            case 0:
                datagrams.insert(feed.number(len(datagrams)), feed.choice(datagrams))
            case 1:
                datagrams.append(datagrams.pop(feed.number(len(datagrams))))
            case 2:
                datagrams[feed.number(len(datagrams))] = (bytes([SLICE]) + feed.chunk(20)).ljust(HEADER + step, b"\0")
            case _:
                datagrams[feed.number(len(datagrams))] = feed.chunk(20).ljust(HEADER + step, b"\0")
    batch = b"".join(datagrams)
    return batch[: len(batch) - feed.number(HEADER + step)][:65_000] or batch[:1], HEADER + step


def chunk(feed: Feed) -> bytes:
    make: Callable[[Feed], bytes] = feed.choice((data, data, data, sack, reconfig, anything, many))
    return make(feed)


def many(feed: Feed) -> bytes:
    """A run; nearly always one that fits."""
    step = feed.choice((4, 100, 1160, 0))
    tsn = (FIRST + feed.number(256)) & 0xFFFFFFFF
    body = struct.pack("!LHHLHH", tsn, feed.number(4), 0, feed.choice((53, 53, 51, 50)), step, 0)
    content = bytes(step * min(feed.number(MAX_TSNS + 2), 13) + feed.choice((0, 0, 0, 1)))
    return padded(RUN, feed.choice((BEGINS | ENDS, feed.number(8))), body + content)


def data(feed: Feed) -> bytes:
    tsn = (FIRST + feed.number(256)) & 0xFFFFFFFF
    protocol = feed.choice((53, 53, 51, 56, 57, 50, 99))
    body = struct.pack("!LHHL", tsn, feed.number(4), 0, protocol) + feed.choice((b"no", b"x", bytes(1), bytes(1200)))
    return padded(packets.DATA, feed.choice((BEGINS | ENDS, feed.number(8))), body)


def sack(feed: Feed) -> bytes:
    body = struct.pack(
        "!LLHH", (FIRST - 1 + feed.number(16)) & 0xFFFFFFFF, feed.choice((1 << 20, 0)), feed.number(3), 0
    )
    return padded(packets.SACK, 0, body + feed.take(8))


def all_of_it(sctp: FastSctpTransport) -> bytes:
    """A SACK, as from a peer that gets all."""
    return padded(packets.SACK, 0, struct.pack("!LLHH", (sctp._outbound.next_tsn - 1) & 0xFFFFFFFF, 1 << 20, 0, 0))


def reconfig(feed: Feed) -> bytes:
    kind, body = feed.choice((13, 14, 15, 16, 17, 18, 0)), feed.chunk(24)
    return padded(130, 0, struct.pack("!HH", kind, 4 + len(body)) + body)


def anything(feed: Feed) -> bytes:
    body = feed.chunk(60)
    return struct.pack("!BBH", feed.choice(_KINDS), feed.number(256), 4 + len(body)) + body + bytes(-len(body) % 4)


def padded(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, flags, 4 + len(body)) + body + bytes(-len(body) % 4)


def bounded(sctp: FastSctpTransport, channel: PeerChannel) -> None:
    assert 0 <= sctp._inbound.arrivals.held_bytes <= sctp.window
    assert len(sctp._data_channels) <= 3
    assert len(sctp._data_channel_inbound_reset) <= 1 << 16
    assert not sctp._inbound_streams
    assert not sctp._sent_queue
    assert not sctp._sack_misordered
    assert channel._early_bytes <= MAX_EARLY_BYTES + MAX_MESSAGE
    assert len(channel._early) <= MAX_EARLY_MESSAGES + 1
    assert len(sctp._mtu._probes) <= 8
    assert len(sctp._halves._waiting) <= halves.MAX_WAITING
    waiting = sctp._opener._joiner._waiting
    assert len(waiting) <= MAX_WAITING
    assert all(len(pieces) <= MAX_SLICES for pieces in waiting.values())
    assert all(len(piece) <= MAX_SLICE for pieces in waiting.values() for piece in pieces)


def seeds() -> Iterator[bytes]:
    # A step: what it is; of a packet how many chunks; of each chunk its kind and numbers.
    def got(number: int, stream: int, content: int = 1, protocol: int = 0) -> bytes:
        return bytes([7, 0, 0, number, protocol, stream, content, 0, 0, 1])

    def control(kind: int, body: bytes = b"") -> bytes:
        return bytes([7, 0, 5, len(body)]) + body + bytes([kind, 0, 1])

    attach, say, done = b"\x00", bytes([1, 1, 4]), b"\x02"
    for peer in (b"\x00", b"\x01\x01"):
        yield peer + got(0, 0) + attach + got(1, 1, 3) + got(2, 2) + got(4, 1, 3) + done + got(3, 1, 3) + done
        yield peer + say + say + bytes([7, 0, 3, 3, 0, 0, 1]) + bytes([7, 0, 3, 8, 0, 1]) + struct.pack("!HH", 2, 3) * 2
        yield peer + attach + got(0, 3) + got(1, 0)
        yield peer + got(0, 2, 0)
        reset = struct.pack("!LLLH", FIRST, 1, FIRST, 1)
        yield peer + bytes([7, 0, 4, 0, len(reset)]) + reset + b"\x01" + got(0, 1)
        add = struct.pack("!LHH", FIRST, 2, 0)
        yield peer + bytes([7, 0, 4, 4, len(add)]) + add + b"\x01" + bytes([7, 0, 4, 3, 8]) + bytes(8) + b"\x01"
        for number in range(len(_KINDS)):
            yield peer + say + control(number, struct.pack("!LLHHL", 1, 1 << 20, 9, 9, FIRST)) + got(0, 1)
        yield peer + bytes([7, 4] + [5, 0, 4, 0] * 40 + [1]) + bytes([3, 0, 3, 1, 4, 5]) + b"hello"

    def run(number: int, count: int, flags: bytes = b"\0\0", step: int = 1) -> bytes:
        return bytes([6, step, number, 0, 0, count, 0]) + flags

    def alone(chunk: bytes) -> bytes:
        return b"\x07\x00" + chunk + b"\x01"

    def sliced(chunk: bytes, count: int, *changes: bytes, short: int = 0) -> bytes:
        return b"\x05\x00" + chunk + bytes([0, count - 1, 1, 2, 0, len(changes), *b"".join(changes), 0, short])

    first, middle, last = b"\x02\x01", b"\x00\x01", b"\x01\x01"
    fast = b"\x01\x01" + attach
    yield fast + alone(run(0, 5)) + alone(run(5, 3, first)) + alone(run(8, 6, last)) + done
    yield fast + alone(run(3, 9, middle)) + alone(run(0, 3, first)) + alone(run(1, 16, last)) + alone(run(0, 4, step=3))
    long = run(0, 13, step=2)
    changes = ((), (b"\0\1\0",), (b"\1\0", b"\1\2"), (b"\2\3abc\1",), (b"\3\2\x17\xfe\0", b"\0\0\0"))
    for change in changes:
        yield fast + sliced(long, 12, *change) + sliced(run(13, 4, step=2), 4, *change, short=2) + got(17, 1)
    full = (say * 8 + b"\x06") * 6
    yield fast + full
    yield fast + full + say * 6 + alone(bytes([3, 15, 0, 1]) + struct.pack("!HH", 3, 9) * 2) + full
