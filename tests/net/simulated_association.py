"""Two ends of the data path on a virtual clock, joined by a bottleneck each way; DTLS is left out."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from random import Random
from typing import cast

from simulated_bottleneck import Bottleneck, Clock, Road

from p2pcopy.net import packets
from p2pcopy.net.halves import HALF, Halves
from p2pcopy.net.inbound import Inbound
from p2pcopy.net.messages import Message
from p2pcopy.net.outbound import BASE_PAYLOAD, Outbound
from p2pcopy.net.packets import DATA_HEADER, Way
from p2pcopy.net.runs import RUN
from p2pcopy.net.slices import SLICE, Joiner, Slicer

OVERHEAD = 28 + 37  # IP, UDP, DTLS
BATCH_S = 0.0002
_RECORD = struct.Struct("!B10sH")  # the header of DTLS
DATA_STREAM, CONTROL_STREAM = 1, 0
BINARY = 53


class Packets:
    """outbound.Wire that keeps what is sealed until it is flushed."""

    def __init__(self, burst: int = 88) -> None:
        self.plain = bytearray(16384)
        self.burst = burst
        self.is_full = False
        self.sealed: list[bytes] = []
        self.sent: list[bytes] = []
        self.long_records: list[int] = []  # of how many packets of a message each
        self._records = bytearray(140_000)
        self._slicer = Slicer(self._records, first=0xFFF0)

    def seal(self, size: int) -> int:
        self.sealed.append(bytes(self.plain[:size]))
        return size

    def put(self, packet: bytes) -> None:
        self.sealed.append(packet)

    def flush(self, size: int) -> None:
        assert all(len(packet) == size for packet in self.sealed[:-1])
        assert not self.sealed or len(self.sealed[-1]) <= size
        self.sent += self.sealed
        self.sealed.clear()

    def flush_slices(self, size: int, count: int, records: int) -> None:
        assert [len(packet) for packet in self.sealed] == [size] * records
        self.long_records += [count] * records
        sealed = b"".join(_RECORD.pack(23, bytes(10), len(packet)) + packet for packet in self.sealed)
        self.sealed.clear()
        self._records[: len(sealed)] = sealed
        data, segment = self._slicer.cut(_RECORD.size + size, count, records)
        self.sent += [bytes(data[at : at + segment]) for at in range(0, len(data), segment)]


@dataclass
class End:
    """One side. window: what it lets wait; eager: messages are done with as soon as they come; narrow: what is longer than packets
    of the size that goes everywhere is lost on the way from here; is_lost: and that, too."""

    clock: Clock
    name: str
    window: int = 32 << 20
    zero_checksum: bool = True
    eager: bool = True
    takes_halves: bool = True
    takes_runs: bool = True
    narrow: bool = False
    is_lost: Callable[[bytes], bool] = lambda packet: False
    sack_every: int = 512
    first_tsn: int = 0xFFFFFF00
    got: list[tuple[int, bytes]] = field(default_factory=list)
    sent_packets: int = 0
    cut: bool = False

    def join(self, peer: End, road: Bottleneck) -> None:
        self.peer, self.road = peer, road
        tags = {"a": 11, "b": 22}
        self.wire = Packets()
        self.queue: deque[Message] = deque()
        self.arrived: list[bytes] = []
        self.halves = Halves()
        self.joiner = Joiner()
        way = Way(5000, 5000, tags[peer.name])
        self.way = way
        self.inbound = Inbound(
            (peer.first_tsn - 1) & 0xFFFFFFFF,
            way=Way(5000, 5000, tags[self.name]),
            window=self.window,
            sack_every=self.sack_every,
            max_message=1 << 20,
            deliver=self._deliver,
            other=self._other,
        )
        self.outbound = Outbound(
            self.first_tsn,
            self.clock.now,
            way=way,
            wire=self.wire,
            next_message=lambda: self.queue[0] if self.queue else None,
            window=peer.window,
            zero_checksum=self.zero_checksum,
            takes_halves=self.takes_halves,
            takes_runs=self.takes_runs,
            ack_delay=0.05,
        )
        self._timer = float("inf")

    def send(self, data: bytes, stream: int = DATA_STREAM, *, unordered: bool = False) -> None:
        self.queue.append(Message(stream, BINARY, data, unordered, self._done))
        self.pump()

    def _done(self) -> None:
        self.queue.popleft()

    def _deliver(self, stream: int, protocol: int, message: bytes) -> None:
        assert protocol == BINARY
        self.got.append((stream, message))
        if not self.eager:
            self.inbound.backlog += len(message)

    def consume(self, size: int) -> None:
        self.inbound.backlog -= size
        if self.inbound.should_reopen:
            self.inbound.acknowledge()
            self._acknowledge()

    def pump(self) -> None:
        again = self.outbound.pump(self.clock.now)
        self.flush()
        if again is not None:
            self.clock.at(max(again, self.clock.now + 1e-6), self._pump_once(again))
        self._watch()

    def _pump_once(self, when: float):  # type: ignore[no-untyped-def]
        self._wanted = when

        def call() -> None:
            if self._wanted == when:
                self._wanted = -1.0
                self.pump()

        return call

    def flush(self) -> None:
        for packet in self.wire.sent:
            self.sent_packets += 1
            is_too_long = self.narrow and len(packet) > DATA_HEADER + BASE_PAYLOAD
            if not self.cut and not is_too_long and not self.is_lost(packet):
                self.road.send(packet, len(packet) + OVERHEAD, self.peer.receive)
        self.wire.sent.clear()

    def _watch(self) -> None:
        due = self.outbound.due
        if due is not None and due < self._timer:
            self._timer = due
            self.clock.at(due, self._ring)

    def _ring(self) -> None:
        self._timer = float("inf")
        due = self.outbound.due
        if due is not None and due <= self.clock.now:
            self.outbound.ring(self.clock.now)
            self.pump()
        self._watch()

    def receive(self, packet: bytes, now: float) -> None:
        if self.cut:
            return
        if not self.arrived:
            self.clock.at(now + BATCH_S, self._read)
        self.arrived.append(packet)

    def _read(self) -> None:
        waiting, self.arrived = self.arrived, []
        self.feed(waiting)

    def feed(self, waiting: list[bytes]) -> None:
        queue = self._packets(waiting)
        opened = _Buffer(20000)

        def open_next() -> int:
            packet = next(queue, b"")
            opened[: len(packet)] = packet
            return len(packet)

        self.inbound.read(open_next, cast(bytes, opened))
        if self.inbound.unsaid:
            self.inbound.acknowledge()
        self._acknowledge()
        self.pump()

    def _packets(self, datagrams: list[bytes]) -> Iterator[bytes]:
        """Slices of one size that came one after the other are joined together."""
        for (first, _), alike in groupby(datagrams, lambda datagram: (datagram[0], len(datagram))):
            if first != SLICE:
                yield from alike
                continue
            data = list(alike)
            for record, length in self.joiner.take(bytearray(b"".join(data)), sum(map(len, data)), len(data[0])):
                yield record[_RECORD.size : length]

    def _acknowledge(self) -> None:
        for sack in self.inbound.sacks:
            self.wire.sent.append(self.way.packet(sack, zero_checksum=self.zero_checksum))
        self.inbound.sacks.clear()
        self.flush()

    def _other(self, packet: bytes) -> None:
        if not self.inbound.is_sound(packet):
            return
        for chunk in packets.chunks(packet):
            if chunk.kind == HALF:
                whole = self.halves.take(chunk)
                if whole is None:
                    continue
                chunk = whole
            if chunk.kind == packets.DATA and (data := packets.parse_data(chunk)) is not None:
                self.inbound.data(data)
            elif chunk.kind == RUN:
                self.inbound.run(chunk)
            elif chunk.kind == packets.SACK and (sack := packets.parse_sack(chunk)) is not None:
                self.outbound.acknowledged(sack, self.clock.now)
            elif chunk.kind == packets.FORWARD_TSN:
                self.inbound.forward(int.from_bytes(chunk.body[:4], "big"))


class _Buffer(bytearray):
    """As the record layer's: slices are bytes."""

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return (
            bytes(bytearray.__getitem__(self, index))
            if isinstance(index, slice)
            else bytearray.__getitem__(self, index)
        )


def pair(there: Road, back: Road | None = None, seed: int = 1, **options: object) -> tuple[Clock, End, End]:
    clock = Clock()
    a, b = End(clock, "a", **options), End(clock, "b", **options)  # type: ignore[arg-type]
    road, way_back = Bottleneck(clock, there, seed), Bottleneck(clock, back or there, seed + 1)
    a.join(b, road)
    b.join(a, way_back)
    return clock, a, b


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)
