"""The generic form: through a code and back to a description that real stacks accept, and errors for what is none."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.errors import CodeError
from p2pcopy.signaling.candidates import Candidate
from p2pcopy.signaling.code import Generic, Starter, encode_generic, parse_generic, to_text
from p2pcopy.signaling.sdp import MAX_SDP, generic_to_sdp, sdp_to_generic

FINGERPRINT = ":".join(f"{byte:02X}" for byte in range(32))
BROWSER = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 123e4567-e89b-42d3-a456-426614174000.local 51234 typ host generation 0 network-cost 999
a=candidate:2 1 UDP 1677729535 203.0.113.7 40123 typ srflx raddr 0.0.0.0 rport 0 generation 0
a=candidate:3 1 tcp 1518280447 192.168.1.5 9 typ host tcptype active
a=candidate:4 2 udp 1518280446 192.168.1.5 4001 typ host
a=candidate:5 1 udp 1518280446 printer.local 4001 typ host
a=candidate:6 1 udp 1518280446 192.168.1.5 99999 typ host
a=candidate:7 1 udp 1518280446 192.168.1.5 4001 typ prflx
a=ice-ufrag:aB3+
a=ice-pwd:abcdefghijklmnopqrstuv
a=ice-options:trickle
a=fingerprint:sha-512 00:11
a=fingerprint:SHA-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""
EXPECTED = Generic(
    kind="offer",
    starter=Starter.SENDER,
    ufrag="aB3+",
    password="abcdefghijklmnopqrstuv",
    fingerprint=bytes(range(32)),
    setup="actpass",
    candidates=(
        Candidate("host", "123e4567-e89b-42d3-a456-426614174000.local", 51234),
        Candidate("srflx", "203.0.113.7", 40123),
    ),
)


def through_a_code(sdp: str) -> str:
    generic = sdp_to_generic(sdp, Starter.SENDER)
    rebuilt = generic_to_sdp(parse_generic(to_text(encode_generic(generic))))
    assert sdp_to_generic(rebuilt, Starter.SENDER) == generic
    return rebuilt


def test_aiortc_connects_through_codes() -> None:
    asyncio.run(connect_through_codes())


async def connect_through_codes() -> None:
    offering, answering = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    received: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def greet(channel: RTCDataChannel) -> None:
        channel.on("message", lambda message: channel.send(f"{message} back"))

    try:
        channel = offering.createDataChannel("data")
        channel.on("open", lambda: channel.send("there and"))
        channel.on("message", received.set_result)
        answering.on("datachannel", greet)
        await offering.setLocalDescription(await offering.createOffer())
        offer = RTCSessionDescription(through_a_code(offering.localDescription.sdp), "offer")
        await answering.setRemoteDescription(offer)
        await answering.setLocalDescription(await answering.createAnswer())
        answer = RTCSessionDescription(through_a_code(answering.localDescription.sdp), "answer")
        await offering.setRemoteDescription(answer)
        async with asyncio.timeout(60):
            assert await received == "there and back"
    finally:
        async with asyncio.timeout(60):
            await asyncio.gather(offering.close(), answering.close())


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_browser(end: str) -> None:
    assert sdp_to_generic(BROWSER.replace("\n", end), Starter.SENDER) == EXPECTED


def test_attributes_of_the_whole_session() -> None:
    moved = [line for line in BROWSER.splitlines() if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))]
    rest = [line for line in BROWSER.splitlines() if line not in moved]
    rest[4:4] = moved
    assert sdp_to_generic("\n".join(rest), Starter.SENDER) == EXPECTED


def test_the_data_channel_is_found_among_other_media() -> None:
    audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=ice-ufrag:none\na=setup:passive\n"
    refused = "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\na=setup:passive\n"
    head, body = BROWSER.split("m=application")
    sdp = f"{head}{refused}{audio}m=application{body}{audio}"
    assert sdp_to_generic(sdp, Starter.SENDER) == EXPECTED


def test_answer() -> None:
    generic = sdp_to_generic(BROWSER.replace("actpass", "active"), Starter.RECEIVER)
    assert (generic.kind, generic.setup, generic.starter) == ("answer", "active", Starter.RECEIVER)


def test_rebuilt_description() -> None:
    candidates = (
        Candidate("host", "192.168.1.5", 4001),
        Candidate("srflx", "2001:db8::1", 4002),
        Candidate("relay", "198.51.100.9", 4003),
    )
    sdp = generic_to_sdp(Generic(**vars(EXPECTED) | {"candidates": candidates}), mid="data")
    assert sdp.endswith("\r\n")
    lines = sdp.split("\r\n")
    assert "a=group:BUNDLE data" in lines
    assert "a=mid:data" in lines
    assert f"a=fingerprint:sha-256 {FINGERPRINT}" in lines
    assert [line for line in lines if line.startswith("a=candidate")] == [
        "a=candidate:1 1 udp 2130706431 192.168.1.5 4001 typ host",
        "a=candidate:2 1 udp 1694498559 2001:db8::1 4002 typ srflx raddr :: rport 9",
        "a=candidate:3 1 udp 16776703 198.51.100.9 4003 typ relay raddr 0.0.0.0 rport 9",
    ]
    assert "end-of-candidates" not in sdp


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("v=0\n", "", "not a session description"),
        ("m=application 9", "m=application 0", "no data channel"),
        ("m=application 9 UDP/DTLS/SCTP", "m=video 9 UDP/TLS/RTP/SAVPF", "no data channel"),
        ("a=ice-ufrag:aB3+\n", "", "no ice-ufrag"),
        ("a=ice-pwd:abcdefghijklmnopqrstuv\n", "", "no ice-pwd"),
        ("a=ice-pwd:abc", "a=ice-pwd:a c", "cannot be used"),
        ("a=setup:actpass\n", "", "no setup"),
        ("actpass", "holdconn", "DTLS role"),
        ("SHA-256", "sha-1", "no SHA-256"),
        (FINGERPRINT, "00:11", "fingerprint"),
        (FINGERPRINT, "xyz", "cannot be used"),
        ("sctp-port:5000", "sctp-port:6000", "6000"),
    ],
)
def test_not_usable(old: str, new: str, said: str) -> None:
    assert old in BROWSER
    with pytest.raises(CodeError, match=said) as caught:
        sdp_to_generic(BROWSER.replace(old, new), Starter.SENDER)
    assert caught.value.hint


def test_too_long() -> None:
    with pytest.raises(CodeError, match="longer than"):
        sdp_to_generic(BROWSER + "a=x\n" * (MAX_SDP // 4), Starter.SENDER)


@given(st.lists(st.sampled_from([*BROWSER.splitlines(), "m=", "a=", "a=setup:", "a=candidate:", "\x00"]) | st.text()))
def test_any_lines_give_a_description_or_an_error(lines: list[str]) -> None:
    try:
        generic = sdp_to_generic("\n".join(["v=0", *lines]), Starter.SENDER)
    except CodeError:
        return
    assert parse_generic(to_text(encode_generic(generic))) == generic
