"""The directories of a transfer: made when something goes into them, finished at the end, and their names synced in between."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress

from p2pcopy.events import FileStatus
from p2pcopy.files.dirs import IN_WORK, Directory, OpenDirectories, split
from p2pcopy.files.sync import FEW, Syncer
from p2pcopy.transfer.items import Outcome
from p2pcopy.transfer.wire import Entry


class MadeDirectories:
    """Those that this run makes, or an unfinished one has made, get their mode and time at the end.

    owner: of what this process makes. reason: tells why an error concerns one entry only, raises LocalFileError when it does not.
    """

    def __init__(
        self,
        directories: OpenDirectories,
        syncer: Syncer,
        *,
        umask: int,
        owner: int,
        reason: Callable[[Exception], str],
    ) -> None:
        self._directories = directories
        self._syncer = syncer
        self._umask = umask
        self._owner = owner
        self._reason = reason
        self._made: dict[str, tuple[int, Entry] | None] = {}
        self._found: set[str] = set()  # those of _made that were there before this run
        self._changed: dict[str, int] = {}

    def get(self, path: str) -> Directory:
        """Open; made when it is missing. Raises OSError."""
        try:
            return self._directories.get(path)
        except FileNotFoundError:
            if not path:
                raise
        parent, name = split(path)
        above = self.get(parent)
        try:
            above.make_directory(name)
        except FileExistsError:  # by another run, meanwhile
            return self._directories.get(path)
        self._made[path] = None
        self.note_change(above, parent)
        return self._directories.get(path)

    def add(self, index: int, entry: Entry) -> bool:
        """Make the directory of an entry. Whether it is finished later: it is new, or an unfinished run made it. Raises OSError."""
        directory = self.get(entry.path)
        if entry.path not in self._made:
            if not self._is_unfinished(directory.stat(), entry):
                return False
            self._found.add(entry.path)
        self._made[entry.path] = index, entry
        return True

    def note_change(self, directory: Directory, path: str) -> None:
        """A name in it was made."""
        if path not in self._changed:
            self._changed[path] = directory.stat().st_dev

    def sync_changed(self) -> None:
        """The names in all directories in which something was made are on the disk."""
        changed, self._changed = self._changed, {}
        covered = {path for path, device in changed.items() if self._syncer.covers(device)}
        if len(covered) > FEW and self._syncer.try_everything():
            changed = {path: device for path, device in changed.items() if path not in covered}
        for path in changed:
            try:
                self._directories.get(path).sync()
            except OSError as error:
                # Some file systems cannot sync a directory, and one that is gone needs no sync: only a broken disk counts.
                self._reason(error)

    def finish(self) -> list[Outcome]:
        """They get their own mode and time, the deepest first, as a parent may shut us out. Raises LocalFileError."""
        outcomes = []
        for path in _deepest_first(self._made):
            made = self._made.pop(path)
            index, outcome = made[0] if made else -1, None
            try:
                self._stamp(path, made)
                outcome = Outcome(index, FileStatus.DONE)
            except OSError as error:
                outcome = Outcome(index, FileStatus.FAILED, self._reason(error))
            if made:
                outcomes.append(outcome)
        try:
            self._syncer.everything()
        except OSError as error:
            self._reason(error)
        return outcomes

    def leave(self) -> None:
        """The transfer ends early: remove what this run made and is empty. The rest can be entered; the next run finishes it."""
        for path in _deepest_first(self._made.keys() - self._found):
            parent, name = split(path)
            # What cannot be removed or changed stays as it is: there is nothing left to do about it.
            with suppress(OSError):
                try:
                    self._directories.get(parent).remove_directory(name)
                except OSError:
                    made = self._made[path]
                    self._directories.get(path).stamp(self._left_mode(made), made[1].mtime_ns if made else None)
        self._made.clear()
        self._found.clear()

    def _is_unfinished(self, status: os.stat_result, entry: Entry) -> bool:
        """Whether it has the mode and the owner that only a run that did not finish leaves."""
        mode = stat.S_IMODE(status.st_mode) & ~stat.S_ISGID  # which it may have from its parent
        return status.st_uid == self._owner and mode in (IN_WORK, self._left_mode((0, entry)))

    def _left_mode(self, made: tuple[int, Entry] | None) -> int:
        return self._final_mode(made) | IN_WORK

    def _final_mode(self, made: tuple[int, Entry] | None) -> int:
        """One that no entry stands for gets what mkdir would have given it."""
        return (made[1].mode & 0o777 if made else 0o777) & ~self._umask

    def _stamp(self, path: str, made: tuple[int, Entry] | None) -> None:
        directory = self._directories.get(path)
        directory.stamp(self._final_mode(made), made[1].mtime_ns if made else None)
        if not self._syncer.covers(directory.stat().st_dev):
            directory.sync()


def _deepest_first(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.count("/"), reverse=True)
