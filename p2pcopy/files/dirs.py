"""Directories held open, and names taken relative to them: never through a symbolic link, also not one that appears meanwhile."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Self

from p2pcopy.files import native

# Windows has neither: there, every step goes by the full path, and links are looked for instead of being ruled out.
_HAS_DIR_FD: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_OPEN_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_OPEN_FILE: Final = (
    os.O_RDWR
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

# Of a directory that is not finished: nobody else may look into it, and the sticky bit, which means nothing there, is our mark.
IN_WORK: Final = 0o1700


class Directory:
    """One open directory. Methods take single names, which must have passed the name gate, and raise OSError."""

    def __init__(self, path: str, fd: int | None) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def at(cls, path: str) -> Self:
        """The directory at a path that this side's user named; links in it are followed. Raises NotADirectoryError and others."""
        if _HAS_DIR_FD:
            return cls(path, os.open(path, _OPEN_DIRECTORY))
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise _not_a_directory(path)
        return cls(path, None)

    def child(self, name: str) -> Directory:
        """The directory of that name; a link to one is refused like a file (NotADirectoryError)."""
        path = os.path.join(self._path, name)
        if self._fd is None:
            if not is_real_directory(self.lstat(name)):
                raise _not_a_directory(path)
            return Directory(path, None)
        try:
            return Directory(path, os.open(name, _OPEN_DIRECTORY | getattr(os, "O_NOFOLLOW", 0), dir_fd=self._fd))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _not_a_directory(path) from error
            raise

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def fd(self) -> int | None:
        """The descriptor; None on a system without any for directories."""
        return self._fd

    def stat(self) -> os.stat_result:
        return os.stat(self._path if self._fd is None else self._fd)

    def lstat(self, name: str) -> os.stat_result:
        return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)

    def create(self, name: str) -> int:
        """A new file, mode 0600, open for reading and writing. Raises FileExistsError whatever there is."""
        return os.open(self._at(name), _OPEN_FILE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._fd)

    def open(self, name: str, *, read_only: bool = False) -> int:
        """An existing file for reading and writing; a link is refused. Does not wait for the other end of a pipe."""
        if self._fd is None and not stat.S_ISREG(self.lstat(name).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        flags = _OPEN_FILE & ~os.O_RDWR | os.O_RDONLY if read_only else _OPEN_FILE
        return os.open(self._at(name), flags, dir_fd=self._fd)

    def make_directory(self, name: str) -> None:
        """A new directory of mode IN_WORK; without the sticky bit where a system does not let mkdir() set it."""
        os.mkdir(self._at(name), IN_WORK, dir_fd=self._fd)

    def make_link(self, name: str, target: str, mtime_ns: int) -> None:
        """A new symbolic link, with its own modification time where the system has one."""
        os.symlink(target, self._at(name), dir_fd=self._fd)
        if os.utime in os.supports_follow_symlinks:
            os.utime(self._at(name), ns=(mtime_ns, mtime_ns), dir_fd=self._fd, follow_symlinks=False)

    def scan(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """What is in it, as os.scandir() tells it."""
        return os.scandir(self._path if self._fd is None else self._fd)

    def read_link(self, name: str) -> str:
        """Where a symbolic link leads."""
        return os.readlink(self._at(name), dir_fd=self._fd)

    def set_time(self, name: str, mtime_ns: int) -> None:
        """The modification time of a file, where that cannot be set by descriptor."""
        os.utime(self._at(name), ns=(mtime_ns, mtime_ns))

    def remove(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self._fd)

    def remove_directory(self, name: str) -> None:
        """Raises OSError unless it is empty."""
        os.rmdir(self._at(name), dir_fd=self._fd)

    def rename(self, old: str, new: str) -> None:
        """Raises FileExistsError, and changes nothing, when the new name is taken by whatever.

        By renameat2() or by a hard link, both atomic. Where a file system has neither (FAT over FUSE, say), by a look before the
        rename: what another program creates between these two calls is replaced.
        """
        if sys.platform == "win32":
            os.rename(self._at(old), self._at(new))
        elif self._fd is not None and native.rename_without_replacing(self._fd, old, new):
            return
        else:
            self._rename_by_link(old, new)

    def finish_rename(self, old: str, new: str) -> bool:
        """Whether a rename() was killed between its two steps, so that both names were of one file; the old one is gone then."""
        try:
            is_half = os.path.samestat(self.lstat(old), self.lstat(new))
        except FileNotFoundError:
            return False
        if is_half:
            self.remove(old)
        return is_half

    def replace(self, old: str, new: str) -> None:
        """Rename over a file or link, atomically. Raises IsADirectoryError or another OSError for a directory."""
        os.replace(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def stamp(self, mode: int, mtime_ns: int | None) -> None:
        """The directory's own mode and modification time; None leaves the time."""
        target = self._path if self._fd is None else self._fd
        if mtime_ns is not None:
            os.utime(target, ns=(mtime_ns, mtime_ns))
        # Last: the mode tells the run after one that was killed whether this was done.
        if sys.platform != "win32" and self._fd is not None:
            os.fchmod(self._fd, mode)

    def sync(self) -> None:
        """The names in it are on the disk, where the system can promise it."""
        if self._fd is not None:
            os.fsync(self._fd)

    def _at(self, name: str) -> str:
        return os.path.join(self._path, name) if self._fd is None else name

    def _rename_by_link(self, old: str, new: str) -> None:
        try:
            os.link(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            if self._exists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
            os.rename(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)
        else:
            self.remove(old)

    def _exists(self, name: str) -> bool:
        try:
            self.lstat(name)
        except FileNotFoundError:
            return False
        return True


class OpenDirectories:
    """The directories below a root, at most limit of them open at a time, the least used closed first.

    Paths are relative to the root, with "/"; "" is the root. A directory that was given out stays open until the next call.
    """

    def __init__(self, root: Directory, limit: int = 32) -> None:
        self._root = root
        self._limit = max(limit, 2)
        self._open: OrderedDict[str, Directory] = OrderedDict()

    def get(self, path: str) -> Directory:
        """Opened one part after the other. Raises NotADirectoryError for a link or file on the way, FileNotFoundError, OSError."""
        if not path:
            return self._root
        if (known := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return known
        parts = path.split("/")
        depth = len(parts) - 1
        while depth and "/".join(parts[:depth]) not in self._open:
            depth -= 1
        directory = self.get("/".join(parts[:depth]))
        for end in range(depth + 1, len(parts) + 1):
            directory = directory.child(parts[end - 1])
            self._open["/".join(parts[:end])] = directory
            if len(self._open) > self._limit:
                self._open.popitem(last=False)[1].close()
        return directory

    def forget(self, path: str) -> None:
        """Close it if it is open: it is about to be removed."""
        if (directory := self._open.pop(path, None)) is not None:
            directory.close()

    def close(self) -> None:
        """All but the root."""
        while self._open:
            self._open.popitem()[1].close()


def split(path: str) -> tuple[str, str]:
    """The path of the directory ("" at the top) and the name in it."""
    parent, _, name = path.rpartition("/")
    return parent, name


def is_real_directory(status: os.stat_result) -> bool:
    """Not a link, and not one of the junctions and mount points that Windows has besides."""
    return stat.S_ISDIR(status.st_mode) and not getattr(status, "st_reparse_tag", 0)


def _not_a_directory(path: str) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
