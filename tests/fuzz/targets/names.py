"""The gate for names: what it lets through stays below the destination; what is shown of a name is harmless and unambiguous."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import Final
from unittest.mock import patch

from fuzz.feed import Feed
from p2pcopy.config import TransferLimits
from p2pcopy.files.names import BadName, NameGate, _KeySet, check_entry, display, is_reserved
from p2pcopy.transfer.wire import Entry, Kind

MODULES = ("p2pcopy.files.names",)

LIMITS: Final = replace(TransferLimits(), max_path_bytes=200, max_name_bytes=60, max_depth=6, max_entries=40)
KEY: Final = bytes(16)
_ROOT: Final = "/destination"
_ESCAPE: Final = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})", re.ASCII)
_SHORT: Final = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t"}
_ENTRY: Final = 5


def one(data: bytes) -> None:
    feed = Feed(data)
    options = feed.number(4)
    windows, fold = bool(options & 1), bool(options & 2)
    with patch.object(_KeySet, "_TOP_BITS", 2):
        names(feed, NameGate(KEY, windows=windows, fold=fold, limits=LIMITS), windows=windows, fold=fold)


def names(feed: Feed, gate: NameGate, *, windows: bool, fold: bool) -> None:
    admitted: list[Entry] = []
    while feed:
        entry = drawn(feed)
        shown(entry.path)
        count = len(gate)
        try:
            gate.admit(entry)
        except BadName as error:
            assert len(gate) == count
            assert harmless(error.message)
            continue
        assert len(gate) == count + 1
        check_entry(entry, windows=windows, limits=LIMITS)
        inside(entry, windows=windows)
        admitted.append(entry)
    unlike(admitted, fold=fold)


def drawn(feed: Feed) -> Entry:
    kind = feed.choice(list(Kind))
    path = feed.chunk().decode(errors="surrogateescape")
    target = feed.chunk().decode(errors="surrogateescape") if kind is Kind.LINK else ""
    size = 0 if kind is not Kind.FILE else feed.choice((0, 1, None, 2**53, -1))
    return Entry(kind, path, size, feed.choice((0o644, 0o777, 0o7777)), feed.choice((0, 2**63, -(2**63))), target)


def inside(entry: Entry, *, windows: bool) -> None:
    path, parts = entry.path, entry.path.split("/")
    assert posixpath.normpath(f"{_ROOT}/{path}") == f"{_ROOT}/{path}"
    assert "\0" not in path
    assert len(path.encode(errors="surrogateescape")) <= LIMITS.max_path_bytes
    assert len(parts) <= LIMITS.max_depth
    assert not any(map(is_reserved, parts))
    if entry.kind is Kind.LINK:
        assert "\0" not in entry.target
        leads = posixpath.normpath(f"{_ROOT}/{posixpath.dirname(path)}/{entry.target}")
        assert f"{leads}/".startswith(f"{_ROOT}/{parts[0]}/")
    if windows:
        there = PureWindowsPath(path)
        assert list(there.parts) == parts
        assert not there.is_reserved()
        assert not any(part.endswith((".", " ")) for part in parts)


def unlike(admitted: list[Entry], *, fold: bool) -> None:
    """No two are the same file, and each has its directories before it."""
    paths = [entry.path.casefold() if fold else entry.path for entry in admitted]
    assert len(set(paths)) == len(paths)
    directories: set[str] = {""}
    for entry in admitted:
        assert entry.path.rpartition("/")[0] in directories
        if entry.kind is Kind.DIRECTORY:
            directories.add(entry.path)


def shown(path: str) -> None:
    text = display(path)
    assert harmless(text)
    assert _ESCAPE.sub(lambda found: unescaped(found[0]), text) == path


def harmless(text: str) -> bool:
    """Blanks of all widths stay as they are: names from macOS and from Japan have them."""
    return all(character.isprintable() or unicodedata.category(character) == "Zs" for character in text)


def unescaped(escape: str) -> str:
    if escape in _SHORT:
        return _SHORT[escape]
    number = int(escape[2:], 16)
    return chr(number + 0xDC00 if escape[1] == "x" and number >= 0x80 else number)


def seeds() -> Iterator[bytes]:
    def line(kind: int, path: str, target: str | None = None, rest: bytes = bytes(3)) -> bytes:
        written = [path.encode(errors="surrogateescape")]
        if target is not None:
            written.append(target.encode())
        return bytes([kind]) + b"".join(bytes([len(each)]) + each for each in written) + rest[kind != 0 :]

    tree = line(1, "photos") + line(0, "photos/a.jpg") + line(1, "photos/b") + line(0, "photos/b/\u00e9")
    for options in range(4):
        yield bytes([options]) + tree + line(2, "photos/l", "b/../a.jpg") + line(2, "photos/b/l", "../a.jpg")
    yield b"\x02" + line(1, "A") + line(1, "a") + line(0, "A/\u00c5") + line(0, "A/A\u030a") + line(0, "A/\u212b")
    yield b"\x01" + line(0, "con.txt") + line(0, "a:b") + line(0, "x. ") + line(0, "LPT\u00b9")
    yield b"\x00" + line(0, "a/../b") + line(0, "/etc/passwd") + line(0, ".x.p2pcopy-part") + line(0, "n\udcff\n\u202e")
