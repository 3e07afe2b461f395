"""`p2pcopy code`: what a code says, in words."""

from __future__ import annotations

import asyncio
import time

from p2pcopy.errors import CodeError
from p2pcopy.signaling import exchange, sources
from p2pcopy.signaling.addresses import written
from p2pcopy.signaling.code import Answer, Candidate, Generic, Offer, Starter, parse_any, seconds_left
from p2pcopy.signaling.lent import LentServer

_TYPES = {"host": "its own address", "srflx": "its public address behind a NAT", "relay": "a TURN relay"}


def explain_code(spec: str) -> str:
    """Lines of text about the code itself, in - (standard input), @FILE or a picture. Raises CodeError, LocalFileError."""
    parsed = asyncio.run(_read(spec))
    if parsed is None:
        raise CodeError("no code came: the input ended before it", "Give the code as an argument or a line of input.")
    return _explain(parsed)


async def _read(spec: str) -> Offer | Answer | Generic | None:
    return await exchange.parsed_code(sources.code_source(spec, exchange.Lines()), parse_any)


def _explain(code: Offer | Answer | Generic) -> str:
    match code:
        case Offer():
            lines = [_offer(code.starter), _expiry(seconds_left(code.expires_minute, time.time()))]
            lines += ["It connects only with the help of the answer to it (--two-way)."] * code.two_way
            if code.relays:
                lines += ["TURN servers in it, for the other side to use:", *map(_relay, code.relays)]
        case Answer():
            lines = ["An answer code: paste it where the offer was made."]
            lines += ["It names the key of the side that made it (--two-way)."] * bool(code.pin)
        case Generic():
            lines = [
                f"A generic {code.kind} for a foreign WebRTC stack, in an exchange that the {code.starter} started."
            ]
    return "\n".join([*lines, "Addresses in it:", *map(_candidate, code.candidates)]) + "\n"


def _offer(starter: Starter) -> str:
    if starter is Starter.SENDER:
        return "A sender's code: use it with p2pcopy receive CODE."
    return "A receiver's code: use it with p2pcopy send --to CODE PATH..."


def _expiry(seconds: float) -> str:
    if seconds <= 0:
        return f"It expired {-seconds / 60:.0f} min ago."
    return f"It is good for another {seconds / 60:.0f} min."


def _relay(server: LentServer) -> str:
    return f"  {server.url}  with a {'credential that ends by itself' if server.is_temporary else 'user name and password'}"


def _candidate(candidate: Candidate) -> str:
    return f"  {written(candidate.host, candidate.port)}  {_TYPES[candidate.type]}"
