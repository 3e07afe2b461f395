"""Attacks below the transfer: on the channels of the connection, and before the transfer has begun.

The rogue has the association of aiortc here, which does what it is told. None of these can be the fault of a network: DTLS lets
nothing else in.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from aiortc.rtcsctptransport import DataChunk

from hostile.case import DECLINED, LOST, OK, PROTOCOL, Case, Receiving, Sending
from hostile.forging import message, whole
from hostile.rogue import FILES, WHOLE, A, B, Rogue, Step

CONTROL, DATA, LINK = 0, 1, 2
DCEP, TEXT, BINARY = 50, 51, 53
_OPEN: Final = struct.pack("!BBHLHH", 3, 0, 0, 0, 5, 0) + b"rogue"


def cases() -> Iterator[Case]:
    yield from _channels()
    yield from _beginnings()


async def _send(rogue: Rogue, stream: int, protocol: int, data: bytes) -> None:
    sctp: Any = rogue.channel._sctp  # type: ignore[attr-defined]
    await sctp._send(stream, protocol, data)


def _sctp(rogue: Rogue) -> Any:
    return rogue.channel._sctp  # type: ignore[attr-defined]


Attack = Callable[[Rogue], Awaitable[None]]


def _sending(stream: int, protocol: int, data: bytes) -> Attack:
    async def attack(rogue: Rogue) -> None:
        await _send(rogue, stream, protocol, data)

    return attack


async def _never_whole(rogue: Rogue) -> None:
    sctp = _sctp(rogue)
    for _ in range(2000):
        chunk = DataChunk()
        chunk.tsn, chunk.user_data = sctp._local_tsn, b"x" * 1000
        sctp._local_tsn += 1
        chunk.stream_id, chunk.protocol, chunk.flags = DATA, BINARY, 4
        await sctp._send_chunk(chunk)
        await rogue.pour([])


async def _abort(rogue: Rogue) -> None:
    await _sctp(rogue)._abort()


async def _close_control(rogue: Rogue) -> None:
    rogue.channel._control.close()  # type: ignore[attr-defined]


async def _link(rogue: Rogue, data: bytes) -> None:
    rogue.channel.send_link(data)  # type: ignore[attr-defined]


async def _garbage(rogue: Rogue) -> None:
    await _link(rogue, b"{")


async def _too_much(rogue: Rogue) -> None:
    await _link(rogue, b'{"type":"addresses","candidates":[]' + b" " * 5000 + b"}")


async def _deep(rogue: Rogue) -> None:
    await _link(rogue, b"[" * 4000)


async def _addresses(rogue: Rogue) -> None:
    """Legal, and too many to try: all on this machine."""
    for number in range(200):
        lines = [["host", f"127.1.{number}.{last}", 9] for last in range(16)]
        await _link(rogue, message("addresses", candidates=lines))


async def _odd_addresses(rogue: Rogue) -> None:
    odd = [["host", "255.255.255.255", 9], ["host", "224.0.0.1", 9], ["x", "127.0.0.1", 9], ["host", "a" * 300, 9]]
    odd += [["host", "127.0.0.1", port] for port in (-1, 0, 65536, 2**63)]
    await _link(rogue, message("addresses", candidates=odd))
    await _link(
        rogue, message("servers", servers=[["turn:127.0.0.1:9", "\x1b[2J", "\u202e"], ["file:///etc/passwd", "", ""]])
    )
    await _link(rogue, message("wave"))
    await _link(rogue, message("addresses", candidates=None))


def _channels() -> Iterator[Case]:
    ending: dict[str, tuple[Attack, tuple[int, ...]]] = {
        "a message on a channel that there is not": (_sending(7, BINARY, b"x"), (PROTOCOL,)),
        "a channel opened": (_sending(4, DCEP, _OPEN), (PROTOCOL,)),
        "text on the data channel": (_sending(DATA, TEXT, b"hello"), (PROTOCOL,)),
        "a control message too large by a byte": (_sending(CONTROL, TEXT, b" " * 262145), (PROTOCOL,)),
        "a data message too large by a byte": (_sending(DATA, BINARY, bytes(262145)), (PROTOCOL,)),
        "a message that does not end": (_never_whole, (PROTOCOL,)),
        "nonsense about the connection": (_garbage, (PROTOCOL,)),
        "much about the connection": (_too_much, (PROTOCOL,)),
        "the association aborted": (_abort, (LOST,)),
        "the control channel closed": (_close_control, (LOST,)),
    }
    for name, (attack, codes) in ending.items():

        async def to_receiver(rogue: Rogue, attack: Attack = attack) -> None:
            await rogue.send_up_to(Step.ACCEPTED)
            await attack(rogue)

        async def to_sender(rogue: Rogue, attack: Attack = attack) -> None:
            await rogue.receive_up_to(Step.LISTED)
            await attack(rogue)

        yield Case(f"channels: {name}", to_receiver, codes, stock=True, really=True)
        if "channel" in name or "data" in name:
            yield Case(f"channels: {name}", to_sender, codes, Sending(), stock=True, really=True)

    async def opened_twice(rogue: Rogue) -> None:
        for stream in (CONTROL, DATA, LINK):
            await _send(rogue, stream, DCEP, _OPEN)

    async def unknown_protocols(rogue: Rogue) -> None:
        for stream in (CONTROL, DATA, LINK):
            for protocol in (0, 52, 54, 99, 2**32 - 1):
                await _send(rogue, stream, protocol, b"x" * 100)

    harmless = {
        "the same channels opened again": opened_twice,
        "messages of unknown protocols": unknown_protocols,
        "deep nesting about the connection": _deep,
        "3200 addresses": _addresses,
        "addresses that are none": _odd_addresses,
    }
    for name, attack in harmless.items():

        async def and_then(rogue: Rogue, attack: Attack = attack) -> None:
            await rogue.send_up_to(Step.ACCEPTED)
            await attack(rogue)
            rogue.send_files(FILES)
            rogue.end(FILES)
            await rogue.part()

        yield Case(f"channels: {name}", and_then, (OK,), arrives=WHOLE, stock=True, really=True)

    async def all_as_text(rogue: Rogue) -> None:
        """Legal: control messages may be text."""
        for control in (
            message("hello", version=1, role="sender", software="x", block_size=65536),
            message("manifest", first=0, entries=[["f", "b", len(B), 420, 0, 0]]),
            message("manifest_end", entries=1),
        ):
            await _send(rogue, CONTROL, TEXT, control)
        await rogue.accepted(1)
        rogue.throw(*whole(0, 0, B))
        await _send(rogue, CONTROL, TEXT, message("abort", error="declined", message="x"))

    yield Case("channels: control messages as text", all_as_text, (DECLINED,), stock=True, really=True)


def _beginnings() -> Iterator[Case]:
    async def say_nothing(rogue: Rogue) -> None:
        rogue.mute()

    async def decline(rogue: Rogue) -> None:
        await _link(rogue, message("declined"))

    async def early(rogue: Rogue) -> None:
        await rogue.pour((message("ping", number=1) for _ in range(5000)), control=True)

    async def early_data(rogue: Rogue) -> None:
        await rogue.pour(whole(1, 0, A)[0] for _ in range(40))

    async def confirming(rogue: Rogue) -> None:
        for _ in range(2000):
            await _link(rogue, message("confirming"))
        await _link(rogue, message("declined"))

    beginnings: dict[str, tuple[Attack, tuple[int, ...]]] = {
        "nothing is said": (say_nothing, (LOST,)),
        "no": (decline, (DECLINED,)),
        "many messages before it begins": (early, (PROTOCOL,)),
        "much data before it begins": (early_data, (PROTOCOL,)),
        "a person who compares numbers, again and again": (confirming, (DECLINED,)),
    }
    for name, (attack, codes) in beginnings.items():
        for victim in (Receiving(), Sending()):
            yield Case(f"beginning: {name}", attack, codes, victim, stock=True, really=True, settles=False, seconds=30)
