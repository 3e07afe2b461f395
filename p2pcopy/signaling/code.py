"""Session parameters <-> the compact codes that two people exchange. Pure; docs/codes.md specifies every byte."""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Literal

from p2pcopy.errors import CodeError, CodeExpired, CodeForeignAnswer, CodeTypo, CodeVersion, CodeWrongKind
from p2pcopy.signaling.base32 import (
    COPY_AGAIN,
    SAME_VERSION,
    from_text,
    read_word,
    take,
    to_text,
    whole_bytes,
)
from p2pcopy.signaling.candidates import MAX_CANDIDATES, Candidate, Item, pack_items, split_items, unpack_items

__all__ = [
    "Answer",
    "Candidate",
    "Generic",
    "Offer",
    "Starter",
    "encode_answer",
    "encode_generic",
    "encode_offer",
    "expiry_minute",
    "parse_answer",
    "parse_any",
    "parse_generic",
    "parse_offer",
    "seconds_left",
    "to_text",
]

FORMAT: Final = 1
SECRET_SIZE: Final = 16
PIN_SIZE: Final = 16
FINGERPRINT_SIZE: Final = 32

EPOCH_S: Final = 1767225600  # 2026-01-01T00:00Z
EXPIRY_GRACE_S: Final = 600.0  # the clocks of people's machines differ
MAX_LIFE_S: Final = 31 * 86400.0  # the minute has 16 bits: what would be further ahead is taken as past

ICE_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"  # RFC 8839 section 5.4


class Starter(StrEnum):
    """The side that made the offer."""

    SENDER = "sender"
    RECEIVER = "receiver"


Setup = Literal["actpass", "active", "passive"]
_SETUPS: Final[tuple[Setup, ...]] = ("actpass", "active", "passive")


@dataclass(frozen=True)
class Offer:
    """What the answering side needs. expires_minute: minutes since 2026-01-01T00:00Z modulo 65536."""

    secret: bytes
    pin: bytes
    starter: Starter
    expires_minute: int
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE or len(self.pin) != PIN_SIZE or not 0 <= self.expires_minute < 65536:
            raise ValueError("the secret, the pin or the time of expiry is out of range")
        _check_count(self.candidates)


@dataclass(frozen=True)
class Answer:
    """Where the answering side may be reached; everything else follows from the offer's secret."""

    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        _check_count(self.candidates)


@dataclass(frozen=True)
class Generic:
    """All of a session description, for a WebRTC stack that takes no derived credentials. starter: who made the offer.

    fingerprint: SHA-256 of the certificate; ufrag and password: 4 and 22 to 256 ice-chars (RFC 8839 section 5.4).
    """

    kind: Literal["offer", "answer"]
    starter: Starter
    ufrag: str
    password: str
    fingerprint: bytes
    setup: Setup
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if not 4 <= len(self.ufrag) <= 256 or not 22 <= len(self.password) <= 256:
            raise ValueError("the ICE user name or password is too short or too long")
        if set(self.ufrag + self.password) - set(ICE_CHARACTERS):
            raise ValueError("the ICE user name or password has a character that is not allowed there")
        if len(self.fingerprint) != FINGERPRINT_SIZE:
            raise ValueError("the fingerprint is not a SHA-256 value")
        if self.setup not in _SETUPS or (self.kind == "answer" and self.setup == "actpass"):
            raise ValueError(f"{self.setup!r} is not a DTLS role for an {self.kind}")
        _check_count(self.candidates)


def _check_count(candidates: tuple[Candidate, ...]) -> None:
    if len(candidates) > MAX_CANDIDATES:
        raise ValueError(f"there are more than {MAX_CANDIDATES} addresses")


