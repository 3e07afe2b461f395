"""The one gate for names that come from the peer, and the one way to show a name. Pure.

A name is let through exactly as it was sent or refused; nothing is cleaned, shortened or completed.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left
from hashlib import blake2b
from typing import ClassVar, Final

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ProtocolError
from p2pcopy.transfer.wire import Entry, Kind

PART_SUFFIX: Final = ".p2pcopy-part"
JOURNAL_SUFFIX: Final = ".p2pcopy-journal"

_LIMITS: Final = TransferLimits()
_SHOWN_CHARACTERS: Final = 300
_INT64: Final = 2**63
_MAX_SIZE: Final = 2**53  # as on the wire

# Control, format (all the bidirectional marks are among them), surrogate, private use, unassigned, line and paragraph separators.
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS_RESERVED: Final = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [port + digit for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"]
)


class BadName(ProtocolError):
    """An entry that this side will not put on its disk. path: as it was sent; reason: continues "the name ..."."""

    name: ClassVar[str] = "bad-name"

    def __init__(self, path: str, reason: str) -> None:
        shown = display(path if len(path) <= _SHOWN_CHARACTERS else path[:_SHOWN_CHARACTERS] + "…")
        super().__init__(f'the name "{shown}" {reason}', "Rename or leave out the file on the sending side.")
        self.path = path
        self.reason = reason


class NameTaken(BadName):
    """The name is in the list already, or differs from one there only in a way that this side's file system ignores."""

    name: ClassVar[str] = "name-taken"


def display(text: str) -> str:
    """Text from a file name or from the peer, safe for a terminal or a log and still unambiguous.

    A backslash becomes two; a byte that is not UTF-8 becomes \\xNN; a character that moves the cursor, changes the direction of
    writing or cannot be seen becomes \\n, \\r, \\t, \\xNN (below U+0080), \\uNNNN or \\UNNNNNNNN. All else stays as it is.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def check_path(path: str, *, windows: bool = False, limits: TransferLimits = _LIMITS) -> None:
    """Raises BadName unless path, joined to a directory, names something below that directory, there and nowhere else.

    Control characters other than NUL are legal in POSIX names and get through (display() shows them escaped). windows: also refuse
    them and everything else that Windows reads differently: devices, drives, streams, wildcards, trailing dots and spaces.
    limits: max_path_bytes and max_name_bytes (UTF-8), max_depth (parts).
    """
    if not path:
        raise BadName(path, "is empty")
    _check_text(path, path, "", limits)
    if path.startswith("/"):
        raise BadName(path, "is absolute")
    parts = path.split("/")
    if len(parts) > limits.max_depth:
        raise BadName(path, f"is more than {limits.max_depth} directories deep")
    for part in parts:
        if reason := _fault_of_part(part, limits.max_name_bytes) or (_fault_on_windows(part) if windows else ""):
            raise BadName(path, reason)


def check_target(path: str, target: str, *, windows: bool = False, limits: TransferLimits = _LIMITS) -> None:
    """Raises BadName unless the symbolic link path, whose own name is checked, points into the top-level entry that it is part of.

    ".." may only stand at the beginning of the target: behind a name it would be resolved from wherever that name leads if it is a
    link, so two links that look harmless could leave together. For the same reason a link cannot be a top-level entry itself.
    """
    if not target:
        raise BadName(path, "is a link to nothing")
    _check_text(path, target, "is a link whose target ", limits)
    if target.startswith("/"):
        raise BadName(path, "is a link with an absolute target")
    depth = path.count("/")
    if depth == 0:
        raise BadName(path, "is a link outside of any sent directory")
    named = False
    for part in target.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            named = True
            if windows and (reason := _fault_on_windows(part)):
                raise BadName(path, f"is a link whose target {reason}")
        elif named:
            raise BadName(path, 'is a link whose target has ".." behind a name')
        elif (depth := depth - 1) == 0:
            raise BadName(path, "is a link that leads out of the sent directory")


def check_entry(entry: Entry, *, windows: bool = False, limits: TransferLimits = _LIMITS) -> None:
    """Everything about an entry that can be judged without the others. Raises BadName."""
    path = entry.path
    check_path(path, windows=windows, limits=limits)
    if not 0 <= entry.mode <= 0o777:
        raise BadName(path, "has a mode that is more than permission bits")
    if not -_INT64 <= entry.mtime_ns < _INT64:
        raise BadName(path, "has a modification time that is out of range")
    if entry.kind is Kind.FILE:
        if entry.size is not None and not 0 <= entry.size < _MAX_SIZE:
            raise BadName(path, "has a size that is out of range")
    elif entry.size != 0:
        raise BadName(path, "has a size, but is no file")
    if entry.kind is Kind.LINK:
        check_target(path, entry.target, windows=windows, limits=limits)
    elif entry.target:
        raise BadName(path, "has a target, but is no link")


class NameGate:
    """All entries of one manifest, in order. Keeps 8 bytes for a file and 16 for a directory, whatever the names.

    key: 16 to 64 random bytes of this run, so that the peer cannot prepare names that are taken for equal; by chance that happens
    with a probability below 1e-6 in a million entries. windows: see check_path. fold: also refuse names that differ only in case
    or in Unicode normalization; False where the destination tells them apart.
    """

    def __init__(
        self, key: bytes, *, windows: bool = False, fold: bool = True, limits: TransferLimits = _LIMITS
    ) -> None:
        self._windows = windows
        self._fold = fold
        self._limits = limits
        self._names = blake2b(key=key, digest_size=8, person=b"name")
        self._directories = blake2b(key=key, digest_size=8, person=b"directory")
        self._seen = _KeySet()
        self._seen.add(_key(self._directories, ""))
        self._parent = ""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, entry: Entry) -> None:
        """Let one more entry in, or raise BadName (NameTaken for a second one of the same name) and stay as before.

        The parent of every entry must have been let in before it, as a directory; what a link leads to does not count.
        """
        path = entry.path
        check_entry(entry, windows=self._windows, limits=self._limits)
        if self._count >= self._limits.max_entries:
            raise BadName(path, f"is one too many: more than {self._limits.max_entries} entries are not accepted")
        parent = path.rpartition("/")[0]
        # Neighbours share their parent, so most are known without another look.
        if parent != self._parent and _key(self._directories, parent) not in self._seen:
            raise BadName(path, "is not below a directory that was sent before it")
        if not self._seen.add(_key(self._names, fold(path) if self._fold else path)):
            raise NameTaken(path, "is taken by another entry" + (", or is too similar to one" if self._fold else ""))
        if entry.kind is Kind.DIRECTORY:
            self._seen.add(_key(self._directories, path))
        self._parent = parent
        self._count += 1


def fold(path: str) -> str:
    """The same for all names that a file system without case or with normalization may take for one (Unicode 3.13, D145)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def is_reserved(part: str) -> bool:
    """Whether this part of a path could be, on some file system, the name of an unfinished transfer's part file or journal."""
    return fold(part).endswith((PART_SUFFIX, JOURNAL_SUFFIX))


