"""One end of p2pcopy's own channel, without the transfer above it: peer_p2pcopy send | receive SECONDS SETTINGS.

SETTINGS: JSON; fields of NetSettings by name, and "server": [url, username, password] of a TURN server to use.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, fields
from typing import Any

from bench.payload import Messages
from bench.telling import Reception, end, tell, told
from p2pcopy.channel import Sink
from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.net.peer import Peer, PeerChannel
from p2pcopy.signaling.candidates import Candidate

HIGH_WATER = 4 * 1024 * 1024


class Enough(Sink):
    """What the sender waits for."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def control_received(self, message: bytes) -> None:
        self.came.set()

    def data_received(self, message: bytes) -> None:
        raise ValueError("the receiver sends nothing")

    def channel_closed(self) -> None:
        self.came.set()


class Taker(Sink):
    def __init__(self, reception: Reception, channel: PeerChannel) -> None:
        self._reception = reception
        self._channel = channel

    def control_received(self, message: bytes) -> None:
        raise ValueError("the sender says nothing")

    def data_received(self, message: bytes) -> None:
        self._reception.take(message)
        self._channel.consumed(len(message))

    def channel_closed(self) -> None:
        self._reception.fail("the connection broke")


async def send(settings: NetSettings) -> None:
    secret = os.urandom(16)
    peer = Peer(settings, secret, offering=True)
    candidates = [asdict(each) for each in await peer.gather()]
    tell(secret=secret.hex(), pin=peer.pin.hex(), candidates=candidates)
    answer = await told()
    peer.add_remote(Candidate(**each) for each in answer["candidates"])
    channel = await peer.connect()
    enough = Enough()
    channel.attach(enough)
    messages, cpu_s = Messages(channel.message_size), time.process_time()
    while not enough.came.is_set():
        channel.send_data(messages.make())
        if channel.backlog > HIGH_WATER:
            await _until(enough.came, channel)
    tell(cpu_s=time.process_time() - cpu_s, path=peer.path().kind, **_counts(peer))
    await end()


async def receive(seconds: float, settings: NetSettings) -> None:
    offer = await told()
    peer = Peer(settings, bytes.fromhex(offer["secret"]), offering=False, remote_pin=bytes.fromhex(offer["pin"]))
    peer.add_remote(Candidate(**each) for each in offer["candidates"])
    tell(candidates=[asdict(each) for each in await peer.gather()])
    channel = await peer.connect()
    reception = Reception(seconds)
    channel.attach(Taker(reception, channel))
    await reception.over.wait()
    if not reception.error:
        channel.send_control(b"enough")
    reception.report()
    await end()


async def _until(enough: asyncio.Event, channel: PeerChannel) -> None:
    """There is room again, or no more is wanted."""
    waits = [asyncio.ensure_future(enough.wait()), asyncio.ensure_future(channel.drain(HIGH_WATER // 2))]
    _, late = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in late:
        each.cancel()


def _counts(peer: Peer) -> dict[str, int]:
    """Packets with data that were sent, and those of them that were sent again; the stock association does not count them."""
    outbound = getattr(peer._sctp, "_outbound", None)
    if outbound is None:
        return {}
    return {"packets_sent": outbound.flight.next + outbound.sent_again, "packets_resent": outbound.sent_again}


def _settings(given: dict[str, Any]) -> NetSettings:
    server = given.pop("server", None)
    if unknown := set(given) - {each.name for each in fields(NetSettings)}:
        raise SystemExit(f"this p2pcopy has no settings {', '.join(sorted(unknown))}")
    if server is not None:
        given |= {"turn": (IceServer(*server),), "relay": Relay.ONLY}
    return NetSettings(stun=(), share_relay=False, **given)


if __name__ == "__main__":
    chosen = _settings(json.loads(sys.argv[3]))
    asyncio.run(send(chosen) if sys.argv[1] == "send" else receive(float(sys.argv[2]), chosen))
