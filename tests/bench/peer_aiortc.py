"""One end of a raw data channel of stock aiortc: peer_aiortc send | receive SECONDS."""

from __future__ import annotations

import asyncio
import sys
import time

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from bench.payload import Messages
from bench.telling import Reception, end, tell, told

MESSAGE = 65536
HIGH_WATER = 1024 * 1024
OPEN_S = 60.0


async def send() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bench", ordered=False)
    opened, low, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @channel.on("message")
    def on_message(message: str) -> None:
        enough.set()
        low.set()

    channel.on("open", opened.set)
    channel.on("bufferedamountlow", low.set)
    channel.bufferedAmountLowThreshold = HIGH_WATER // 4
    await connection.setLocalDescription(await connection.createOffer())
    tell(sdp=connection.localDescription.sdp, type="offer")
    await connection.setRemoteDescription(RTCSessionDescription(**await told()))
    await asyncio.wait_for(opened.wait(), OPEN_S)
    messages, cpu_s = Messages(MESSAGE), time.process_time()
    while not enough.is_set():
        if channel.bufferedAmount > HIGH_WATER:
            low.clear()
            await low.wait()
        channel.send(messages.make())
    tell(cpu_s=time.process_time() - cpu_s)
    await end()


async def receive(seconds: float) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    reception, channels = Reception(seconds), []

    @connection.on("datachannel")
    def on_channel(channel: RTCDataChannel) -> None:
        channel.on("message", reception.take)
        channels.append(channel)

    await connection.setRemoteDescription(RTCSessionDescription(**await told()))
    await connection.setLocalDescription(await connection.createAnswer())
    tell(sdp=connection.localDescription.sdp, type="answer")
    await reception.over.wait()
    channels[0].send("enough")
    reception.report()
    await end()


if __name__ == "__main__":
    asyncio.run(send() if sys.argv[1] == "send" else receive(float(sys.argv[2])))
