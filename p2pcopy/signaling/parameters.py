"""What codes carry: the parameters of a session, and which values are legal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from p2pcopy.signaling.candidates import MAX_CANDIDATES, Candidate
from p2pcopy.signaling.lent import MAX_LENT, LentServer

SECRET_SIZE: Final = 16
PIN_SIZE: Final = 16
FINGERPRINT_SIZE: Final = 32

ICE_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"  # RFC 8839 section 5.4


class Starter(StrEnum):
    """The side that made the offer."""

    SENDER = "sender"
    RECEIVER = "receiver"


Setup = Literal["actpass", "active", "passive"]
SETUPS: Final[tuple[Setup, ...]] = ("actpass", "active", "passive")


@dataclass(frozen=True)
class Offer:
    """What the answering side needs. expires_minute: minutes since 2026-01-01T00:00Z modulo 65536.

    relays: at most two TURN servers that the answering side may use; two_way: its answer has to bring a pin.
    """

    secret: bytes
    pin: bytes
    starter: Starter
    expires_minute: int
    candidates: tuple[Candidate, ...]
    relays: tuple[LentServer, ...] = ()
    two_way: bool = False

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_SIZE or len(self.pin) != PIN_SIZE or not 0 <= self.expires_minute < 65536:
            raise ValueError("the secret, the pin or the time of expiry is out of range")
        _check_count(self.candidates)
        if len(self.relays) > MAX_LENT:
            raise ValueError(f"there are more than {MAX_LENT} TURN servers")


@dataclass(frozen=True)
class Answer:
    """Where the answering side may be reached; everything else follows from the offer's secret.

    pin: of the key that the answering side has made for itself, b"" where that follows from the secret, too.
    """

    candidates: tuple[Candidate, ...]
    pin: bytes = b""

    def __post_init__(self) -> None:
        if len(self.pin) not in (0, PIN_SIZE):
            raise ValueError("the pin is out of range")
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
        if self.setup not in SETUPS or (self.kind == "answer" and self.setup == "actpass"):
            raise ValueError(f"{self.setup!r} is not a DTLS role for an {self.kind}")
        _check_count(self.candidates)


def _check_count(candidates: tuple[Candidate, ...]) -> None:
    if len(candidates) > MAX_CANDIDATES:
        raise ValueError(f"there are more than {MAX_CANDIDATES} addresses")
