"""The config file: TOML in the platform's config directory, or where P2PCOPY_CONFIG says."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from p2pcopy.errors import UsageError

_TEXT: Final = (str,)
_URLS: Final = (str, list)
KEYS: Final[dict[str, tuple[type, ...]]] = {
    "stun": _URLS,
    "turn": _URLS,
    "turn_user": _TEXT,
    "turn_password_file": _TEXT,
    "relay": _TEXT,
    "wait": _TEXT,
    "compress": _TEXT,
    "existing": _TEXT,
    "output": _TEXT,
}
_CHOICES: Final = {
    "relay": ("auto", "only", "never"),
    "compress": ("auto", "never", "always"),
    "existing": ("ask", "refuse", "skip", "rename", "replace"),
}


def load() -> dict[str, Any]:
    """Its settings; empty where there is no file. Raises UsageError for anything in it that is not a setting."""
    named = os.environ.get("P2PCOPY_CONFIG")
    path = Path(named) if named else _default()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise UsageError(
                f"the config file {named!r} does not exist", "Check P2PCOPY_CONFIG, or unset it."
            ) from None
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the config file {str(path)!r} cannot be used: {error}", "Mend it, or move it away."
        ) from error
    for key, value in table.items():
        _check(path, key, value)
    return table


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
    if not isinstance(value, KEYS[key]) or (
        isinstance(value, list) and not all(isinstance(item, str) for item in value)
    ):
        raise UsageError(f"{key!r} in {str(path)!r} has to be text", "Put it into quotes.")
    if value not in _CHOICES.get(key, (value,)):
        raise UsageError(f"{value!r} in {str(path)!r} is no choice for {key!r}", f"Choose {', '.join(_CHOICES[key])}.")
