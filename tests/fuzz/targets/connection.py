"""What the two connections tell each other, and session descriptions that somebody pastes."""

from __future__ import annotations

from collections.abc import Iterator

from p2pcopy.config import IceServer
from p2pcopy.errors import CodeError, ProtocolError, UsageError
from p2pcopy.net import link
from p2pcopy.net.uri import parse_server_uri
from p2pcopy.signaling import sdp
from p2pcopy.signaling.candidates import Candidate
from p2pcopy.signaling.parameters import Generic, Starter

MODULES = ("p2pcopy.net.link", "p2pcopy.signaling.sdp")


def one(data: bytes) -> None:
    told(data)
    described(data.decode(errors="replace"))


def told(data: bytes) -> None:
    try:
        message = link.decode(data)
    except ProtocolError:
        return
    match message:
        case None:
            return
        case link.Addresses():
            found = link.candidates(message)
            assert len(found) <= link.MAX_CANDIDATES
            assert link.candidates(link.addresses(found)) == found
        case link.Servers():
            servers = link.servers(message)
            assert len(servers) <= link.MAX_SERVERS
            for server in servers:
                usable(server)
    assert link.decode(link.encode(message)) == message


def usable(server: IceServer) -> None:
    try:
        parse_server_uri(server.url)
    except UsageError:
        return


def described(text: str) -> None:
    for starter in Starter:
        try:
            generic = sdp.sdp_to_generic(text, starter)
        except CodeError:
            return
        assert sdp.sdp_to_generic(sdp.generic_to_sdp(generic), starter) == generic


def seeds() -> Iterator[bytes]:
    candidates = (Candidate("host", "192.168.0.2", 4711), Candidate("srflx", "2001:db8::1", 9))
    yield link.encode(link.addresses(candidates))
    yield link.encode(link.Servers([("turn:turn.example.org", "user", "password")]))
    for message in (link.Confirming(), link.Ready(), link.Declined()):
        yield link.encode(message)
    offer = Generic("offer", Starter.SENDER, "abcd", "e" * 22, bytes(32), "actpass", candidates)
    yield sdp.generic_to_sdp(offer).encode()
    yield b"v=0\na=fingerprint:SHA-256 " + b":".join([b"0a"] * 32) + b"\nm=audio 9 X\nm=application 1 udp/dtls/sctp x\n"
