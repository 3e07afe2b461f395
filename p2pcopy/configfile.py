"""The config file: TOML in the platform's config directory, or where P2PCOPY_CONFIG says."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from p2pcopy import keys
from p2pcopy.errors import LocalFileError, UsageError
from p2pcopy.keys import SETTINGS, Kind, Setting


def path() -> Path:
    """Where the config file is, or would be."""
    named = os.environ.get("P2PCOPY_CONFIG")
    return Path(named) if named else _default()


def load() -> dict[str, Any]:
    """Its settings; empty where there is no file. Raises UsageError for anything in it that is not a setting."""
    file = path()
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        if os.environ.get("P2PCOPY_CONFIG"):
            raise UsageError(
                f"the config file {str(file)!r} does not exist",
                "Check P2PCOPY_CONFIG, or unset it; p2pcopy config --write makes the file.",
            ) from None
        return {}
    except (OSError, ValueError) as error:
        raise _unusable(file, error) from error
    return parse(data, file)


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """The settings in a config file, without those that are set to nothing. path: where it is, for messages.

    Raises UsageError as load().
    """
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))  # editors on Windows put a mark before it
    except (ValueError, RecursionError) as error:  # arrays within arrays, a thousand deep
        raise _unusable(path, error) from error
    for key, value in table.items():
        _check(path, key, value)
    return {key: value for key, value in table.items() if value != ""}


def _unusable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"the config file {str(path)!r} cannot be used: {error}", "Mend it, or move it away.")


def _default() -> Path:
    from platformdirs import user_config_path

    return user_config_path("p2pcopy") / "config.toml"


def _check(path: Path, key: str, value: Any) -> None:
    if key not in SETTINGS:
        near = difflib.get_close_matches(key, SETTINGS, 1)
        raise UsageError(
            f"{key!r} in {str(path)!r} is not a setting",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(SETTINGS)}.",
        )
    setting = SETTINGS[key]
    if setting.kind is Kind.SWITCH:
        if not isinstance(value, bool):
            raise UsageError(
                f"{key!r} in {str(path)!r} has to be true or false", f"Write {key} = true or {key} = false."
            )
        return
    if not _is_text(value, setting):
        raise UsageError(f"{key!r} in {str(path)!r} has to be text", "Put it into quotes.")
    if value == "":
        return
    try:
        keys.parse(setting, value)
    except UsageError as error:
        raise UsageError(f"{key!r} in {str(path)!r} cannot be used: {error.message}", error.hint) from None


def _is_text(value: Any, setting: Setting) -> bool:
    if setting.kind in (Kind.URLS, Kind.NAMES) and isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def template() -> str:
    """A config file with every setting, its default and what it is for, all of it in comments."""
    lines = [
        "# Settings of p2pcopy, as TOML. What counts: the flag, else the environment variable, else this file, else the default.",
        '# Each setting stands here with its default, or with an example. Take the "#" away from its line to set it.',
    ]
    group = ""
    for setting in SETTINGS.values():
        if setting.group != group:
            group = setting.group
            lines += ["", f"## {group}"]
        lines += ["", f"# {setting.help}"]
        if setting.choices:
            lines.append(f"# One of {', '.join(setting.choices)}.")
        if setting.default is None:
            lines.append(f"# By default: {setting.otherwise}.")
        lines.append(f"# Also: {', '.join((*setting.all_flags, setting.variable))}")
        lines.append(f"#{setting.key} = {_toml(setting.example if setting.default is None else setting.default)}")
    return "\n".join(lines) + "\n"


def _toml(value: str | bool | tuple[str, ...]) -> str:
    """Only what the table has: no text of it needs an escape."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return f'"{value}"'


def write(text: str, *, replace: bool) -> Path:
    """To where the config file belongs, in one step. Raises UsageError when there is one and it is not to be replaced,
    LocalFileError when it cannot be written."""
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        (_put_in_place if replace else _put_anew)(file, text)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise LocalFileError(
            f"the config file {str(file)!r} cannot be written: {reason}", "Check its directory."
        ) from error
    return file


def _put_anew(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(f"there is a config file already: {str(file)!r}", "Add --force to replace it.") from None


def _put_in_place(file: Path, text: str) -> None:
    """Where a link leads to: a config file is often kept elsewhere, with others."""
    import tempfile

    file = Path(os.path.realpath(file))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, prefix=".config-", delete=False) as opened:
        opened.write(text)
    os.replace(opened.name, file)
