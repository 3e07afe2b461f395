"""A TURN server that travels in an offer, with a credential that ends with it. Pure; see docs/codes.md, block 1."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal

from p2pcopy.config import IceServer, NetSettings, Relay
from p2pcopy.errors import CodeVersion, UsageError
from p2pcopy.net.uri import parse_server_uri
from p2pcopy.signaling.base32 import SAME_VERSION
from p2pcopy.signaling.candidates import Candidate, machine_address
from p2pcopy.signaling.expiry import EXPIRY_GRACE_S, expiry_time, is_expiry

MAX_LENT: Final = 2
MAX_BLOCK: Final = 255  # bytes

Transport = Literal["udp", "tcp"]
_TRANSPORTS: Final[tuple[tuple[Transport, bool], ...]] = (("udp", False), ("tcp", False), ("tcp", True))

# A name that no resolver takes for an address in a disguise, such as 127.1 or 0x7f000001.
_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"(?![0-9]+$|0x[0-9a-f]*$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?",
    re.ASCII,
)


@dataclass(frozen=True)
class LentServer:
    """A TURN server and its credential. Raises ValueError for what cannot be one, and for more than fits into a code.

    host: an IPv4 or IPv6 literal or a name, brought to its canonical form; port: 1 to 65535; transport: between us and the
    server, udp also where tcp may be tried next; tls: over tcp only; username, password: printable, not empty.
    """

    host: str
    port: int
    transport: Transport
    tls: bool
    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", _canonical(self.host))
        if not 1 <= self.port <= 65535:
            raise ValueError(f"{self.port} is not a port")
        if (self.transport, self.tls) not in _TRANSPORTS:
            raise ValueError(f"there is no TURN over {self.transport}, TLS: {self.tls}")
        if not all(each and each.isprintable() for each in (self.username, self.password)):
            raise ValueError("the user name or password of a TURN server is empty or has a character that is not text")
        if len(pack_lent(self)) > MAX_BLOCK:
            raise ValueError("the name and credential of a TURN server are too long")

    @property
    def url(self) -> str:
        """RFC 7065."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'turns' if self.tls else 'turn'}:{host}:{self.port}{'?transport=tcp' * (self.transport == 'tcp')}"

    @property
    def is_temporary(self) -> bool:
        """Does the credential look like one that ends by itself?"""
        return _temporary(self) is not None

    def to_ice_server(self) -> IceServer:
        return IceServer(self.url, self.username, self.password)


def time_limited(secret: str, name: str, expires_s: int) -> tuple[str, str]:
    """User name and password that a TURN server with this shared secret accepts until expires_s (Unix time).

    As in draft-uberti-behave-turn-rest-00, which coturn calls use-auth-secret. name: goes into the user name, "" for none.
    """
    username = f"{expires_s}:{name}" if name else str(expires_s)
    return username, base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()


def lend(server: IceServer, *, expires_s: int) -> LentServer:
    """The server as it goes into an offer. expires_s: Unix time at which a credential made of a shared secret ends.

    Raises UsageError when it cannot travel.
    """
    uri = parse_server_uri(server.url)
    credential = server.username, server.password
    if server.secret:
        credential = time_limited(server.secret, server.username, expires_s)
    try:
        return LentServer(uri.host, uri.port, uri.transport, uri.tls, *credential)
    except ValueError as error:
        raise UsageError(
            f"{server.url} cannot travel in the code: {error}",
            "Leave TURN servers out of the code with --no-share-relay.",
        ) from error


def shared_servers(settings: NetSettings) -> tuple[IceServer, ...]:
    """The TURN servers that go into our offer, at most two: those with a shared secret, and with --share-relay any."""
    if settings.relay is Relay.NEVER or settings.share_relay is False:
        return ()
    return tuple(server for server in settings.turn if settings.share_relay or server.secret)[:MAX_LENT]


def lent_servers(settings: NetSettings, *, expires_minute: int, now_s: float) -> tuple[LentServer, ...]:
    """shared_servers as they travel in an offer of this expiry. now_s: Unix time. Raises UsageError when one cannot."""
    expires_s = credential_end(expires_minute, now_s)
    return tuple(lend(server, expires_s=expires_s) for server in shared_servers(settings))


def credential_end(expires_minute: int, now_s: float) -> int:
    """When credentials in an offer end (Unix time): with the grace that the offer itself has. now_s: Unix time."""
    return expiry_time(expires_minute, now_s) + EXPIRY_GRACE_S


# LentServer <-> body of a block. Flags (1 byte), host, port, credential.
# The flags: transport (bits 0 and 1), form of the host (2 and 3), of the credential (4 and 5), usual port (6), reserved (7).

