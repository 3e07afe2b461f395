"""Session parameters <-> the compact codes that two people exchange. Pure; docs/codes.md specifies every byte."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2pcopy.errors import CodeError, CodeExpired, CodeForeignAnswer, CodeTypo, CodeVersion, CodeWrongKind
from p2pcopy.signaling.base32 import (
    COPY_AGAIN,
    SAME_VERSION,
    read_word,
    take,
    to_text,
    whole_bytes,
)
from p2pcopy.signaling.candidates import (
    Block,
    Candidate,
    Item,
    pack_items,
    split_items,
    unpack_blocks,
    unpack_candidates,
)
from p2pcopy.signaling.checks import crc8, with_crc16
from p2pcopy.signaling.expiry import EPOCH_S, EXPIRY_GRACE_S, duration, expiry_minute, seconds_left
from p2pcopy.signaling.lent import credential_end, pack_lent, unpack_lent
from p2pcopy.signaling.parameters import (
    FINGERPRINT_SIZE,
    ICE_CHARACTERS,
    PIN_SIZE,
    SECRET_SIZE,
    SETUPS,
    Answer,
    Generic,
    Offer,
    Starter,
)

__all__ = [
    "FINGERPRINT_SIZE",
    "PIN_SIZE",
    "SECRET_SIZE",
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
_SHORTEST: Final = 8  # bytes that a code of any version has


# Frames: version (4 bits) and kind (4 bits), a fixed part, items, check (2 bytes)


class _Kind(IntEnum):
    SENDERS_OFFER = 0
    RECEIVERS_OFFER = 1
    ANSWER = 2
    GENERIC_OFFER = 3
    GENERIC_ANSWER = 4


# Numbers of extension blocks. _TWO_WAY asks for a pin in an offer, and is the pin in an answer.
_RELAY: Final = 1
_TWO_WAY: Final = 2

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
    """37 bytes, the candidates and the TURN servers."""
    kind = _Kind.SENDERS_OFFER if offer.starter is Starter.SENDER else _Kind.RECEIVERS_OFFER
    fixed = offer.secret + offer.pin + offer.expires_minute.to_bytes(2, "big")
    blocks = [Block(_RELAY, pack_lent(relay, offer.candidates, offer.expires_minute)) for relay in offer.relays]
    if offer.two_way:
        blocks.append(Block(_TWO_WAY, b""))
    return with_crc16(bytes([FORMAT << 4 | kind]) + fixed + pack_items(offer.candidates, blocks))


def encode_answer(answer: Answer, secret: bytes) -> bytes:
    """3 bytes, the candidates, and 18 bytes for a pin. secret: of the offer that is answered."""
    blocks = [Block(_TWO_WAY, answer.pin)] if answer.pin else []
    data = bytes([FORMAT << 4 | _Kind.ANSWER]) + pack_items(answer.candidates, blocks)
    bound = data + bytes([_binding(secret, data)])
    return bound + bytes([crc8(bound)])


def encode_generic(generic: Generic) -> bytes:
    """38 bytes, 6 bits for each character of ufrag and password, and the candidates."""
    kind = _Kind.GENERIC_OFFER if generic.kind == "offer" else _Kind.GENERIC_ANSWER
    flags = SETUPS.index(generic.setup) | _RECEIVER_STARTED * (generic.starter is Starter.RECEIVER)
    sizes = bytes([len(generic.ufrag) - 1, len(generic.password) - 1])
    fixed = bytes([flags]) + sizes + _pack_ice(generic.ufrag + generic.password) + generic.fingerprint
    return with_crc16(bytes([FORMAT << 4 | kind]) + fixed + pack_items(generic.candidates))


def parse_offer(text: str, *, now_s: float, expecting: Starter) -> Offer:
    """The offer in text. now_s: Unix time; expecting: who must have made it. Raises CodeError, one class a reason."""
    frame = _frame(text)
    if frame.kind not in _STARTER_OF:
        raise _not_an_offer(frame.kind)
    if _STARTER_OF[frame.kind] is not expecting:
        raise _same_role(_STARTER_OF[frame.kind])
    offer = _offer(frame, now_s)
    late_s = -seconds_left(offer.expires_minute, now_s)
    if late_s > EXPIRY_GRACE_S:
        raise CodeExpired(
            f"the code expired {duration(late_s)} ago",
            "Ask the other side for a fresh one; if this one is fresh, the clock of one of the two computers is wrong.",
        )
    return offer


def parse_answer(text: str, secret: bytes, own_offer_text: str) -> Answer:
    """The answer in text to the offer that we made. Raises CodeError, one class a reason."""
    frame, own = _frame(text), _frame(own_offer_text)
    if frame.checked == own.checked:
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
    answer = _answer(frame)
    if not answer.pin and _asks_for_pin(own):
        raise CodeWrongKind(
            "this answer lacks the mark of its maker, which --two-way asks for",
            "Use the version of p2pcopy on the other side that is used here, or start again without --two-way.",
        )
    return answer


def parse_generic(text: str) -> Generic:
    """The session description in text. Raises CodeError, one class a reason."""
    frame = _frame(text)
    if frame.kind not in (_Kind.GENERIC_OFFER, _Kind.GENERIC_ANSWER):
        raise CodeWrongKind(
            "this code is for p2pcopy itself, not a session description",
            "Use it with p2pcopy receive CODE or p2pcopy send --to CODE PATH.",
        )
    return _generic(frame)


def parse_any(text: str, *, now_s: float = EPOCH_S) -> Offer | Answer | Generic:
    """What a code says, whoever it is for, however old it is, whatever it answers. Raises CodeError.

    now_s: Unix time; matters only for the user names of TURN servers in it, which hold the time of expiry.
    """
    frame = _frame(text)
    if frame.kind in _STARTER_OF:
        return _offer(frame, now_s)
    return _answer(frame) if frame.kind is _Kind.ANSWER else _generic(frame)


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
        return crc8(frame.checked + frame.check[:1]) == frame.check[1]
    return with_crc16(frame.checked) == frame.checked + frame.check


def _offer(frame: _Frame, now_s: float) -> Offer:
    secret, pin, minute = frame.fixed[:SECRET_SIZE], frame.fixed[SECRET_SIZE:-2], frame.fixed[-2:]
    expires_minute = int.from_bytes(minute, "big")
    ends_s = credential_end(expires_minute, now_s)
    with _legal():
        candidates = unpack_candidates(frame.items)
        relays = tuple(unpack_lent(body, candidates, ends_s) for body in _blocks(frame, _RELAY))
        return Offer(secret, pin, _STARTER_OF[frame.kind], expires_minute, candidates, relays, _asks_for_pin(frame))


def _answer(frame: _Frame) -> Answer:
    with _legal():
        return Answer(unpack_candidates(frame.items), next(iter(_blocks(frame, _TWO_WAY)), b""))


def _blocks(frame: _Frame, number: int) -> list[bytes]:
    return [block.body for block in unpack_blocks(frame.items) if block.number == number]


def _asks_for_pin(frame: _Frame) -> bool:
    return bool(_blocks(frame, _TWO_WAY))


def _generic(frame: _Frame) -> Generic:
    flags, ufrag_size, password_size = frame.fixed[0], frame.fixed[1] + 1, frame.fixed[2] + 1
    if flags & 3 == len(SETUPS) or flags > _RECEIVER_STARTED | 3:
        raise CodeVersion("the code has a flag that this version of p2pcopy does not know", SAME_VERSION)
    both = _unpack_ice(frame.fixed[3:-FINGERPRINT_SIZE], ufrag_size + password_size)
    with _legal():
        return Generic(
            kind="offer" if frame.kind is _Kind.GENERIC_OFFER else "answer",
            starter=Starter.RECEIVER if flags & _RECEIVER_STARTED else Starter.SENDER,
            ufrag=both[:ufrag_size],
            password=both[ufrag_size:],
            fingerprint=frame.fixed[-FINGERPRINT_SIZE:],
            setup=SETUPS[flags & 3],
            candidates=unpack_candidates(frame.items),
        )


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


def _binding(secret: bytes, data: bytes) -> int:
    """Tells an answer to another offer from ours. No protection: that is in the credentials derived from the secret."""
    return hmac.digest(secret, b"p2pcopy answer" + data, "sha256")[0]


# What is wrong, and what to do


def _typo() -> CodeTypo:
    return CodeTypo("the code has a typo: its check digits do not match", COPY_AGAIN)


@contextmanager
def _legal() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CodeError(
            f"the code was made by a faulty program: {error}", "Ask the other side for a fresh code."
        ) from error


def _other_version(data: bytes) -> CodeError:
    if len(data) < _SHORTEST:
        return CodeError("this is not a code: it is too short for one", COPY_AGAIN)
    try:
        _frame(to_text(bytes([FORMAT << 4 | data[0] & 15]) + data[1:]))
    except CodeError:
        return CodeVersion("this is no p2pcopy code, or one of a version that writes codes differently", SAME_VERSION)
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
