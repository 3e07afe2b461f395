"""What is to be sent: the arguments checked, the trees below them walked."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pcopy.errors import LocalFileError, P2PCopyError, UsageError
from p2pcopy.files import native
from p2pcopy.files.names import BadName, check_entry, check_path, display, is_reserved
from p2pcopy.transfer.items import Found, Left
from p2pcopy.transfer.wire import Entry, Kind

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

STDIN: Final = "-"
DEFAULT_STDIN_NAME: Final = "stdin"

_STREAM_MODE: Final = 0o644
_PROBE_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_LIST_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_SPECIAL: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)


@dataclass(frozen=True)
class Source:
    """One argument. name: its top-level name at the destination; local: its real path, "" for standard input."""

    name: str
    local: str


@dataclass(frozen=True)
class Sources:
    """All arguments, checked, and what to do on the way down."""

    items: tuple[Source, ...]
    excludes: GitIgnoreSpec | None = None
    follow_symlinks: bool = False

    @property
    def uses_stdin(self) -> bool:
        return any(not source.local for source in self.items)


def prepare(
    paths: Sequence[str], *, stdin_name: str | None = None, excludes: Sequence[str] = (), follow_symlinks: bool = False
) -> Sources:
    """Check the arguments of send. An argument that is a symbolic link stands for what it leads to, under its own name.

    paths: files, directories, at most one "-" for standard input. stdin_name: the name for that, "stdin" when None.
    excludes: gitignore patterns, matched below each directory of paths; the arguments themselves are always sent.
    Raises UsageError for arguments that make no sense together, LocalFileError for what is missing or cannot be read.
    """
    if not paths:
        raise UsageError("no path to send", "Name files or directories, or - for standard input.")
    if stdin_name is not None and STDIN not in paths:
        raise UsageError("--name is for standard input, which is not sent", "Add - to the paths, or drop --name.")
    taken: dict[str, tuple[str, Source]] = {}
    for path in paths:
        source = _stdin(stdin_name) if path == STDIN else _argument(path)
        if source.name in taken:
            raise _clash(path, source, *taken[source.name])
        taken[source.name] = path, source
    return Sources(tuple(source for _, source in taken.values()), _patterns(excludes), follow_symlinks)


def walk(sources: Sources, *, now_ns: int) -> Iterator[Found | Left]:
    """Everything to send, parents before their children, names of one directory in the order of their bytes.

    now_ns: nanoseconds since 1970, the modification time that standard input is given. Blocks on the disk; faults of single
    entries are Left, nothing is raised.
    """
    for source in sources.items:
        if source.local:
            yield from _Walk(source, sources).run()
        else:
            yield Found(Entry(Kind.FILE, source.name, None, _STREAM_MODE, now_ns), "")


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory that is being walked. names: what is still to come, the next one last."""

    path: str
    local: str
    names: list[bytes]
    identity: tuple[int, int]


class _Walk:
    """The walk through one argument. Depth is bounded by check_path, not by Python's stack."""

    def __init__(self, source: Source, sources: Sources) -> None:
        self._source = source
        self._excludes = sources.excludes
        self._follow = sources.follow_symlinks
        self._levels: list[_Level] = []

    def run(self) -> Iterator[Found | Left]:
        if item := self._visit(self._source.name, self._source.local):
            yield item
        while self._levels:
            level = self._levels[-1]
            if not level.names:
                self._levels.pop()
                continue
            name = os.fsdecode(level.names.pop())
            if item := self._visit(f"{level.path}/{name}", os.path.join(level.local, name)):
                yield item

    def _visit(self, path: str, local: str) -> Found | Left | None:
        """What is at local; None when it is excluded. A directory is listed, and walked next."""
        try:
            status = os.lstat(local)
            followed = self._follow and _leads_elsewhere(status)
            if followed:
                local = os.path.realpath(local, strict=True)
                status = os.stat(local)
            if self._is_excluded(path, stat.S_ISDIR(status.st_mode)):
                return None
            return self._found(path, local, status)
        except BadName as error:
            return Left(path, error.reason, fault=True)
        except FileNotFoundError:
            return Left(path, "is gone, or is a link to nothing" if self._follow else "is gone", fault=True)
        except OSError as error:
            return Left(path, f"cannot be read: {error.strerror}", fault=True)

    def _found(self, path: str, local: str, status: os.stat_result) -> Found | Left:
        if is_reserved(path.rpartition("/")[2]):
            return Left(path, "belongs to an unfinished transfer")
        mode, mtime_ns = stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns
        if stat.S_ISLNK(status.st_mode):
            return _link(Entry(Kind.LINK, path, 0, mode, mtime_ns, os.readlink(local).replace(os.sep, "/")), local)
        if _leads_elsewhere(status):
            return Left(path, "is a junction")
        if stat.S_ISDIR(status.st_mode):
            return self._directory(Entry(Kind.DIRECTORY, path, 0, mode, mtime_ns), local, status)
        if not stat.S_ISREG(status.st_mode):
            return Left(path, f"is {_special(status)}")
        entry = Entry(Kind.FILE, path, status.st_size, mode, mtime_ns)
        check_entry(entry)
        return Found(entry, local)

    def _directory(self, entry: Entry, local: str, status: os.stat_result) -> Found | Left:
        check_entry(entry)
        identity = status.st_dev, status.st_ino
        if self._follow and any(level.identity == identity for level in self._levels):
            return Left(entry.path, "leads back to a directory that it is in")
        names = _names(local)
        names.sort(reverse=True)
        self._levels.append(_Level(entry.path, local, names, identity))
        return Found(entry, local)

    def _is_excluded(self, path: str, is_directory: bool) -> bool:
        below = path[len(self._source.name) + 1 :]
        if self._excludes is None or not below:
            return False
        return self._excludes.match_file(below + "/" if is_directory else below)