_IPV4, _IPV6, _NAMED, _CANDIDATES = range(4)
_TEMPORARY, _TEMPORARY_NAMED, _STATIC = range(3)
_USUAL_PORT: Final = 0x40
_RESERVED: Final = 0x80
_DIGEST_SIZE: Final = 20
_STAMPED: Final = re.compile(r"([1-9][0-9]{0,11})(?::(.+))?", re.ASCII)


def pack_lent(server: LentServer, candidates: tuple[Candidate, ...] = (), expires_minute: int | None = None) -> bytes:
    """At most 255 bytes. candidates, expires_minute: what else is in the offer, for what need not be said twice."""
    transport = _TRANSPORTS.index((server.transport, server.tls))
    host_form, host = _host(server.host, candidates)
    credential_form, credential = _STATIC, _text(server.username) + _text(server.password)
    if (temporary := _temporary(server)) and expires_minute is not None:
        stamp, name, digest = temporary
        if is_expiry(expires_minute, stamp - EXPIRY_GRACE_S):
            credential_form = _TEMPORARY_NAMED if name else _TEMPORARY
            credential = (_text(name) if name else b"") + digest
    usual = server.port == _usual_port(transport)
    flags = transport | host_form << 2 | credential_form << 4 | _USUAL_PORT * usual
    return bytes([flags]) + host + (b"" if usual else server.port.to_bytes(2, "big")) + credential


def unpack_lent(body: bytes, candidates: tuple[Candidate, ...], ends_s: int) -> LentServer:
    """ends_s: credential_end of the offer. Raises ValueError for what is not legal, CodeVersion for a later version's."""
    block = _Block(body)
    flags = block.take(1)[0]
    transport, host_form, credential_form = flags & 3, flags >> 2 & 3, flags >> 4 & 3
    if transport == len(_TRANSPORTS) or credential_form > _STATIC or flags & _RESERVED:
        raise CodeVersion("the code has a TURN server that this version of p2pcopy cannot use", SAME_VERSION)
    host = _read_host(block, host_form, candidates)
    port = _usual_port(transport) if flags & _USUAL_PORT else int.from_bytes(block.take(2), "big")
    if credential_form == _STATIC:
        username, password = block.text(), block.text()
    else:
        username = str(ends_s) if credential_form == _TEMPORARY else f"{ends_s}:{block.text()}"
        password = base64.b64encode(block.take(_DIGEST_SIZE)).decode()
    block.end()
    return LentServer(host, port, *_TRANSPORTS[transport], username, password)


def _host(host: str, candidates: tuple[Candidate, ...]) -> tuple[int, bytes]:
    for index, candidate in enumerate(candidates):
        if candidate.host == host:
            return _CANDIDATES, bytes([index])
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        return _NAMED, _text(host)
    return (_IPV4 if len(packed) == 4 else _IPV6), packed


def _read_host(block: _Block, form: int, candidates: tuple[Candidate, ...]) -> str:
    if form == _NAMED:
        return block.text()
    if form == _CANDIDATES:
        index = block.take(1)[0]
        if index >= len(candidates):
            raise ValueError("a TURN server has the address of a candidate that is not there")
        return candidates[index].host
    return str(ipaddress.ip_address(block.take(4 if form == _IPV4 else 16)))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return bytes([min(len(encoded), MAX_BLOCK)]) + encoded


def _usual_port(transport: int) -> int:
    return 5349 if _TRANSPORTS[transport][1] else 3478


def _temporary(server: LentServer) -> tuple[int, str, bytes] | None:
    """End, name and digest of a credential as time_limited makes it."""
    stamped = _STAMPED.fullmatch(server.username)
    try:
        digest = base64.b64decode(server.password, validate=True)
    except ValueError:
        return None
    if stamped is None or len(digest) != _DIGEST_SIZE or base64.b64encode(digest).decode() != server.password:
        return None
    return int(stamped[1]), stamped[2] or "", digest


def _canonical(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().removesuffix(".")
        if _NAME.fullmatch(name):
            return name
        raise ValueError("what should be the host of a TURN server is no name of a machine") from None
    return machine_address(host)


class _Block:
    """The bytes of a block, read from the front. Raises ValueError when they do not suffice."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def take(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        if len(taken) < count:
            raise ValueError("a TURN server ends too early")
        return taken

    def text(self) -> str:
        return self.take(self.take(1)[0]).decode()

    def end(self) -> None:
        if self._rest:
            raise ValueError("a TURN server goes on after its end")
