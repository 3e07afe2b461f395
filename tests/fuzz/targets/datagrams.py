"""What anybody can send to an open port: batches of datagrams told apart, and STUN taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aioice import stun

from fuzz.feed import Feed
from p2pcopy.net.endpoint import MAX_STUN, Address, Endpoint, _is_refusal, parse_stun
from p2pcopy.net.offload import EVERYTHING, Offload

MODULES = ("p2pcopy.net.endpoint",)

FROM: Final = ("192.0.2.7", 4711)
KEY: Final = b"secret"
_ADDRESSES: Final = (("192.0.2.1", 1), ("2001:db8::1", 65535))


class Listener(Endpoint):
    """Also the receiver of what it hands on: datagrams with what they were taken for."""

    is_full = False
    burst = 1

    def __init__(self) -> None:
        super().__init__(self)
        self.got: list[tuple[str, bytes]] = []
        self.ends = 0

    @property
    def offload(self) -> Offload:
        return EVERYTHING

    def send(self, data: bytes, address: Address) -> None: ...

    def send_burst(self, data: memoryview, segment: int, address: Address) -> None: ...

    def probe_mtu(self, on: bool) -> int:
        return 0

    async def close(self) -> None: ...

    def stun_received(self, message: stun.Message, address: Address, endpoint: Endpoint) -> None:
        self.got.append(("stun", message.transaction_id))

    def data_received(self, data: bytes, address: Address, endpoint: Endpoint) -> None:
        self.got.append(("data", data))

    def batch_received(self, data: bytearray, size: int, segment: int, address: Address, endpoint: Endpoint) -> None:
        assert segment > 0
        assert len(data) >= size > 0
        self.got += [("data", bytes(data[at : min(at + segment, size)])) for at in range(0, size, segment)]

    def batch_ended(self, endpoint: Endpoint) -> None:
        self.ends += 1

    def writable(self, endpoint: Endpoint) -> None: ...

    def refused(self, address: Address, endpoint: Endpoint) -> None: ...


def one(data: bytes) -> None:
    feed = Feed(data)
    match feed.number(4):
        case 0:
            understood(feed.rest())
        case 1:
            understood(message(feed))
        case 2:
            _is_refusal(feed.rest(), FROM[0])
            _is_refusal(feed.rest(), "2001:db8::1")
        case _:
            batch(feed)


def understood(data: bytes) -> None:
    parsed = parse_stun(data)
    if parsed is None:
        return
    assert 20 <= len(data) <= MAX_STUN
    parsed.check_message_integrity(KEY)
    assert parsed.error_code is None or 0 <= parsed.error_code < 25856
    repr(parsed)
    for name in ("XOR-MAPPED-ADDRESS", "XOR-PEER-ADDRESS", "XOR-RELAYED-ADDRESS"):
        host, port = parsed.attributes.get(name, FROM)
        assert isinstance(host, str)
        assert 0 <= port <= 65535
    again = parse_stun(bytes(parsed), limit=1 << 16)
    integrity = {"MESSAGE-INTEGRITY", "FINGERPRINT"}
    if again is not None:
        assert {k: v for k, v in again.attributes.items() if k not in integrity}.items() <= parsed.attributes.items()


def message(feed: Feed) -> bytes:
    """A real one, with a few attributes, and perhaps a byte that is not right."""
    made = stun.Message(feed.choice(list(stun.Method)), feed.choice(list(stun.Class)), feed.take(12).ljust(12, b"\0"))
    for _ in range(feed.number(6)):
        match feed.number(8):
            case 0:
                made.attributes["USERNAME"] = "a:b"
            case 1:
                made.attributes["PRIORITY"] = feed.number(1 << 32)
            case 2:
                made.attributes["XOR-MAPPED-ADDRESS"] = feed.choice(_ADDRESSES)
            case 3:
                made.attributes["ERROR-CODE"] = (feed.number(1000), "x")
            case 4:
                made.attributes["USE-CANDIDATE"] = None
            case 5:
                made.attributes["ICE-CONTROLLED"] = feed.number(1 << 64)
            case 6:
                made.attributes["DATA"] = feed.chunk(30)
            case _:
                made.attributes["SOFTWARE"] = "x" * feed.number(40)
    if feed.flag():
        made.add_message_integrity(KEY)
    data = bytearray(bytes(made))
    if feed.flag():
        data[feed.number(65536) % len(data)] ^= 1 + feed.number(255)
    return bytes(data)


def batch(feed: Feed) -> None:
    """Together they are taken for the same as one by one."""
    segment = 1 + feed.number(200)
    parts = [feed.chunk(segment).ljust(segment, feed.choice((b"\0", b"\x16", b"\xff"))) for _ in range(feed.number(5))]
    data = bytearray(b"".join(parts) + feed.rest())
    if not data:
        return
    together, alone = Listener(), Listener()
    together._take_batch(data, len(data), segment, FROM)
    together._end_batch()
    for at in range(0, len(data), segment):
        alone._take(bytes(data[at : at + segment]), FROM)
    alone._end_batch()
    assert together.got == alone.got
    assert together.ends == alone.ends == any(kind == "data" for kind, _ in alone.got)


def seeds() -> Iterator[bytes]:
    for method, kind in ((1, 0), (1, 0x100), (1, 0x110), (3, 0x110)):
        made = stun.Message(stun.Method(method), stun.Class(kind), bytes(range(12)))
        made.attributes.update({"USERNAME": "abcd:efgh", "PRIORITY": 7, "ICE-CONTROLLING": 9, "USE-CANDIDATE": None})
        made.attributes.update({"XOR-MAPPED-ADDRESS": _ADDRESSES[kind == 0], "ERROR-CODE": (403, "no")})
        made.add_message_integrity(KEY)
        yield b"\x00" + bytes(made)
    yield b"\x01\x00\x00" + bytes(12) + bytes([5, 0, 1, 0, 0, 0, 9, 2, 1, 3, 1, 147, 5]) + bytes(8) + b"\x01\x00"
    yield b"\x02" + bytes([111, 0, 0, 0, 2, 3, 3, 0]) + bytes(12) + bytes([192, 0, 2, 7])
    yield b"\x03\x0a\x03" + b"\x05\x16abcd\x01" * 3 + b"\x14xyz"
    yield b"\x03\x14\x02" + b"\x05\x16abcd\x01\x02\x00\x01\x00"
