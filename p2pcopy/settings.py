"""What counts among arguments, environment variables and the config file, put into settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pcopy.config import DEFAULT_STUN, IceServer, NetSettings, Relay, Talk, layered, parse_duration
from p2pcopy.errors import LocalFileError, UsageError


def net(
    table: Mapping[str, Any],
    stun: list[str] | None,
    no_stun: bool,
    turn: list[str] | None,
    turn_user: str | None,
    turn_password_file: str | None,
    relay: Relay | None,
    wait: str | None,
) -> NetSettings:
    if no_stun and stun:
        raise UsageError("--stun and --no-stun exclude each other", "Drop one of them.")
    stun_urls = () if no_stun else _urls(layered(stun, os.environ, "P2PCOPY_STUN", table, "stun", DEFAULT_STUN))
    turn_urls = _urls(layered(turn, os.environ, "P2PCOPY_TURN", table, "turn", ()))
    username = layered(turn_user, os.environ, "P2PCOPY_TURN_USER", table, "turn_user", "")
    password = _turn_password(turn_password_file, table)
    if turn_urls and not (username and password):
        raise UsageError(
            "a TURN server needs a user name and a password",
            "Give --turn-user and --turn-password-file, or set P2PCOPY_TURN_USER and P2PCOPY_TURN_PASSWORD.",
        )
    chosen = Relay(layered(relay, {}, "", table, "relay", Relay.AUTO))
    if chosen is Relay.ONLY and not turn_urls:
        raise UsageError("--relay only needs a TURN server", "Name one with --turn, or set P2PCOPY_TURN.")
    return NetSettings(
        stun=tuple(IceServer(url) for url in stun_urls),
        turn=tuple(IceServer(url, username, password) for url in turn_urls),
        relay=chosen,
        wait_s=parse_duration(str(layered(wait, {}, "", table, "wait", "1h"))),
    )


def _urls(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(given)


def _turn_password(flag: str | None, table: Mapping[str, Any]) -> str:
    """From the file that the flag names, the environment, or the file that the config file names."""
    if flag is None and os.environ.get("P2PCOPY_TURN_PASSWORD"):
        return os.environ["P2PCOPY_TURN_PASSWORD"]
    name = flag if flag is not None else table.get("turn_password_file")
    if name is None:
        return ""
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise LocalFileError(
            f"the TURN password cannot be read from {name!r}: {reason}", "Check the name and its mode."
        ) from error


def talk(
    answer: str | None,
    answer_to: str | None,
    qr: bool | None,
    qr_file: str | None,
    json: bool,
    quiet: bool,
    verbose: bool,
    no_progress: bool,
) -> Talk:
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", "Drop one of them.")
    return Talk(answer, answer_to, qr, qr_file, json, quiet, verbose, progress=not no_progress)
