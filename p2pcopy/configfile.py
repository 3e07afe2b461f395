"""The config file: TOML in the platform's config directory, or where P2PCOPY_CONFIG says."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from p2pcopy.config import Compress, Existing, Family, Relay, VerifyResume
from p2pcopy.errors import UsageError

_TEXT: Final = (str,)
_LIST: Final = (str, list)
_SWITCH: Final = (bool,)
KEYS: Final[dict[str, tuple[type, ...]]] = {
    "stun": _LIST,
    "interface": _LIST,
    "family": _TEXT,
    "stall_limit": _TEXT,
    "fast_path": _SWITCH,
    "gso": _SWITCH,
    "gro": _SWITCH,
    "turn": _LIST,
    "turn_user": _TEXT,
    "turn_password_file": _TEXT,
    "turn_secret_file": _TEXT,
    "turn_insecure": _SWITCH,
    "relay": _TEXT,
    "share_relay": _SWITCH,
    "wait": _TEXT,
    "two_way": _SWITCH,
    "confirm": _SWITCH,
    "compress": _TEXT,
    "existing": _TEXT,
    "checksum": _SWITCH,
    "verify_resume": _TEXT,
    "output": _TEXT,
}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "family": tuple(Family),
    "relay": tuple(Relay),
    "compress": tuple(Compress),
    "existing": tuple(Existing),
    "verify_resume": tuple(VerifyResume),
}


def load() -> dict[str, Any]:
    """Its settings; empty where there is no file. Raises UsageError for anything in it that is not a setting."""
    named = os.environ.get("P2PCOPY_CONFIG")
    path = Path(named) if named else _default()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if named:
            raise UsageError(
                f"the config file {named!r} does not exist", "Check P2PCOPY_CONFIG, or unset it."
            ) from None
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    return parse(data, path)


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """The settings in a config file. path: where it is, for messages. Raises UsageError as load()."""
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # arrays within arrays, a thousand deep
        raise _unusable(path, error) from error
    for key, value in table.items():
        _check(path, key, value)
    return table


def _unusable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"the config file {str(path)!r} cannot be used: {error}", "Mend it, or move it away.")


def _default() -> Path:
    from platformdirs import user_config_path

    return user_config_path("p2pcopy") / "config.toml"


def _check(path: Path, key: str, value: Any) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1)
        raise UsageError(
            f"{key!r} in {str(path)!r} is not a setting",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(KEYS)}.",
        )
    if KEYS[key] == _SWITCH and not isinstance(value, bool):
        raise UsageError(f"{key!r} in {str(path)!r} has to be true or false", f"Write {key} = true or {key} = false.")
    if not isinstance(value, KEYS[key]) or (
        isinstance(value, list) and not all(isinstance(item, str) for item in value)
    ):
        raise UsageError(f"{key!r} in {str(path)!r} has to be text", "Put it into quotes.")
    if value not in _CHOICES.get(key, (value,)):
        raise UsageError(f"{value!r} in {str(path)!r} is no choice for {key!r}", f"Choose {', '.join(_CHOICES[key])}.")
