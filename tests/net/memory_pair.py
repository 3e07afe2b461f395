"""Two associations with real DTLS, joined in memory: for packets that no honest peer sends, and for those that get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

from aiortc import RTCCertificate
from cryptography.hazmat.primitives.asymmetric import ec
from meeting import Inbox

from p2pcopy.net.connection import IceConnection
from p2pcopy.net.datachannel import PeerChannel
from p2pcopy.net.dtls import PinnedDtlsTransport
from p2pcopy.net.fastsctp import FastSctpTransport
from p2pcopy.net.pairs import Pair
from p2pcopy.net.sctp import BoundedSctpTransport
from p2pcopy.signaling import derive


class Wires:
    """What FastSctpTransport and DTLS want of an IceConnection. is_lost: of a datagram that leaves here; in_batches: what leaves
    at once also arrives at once."""

    peer: Wires

    def __init__(self) -> None:
        endpoint = SimpleNamespace(burst=16, is_full=False, send_burst=self._send_burst, probe_mtu=lambda on: 0)
        self.pair = cast(
            Pair, SimpleNamespace(local=endpoint, remote=SimpleNamespace(address=("", 0)), is_relayed=False)
        )
        self.is_lost: Callable[[bytes], bool] = lambda datagram: False
        self.in_batches = False
        self._sink: FastSctpTransport | None = None
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def _send_burst(self, data: memoryview, segment: int, address: tuple[str, int]) -> None:
        datagrams = [bytes(data[at : at + segment]) for at in range(0, len(data), segment)]
        if self.in_batches:
            left = [datagram for datagram in datagrams if not self.is_lost(datagram)]
            self._loop.call_soon(self.peer.receive, b"".join(left), segment)
            return
        for datagram in datagrams:
            self._pass_on(datagram)

    def _pass_on(self, datagram: bytes) -> None:
        if not self.is_lost(datagram):
            self._loop.call_soon(self.peer.receive, datagram, len(datagram))

    def receive(self, data: bytes, segment: int) -> None:
        """Datagrams of segment bytes each, the last may be shorter."""
        if self._sink is None:
            for at in range(0, len(data), segment):
                self._queue.put_nowait(data[at : at + segment])
        elif data:
            sink = self._sink
            sink.datagrams(bytearray(data), len(data), segment)
            sink.batch_ended()

    async def recv(self) -> bytes:
        return await self._queue.get()

    async def send(self, data: bytes) -> None:
        self._pass_on(data)

    def take_data(self, sink: FastSctpTransport | None) -> None:
        self._sink = sink

    def ask_now(self) -> None:
        """Nothing to ask."""

    def answered_since(self, time: float) -> bool:
        return False


@dataclass
class End:
    wires: Wires
    dtls: PinnedDtlsTransport
    sctp: FastSctpTransport
    channel: PeerChannel
    inbox: Inbox

    def say(self, chunks: bytes) -> None:
        """One packet with these chunks."""
        self.sctp._send_now(chunks)

    @property
    def state(self) -> str:
        return self.sctp._association_state.name


@asynccontextmanager
async def pair(
    prepare: Callable[[End, End], None] = lambda a, b: None, *, fast: bool = True
) -> AsyncIterator[tuple[End, End]]:
    """prepare: before the association is set up; DTLS is. fast: else aiortc's own association."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    wires = [Wires(), Wires()]
    wires[0].peer, wires[1].peer = wires[1], wires[0]
    sessions = [
        PinnedDtlsTransport(
            wires[side],
            RTCCertificate(keys[side], derive.self_signed(keys[side])),
            derive.public_key_pin(keys[1 - side].public_key()),
            is_server=side == 0,
        )
        for side in range(2)
    ]
    assert all(await asyncio.gather(*(session.handshake() for session in sessions)))
    ends = []
    for side in range(2):
        ice = cast(IceConnection, wires[side])
        sctp = FastSctpTransport(sessions[side], ice) if fast else BoundedSctpTransport(sessions[side])
        ends.append(End(wires[side], sessions[side], cast(FastSctpTransport, sctp), PeerChannel(sctp), Inbox()))
    a, b = ends
    for end in ends:
        end.dtls.on("statechange", lambda end=end: end.sctp.lost() if end.dtls.state in ("closed", "failed") else None)
    prepare(a, b)
    try:
        await asyncio.gather(*(end.sctp.begin() for end in ends))
        await asyncio.gather(*(end.channel.opened() for end in ends))
        for end in ends:
            end.channel.attach(end.inbox)
        yield a, b
    finally:
        for end in ends:
            end.sctp.lost()
            await end.sctp.stop()
            await end.dtls.stop()
