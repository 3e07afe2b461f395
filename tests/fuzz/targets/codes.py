"""Codes in all forms: as they are pasted, and as bytes under check digits that are right, as a hostile peer makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from p2pcopy.errors import CodeError
from p2pcopy.signaling import code
from p2pcopy.signaling.base32 import MAX_TEXT, from_text, to_text
from p2pcopy.signaling.candidates import Candidate, split_items
from p2pcopy.signaling.checks import crc8, with_crc16
from p2pcopy.signaling.expiry import EPOCH_S
from p2pcopy.signaling.lent import LentServer, time_limited
from p2pcopy.signaling.parameters import Answer, Generic, Offer, Starter

T = TypeVar("T")

MODULES = (
    "p2pcopy.signaling.base32",
    "p2pcopy.signaling.candidates",
    "p2pcopy.signaling.code",
    "p2pcopy.signaling.lent",
    "p2pcopy.signaling.parameters",
)

NOW_S: Final = EPOCH_S + 86400.0
SECRET: Final = bytes(range(16))
TEXT, FRAME = range(2)  # the first byte of an input: what the rest is
OWN: Final = Offer(SECRET, bytes(16), Starter.SENDER, 1500, (Candidate("host", "192.168.0.2", 4711),))
OWN_TEXT: Final = to_text(code.encode_offer(OWN))
OWN_TWO_WAY: Final = to_text(code.encode_offer(Offer(SECRET, bytes(16), Starter.SENDER, 1500, (), two_way=True)))


def one(data: bytes) -> None:
    text = data[1:].decode(errors="replace") if data[:1] == bytes([TEXT]) else framed(data[1:])
    for expecting in Starter:
        refused_or(partial(code.parse_offer, text, now_s=NOW_S, expecting=expecting))
    for own in (OWN_TEXT, OWN_TWO_WAY):
        refused_or(partial(code.parse_answer, text, SECRET, own))
    refused_or(partial(code.parse_generic, text))
    refused_or(partial(from_text, text))
    parsed = refused_or(partial(code.parse_any, text, now_s=NOW_S))
    if parsed is not None:
        said_again(text, parsed)


def refused_or(parse: Callable[[], T]) -> T | None:
    try:
        return parse()
    except CodeError as error:
        assert error.message
        assert error.hint
        assert len(error.message) < 500
        return None


def said_again(text: str, parsed: Offer | Answer | Generic) -> None:
    """What was understood means the same when we say it, and however it is typed."""
    match parsed:
        case Offer():
            again = code.encode_offer(parsed)
        case Answer():
            again = code.encode_answer(parsed, SECRET)
        case Generic():
            again = code.encode_generic(parsed)
    assert code.parse_any(to_text(again), now_s=NOW_S) == parsed
    if len(text) * 2 <= MAX_TEXT:
        spelled = "-".join(text.lower().replace("0", "o").replace("1", "l"))
        assert code.parse_any(spelled, now_s=NOW_S) == parsed


def framed(data: bytes) -> str:
    """The bytes as a frame of this version with check digits that hold, as far as it goes."""
    if not data:
        return ""
    data = bytes([code.FORMAT << 4 | data[0] % 5]) + data[1:]
    kind = code._Kind(data[0] & 15)
    try:
        _, end = split_items(data, code._fixed_end(kind, data))
    except CodeError:
        return to_text(data)
    if kind is not code._Kind.ANSWER:
        return to_text(with_crc16(data[:end]))
    bound = data[:end] + bytes([code._binding(SECRET, data[:end])])
    return to_text(bound + bytes([crc8(bound)]))


def seeds() -> Iterator[bytes]:
    candidates = (
        Candidate("host", "192.168.0.2", 4711),
        Candidate("host", "10.1.2.3", 4711),
        Candidate("host", "2001:db8::1", 4711),
        Candidate("host", "2001:db8::2", 9),
        Candidate("srflx", "203.0.113.7", 40000),
        Candidate("relay", "198.51.100.1", 50000),
        Candidate("relay", "198.51.100.1", 50001),
        Candidate("host", "8e8b7a6f-1111-4222-8333-444455556666.local", 5),
    )
    stamp = round(EPOCH_S + 1500 * 60 + 600)
    relays = (
        LentServer("turn.example.org", 3478, "udp", False, "user", "password"),
        LentServer("198.51.100.1", 5349, "tcp", True, *time_limited("secret", "me", stamp)),
    )
    more = LentServer("2001:db8::9", 80, "tcp", False, *time_limited("secret", "", stamp))
    fingerprint = bytes(range(32))
    frames = [
        code.encode_offer(OWN),
        code.encode_offer(Offer(SECRET, bytes(16), Starter.RECEIVER, 1500, candidates, relays, two_way=True)),
        code.encode_offer(Offer(SECRET, bytes(16), Starter.SENDER, 1500, (), (more,))),
        code.encode_answer(Answer(candidates[:3]), SECRET),
        code.encode_answer(Answer((), bytes(16)), SECRET),
        code.encode_generic(Generic("offer", Starter.SENDER, "abcd", "e" * 22, fingerprint, "actpass", candidates[:2])),
        code.encode_generic(Generic("answer", Starter.RECEIVER, "a/+9" * 8, "e" * 40, fingerprint, "active", ())),
    ]
    for frame in frames:
        yield bytes([TEXT]) + to_text(frame).encode()
        yield bytes([FRAME]) + frame
