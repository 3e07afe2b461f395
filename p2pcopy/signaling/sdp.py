"""Session descriptions of foreign WebRTC stacks <-> the generic form of a code. Pure; data channel only (RFC 8841)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Final, cast

from p2pcopy.errors import CodeError
from p2pcopy.signaling.candidates import Candidate, CandidateType, select_candidates
from p2pcopy.signaling.parameters import Generic, Setup, Starter

MAX_SDP: Final = 64 * 1024  # characters
SCTP_PORT: Final = 5000
MAX_MESSAGE_SIZE: Final = 256 * 1024

_TYPE_PREFERENCE: Final[dict[CandidateType, int]] = {"host": 126, "srflx": 100, "relay": 0}  # RFC 8445 section 5.1.2.2
_CANDIDATE: Final = re.compile(r"\S+ 1 (?i:udp) \d+ (\S+) (\d{1,5}) typ (host|srflx|relay)(?: |$)")
_NOT_USABLE: Final = (
    "Take the description from an RTCPeerConnection that has a data channel and has gathered its candidates."
)


def generic_to_sdp(generic: Generic, *, mid: str = "0") -> str:
    """A full description of the session (RFC 8866, RFC 8841, RFC 8839). mid: that of the offer which is answered.

    Candidate priorities follow the order in generic. There is no end-of-candidates line: more may turn up in checks.
    """
    fingerprint = ":".join(f"{byte:02X}" for byte in generic.fingerprint)
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mid}",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        f"a=ice-ufrag:{generic.ufrag}",
        f"a=ice-pwd:{generic.password}",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{generic.setup}",
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{MAX_MESSAGE_SIZE}",
        *(_candidate_line(candidate, index) for index, candidate in enumerate(generic.candidates)),
    ]
    return "\r\n".join(lines) + "\r\n"


def sdp_to_generic(text: str, starter: Starter) -> Generic:
    """What a code needs of a foreign description; lines that it does not need are ignored, as are TCP candidates.

    An offer is told from an answer by its DTLS role: actpass (RFC 8842 section 5.2). starter: who made the offer.
    Raises CodeError when it is not the description of a data channel secured with a SHA-256 fingerprint.
    """
    if len(text) > MAX_SDP:
        raise CodeError(f"the session description is longer than {MAX_SDP} characters", _NOT_USABLE)
    lines = [line.strip() for line in text.splitlines()]
    if "v=0" not in lines:
        raise CodeError("this is not a session description", _NOT_USABLE)
    session, media = _sections(lines)
    if (port := _value(media, session, "sctp-port", default=str(SCTP_PORT))) != str(SCTP_PORT):
        raise CodeError(f"the session description asks for SCTP port {port}, not {SCTP_PORT}", _NOT_USABLE)
    setup = _value(media, session, "setup")
    try:
        return Generic(
            kind="offer" if setup == "actpass" else "answer",
            starter=starter,
            ufrag=_value(media, session, "ice-ufrag"),
            password=_value(media, session, "ice-pwd"),
            fingerprint=_fingerprint(media, session),
            setup=cast(Setup, setup),
            candidates=select_candidates(_candidates(media)),
        )
    except ValueError as error:
        raise CodeError(f"the session description cannot be used: {error}", _NOT_USABLE) from error


def _candidate_line(candidate: Candidate, index: int) -> str:
    """RFC 8839 section 5.1; priority as in RFC 8445 section 5.1.2.1; the related address is not told."""
    priority = (_TYPE_PREFERENCE[candidate.type] << 24) + ((65535 - index) << 8) + 255
    line = f"a=candidate:{index + 1} 1 udp {priority} {candidate.host} {candidate.port} typ {candidate.type}"
    if candidate.type == "host":
        return line
    unspecified = "::" if ":" in candidate.host else "0.0.0.0"  # noqa: S104  nothing is bound to it
    return f"{line} raddr {unspecified} rport 9"


def _sections(lines: list[str]) -> tuple[list[str], list[str]]:
    """The session's own lines, and those of the first data channel section that is not refused."""
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    for start, end in pairwise(starts):
        if re.match(r"m=application (?!0 )\d+ UDP/DTLS/SCTP ", lines[start], re.IGNORECASE):
            return lines[: starts[0]], lines[start:end]
    raise CodeError("the session description has no data channel", _NOT_USABLE)


def _values(section: list[str], name: str) -> list[str]:
    return [line.removeprefix(f"a={name}:").strip() for line in section if line.startswith(f"a={name}:")]


def _value(media: list[str], session: list[str], name: str, *, default: str = "") -> str:
    """The attribute of the section, or else of the whole session (RFC 8866 section 5.13)."""
    values = _values(media, name) or _values(session, name) or [default]
    if not values[0]:
        raise CodeError(f"the session description has no {name}", _NOT_USABLE)
    return values[0]


def _fingerprint(media: list[str], session: list[str]) -> bytes:
    for value in _values(media, "fingerprint") or _values(session, "fingerprint"):
        algorithm, _, digest = value.partition(" ")
        if algorithm.lower() == "sha-256":
            return bytes.fromhex(digest.replace(":", ""))
    raise CodeError("the session description has no SHA-256 fingerprint", _NOT_USABLE)


def _candidates(media: list[str]) -> Iterator[Candidate]:
    """UDP candidates of component 1; what is not legal or not understood is left out, as a browser would."""
    for value in _values(media, "candidate"):
        if found := _CANDIDATE.match(value):
            host, port, kind = found.groups()
            with suppress(ValueError):
                yield Candidate(cast(CandidateType, kind), host, int(port))
