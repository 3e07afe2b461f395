"""Codes: docs/codes.md holds to the byte, round trips, and a truthful error for every way a code can be bad."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import qrcode
import qrcode.util
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcopy.errors import (
    CodeError,
    CodeExpired,
    CodeForeignAnswer,
    CodeTruncated,
    CodeTypo,
    CodeVersion,
    CodeWrongKind,
)
from p2pcopy.signaling.base32 import ALPHABET, MAX_TEXT, from_text
from p2pcopy.signaling.candidates import CANDIDATE_TYPES, MAX_CANDIDATES, Candidate, select_candidates
from p2pcopy.signaling.checks import crc8
from p2pcopy.signaling.code import (
    Answer,
    Generic,
    Offer,
    Starter,
    encode_answer,
    encode_generic,
    encode_offer,
    expiry_minute,
    parse_answer,
    parse_any,
    parse_generic,
    parse_offer,
    seconds_left,
    to_text,
)
from p2pcopy.signaling.expiry import EPOCH_S
from p2pcopy.signaling.lent import LentServer, Transport, credential_end, time_limited
from p2pcopy.signaling.parameters import ICE_CHARACTERS

PAGE = (Path(__file__).parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")
VECTORS: list[dict[str, Any]] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])

SECRET = bytes(range(16))
PIN = bytes(range(100, 116))
NOW_S = EPOCH_S + 400 * 86400.0

LAN = Candidate("host", "192.168.1.23", 54321)
TEN = Candidate("host", "10.1.2.3", 54322)
ULA = Candidate("host", "fd12:3456:789a:1::23", 54323)
GLOBAL = Candidate("host", "2001:db8:1:2:3:4:5:6", 54324)
SECOND_GLOBAL = Candidate("host", "2001:db8:1:2:aaaa:bbbb:cccc:dddd", 54325)
PUBLIC = Candidate("srflx", "203.0.113.7", 40123)
SECOND_PUBLIC = Candidate("srflx", "203.0.113.7", 40124)
RELAY = Candidate("relay", "198.51.100.9", 55000)
CASES = {
    "one LAN address": (LAN,),
    "LAN and public": (LAN, PUBLIC),
    "LAN, public and relay": (LAN, PUBLIC, RELAY),
    "LAN, IPv6 local, IPv6 global and public": (LAN, ULA, GLOBAL, PUBLIC),
    "8 candidates": (LAN, TEN, ULA, GLOBAL, SECOND_GLOBAL, PUBLIC, SECOND_PUBLIC, RELAY),
}
SIZES = {
    "one LAN address": (42, 68, 3, 8, 13, 1),
    "LAN and public": (49, 79, 4, 15, 24, 1),
    "LAN, public and relay": (56, 90, 4, 22, 36, 2),
    "LAN, IPv6 local, IPv6 global and public": (87, 140, 5, 53, 85, 4),
    "8 candidates": (114, 183, 6, 80, 128, 5),
}
ENDS_S = credential_end(expiry_minute(NOW_S + 3600), NOW_S)
AT_THE_RELAY = LentServer(RELAY.host, 3478, "udp", False, *time_limited("secret", "", ENDS_S))
ELSEWHERE = LentServer("198.51.100.10", 3479, "udp", False, *time_limited("secret", "", ENDS_S))
BY_NAME = LentServer("turn.example.org", 443, "tcp", True, *time_limited("secret", "", ENDS_S))
WITH_PASSWORD = LentServer(RELAY.host, 3478, "udp", False, "username", "password" * 2)
RELAYED = CASES["LAN, public and relay"]
EXTRAS: dict[str, tuple[tuple[LentServer, ...], bool, bytes, tuple[int, int, int]]] = {
    "a TURN server at the relay's address, usual port, temporary credential": (
        (AT_THE_RELAY,),
        False,
        b"",
        (80, 128, 5),
    ),
    "the same at another IPv4 address and port": ((ELSEWHERE,), False, b"", (85, 136, 5)),
    "`turn.example.org`, TLS on port 443, temporary credential": ((BY_NAME,), False, b"", (98, 157, 6)),
    "the first and the third together": ((AT_THE_RELAY, BY_NAME), False, b"", (122, 196, 7)),
    "the first with a user name of 8 and a password of 16 characters": ((WITH_PASSWORD,), False, b"", (86, 138, 5)),
    "an offer that asks for a pin": ((), True, b"", (58, 93, 4)),
    "an answer with a pin": ((), False, PIN, (40, 64, 3)),
}


def an_offer(*candidates: Candidate, starter: Starter = Starter.SENDER, expires_s: float = NOW_S + 3600) -> Offer:
    return Offer(SECRET, PIN, starter, expiry_minute(expires_s), candidates or (LAN, PUBLIC))


def offer_text(*candidates: Candidate, starter: Starter = Starter.SENDER, expires_s: float = NOW_S + 3600) -> str:
    return to_text(encode_offer(an_offer(*candidates, starter=starter, expires_s=expires_s)))


def answer_text(*candidates: Candidate, secret: bytes = SECRET) -> str:
    return to_text(encode_answer(Answer(candidates or (LAN, PUBLIC)), secret))


def generic(**changes: Any) -> Generic:
    fields: dict[str, Any] = {
        "kind": "offer",
        "starter": Starter.SENDER,
        "ufrag": "aB3+",
        "password": "abcdefghijklmnopqrstu/",
        "fingerprint": bytes(32),
        "setup": "actpass",
        "candidates": (LAN,),
    }
    return Generic(**fields | changes)


def read_offer(text: str, *, expecting: Starter = Starter.SENDER, now_s: float = NOW_S) -> Offer:
    return parse_offer(text, now_s=now_s, expecting=expecting)


def with_check(data: bytes | bytearray) -> str:
    return to_text(bytes(data) + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big"))


def offer_with_items(items: bytes) -> str:
    return with_check(b"\x10" + SECRET + PIN + expiry_minute(NOW_S).to_bytes(2, "big") + items)


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.integers(0, 0xFFFFFFFF).map(lambda last: f"2001:db8::{last >> 16:x}:{last & 0xFFFF:x}"),
    st.integers(0, 0xFFFF).map(lambda last: f"192.168.{last >> 8}.{last & 255}"),
    st.uuids().map(lambda name: f"{name}.local"),
)


def is_legal(host: str) -> bool:
    try:
        Candidate("host", host, 1)
    except ValueError:
        return False
    return True


candidates = st.builds(Candidate, st.sampled_from(CANDIDATE_TYPES), hosts.filter(is_legal), st.integers(1, 65535))
candidate_lists = st.lists(candidates, max_size=MAX_CANDIDATES).map(tuple)
printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@st.composite
def lent_servers(draw: st.DrawFn, minute: int, listed: tuple[Candidate, ...]) -> LentServer:
    names = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?\.[a-z][a-z0-9]{0,9}", fullmatch=True)
    known = [each.host for each in listed]
    host = draw(st.one_of(hosts.filter(is_legal), names, *([st.sampled_from(known)] if known else [])))
    port = draw(st.sampled_from([3478, 5349]) | st.integers(1, 65535))
    kinds: list[tuple[Transport, bool]] = [("udp", False), ("tcp", False), ("tcp", True)]
    transport, tls = draw(st.sampled_from(kinds))
    ends_s = credential_end(minute, EPOCH_S + minute * 60 - 60) + draw(st.sampled_from([0, 0, 60]))
    temporary = st.builds(time_limited, printable, st.just("") | printable, st.just(ends_s))
    return LentServer(host, port, transport, tls, *draw(temporary | st.tuples(printable, printable)))


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    minute, listed = draw(st.integers(0, 65535)), draw(candidate_lists)
    return Offer(
        secret=draw(st.binary(min_size=16, max_size=16)),
        pin=draw(st.binary(min_size=16, max_size=16)),
        starter=draw(st.sampled_from(Starter)),
        expires_minute=minute,
        candidates=listed,
        relays=tuple(draw(st.lists(lent_servers(minute, listed), max_size=2))),
        two_way=draw(st.booleans()),
    )


generics = st.sampled_from(
    [("offer", "actpass"), ("offer", "active"), ("answer", "active"), ("answer", "passive")]
).flatmap(
    lambda kind_and_setup: st.builds(
        Generic,
        st.just(kind_and_setup[0]),
        st.sampled_from(Starter),
        st.text(ICE_CHARACTERS, min_size=4, max_size=256),
        st.text(ICE_CHARACTERS, min_size=22, max_size=256),
        st.binary(min_size=32, max_size=32),
        st.just(kind_and_setup[1]),
        candidate_lists,
    )
)


# The page


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors_of_the_page(vector: dict[str, Any]) -> None:
    listed = tuple(Candidate(*each) for each in vector["candidates"])
    value: Offer | Answer | Generic
    if vector["kind"] == "offer":
        secret, pin = bytes.fromhex(vector["secret"]), bytes.fromhex(vector["pin"])
        relays = tuple(LentServer(*each) for each in vector.get("relays", ()))
        two_way = vector.get("two_way", False)
        value = Offer(secret, pin, Starter(vector["starter"]), vector["expires_minute"], listed, relays, two_way)
        written = encode_offer(value)
    elif vector["kind"] == "answer":
        value = Answer(listed, bytes.fromhex(vector.get("answer_pin", "")))
        written = encode_answer(value, bytes.fromhex(vector["secret"]))
        assert parse_answer(vector["text"], bytes.fromhex(vector["secret"]), offer_text()) == value
    else:
        kind = vector["kind"].removeprefix("generic ")
        names = ("ufrag", "password", "setup")
        value = Generic(
            kind=kind,
            starter=Starter(vector["starter"]),
            fingerprint=bytes.fromhex(vector["fingerprint"]),
            candidates=listed,
            **{name: vector[name] for name in names},
        )
        written = encode_generic(value)
    assert parse_any(vector["text"]) == value
    assert from_text(vector["text"]).hex() == vector["bytes"]
    if "not written" not in vector["name"]:
        assert written.hex() == vector["bytes"]
        assert to_text(written) == vector["text"]


def test_credentials_in_the_vectors() -> None:
    made = 0
    for vector in VECTORS:
        for *_, username, password in vector.get("relays", ()):
            stamp, _, name = username.partition(":")
            if stamp.isdigit():
                made += 1
                assert int(stamp) == EPOCH_S + vector["expires_minute"] * 60 + 600
                assert time_limited(vector["turn_secret"], name, int(stamp)) == (username, password)
    assert made == 2


def test_vectors_cover_every_kind() -> None:
    assert {bytes.fromhex(vector["bytes"])[0] for vector in VECTORS} == {0x10, 0x11, 0x12, 0x13, 0x14}


def qr_version(text: str) -> int:
    drawing = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L)
    drawing.add_data(qrcode.util.QRData(text, mode=qrcode.util.MODE_ALPHA_NUM))
    return int(drawing.version)


@pytest.mark.parametrize("case", CASES)
def test_sizes(case: str) -> None:
    measured: list[int] = []
    for data in (encode_offer(an_offer(*CASES[case])), encode_answer(Answer(CASES[case]), SECRET)):
        measured += (len(data), len(to_text(data)), qr_version(to_text(data)))
    assert tuple(measured) == SIZES[case]
    assert f"| {case} | " + " | ".join(map(str, measured)) + " |" in PAGE


@pytest.mark.parametrize("case", EXTRAS)
def test_sizes_with_relays_and_pins(case: str) -> None:
    relays, two_way, pin, expected = EXTRAS[case]
    if pin:
        data = encode_answer(Answer(RELAYED, pin), SECRET)
    else:
        data = encode_offer(Offer(SECRET, PIN, Starter.SENDER, expiry_minute(NOW_S + 3600), RELAYED, relays, two_way))
    text = to_text(data)
    measured = len(data), len(text), qr_version(text)
    assert measured == expected
    assert f"| {case} | " + " | ".join(map(str, measured)) + " |" in PAGE


# Round trips


@given(st.binary(min_size=1, max_size=300))
def test_text_round_trip(data: bytes) -> None:
    assert from_text(to_text(data)) == data
    assert set(to_text(data)) <= set(ALPHABET)


@given(offers())
def test_offer_round_trip(offer: Offer) -> None:
    text = to_text(encode_offer(offer))
    now_s = EPOCH_S + offer.expires_minute * 60 - 60
    assert parse_offer(text, now_s=now_s, expecting=offer.starter) == offer == parse_any(text, now_s=now_s)


@given(candidate_lists, st.binary(min_size=16, max_size=16), st.just(b"") | st.binary(min_size=16, max_size=16))
def test_answer_round_trip(listed: tuple[Candidate, ...], secret: bytes, pin: bytes) -> None:
    text = to_text(encode_answer(Answer(listed, pin), secret))
    assert parse_answer(text, secret, offer_text()) == Answer(listed, pin) == parse_any(text)


@given(generics)
def test_generic_round_trip(value: Generic) -> None:
    text = to_text(encode_generic(value))
    assert parse_generic(text) == value == parse_any(text)


@pytest.mark.parametrize(
    "respell",
    [
        str.lower,
        lambda text: text.replace("0", "O").replace("1", "l"),
        lambda text: text.replace("0", "o").replace("1", "I"),
        lambda text: text.replace("1", "i"),
        lambda text: f"  {text[:20]}\r\n\t{text[20:40]}\n{text[40:]}\n\n",
        lambda text: "-".join(text[at : at + 4] for at in range(0, len(text), 4)),
        lambda text: f"\ufeff{text[:7]}\u2011{text[7:9]}\u2013{text[9:]}\u00a0\u200b",
    ],
)
def test_spellings(respell: Any) -> None:
    assert read_offer(respell(offer_text())) == an_offer()


# Whatever the text: a value or a CodeError


def only_code_errors(text: str) -> None:
    for parse in (
        lambda: parse_any(text),
        lambda: parse_generic(text),
        lambda: read_offer(text),
        lambda: parse_answer(text, SECRET, offer_text()),
        lambda: from_text(text),
    ):
        with suppress(CodeError):
            parse()


@given(st.text())
@example("")
@example("ß")
@example("0")
def test_any_text(text: str) -> None:
    only_code_errors(text)


@given(st.text(ALPHABET, max_size=120), st.sampled_from(["20", "22", "24", "26", "28", "2A"]))
def test_any_word(text: str, start: str) -> None:
    only_code_errors(start + text)


@given(st.integers(0, 4), st.binary(max_size=150), st.booleans())
def test_any_bytes_under_a_valid_check(kind: int, body: bytes, end: bool) -> None:
    last = b"\xf0\x00" if end else b""
    only_code_errors(with_check(bytes([0x10 | kind]) + body + last))


@given(st.binary(max_size=60))
def test_any_items_under_a_valid_check(items: bytes) -> None:
    only_code_errors(offer_with_items(items + b"\xf0\x00"))


@given(st.binary(max_size=60), st.booleans())
def test_any_turn_server_under_a_valid_check(body: bytes, beside: bool) -> None:
    only_code_errors(offer_with_items(b"\x10\x01\x17\xd4\x31" * beside + b"\xf1" + bytes([len(body)]) + body))


# Each way a code can be bad


@pytest.mark.parametrize("text", ["", " \n", "---"])
def test_empty(text: str) -> None:
    with pytest.raises(CodeTruncated, match="empty"):
        parse_any(text)


@pytest.mark.parametrize("bad", ["U", "u", "!", "é", "\x1b", "ſ", "\u202e"])
def test_character_outside_the_alphabet_is_named_and_escaped(bad: str) -> None:
    with pytest.raises(CodeTypo) as caught:
        read_offer(offer_text()[:30] + bad + offer_text()[31:])
    assert repr(bad) in caught.value.message


def test_too_long() -> None:
    with pytest.raises(CodeTypo, match="too long"):
        parse_any("2" * (MAX_TEXT + 1))


@pytest.mark.parametrize("text", [offer_text(), answer_text(), offer_text(*CASES["8 candidates"])])
def test_every_wrong_character_is_caught(text: str) -> None:
    for place, right in enumerate(text):
        for wrong in set(ALPHABET) - {right}:
            with pytest.raises((CodeTypo, CodeTruncated, CodeVersion)):
                parse_any(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize("text", [offer_text(), to_text(encode_generic(generic()))])
def test_swapped_neighbours_are_caught(text: str) -> None:
    for place in range(len(text) - 1):
        if text[place] != text[place + 1]:
            with pytest.raises(CodeError):
                parse_any(text[:place] + text[place + 1] + text[place] + text[place + 2 :])


def test_swapped_neighbours_in_an_answer_are_caught() -> None:
    text = answer_text()
    for place in range(len(text) - 1):
        if text[place] != text[place + 1]:
            with pytest.raises(CodeError):
                parse_answer(text[:place] + text[place + 1] + text[place] + text[place + 2 :], SECRET, offer_text())


def test_random_damage_is_caught_but_for_one_in_65536() -> None:
    text, accepted = offer_text(), 0
    for number in range(3000):
        digest = hashlib.sha256(str(number).encode()).digest()
        damaged = text[:10] + "".join(ALPHABET[byte & 31] for byte in digest[:20]) + text[30:]
        try:
            parse_any(damaged)
        except CodeTypo:
            continue
        accepted += 1
    assert accepted <= 2


def test_typo_in_the_middle_says_typo() -> None:
    with pytest.raises(CodeTypo, match="typo"):
        read_offer(offer_text()[:30] + "Z" + offer_text()[31:])


def test_wrong_bits_behind_the_last_byte() -> None:
    text = offer_text(LAN)
    assert len(text) * 5 % 8 == 4
    changed = text[:-1] + ALPHABET[ALPHABET.index(text[-1]) | 1]
    with pytest.raises(CodeTypo):
        parse_any(changed)
    with pytest.raises(CodeTruncated):
        from_text(changed)


@pytest.mark.parametrize(
    "text",
    [offer_text(), answer_text(), to_text(encode_generic(generic())), *(offer_text(*case) for case in CASES.values())],
)
def test_every_beginning_is_truncated(text: str) -> None:
    for length in range(len(text)):
        with pytest.raises(CodeTruncated):
            parse_any(text[:length])


@pytest.mark.parametrize("surplus", ["0", "00000000", offer_text(), "HELLO"])
def test_something_behind_the_end(surplus: str) -> None:
    with pytest.raises(CodeTypo, match="after its end"):
        read_offer(offer_text() + surplus)


def test_a_word_is_no_code_of_another_version() -> None:
    with pytest.raises(CodeError, match="too short") as caught:
        parse_any("hello")
    assert type(caught.value) is CodeError


@pytest.mark.parametrize("version", [0, 2, 15])
def test_other_version(version: int) -> None:
    with pytest.raises(CodeVersion, match="a version that writes codes differently"):
        parse_any(with_check(bytes([version << 4]) + from_text(offer_text())[1:-2]))


def test_wrong_first_character_is_a_typo() -> None:
    with pytest.raises(CodeTypo, match="first character"):
        parse_any("4" + offer_text()[1:])


@pytest.mark.parametrize("kind", [5, 15])
def test_unknown_kind(kind: int) -> None:
    with pytest.raises(CodeVersion, match="kind"):
        parse_any(with_check(bytes([0x10 | kind]) + bytes(40)))


@pytest.mark.parametrize("starter", Starter)
def test_code_of_a_side_with_the_same_role(starter: Starter) -> None:
    other, command = {
        Starter.SENDER: (Starter.RECEIVER, "p2pcopy receive CODE"),
        Starter.RECEIVER: (Starter.SENDER, "p2pcopy send --to CODE PATH"),
    }[starter]
    with pytest.raises(CodeWrongKind, match=f"{starter}'s code") as caught:
        read_offer(offer_text(starter=starter), expecting=other)
    assert command in caught.value.hint
    assert read_offer(offer_text(starter=starter), expecting=starter).starter is starter


def test_answer_where_an_offer_is_expected() -> None:
    with pytest.raises(CodeWrongKind, match="answer"):
        read_offer(answer_text())


def test_own_offer_pasted_back() -> None:
    with pytest.raises(CodeWrongKind, match="your own"):
        parse_answer(offer_text().lower(), SECRET, offer_text())


@pytest.mark.parametrize(
    ("starter", "command"),
    [(Starter.SENDER, "p2pcopy receive CODE"), (Starter.RECEIVER, "p2pcopy send --to CODE PATH")],
)
def test_foreign_offer_where_an_answer_is_expected(starter: Starter, command: str) -> None:
    with pytest.raises(CodeWrongKind, match=f"{starter}'s first code") as caught:
        parse_answer(offer_text(RELAY, starter=starter), SECRET, offer_text())
    assert command in caught.value.hint


def test_generic_form_where_a_native_one_is_expected() -> None:
    text = to_text(encode_generic(generic()))
    with pytest.raises(CodeWrongKind, match="another WebRTC program"):
        read_offer(text)
    with pytest.raises(CodeWrongKind, match="another WebRTC program"):
        parse_answer(text, SECRET, offer_text())


@pytest.mark.parametrize("text", [offer_text(), answer_text()])
def test_native_form_where_a_generic_one_is_expected(text: str) -> None:
    with pytest.raises(CodeWrongKind, match="session description"):
        parse_generic(text)


def test_answer_to_another_offer_is_told_from_a_typo() -> None:
    foreign = 0
    for number in range(512):
        text = answer_text(secret=hashlib.sha256(bytes([number & 255, number >> 8])).digest()[:16])
        try:
            parse_answer(text, SECRET, offer_text())
        except CodeForeignAnswer:
            foreign += 1
    assert foreign >= 500
    with pytest.raises(CodeTypo):
        parse_answer(answer_text()[:5] + "Z" + answer_text()[6:], SECRET, offer_text())


@pytest.mark.parametrize(
    ("late_s", "said"),
    [(660, "11 minutes"), (1800, "30 minutes"), (7200, "2 hours"), (90000, "25 hours"), (14 * 86400, "14 days")],
)
def test_expired(late_s: int, said: str) -> None:
    with pytest.raises(CodeExpired, match=f"expired {said} ago") as caught:
        read_offer(offer_text(expires_s=NOW_S - late_s))
    assert "clock" in caught.value.hint


@pytest.mark.parametrize("ahead_s", [-600, 0, 3600, 31 * 86400])
def test_not_expired(ahead_s: int) -> None:
    assert read_offer(offer_text(expires_s=NOW_S + ahead_s)).secret == SECRET


@given(st.floats(EPOCH_S, EPOCH_S + 1e9), st.floats(-14 * 86400, 30.9 * 86400))
def test_seconds_left_survives_the_wrap(now_s: float, ahead_s: float) -> None:
    assert ahead_s - 0.01 <= seconds_left(expiry_minute(now_s + ahead_s), now_s) <= ahead_s + 60.01


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(b"\x80\xe0\x00\x00\x01\x00\x50", id="multicast"),
        pytest.param(b"\x80\x00\x00\x00\x00\x00\x50", id="unspecified"),
        pytest.param(b"\x80\xff\xff\xff\xff\x00\x50", id="broadcast"),
        pytest.param(b"\xb0" + bytes(16) + b"\x00\x50", id="IPv6 unspecified"),
        pytest.param(b"\xb0\xff\x02" + bytes(14) + b"\x00\x50", id="IPv6 multicast"),
        pytest.param(b"\xb0" + bytes(10) + b"\xff\xff\x7f\x00\x00\x01\x00\x50", id="IPv4 in IPv6"),
        pytest.param(b"\x90\x01\x02\x00\x00", id="port 0"),
        pytest.param(b"\x92\x01\x02", id="same port as none"),
        pytest.param(b"\xe0\x00\x50", id="same IPv4 as none"),
        pytest.param(b"\xc0" + bytes(8) + b"\x00\x50", id="same network as none"),
        pytest.param(b"\x10\x01\x02\x00\x50" * 8 + b"\x90\x01\x02\x00\x50", id="9 candidates"),
    ],
)
def test_whole_but_not_legal(items: bytes) -> None:
    with pytest.raises(CodeError, match="faulty program") as caught:
        read_offer(offer_with_items(items))
    assert type(caught.value) is CodeError


@pytest.mark.parametrize("items", [b"\x9c\x01\x02\x00\x50", b"\x91\x01\x02\x00\x50"])
def test_candidate_of_a_later_version(items: bytes) -> None:
    with pytest.raises(CodeVersion):
        read_offer(offer_with_items(items))


def test_extension_blocks_are_skipped() -> None:
    block = b"\x73\xff" + bytes(255)
    assert read_offer(offer_with_items(block + b"\x10\x01\x17\xd4\x31" + b"\xff\x02ab")).candidates == (LAN,)


def offer_with_server(body: bytes, *, candidate: bytes = b"\x10\x01\x17\xd4\x31") -> str:
    return offer_with_items(candidate + b"\xf1" + bytes([len(body)]) + body)


def test_a_turn_server_byte_by_byte() -> None:
    text = offer_with_server(b"\x60\xcb\x00\x71\x07\x01u\x02pw")
    (server,) = read_offer(text).relays
    assert server == LentServer("203.0.113.7", 3478, "udp", False, "u", "pw")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x60\xcb\x00\x71", id="address cut off"),
        pytest.param(b"\x20\xcb\x00\x71\x07\x0d", id="port cut off"),
        pytest.param(b"\x20\xcb\x00\x71\x07\x00\x00\x01u\x01p", id="port 0"),
        pytest.param(b"\x60\xe0\x00\x00\x01\x01u\x01p", id="multicast"),
        pytest.param(b"\x6c\x01\x01u\x01p", id="a candidate that is not there"),
        pytest.param(b"\x68\x00\x01u\x01p", id="an empty name"),
        pytest.param(b"\x68\x04a..b\x01u\x01p", id="an empty label"),
        pytest.param(b"\x68\x05127.1\x01u\x01p", id="an address in a disguise"),
        pytest.param(b"\x68\x0a0x7f000001\x01u\x01p", id="another"),
        pytest.param(b"\x68\x03a b\x01u\x01p", id="a blank in a name"),
        pytest.param(b"\x68\x02\xff\xff\x01u\x01p", id="a name that is not UTF-8"),
        pytest.param(b"\x60\xcb\x00\x71\x07\x00\x01p", id="no user name"),
        pytest.param(b"\x60\xcb\x00\x71\x07\x01u\x00", id="no password"),
        pytest.param(b"\x60\xcb\x00\x71\x07\x01\x1b\x01p", id="a control character"),
        pytest.param(b"\x60\xcb\x00\x71\x07\x01u\x05p", id="password cut off"),
        pytest.param(b"\x60\xcb\x00\x71\x07\x01u\x01p!", id="something behind the end"),
        pytest.param(b"\x40\xcb\x00\x71\x07" + bytes(19), id="digest cut off"),
        pytest.param(b"\x50\xcb\x00\x71\x07\x01\n" + bytes(20), id="a line break in a name"),
    ],
)
def test_a_turn_server_that_is_not_legal(body: bytes) -> None:
    with pytest.raises(CodeError, match="faulty program") as caught:
        read_offer(offer_with_server(body))
    assert type(caught.value) is CodeError


@pytest.mark.parametrize("flags", [0x63, 0x70, 0xE0])
def test_a_turn_server_of_a_later_version(flags: int) -> None:
    with pytest.raises(CodeVersion):
        read_offer(offer_with_server(bytes([flags]) + b"\xcb\x00\x71\x07\x01u\x01p"))


def test_three_turn_servers() -> None:
    block = b"\x71\x09\x60\xcb\x00\x71\x07\x01u\x01p"
    assert len(read_offer(offer_with_items(block * 2 + b"\xf0\x00")).relays) == 2
    with pytest.raises(CodeError, match="more than 2 TURN servers"):
        read_offer(offer_with_items(block * 3 + b"\xf0\x00"))


def test_turn_servers_and_pins_are_skipped_where_they_mean_nothing() -> None:
    blocks = b"\x71\x01\xff\xf2\x01\xff"
    data = encode_generic(generic(candidates=()))[:-4] + blocks
    assert parse_generic(with_check(data)) == generic(candidates=())
    answer = bytearray(b"\x12\xf1\x01\xff")
    answer.append(hmac.digest(SECRET, b"p2pcopy answer" + answer, "sha256")[0])
    answer.append(crc8(bytes(answer)))
    assert parse_answer(to_text(bytes(answer)), SECRET, offer_text()) == Answer(())


def test_an_answer_without_the_pin_that_was_asked_for() -> None:
    own = to_text(encode_offer(Offer(SECRET, PIN, Starter.SENDER, 0, (LAN,), two_way=True)))
    with pytest.raises(CodeWrongKind, match="--two-way") as caught:
        parse_answer(answer_text(), SECRET, own)
    assert "version" in caught.value.hint
    answer = Answer((LAN,), bytes(16))
    assert parse_answer(to_text(encode_answer(answer, SECRET)), SECRET, own) == answer


def test_a_pin_of_another_size() -> None:
    answer = b"\x12\xf2\x0f" + bytes(15)
    bound = answer + hmac.digest(SECRET, b"p2pcopy answer" + answer, "sha256")[:1]
    with pytest.raises(CodeError, match="pin"):
        parse_answer(to_text(bound + bytes([crc8(bound)])), SECRET, offer_text())


def test_the_time_in_a_user_name_is_that_of_the_reader() -> None:
    """The minutes come back after 45 days; the writer's and the reader's are the same within 31."""
    for now_s in (NOW_S, NOW_S + 400 * 86400):
        minute = expiry_minute(now_s + 30 * 86400)
        credential = time_limited("secret", "", credential_end(minute, now_s))
        server = LentServer("turn.example.org", 3478, "udp", False, *credential)
        text = to_text(encode_offer(Offer(SECRET, PIN, Starter.SENDER, minute, (LAN,), (server,))))
        assert read_offer(text, now_s=now_s + 29 * 86400).relays == (server,)


@pytest.mark.parametrize("flags", [0x03, 0x08, 0x80])
def test_flags_of_a_later_version(flags: int) -> None:
    data = bytearray(encode_generic(generic())[:-2])
    data[1] = flags
    with pytest.raises(CodeVersion):
        parse_any(with_check(data))


@pytest.mark.parametrize(("place", "value"), [(1, 0x00), (0, 0x13)])
def test_generic_answer_that_leaves_the_role_open(place: int, value: int) -> None:
    data = bytearray(encode_generic(generic(kind="answer", setup="active"))[:-2])
    data[place] = value
    if place == 0:
        assert parse_generic(with_check(data)) == generic(setup="active")
    else:
        with pytest.raises(CodeError, match="DTLS role"):
            parse_generic(with_check(data))


def test_values_that_no_code_can_hold() -> None:
    for make in (
        lambda: Offer(b"short", PIN, Starter.SENDER, 0, ()),
        lambda: Offer(SECRET, b"short", Starter.SENDER, 0, ()),
        lambda: Offer(SECRET, PIN, Starter.SENDER, 65536, ()),
        lambda: Offer(SECRET, PIN, Starter.SENDER, 0, (), (AT_THE_RELAY,) * 3),
        lambda: Answer((LAN,) * 9),
        lambda: Answer((LAN,), b"short"),
        lambda: generic(ufrag="abc"),
        lambda: generic(password="x" * 257),
        lambda: generic(ufrag="ab d"),
        lambda: generic(fingerprint=bytes(20)),
        lambda: generic(setup="holdconn"),
        lambda: generic(kind="answer", setup="actpass"),
        lambda: Candidate("prflx", "192.168.1.1", 1),  # type: ignore[arg-type]
        lambda: Candidate("host", "192.168.1.1", 65536),
        lambda: Candidate("host", "example.org", 1),
        lambda: Candidate("host", "fe80::1%eth0", 1),
        lambda: Candidate("host", "printer.local", 1),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            make()


def test_hosts_are_canonical() -> None:
    assert Candidate("host", "2001:DB8:0:0::1", 1).host == "2001:db8::1"
    name = "123E4567-E89B-42D3-A456-426614174000.LOCAL"
    assert Candidate("host", name, 1) == Candidate("host", name.lower(), 1)


# Which addresses go in

LOOPBACK = Candidate("host", "127.0.0.1", 5)
LINK_LOCAL = Candidate("host", "fe80::1", 6)
DOCKER = Candidate("host", "172.17.0.1", 7)
TUNNEL = Candidate("host", "10.8.0.2", 8)
MDNS = Candidate("host", "123e4567-e89b-42d3-a456-426614174000.local", 9)
INTERFACES = {"172.17.0.1": "docker0", "10.8.0.2": "tun0", "192.168.1.23": "wlan0"}


def test_what_cannot_help_is_left_out() -> None:
    gathered = [LOOPBACK, DOCKER, TUNNEL, LINK_LOCAL, LAN, LAN, PUBLIC]
    assert select_candidates(gathered, interfaces=INTERFACES) == (LAN, PUBLIC)
    assert set(select_candidates(gathered, interfaces=INTERFACES, keep_all=True)) == set(gathered)


@pytest.mark.parametrize(
    ("interface", "kept"),
    [
        *(
            (name, True)
            for name in ("eth0", "enp3s0", "wlan0", "en0", "br0", "br-lan", "bridge0", "bond0", "ppp0", "Wi-Fi")
        ),
        *((name, False) for name in ("docker0", "docker_gwbridge", "br-0123456789ab", "veth12ab", "virbr0", "vmnet8")),
        *(
            (name, False)
            for name in ("vboxnet0", "cni0", "flannel.1", "cali12", "podman1", "lxcbr0", "lxdbr0", "zt7nnig34r")
        ),
        *(
            (name, False)
            for name in ("tun0", "tap0", "utun3", "wg0", "tailscale0", "bridge100", "VMware Network Adapter")
        ),
    ],
)
def test_interfaces(interface: str, kept: bool) -> None:
    assert (TEN in select_candidates([LAN, TEN], interfaces={TEN.host: interface})) is kept


@pytest.mark.parametrize("only", [LOOPBACK, LINK_LOCAL, DOCKER])
def test_the_best_of_what_there_is(only: Candidate) -> None:
    assert select_candidates([only], interfaces=INTERFACES) == (only,)
    assert select_candidates([]) == ()


def test_best_first() -> None:
    gathered = [RELAY, PUBLIC, MDNS, GLOBAL, ULA, LAN]
    assert select_candidates(gathered) == (LAN, ULA, GLOBAL, MDNS, PUBLIC, RELAY)
    assert select_candidates([LOOPBACK, LINK_LOCAL, LAN], keep_all=True) == (LAN, LOOPBACK, LINK_LOCAL)


def test_srflx_that_is_a_host_address_is_dropped() -> None:
    server = Candidate("host", PUBLIC.host, 1234)
    assert select_candidates([server, PUBLIC, RELAY]) == (server, RELAY)


def test_relay_stays_wherever_it_is() -> None:
    relay = Candidate("relay", "127.0.0.1", 50000)
    assert select_candidates([LAN, relay]) == (LAN, relay)


def test_every_type_and_family_is_represented() -> None:
    many = [Candidate("host", f"192.168.1.{last}", 5) for last in range(1, 30)]
    chosen = select_candidates([*many, GLOBAL, PUBLIC, RELAY])
    assert len(chosen) == MAX_CANDIDATES
    assert {GLOBAL, PUBLIC, RELAY} < set(chosen)
    assert select_candidates(many, limit=2) == tuple(many[:2])


@given(st.lists(candidates, max_size=20))
def test_selection_is_a_code_full(gathered: list[Candidate]) -> None:
    chosen = select_candidates(gathered)
    assert len(chosen) <= MAX_CANDIDATES
    assert set(chosen) <= set(gathered)
    assert bool(chosen) == bool(gathered)
    assert parse_any(to_text(encode_answer(Answer(chosen), SECRET))) == Answer(chosen)
