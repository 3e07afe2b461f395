"""Why a STUN or TURN server did not help, in our own words: what a server says is not to be trusted on a terminal."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from aioice import stun

from p2pcopy.config import IceServer

# RFC 8656 section 19, RFC 8489 section 14.8
_REASONS: Final = {
    400: "the server did not understand the request (400)",
    403: "the server does not allow it (403)",
    437: "the server still has another allocation of ours (437)",
    438: "the server's time limit for the credential is over (438)",
    440: "the server does not lend addresses of this family (440)",
    442: "the server does not relay UDP (442)",
    486: "the user has reached the limit of allocations (486)",
    508: "the server has no capacity left (508)",
}
_CREDENTIAL: Final = (401, 441)  # unauthenticated, wrong credentials


class NotApplicable(Exception):
    """The server has no address that can be asked from here: of this family, say."""


class AllocationFailed(Exception):
    """errors: over what (udp, tcp, tls), and what went wrong, of each way to the server that was tried."""

    def __init__(self, errors: list[tuple[str, Exception]]) -> None:
        super().__init__(errors)
        self.errors = errors


def is_refused_credential(error: BaseException) -> bool:
    if isinstance(error, AllocationFailed):
        return any(is_refused_credential(each) for _, each in error.errors)
    return isinstance(error, stun.TransactionFailed) and error.response.error_code in _CREDENTIAL


def reason(error: BaseException, server: IceServer, now_s: float) -> str:
    """now_s: Unix time. Raises what is none of the errors that a server can cause."""
    match error:
        case AllocationFailed():
            return _of_all_ways(error, server, now_s)
        case NotApplicable():
            return "it has no address of a kind that this machine can use"
        case stun.TransactionFailed() if is_refused_credential(error):
            return _refused(server, error.response.error_code, now_s)
        case stun.TransactionFailed():
            code = error.response.error_code
            return _REASONS.get(code or 0, f"the server answered with error {code}")
        case TimeoutError():
            return "no answer"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return "it does not speak TLS as we do"
        case ConnectionRefusedError():
            return "the connection was refused"
        case socket.gaierror():
            return f"its name cannot be resolved: {error.strerror}"
        case OSError():
            return error.strerror or str(error) or type(error).__name__
        case ValueError():
            return "its answer makes no sense"
        case _:
            raise error


def _of_all_ways(error: AllocationFailed, server: IceServer, now_s: float) -> str:
    for _, each in error.errors:
        if isinstance(each, stun.TransactionFailed):  # the server itself has the last word
            return reason(each, server, now_s)
    ways = list(dict.fromkeys((over, reason(each, server, now_s)) for over, each in error.errors))
    if len({over for over, _ in ways}) == 1:
        return ", ".join(why for _, why in ways)
    return ", ".join(f"over {over.upper()}: {why}" for over, why in ways)


def _refused(server: IceServer, code: int | None, now_s: float) -> str:
    if server.secret:
        return f"the shared secret was not accepted, or the clock of this machine is wrong ({code})"
    if not server.username:
        return f"the server wants a user name and a password ({code})"
    stamp = server.username.partition(":")[0]
    if stamp.isascii() and stamp.isdigit() and 9 <= len(stamp) <= 11:
        if int(stamp) <= now_s:
            return f"the credential has expired, or the clock of this machine is wrong ({code})"
        return f"the time-limited credential was not accepted, or the clock of the server is ahead ({code})"
    return f"the user name or the password was not accepted ({code})"
