"""What `p2pcopy doctor` finds out. Pure data, which goes into JSON as it is: docs/doctor.md has every field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from p2pcopy.net.natkind import Nat
from p2pcopy.signaling.candidates import CandidateType

Transport = Literal["udp", "tcp", "tls"]


class Udp(StrEnum):
    """Does UDP get to the servers and back? BLOCKED: it does not, although the network works otherwise."""

    WORKS = "works"
    BLOCKED = "blocked"
    NO_ANSWER = "no answer"
    NOT_TRIED = "not tried"
    NO_ADDRESS = "no address"


@dataclass(frozen=True)
class OwnAddress:
    """An address that this machine has (host), is seen at (srflx) or borrows (relay). interface: of a host address; in_code:
    it would go into a code; reason: why not."""

    address: str
    type: CandidateType
    interface: str
    in_code: bool
    reason: str


@dataclass(frozen=True)
class Check:
    """One server by one way. address: "ip:port" or "[ip]:port"; used: a session may go this way, which else was tried for what
    it tells; reachable: something answered; ok: it can be used, for a TURN server with this credential; reason: why not;
    credential: what the TURN server says of it, None where it came to nothing; time_ms: until all that was known; lent: the
    address that a TURN server gave, "" for none."""

    transport: Transport
    address: str
    used: bool
    reachable: bool
    ok: bool
    reason: str
    credential: Literal["accepted", "refused"] | None
    time_ms: float
    lent: str


@dataclass(frozen=True)
class ServerFinding:
    """ok: a session can use it; reason: why nothing could be asked, "" otherwise; behaviour_tests: it offers those of RFC 5780."""

    url: str
    kind: Literal["stun", "turn"]
    ok: bool
    reason: str
    behaviour_tests: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class FamilyFinding:
    """The way to the internet over IPv4 or IPv6. local: the address that it begins at, "" without one; nat: None where
    nothing could be found out."""

    local: str
    udp: Udp
    nat: Nat | None


@dataclass(frozen=True)
class Network:
    """All that was found out about the network. seconds: the time it took."""

    addresses: tuple[OwnAddress, ...]
    servers: tuple[ServerFinding, ...]
    ipv4: FamilyFinding
    ipv6: FamilyFinding
    seconds: float


@dataclass(frozen=True)
class Ability:
    """Of one part of the data path. reason: why it does not work, meaning: what comes of that; both "" when it does."""

    works: bool
    reason: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Abilities:
    """What of the fast data path can be used here, each part by itself. fast: our own association instead of aiortc's; reasons:
    why not. batch: many datagrams are read in one turn of the event loop; path_mtu: packets as large as the path takes."""

    fast: bool
    reasons: tuple[str, ...]
    gso: Ability
    gro: Ability
    batch: Ability
    path_mtu: Ability


@dataclass(frozen=True)
class Verdict:
    """possible: a connection is, with some peers at least; meaning: a sentence; advice: what to do, sentences."""

    possible: bool
    meaning: str
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """tested: p2pcopy was tested with this version."""

    name: str
    version: str
    tested: bool


@dataclass(frozen=True)
class Software:
    """problem: why p2pcopy does not run with these libraries, "" when it does; remedy: what to do about it."""

    version: str
    python: str
    platform: str
    libraries: tuple[Library, ...]
    problem: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says."""

    event: ClassVar[str] = "doctor"
    verdict: Verdict
    network: Network
    data_path: Abilities
    software: Software