class _KeySet:
    """A set of evenly spread 64-bit numbers in little more than 8 bytes each: sorted arrays, chosen by the top bits."""

    _TOP_BITS: Final = 12

    def __init__(self) -> None:
        self._shards = [array("Q") for _ in range(1 << self._TOP_BITS)]

    def __contains__(self, key: int) -> bool:
        shard = self._shards[key >> (64 - self._TOP_BITS)]
        place = bisect_left(shard, key)
        return place < len(shard) and shard[place] == key

    def add(self, key: int) -> bool:
        """False when it was there already."""
        shard = self._shards[key >> (64 - self._TOP_BITS)]
        place = bisect_left(shard, key)
        if place < len(shard) and shard[place] == key:
            return False
        shard.insert(place, key)
        return True


def _key(keyed: blake2b, path: str) -> int:
    hasher = keyed.copy()
    hasher.update(path.encode("utf-8", "surrogateescape"))
    return int.from_bytes(hasher.digest(), "big")


def _shown(character: str) -> str:
    if short := _SHORT_ESCAPES.get(character):
        return short
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _check_text(path: str, text: str, subject: str, limits: TransferLimits) -> None:
    if "\0" in text:
        raise BadName(path, f"{subject}holds a NUL character")
    # The first comparison keeps the cost of a huge name bounded.
    if len(text) > limits.max_path_bytes or len(encoded := _encoded(path, text)) > limits.max_path_bytes:
        raise BadName(path, f"{subject}is longer than {limits.max_path_bytes} bytes")
    # One file must not have two spellings: "\udcc3\udca9" and "é" are the same bytes on a disk.
    if encoded.decode("utf-8", "surrogateescape") != text:
        raise BadName(path, f"{subject}hides valid UTF-8 in escapes")


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadName(path, "holds half a character") from None


def _fault_of_part(part: str, max_name_bytes: int) -> str:
    """Why no system may have this part of a path, "" when there is nothing wrong."""
    if not part:
        return "has an empty part"
    if part in (".", ".."):
        return f'holds "{part}"'
    if len(part) > max_name_bytes or len(part.encode("utf-8", "surrogateescape")) > max_name_bytes:
        return f"has a part that is longer than {max_name_bytes} bytes"
    if is_reserved(part):
        return "is reserved for unfinished transfers"
    return ""


def _fault_on_windows(part: str) -> str:
    """Why Windows must not be given this part of a path, "" when there is nothing wrong."""
    if not _WINDOWS_RESERVED.isdisjoint(part):
        return "holds a character that has a meaning on Windows"
    if any(unicodedata.category(character) == "Cc" for character in part):
        return "holds a control character"
    if any("\ud800" <= character <= "\udfff" for character in part):
        return "holds bytes that are not UTF-8"
    if part.endswith((".", " ")):
        return "ends with a dot or a space, which Windows takes away"
    if part.partition(".")[0].rstrip(" ").upper() in _WINDOWS_DEVICES:
        return "is a device on Windows"
    return ""