def expiry_minute(time_s: float) -> int:
    """The first full minute not before time_s (Unix time, at most 31 days ahead), as an offer carries it."""
    return int(-((EPOCH_S - time_s) // 60)) % 65536


def seconds_left(expires_minute: int, now_s: float) -> float:
    """From now_s (Unix time) to the expiry, negative when it is past; right from 31 days before to 14.5 days after it."""
    ahead = (expires_minute * 60 + EPOCH_S - now_s) % (65536 * 60)
    return ahead if ahead <= MAX_LIFE_S else ahead - 65536 * 60


# Frames: version (4 bits) and kind (4 bits), a fixed part, items, check (2 bytes)


class _Kind(IntEnum):
    SENDERS_OFFER = 0
    RECEIVERS_OFFER = 1
    ANSWER = 2
    GENERIC_OFFER = 3
    GENERIC_ANSWER = 4


_STARTER_OF: Final = {_Kind.SENDERS_OFFER: Starter.SENDER, _Kind.RECEIVERS_OFFER: Starter.RECEIVER}
_RECEIVER_STARTED: Final = 0x04


@dataclass(frozen=True)
class _Frame:
    kind: _Kind
    fixed: bytes
    items: list[Item]
    checked: bytes
    check: bytes


def encode_offer(offer: Offer) -> bytes:
    """37 bytes and the candidates."""
    kind = _Kind.SENDERS_OFFER if offer.starter is Starter.SENDER else _Kind.RECEIVERS_OFFER
    fixed = offer.secret + offer.pin + offer.expires_minute.to_bytes(2, "big")
    return _with_crc16(bytes([FORMAT << 4 | kind]) + fixed + pack_items(offer.candidates))


def encode_answer(answer: Answer, secret: bytes) -> bytes:
    """3 bytes and the candidates. secret: of the offer that is answered."""
    data = bytes([FORMAT << 4 | _Kind.ANSWER]) + pack_items(answer.candidates)
    bound = data + bytes([_binding(secret, data)])
    return bound + bytes([_crc8(bound)])


def encode_generic(generic: Generic) -> bytes:
    """38 bytes, 6 bits for each character of ufrag and password, and the candidates."""
    kind = _Kind.GENERIC_OFFER if generic.kind == "offer" else _Kind.GENERIC_ANSWER
    flags = _SETUPS.index(generic.setup) | _RECEIVER_STARTED * (generic.starter is Starter.RECEIVER)
    sizes = bytes([len(generic.ufrag) - 1, len(generic.password) - 1])
    fixed = bytes([flags]) + sizes + _pack_ice(generic.ufrag + generic.password) + generic.fingerprint
    return _with_crc16(bytes([FORMAT << 4 | kind]) + fixed + pack_items(generic.candidates))


def parse_offer(text: str, *, now_s: float, expecting: Starter) -> Offer:
    """The offer in text. now_s: Unix time; expecting: who must have made it. Raises CodeError, one class a reason."""
    frame = _frame(text)
    if frame.kind not in _STARTER_OF:
        raise _not_an_offer(frame.kind)
    if _STARTER_OF[frame.kind] is not expecting:
        raise _same_role(_STARTER_OF[frame.kind])
    offer = _offer(frame)
    late_s = -seconds_left(offer.expires_minute, now_s)
    if late_s > EXPIRY_GRACE_S:
        raise CodeExpired(
            f"the code expired {_duration(late_s)} ago",
            "Ask the other side for a fresh one; if this one is fresh, the clock of one of the two computers is wrong.",
        )
    return offer


def parse_answer(text: str, secret: bytes, own_offer_text: str) -> Answer:
    """The answer in text to the offer that we made. Raises CodeError, one class a reason."""
    frame = _frame(text)
    if frame.checked + frame.check == from_text(own_offer_text):
        raise CodeWrongKind(
            "this is your own code, not the answer to it",
            "Give it to the other side, and paste here the code that the other side then shows.",
        )
    if frame.kind is not _Kind.ANSWER:
        raise _not_an_answer(frame.kind)
    if frame.check[0] != _binding(secret, frame.checked):
        raise CodeForeignAnswer(
            "this is the answer to another code than the one shown here",
            "Let the other side use the code that is shown here now, and paste the answer to that.",
        )
    return Answer(_candidates(frame))


def parse_generic(text: str) -> Generic:
    """The session description in text. Raises CodeError, one class a reason."""
    frame = _frame(text)
    if frame.kind not in (_Kind.GENERIC_OFFER, _Kind.GENERIC_ANSWER):
        raise CodeWrongKind(
            "this code is for p2pcopy itself, not a session description",
            "Use it with p2pcopy receive CODE or p2pcopy send --to CODE PATH.",
        )
    return _generic(frame)


def parse_any(text: str) -> Offer | Answer | Generic:
    """What a code says, whoever it is for, however old it is, whatever it answers. Raises CodeError."""
    frame = _frame(text)
    if frame.kind in _STARTER_OF:
        return _offer(frame)
    return Answer(_candidates(frame)) if frame.kind is _Kind.ANSWER else _generic(frame)


def _frame(text: str) -> _Frame:
    """The parts of a code that is whole and free of typos. Raises CodeError."""
    word = read_word(text)
    data = whole_bytes(word)
    version, number = divmod(take(data, 0, 1)[0], 16)
    if version != FORMAT:
        raise _other_version(data)
    if number >= len(_Kind):
        raise CodeVersion("the code is of a kind that this version of p2pcopy does not know", SAME_VERSION)
    kind = _Kind(number)
    items_at = _fixed_end(kind, data)
    items, end = split_items(data, items_at)
    frame = _Frame(kind, data[1:items_at], items, data[:end], take(data, end, 2))
    if not _check_holds(frame):
        raise _typo()
    whole = to_text(frame.checked + frame.check)
    if len(word) > len(whole):
        raise CodeTypo("the code goes on after its end", "Paste it once, and nothing else with it.")
    if word != whole:
        raise _typo()
    return frame


def _fixed_end(kind: _Kind, data: bytes) -> int:
    if kind in _STARTER_OF:
        return 1 + SECRET_SIZE + PIN_SIZE + 2
    if kind is _Kind.ANSWER:
        return 1
    return 4 + _ice_size(sum(data[2:4]) + 2) + FINGERPRINT_SIZE


def _check_holds(frame: _Frame) -> bool:
    """As far as it can be told without the secret."""
    if frame.kind is _Kind.ANSWER:
        return _crc8(frame.checked + frame.check[:1]) == frame.check[1]
    return _with_crc16(frame.checked) == frame.checked + frame.check


def _offer(frame: _Frame) -> Offer:
    secret, pin, minute = frame.fixed[:SECRET_SIZE], frame.fixed[SECRET_SIZE:-2], frame.fixed[-2:]
    return Offer(secret, pin, _STARTER_OF[frame.kind], int.from_bytes(minute, "big"), _candidates(frame))


def _generic(frame: _Frame) -> Generic:
    flags, ufrag_size, password_size = frame.fixed[0], frame.fixed[1] + 1, frame.fixed[2] + 1
    if flags & 3 == len(_SETUPS) or flags > _RECEIVER_STARTED | 3:
        raise CodeVersion("the code has a flag that this version of p2pcopy does not know", SAME_VERSION)
    both = _unpack_ice(frame.fixed[3:-FINGERPRINT_SIZE], ufrag_size + password_size)
    candidates = _candidates(frame)
    try:
        return Generic(
            kind="offer" if frame.kind is _Kind.GENERIC_OFFER else "answer",
            starter=Starter.RECEIVER if flags & _RECEIVER_STARTED else Starter.SENDER,
            ufrag=both[:ufrag_size],
            password=both[ufrag_size:],
            fingerprint=frame.fixed[-FINGERPRINT_SIZE:],
            setup=_SETUPS[flags & 3],
            candidates=candidates,
        )
    except ValueError as error:
        raise _illegal(error) from error


def _candidates(frame: _Frame) -> tuple[Candidate, ...]:
    try:
        candidates = unpack_items(frame.items)
        _check_count(candidates)
    except ValueError as error:
        raise _illegal(error) from error
    return candidates


def _ice_size(characters: int) -> int:
    return (characters * 6 + 7) // 8


def _pack_ice(characters: str) -> bytes:
    value = 0
    for character in characters:
        value = value << 6 | ICE_CHARACTERS.index(character)
    return (value << -len(characters) * 6 % 8).to_bytes(_ice_size(len(characters)), "big")


def _unpack_ice(packed: bytes, count: int) -> str:
    value = int.from_bytes(packed, "big") >> len(packed) * 8 - count * 6
    return "".join(ICE_CHARACTERS[value >> shift & 63] for shift in range((count - 1) * 6, -1, -6))


def _with_crc16(data: bytes) -> bytes:
    """CRC-16/IBM-3740: sees every damage that spans at most 16 bits, so up to three characters side by side."""
    return data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def _crc8(data: bytes) -> int:
    """CRC-8/SMBUS: sees every damage that spans at most 8 bits, so any one character."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (0x07 if crc & 0x80 else 0)
    return crc


def _binding(secret: bytes, data: bytes) -> int:
    """Tells an answer to another offer from ours. No protection: that is in the credentials derived from the secret."""
    return hmac.digest(secret, b"p2pcopy answer" + data, "sha256")[0]


# What is wrong, and what to do


def _typo() -> CodeTypo:
    return CodeTypo("the code has a typo: its check digits do not match", COPY_AGAIN)


def _illegal(error: ValueError) -> CodeError:
    return CodeError(f"the code was made by a faulty program: {error}", "Ask the other side for a fresh code.")


def _other_version(data: bytes) -> CodeError:
    try:
        _frame(to_text(bytes([FORMAT << 4 | data[0] & 15]) + data[1:]))
    except CodeError:
        return CodeVersion(f"the code is of format {data[0] >> 4}, not {FORMAT}, or is not a code at all", SAME_VERSION)
    return CodeTypo("the first character of the code is wrong", COPY_AGAIN)


def _not_an_offer(kind: _Kind) -> CodeWrongKind:
    if kind is _Kind.ANSWER:
        return CodeWrongKind(
            "this is an answer; what is needed here is the code that the other side showed first",
            "An answer is pasted where p2pcopy is already waiting with the code that it answers.",
        )
    return CodeWrongKind(
        "this code comes from another WebRTC program", "Ask for a code made by p2pcopy send or p2pcopy receive."
    )


def _not_an_answer(kind: _Kind) -> CodeWrongKind:
    if kind not in _STARTER_OF:
        return CodeWrongKind(
            "this code comes from another WebRTC program", "Paste the answer that p2pcopy shows on the other side."
        )
    return CodeWrongKind(
        f"this is a {_STARTER_OF[kind]}'s first code, not the answer to the one shown here",
        f"Both sides have started. Stop one of them: use this code with {_COMMAND[_STARTER_OF[kind]]}, "
        "or the code shown here on the other side.",
    )


def _same_role(starter: Starter) -> CodeWrongKind:
    verb = "sends" if starter is Starter.SENDER else "receives"
    return CodeWrongKind(
        f"this is a {starter}'s code, and this side {verb} too", f"It can be used with {_COMMAND[starter]}."
    )


_COMMAND: Final = {Starter.SENDER: "p2pcopy receive CODE", Starter.RECEIVER: "p2pcopy send --to CODE PATH"}


def _duration(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "hour")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}s"
    return f"{int(seconds // 60)} minutes"