def _link(entry: Entry, local: str) -> Found | Left:
    try:
        check_entry(entry)
    except BadName as error:
        return Left(entry.path, error.reason)
    return Found(entry, local)


def _names(local: str) -> list[bytes]:
    """What is in a directory, unless a link has appeared on the way to it. Raises OSError.

    As bytes: half the memory of str with surrogates in a huge directory, and sorted as documented.
    """
    if os.scandir not in os.supports_fd:
        return os.listdir(os.fsencode(local))
    descriptor = native.open_straight(local, _LIST_FLAGS)
    try:
        with os.scandir(descriptor) as entries:
            return [os.fsencode(entry.name) for entry in entries]
    finally:
        os.close(descriptor)


def _leads_elsewhere(status: os.stat_result) -> bool:
    """A symbolic link or, on Windows, a junction: a directory to lstat(), and to a walk a way out or into a circle."""
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == junction


def _special(status: os.stat_result) -> str:
    return next((text for is_kind, text in _SPECIAL if is_kind(status.st_mode)), "a special file")


def _stdin(name: str | None) -> Source:
    name = DEFAULT_STDIN_NAME if name is None else name
    try:
        check_path(name)
    except BadName as error:
        raise UsageError(error.message, "Give standard input another --name.") from error
    if "/" in name:
        raise UsageError(f'the name "{display(name)}" holds a /', "Give standard input a plain --name.")
    return Source(name, "")


def _argument(path: str) -> Source:
    shown = display(path)
    try:
        status = os.stat(path)
        local = os.path.realpath(path, strict=True)
        name = _top_name(path, local)
        if stat.S_ISDIR(status.st_mode):
            os.scandir(local).close()
        elif stat.S_ISREG(status.st_mode):
            os.close(os.open(local, _PROBE_FLAGS))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise _missing(path) from error
    except OSError as error:
        raise LocalFileError(
            f'"{shown}" cannot be read: {error.strerror}', "Check its permissions, or leave it out."
        ) from error
    if not name:
        raise UsageError(f'"{shown}" has no name of its own', "Name the files and directories in it instead.")
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        raise UsageError(
            f'"{shown}" is {_special(status)}, not a file or directory',
            "To send what comes out of it, pipe it in and send - with --name NAME.",
        )
    try:
        check_path(name)
    except BadName as error:
        raise UsageError(error.message, "Rename it, or send it from standard input with --name NAME.") from error
    return Source(name, local)


def _top_name(path: str, local: str) -> str:
    """The name that path ends with or, when it ends with "." or "..", the one that this stands for; "" for a root."""
    separators = os.sep + (os.altsep or "")
    name = os.path.basename(path.rstrip(separators))
    return os.path.basename(local) if name in ("", os.curdir, os.pardir) else name


def _missing(path: str) -> LocalFileError:
    if os.path.islink(path):
        return LocalFileError(f'"{display(path)}" is a link to nothing', "Check where it leads.")
    return LocalFileError(f'"{display(path)}" does not exist', "Check the spelling and the current directory.")


def _clash(path: str, source: Source, earlier_path: str, earlier: Source) -> P2PCopyError:
    if source.local == earlier.local:
        return UsageError(f'"{display(path)}" is given twice', "Name every file and directory once.")
    return UsageError(
        f'"{display(earlier_path)}" and "{display(path)}" would both arrive as "{display(source.name)}"',
        "Rename one of them, or send the directory that they are in.",
    )


def _patterns(excludes: Sequence[str]) -> GitIgnoreSpec | None:
    if not excludes:
        return None
    from pathspec import GitIgnoreSpec  # takes a while

    try:
        # The other backends do not take every name that is not UTF-8.
        return GitIgnoreSpec.from_lines(excludes, backend="simple")
    except (ValueError, re.error) as error:
        raise UsageError(
            f"a pattern to exclude makes no sense: {error}", "Write it as in a .gitignore file."
        ) from error
