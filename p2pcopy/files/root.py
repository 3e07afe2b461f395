"""The destination directory itself: made when it is missing, tried out, and taken away again when nothing came."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import unicodedata
from contextlib import suppress
from typing import Final

from p2pcopy.errors import LocalFileError
from p2pcopy.files import faults, locks, plain
from p2pcopy.files.dirs import Directory
from p2pcopy.files.names import PART_SUFFIX, display
from p2pcopy.files.plain import PartFault, PartLocked

_ELSEWHERE: Final = "Choose another place with --output."
# With letters that a file system may fold. Always the same, so that the next run finds it, and no file's part file (part_name()).
_PROBE: Final = f".probe-e\u0301{PART_SUFFIX}{PART_SUFFIX}"


class Root:
    """An open destination. path: of this side's user, so links in it are followed. Raises LocalFileError when it cannot be used.

    folds_names: its file system takes names for one that differ in case or in Unicode normalization. owner: of files that are made
    here, as stat() tells it; on some file systems that is not this process's user. began_ns: when it was tried out, by its clock.
    """

    def __init__(self, path: str) -> None:
        self.shown = display(path or os.curdir)
        self._made: list[str] = []
        self.path = ""
        try:
            self.path = _absolute(path or os.curdir)
            try:
                self.directory = self._enter()
            except FileNotFoundError:  # another run, which had made it, has taken it away meanwhile
                self.directory = self._enter()
        except OSError as error:
            self._unmake()
            raise self._unusable(error) from error
        try:
            self._try_out()
        except OSError as error:
            self.close()
            raise self._unusable(error) from error

    def free_bytes(self) -> int:
        """What this user may still write on the disk of the destination."""
        return shutil.disk_usage(self.path if self.directory.fd is None else self.directory.fd).free

    def is_gone(self) -> bool:
        """Removed or renamed since it was opened."""
        with suppress(PermissionError):
            try:
                os.lstat(self.path)
            except (FileNotFoundError, NotADirectoryError):
                return True
        return self.directory.fd is not None and self.directory.stat().st_nlink == 0

    def sync(self) -> None:
        """The directory's own name, if this run made it, is on the disk."""
        for path in self._made:
            above = Directory.at(os.path.dirname(path))
            try:
                above.sync()
            finally:
                above.close()

    def close(self) -> None:
        """Also removes what was made and is still empty."""
        self.directory.close()
        self._unmake()

    def _enter(self) -> Directory:
        """Made when it is missing, and occupied."""
        self._make(self.path)
        directory = Directory.at(self.path)
        if directory.fd is not None:
            locks.occupy(directory.fd)
            if not directory.stat().st_nlink:
                directory.close()
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return directory

    def _make(self, path: str) -> None:
        """Like os.makedirs(), and keeps a record, topmost first, of what no other run has made meanwhile."""
        if os.path.lexists(path):
            return
        if (above := os.path.dirname(path)) != path:
            self._make(above)
        with suppress(FileExistsError):
            os.mkdir(path)
            self._made.append(path)

    def _unmake(self) -> None:
        while self._made:
            try:
                _remove(self._made.pop())
            except OSError:
                # Something is in it, or will be: it stays, and so does all above it.
                self._made.clear()

    def _try_out(self) -> None:
        """Mode bits tell nothing to root, and little on a network file system: only writing shows whether one may."""
        with suppress(PartFault, PartLocked, FileNotFoundError, PermissionError):
            # Also removes what a run that was killed here has left.
            if self._look_at(_PROBE, plain.create(self.directory, _PROBE, self._owner_of(_PROBE))[0]):
                return
        # Another run is at it just now, or what is there is another user's.
        probe = f".{secrets.token_hex(8)}{_PROBE}"
        self._look_at(probe, self.directory.create(probe))

    def _look_at(self, probe: str, fd: int) -> bool:
        """Find out what a file of this name tells, and remove it. False when somebody else has removed it meanwhile."""
        try:
            made = os.fstat(fd)
            self.owner = made.st_uid
            self.began_ns = made.st_ctime_ns
            self.folds_names = any(
                self._is_there(twin) for twin in (probe.upper(), unicodedata.normalize("NFC", probe))
            )
            return os.path.samestat(made, self.directory.lstat(probe))
        finally:
            os.close(fd)
            self.directory.remove(probe)

    def _owner_of(self, name: str) -> int:
        try:
            return self.directory.lstat(name).st_uid
        except FileNotFoundError:
            return -1

    def _is_there(self, name: str) -> bool:
        try:
            self.directory.lstat(name)
        except FileNotFoundError:
            return False
        return True

    def _unusable(self, error: OSError) -> LocalFileError:
        if isinstance(error, NotADirectoryError):
            return LocalFileError(f"{display(self._on_the_way())} is a file, not a directory", _ELSEWHERE)
        if isinstance(error, FileNotFoundError):
            stop = self._on_the_way()
            if os.path.islink(stop):
                return LocalFileError(f"{display(stop)} is a link to nothing", _ELSEWHERE)
            return LocalFileError(f"{self.shown} cannot be made", _ELSEWHERE) if self.path else faults.gone(self.shown)
        if error.errno in (errno.EACCES, errno.EPERM):
            return LocalFileError(f"nothing may be written in {self.shown}", _ELSEWHERE)
        return faults.fatal(error, self.shown) or LocalFileError(
            f"{self.shown} cannot be used: {faults.reason(error)}", _ELSEWHERE
        )

    def _on_the_way(self) -> str:
        """The end of what there is of the path."""
        path = self.path
        while path and not os.path.lexists(path):
            path = os.path.dirname(path)
        return path


def _remove(path: str) -> None:
    """Raises OSError unless it is an empty directory into which no other run receives."""
    directory = Directory.at(path)
    try:
        if directory.fd is not None and not locks.take(directory.fd):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        os.rmdir(path)
    finally:
        directory.close()


def _absolute(path: str) -> str:
    """Without "..", which behind a link is not what it looks like."""
    return os.path.realpath(path) if os.pardir in path.split(os.sep) else os.path.abspath(path)
