"""aiortc's SCTP association with a data path of our own: its handshake, data channels and stream resets, our DATA and SACK.

The one place that touches RTCSctpTransport's inside for the fast path. What it says on the wire is plain SCTP over DTLS (RFC 8261):
any WebRTC peer can be on the other side. Extensions: zero checksums (RFC 9653), padding of path MTU probes (RFC 4820), and a
parameter that tells another p2pcopy that it may acknowledge less often, send more ahead, cut chunks in two (halves.py), and send
several packets in a record (runs.py, slices.py).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from aiortc.rtcsctptransport import (
    CHUNK_TYPES,
    CookieAckChunk,
    CookieEchoChunk,
    InitChunk,
    RTCSctpTransport,
)
from aiortc.rtcsctptransport import Chunk as StockChunk

from p2pcopy.net import halves, packets, runs
from p2pcopy.net.acknowledging import SackTimer
from p2pcopy.net.connection import IceConnection
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.inbound import Inbound, Violation
from p2pcopy.net.mtuprobes import MtuProbes
from p2pcopy.net.opening import Opener
from p2pcopy.net.outbound import Outbound
from p2pcopy.net.packets import COMMON_HEADER, Chunk, Way
from p2pcopy.net.pairs import Pair
from p2pcopy.net.pump import Pump
from p2pcopy.net.queueing import QueueingSctpTransport, run
from p2pcopy.net.records import Records
from p2pcopy.net.sctp import MAX_MESSAGE
from p2pcopy.net.wire import PathWire

WINDOW: Final = 32 * 1024 * 1024  # bytes: 200 ms at 160 MiB/s
FOREIGN_WINDOW: Final = 4 * 1024 * 1024
SACK_EVERY: Final = 512
FOREIGN_SACK_EVERY: Final = 4
ACK_DELAY_S: Final = 0.05
FOREIGN_ACK_DELAY_S: Final = 0.25  # RFC 9260 section 6.2: SACKs may be delayed by 200 ms
BLACK_HOLE_TIMEOUTS: Final = 3

_ZERO_CHECKSUM: Final = 0x8001  # RFC 9653 section 5.1
_OVER_DTLS: Final = struct.pack("!L", 1)
_FAST: Final = 0xBF70  # of our own; its upper bits (10) have others skip it (RFC 9260 section 3.2.1)
_RUNS: Final = 1  # of the flags in its body: takes runs, and records in slices
MAX_CHUNKS: Final = 16  # in one packet: answers to more would be a flood


class FastSctpTransport(QueueingSctpTransport):
    """on_packet_size: the UDP payload in bytes that packets have, once that is known, and when it changes."""

    def __init__(self, transport: PinnedDtlsTransport, path: IceConnection) -> None:
        super().__init__(transport)
        self.on_packet_size: Callable[[int], None] = lambda size: None
        self._clock = asyncio.get_running_loop()
        self._dtls = transport
        self._path = path
        self._takes_zero_checksum = False
        self._takes_runs = False
        self._halves = halves.Halves()
        self._way: Way
        self._wire: PathWire
        self._opener: Opener
        self._inbound: Inbound
        self._sack_timer: SackTimer
        self._mtu: MtuProbes
        self._pair: Pair | None = None

    # What the application sees

    @property
    def unsent(self) -> int:
        return 0 if self._is_attached else super().unsent

    @property
    def unacknowledged(self) -> int:
        return self._outbound.unacknowledged if self._is_attached else super().unacknowledged

    @property
    def is_drained(self) -> bool:
        return self._outbound.is_drained and not self._data_channel_queue if self._is_attached else super().is_drained

    @property
    def window(self) -> int:
        return WINDOW if self.is_peer_fast else FOREIGN_WINDOW

    @property
    def message_size(self) -> int:
        """Whole bursts."""
        burst = self._wire.burst * self._outbound.payload if self._is_attached else MAX_MESSAGE
        return burst * max(1, MAX_MESSAGE // burst)

    def waits(self, size: int) -> None:
        if self._is_attached:
            self._inbound.backlog += size

    def consumed(self, size: int) -> None:
        if self._is_up:
            self._inbound.backlog -= size
            if self._inbound.should_reopen:
                self._acknowledge()

    # The handshake

    def _set_extensions(self, params: list[tuple[int, bytes]]) -> None:
        super()._set_extensions(params)
        params.append((_ZERO_CHECKSUM, _OVER_DTLS))
        params.append((_FAST, bytes((_RUNS,))))

    def _get_extensions(self, params: list[tuple[int, bytes]]) -> None:
        super()._get_extensions(params)
        for kind, body in params:
            if kind == _ZERO_CHECKSUM and body[:4] == _OVER_DTLS:
                self._takes_zero_checksum = True
            elif kind == _FAST:
                self.is_peer_fast = True
                self._takes_runs = bool(body and body[0] & _RUNS)
        self.is_peer_fast = bool(self.is_peer_fast)

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        if state == self.State.ESTABLISHED and not self._is_attached:
            self._attach()
        was_closed = self._association_state == self.State.CLOSED
        super()._set_state(state)
        if state == self.State.CLOSED and not was_closed:
            self._detach()

    def _attach(self) -> None:
        remote_port, last_tsn = self._remote_port, self._last_received_tsn
        if remote_port is None or last_tsn is None:
            raise AssertionError("set in the handshake")
        self._way = Way(self._local_port, remote_port, self._remote_verification_tag)
        self._wire = PathWire(Records(self._dtls.session), self._path)
        self._opener = Opener(self._wire.records)
        self._inbound = Inbound(
            last_tsn,
            way=Way(remote_port, self._local_port, self._local_verification_tag),
            window=self.window,
            sack_every=SACK_EVERY if self.is_peer_fast else FOREIGN_SACK_EVERY,
            max_message=MAX_MESSAGE,
            deliver=self._deliver,
            other=self._other,
        )
        self._outbound = Outbound(
            self._local_tsn,
            self._clock.time(),
            way=self._way,
            wire=self._wire,
            next_message=self._next_message,
            window=self._ssthresh,
            zero_checksum=self._takes_zero_checksum,
            takes_halves=bool(self.is_peer_fast),
            takes_runs=self._takes_runs,
            ack_delay=ACK_DELAY_S if self.is_peer_fast else FOREIGN_ACK_DELAY_S,
        )
        self._outbound.on_silence = self._on_silence
        self._sack_timer = SackTimer(self._acknowledge)
        self._pump = Pump(self._outbound, self._may_send, self._dtls.ended)
        self._mtu = MtuProbes(self._wire, self._outbound, self._send_now, self.on_packet_size)
        self._is_attached = True
        self._pair = self._path.pair
        self._path.take_data(self)
        self._inbound.acknowledge()
        self._wire.measure(self._packet(self._inbound.sacks.pop()))
        self._mtu.begin()

    def _detach(self) -> None:
        if self._is_attached:
            self._inbound.is_over = True
            self._sack_timer.stop()
            self._pump.stop()
            self._mtu.stop()
            self._path.take_data(None)

    # Out

    async def _data_channel_flush(self) -> None:
        if not self._is_attached:
            await super()._data_channel_flush()
        elif self._association_state == self.State.ESTABLISHED:
            self._pump.now()
            await self._transmit_reconfig()

    async def _transmit(self) -> None:
        if self._is_attached:
            self._pump.now()
        else:
            await super()._transmit()

    async def _send_chunk(self, chunk: StockChunk) -> None:
        if self._is_attached:
            self._send_now(bytes(chunk))
        else:
            await super()._send_chunk(chunk)

    @property
    def _is_up(self) -> bool:
        return self._is_attached and self._association_state == self.State.ESTABLISHED

    def _may_send(self) -> bool:
        return self._is_up and self._path.pair is not None

    def _send_now(self, chunk: bytes) -> None:
        try:
            self._wire.send(self._packet(chunk))
        except ConnectionError:
            self._dtls.ended()

    def _data_channel_closed(self, stream_id: int) -> None:
        if self._is_attached:
            self._outbound.reset_stream(stream_id)
        super()._data_channel_closed(stream_id)

    def _packet(self, chunk: bytes) -> bytes:
        return self._way.packet(chunk, zero_checksum=self._takes_zero_checksum)

    def _on_silence(self, timeouts: int) -> None:
        """The path may be gone: ICE decides. Or it does not let large packets through."""
        self._path.ask_now()
        since = self._clock.time() - self._outbound.round_trip.timeout(timeouts)
        if timeouts >= BLACK_HOLE_TIMEOUTS and self._path.answered_since(since):
            self._mtu.black_hole()

    # In

    def datagrams(self, data: bytearray, size: int, segment: int) -> None:
        """The first size bytes of data: datagrams of segment bytes each, the last may be shorter."""
        records, inbound = self._wire.records, self._inbound
        try:
            self._opener.take(data, size, segment)
            result = inbound.read(self._opener.open, records.opened)
            if not inbound.is_over and records.is_over(result):  # else DTLS is not
                self._dtls.ended()
        except Violation:
            self._break()

    def batch_ended(self) -> None:
        """All that had arrived was handed over."""
        if not self._is_up and self._association_state != self.State.SHUTDOWN_SENT:
            return
        news = self._inbound.unsaid
        if news and not (self._may_hold and self._sack_timer.may_wait(news)):
            self._inbound.acknowledge()
        self._flush_sacks()
        self._wire.flush()  # what DTLS itself has to say
        self._last_received_tsn = self._inbound.cumulative
        if self._reconfig_deferred is not None:
            run(self._reset_deferred_streams())
        self._pump.now()
        self.on_progress()
        run(self._agree())

    @property
    def _may_hold(self) -> bool:
        """Another p2pcopy need not know of a few packets at once, unless some are missing (RFC 9260 section 6.7)."""
        return self._is_up and bool(self.is_peer_fast) and not self._inbound.arrivals.has_gaps

    def writable(self) -> None:
        self._pump.now()

    def _acknowledge(self) -> None:
        self._inbound.acknowledge()
        self._flush_sacks()

    def _flush_sacks(self) -> None:
        if not self._inbound.sacks:
            return
        self._sack_timer.told()
        if self._association_state == self.State.SHUTDOWN_SENT:
            self._inbound.sacks.append(bytes(self._shutdown()))
        try:
            self._wire.send_all(map(self._packet, self._inbound.sacks))
        except ConnectionError:
            self._dtls.ended()
        self._inbound.sacks.clear()

    def _deliver(self, stream: int, protocol: int, message: bytes) -> None:
        if stream not in self._data_channels:
            raise Violation("a message for a channel that there is not")
        run(self._data_channel_receive(stream, protocol, message))

    def _break(self) -> None:
        """End the association because of what the peer does."""
        self._wire.flush()
        run(self._refuse())

    async def _handle_data(self, data: bytes) -> None:
        """What comes through RTCDtlsTransport: the handshake, and what was under way when it ended."""
        if not self._is_attached:
            # aiortc wants a checksum even when we have told the peer that we do not.
            await super()._handle_data(packets.with_checksum(data))
            return
        self.on_packet()
        try:
            self._other(data)
        except Violation:
            self._break()
        else:
            self.batch_ended()

    async def _receive_data_chunk(self, chunk: Any) -> None:
        """aiortc hands on DATA that came together with the end of the handshake."""
        if not self._is_attached:
            return  # the peer sends it again, and until then aiortc has not touched it
        try:
            self._inbound.data(packets.Data(chunk.flags, chunk.tsn, chunk.stream_id, chunk.protocol, chunk.user_data))
        except Violation:
            self._break()
        else:
            self.batch_ended()

    def _other(self, packet: bytes) -> None:
        """A packet with anything: SACKs, control chunks, several chunks. Raises Violation."""
        if len(packet) < COMMON_HEADER + 4 or not self._inbound.is_sound(packet):
            return
        for chunk in islice(packets.chunks(packet), MAX_CHUNKS):
            if self._association_state == self.State.CLOSED:
                return
            self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        match chunk.kind:
            case packets.DATA:
                data = packets.parse_data(chunk)
                if data is None:
                    raise Violation("DATA without data")  # RFC 9260 section 6.2
                self._inbound.data(data)
            case packets.SACK:
                sack = packets.parse_sack(chunk)
                if sack is not None:
                    self._outbound.acknowledged(sack, self._clock.time())
            case halves.HALF:
                whole = self._halves.take(chunk)
                if whole is not None:
                    self._take(whole)
            case runs.RUN:
                self._inbound.run(chunk)
            case packets.HEARTBEAT_ACK:
                self._mtu.answered(packets.heartbeat_token(chunk))
            case packets.FORWARD_TSN:
                if len(chunk.body) >= 4:
                    self._inbound.forward(int.from_bytes(chunk.body[:4], "big"))
            case CookieEchoChunk.type:
                self._send_now(bytes(CookieAckChunk()))  # the first one was lost (RFC 9260 section 5.2.4 D)
            case kind if kind != InitChunk.type:
                self._control(chunk)

    def _control(self, chunk: Chunk) -> None:
        """The rest is aiortc's, but not what it makes of TSNs."""
        known = CHUNK_TYPES.get(chunk.kind)
        if known is None:
            return
        if not packets.has_sound_parameters(chunk):
            raise Violation("a malformed parameter")
        self._last_received_tsn = self._inbound.cumulative
        try:
            run(self._receive_chunk(known(flags=chunk.flags, body=chunk.body)))
        except (ValueError, struct.error, LookupError) as error:
            raise Violation("a malformed chunk") from error

    # The path

    def path_is_back(self) -> None:
        if not self._is_attached:
            super().path_is_back()
            return
        if not self._is_up:
            return
        self._outbound.path_is_back(self._clock.time())
        self._pump.now()
        self._acknowledge()

    def path_answers(self) -> None:
        """As ask_now() wanted to know."""
        if self._is_up:
            self._outbound.path_answers()
            self._pump.now()

    def path_changed(self) -> None:
        """Another pair is selected."""
        if not self._is_up or self._path.pair is self._pair:
            return
        self._pair = self._path.pair
        self._outbound.new_path(self._clock.time())
        self._mtu.begin()
        self._pump.now()
        self._acknowledge()
