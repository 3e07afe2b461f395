"""What was tried on the way to a connection, and what answered. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from p2pcopy.signaling.candidates import Candidate


@dataclass(frozen=True)
class ServerReport:
    """What became of one STUN or TURN server. reason: why it did not help, "" when ok; seconds: until that was known;
    refused_credential: a TURN server does not accept the user name or password; over: what a TURN server was reached over
    (udp, tcp, tls), "" when it was not."""

    url: str
    ok: bool
    reason: str
    seconds: float
    refused_credential: bool = False
    over: str = ""


@dataclass(frozen=True)
class RemoteTrial:
    """One address of the other side. checks: sent to it from all our addresses; answered: by the other side; heard: checks
    that came from there; refused: the machine there says that nobody listens (ICMP)."""

    candidate: Candidate
    checks: int
    answered: int
    heard: int
    refused: bool


@dataclass(frozen=True)
class Trial:
    """own: our candidates as they go into a code; remote: all that is known of the other side, empty when its code never came."""

    servers: tuple[ServerReport, ...]
    own: tuple[Candidate, ...]
    remote: tuple[RemoteTrial, ...]
