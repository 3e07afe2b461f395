"""One end of a raw data channel of stock aiortc, for comparison: stock.py send MIB | receive. SDP travels over stdin and stdout."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

MESSAGE = 65536
HIGH_WATER = 1024 * 1024


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def next_line() -> dict[str, Any]:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    parsed: dict[str, Any] = json.loads(line)
    return parsed


async def send(total: int) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bench", ordered=False)
    opened, low, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", low.set)
    channel.on("message", lambda message: answered.set())
    channel.bufferedAmountLowThreshold = HIGH_WATER // 4
    await connection.setLocalDescription(await connection.createOffer())
    tell(sdp=connection.localDescription.sdp, type="offer")
    answer = await next_line()
    await connection.setRemoteDescription(RTCSessionDescription(**answer))
    await asyncio.wait_for(opened.wait(), 30)
    content = os.urandom(MESSAGE)
    start = time.monotonic()
    for _ in range(total // MESSAGE):
        while channel.bufferedAmount > HIGH_WATER:
            low.clear()
            await low.wait()
        channel.send(content)
    await answered.wait()
    seconds = time.monotonic() - start
    report(total / 2**20 / seconds)
    await connection.close()


async def receive(total: int) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    received, done = 0, asyncio.Event()

    @connection.on("datachannel")
    def on_channel(channel: RTCDataChannel) -> None:
        @channel.on("message")
        def on_message(message: bytes) -> None:
            nonlocal received
            received += len(message)
            if received >= total:
                channel.send(b"all")
                done.set()

    offer = await next_line()
    await connection.setRemoteDescription(RTCSessionDescription(**offer))
    await connection.setLocalDescription(await connection.createAnswer())
    tell(sdp=connection.localDescription.sdp, type="answer")
    await done.wait()
    report(0.0)
    await asyncio.sleep(0.5)  # the peer has to get the last message before close() aborts the association
    await connection.close()


def report(mib_per_s: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    tell(mib_per_s=mib_per_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_kib=usage.ru_maxrss)


if __name__ == "__main__":
    size = int(sys.argv[2]) * 2**20
    asyncio.run(send(size) if sys.argv[1] == "send" else receive(size))
