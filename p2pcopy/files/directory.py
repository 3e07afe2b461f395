"""A directory as the destination: part files, commits in groups, and nothing touched that the user did not give up."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from p2pcopy.config import MIB, Existing
from p2pcopy.errors import InternalError, LocalFileError
from p2pcopy.events import FileStatus
from p2pcopy.files import faults, memory
from p2pcopy.files.dirs import Directory, OpenDirectories, split
from p2pcopy.files.names import display
from p2pcopy.files.parts import PartFault, PartFile, PartLocked, Writeback, part_name
from p2pcopy.files.placing import Placing, clash, no_way
from p2pcopy.files.root import Root
from p2pcopy.files.sync import FEW, Syncer
from p2pcopy.transfer.items import Clash, Obstacle, Outcome
from p2pcopy.transfer.wire import Entry, Kind

if sys.platform != "win32":
    import resource

_WINDOWS_DESCRIPTORS: Final = 512


class DirectoryStore:
    """A Store below one directory; open() comes first.

    existing: what happens where a name is taken; ASK and REFUSE leave what is there and fail the entry.
    open_parts: how many files in work have an open descriptor; the others are closed and opened again.
    group_files, group_bytes, group_s (seconds): a group of whole files is committed when it reaches one of them.
    Memory: nothing for a file that is neither in work nor waiting, about 300 bytes for a directory made or a link.
    """

    def __init__(
        self,
        root: str,
        *,
        existing: Existing = Existing.REFUSE,
        open_parts: int = 64,
        group_files: int = 512,
        group_bytes: int = 32 * MIB,
        group_s: float = 0.5,
    ) -> None:
        self._path = root
        self._placing = Placing(existing)
        self._max_open = open_parts
        self._group_files = group_files
        self._group_bytes = group_bytes
        self._group_s = group_s
        self._parts: dict[int, PartFile] = {}
        self._in_work: OrderedDict[int, PartFile] = OrderedDict()  # the open ones, the least used first
        self._waiting: dict[int, PartFile] = {}  # whole, to be committed
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._failed: dict[int, Outcome] = {}
        self._made: dict[str, tuple[int, Entry] | None] = {}
        self._links: list[tuple[int, Entry]] = []
        self._changed: dict[str, int] = {}
        self._writeback = Writeback()
        self._closed = True

    def open(self) -> None:
        """Make the directory if it is missing, and try whether it can be written. Raises LocalFileError."""
        memory.keep_freed()
        self._root = Root(self._path)
        self._closed = False
        self._directories = OpenDirectories(self._root.directory)
        self._syncer = Syncer(self._root.directory)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._group_files = min(self._group_files, _spare_descriptors())

    @property
    def folds_names(self) -> bool:
        """Whether names that differ in case or in Unicode normalization are one here. After open()."""
        return self._root.folds_names

    def free_bytes(self) -> int:
        """What this user may still write on the disk of the destination."""
        return self._root.free_bytes()

    def resolve(self, existing: Existing) -> None:
        """The user has said what happens to entries whose names are taken."""
        self._placing.existing = existing

    def admit(self, index: int, entry: Entry) -> Clash | None:
        self._placing.expect(entry.path)
        return self._clash(entry)

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        found = self._clash(entry)
        return None if found is None else self._placing.refuses(index, found)

    def write(self, index: int, entry: Entry, offset: int, *parts: bytes | memoryview) -> Outcome | None:
        if index in self._failed:
            return None
        size = sum(map(len, parts))
        if index in self._waiting or offset < 0 or (entry.size is not None and offset + size > entry.size):
            raise InternalError(f"a block at {offset} does not belong into entry {index}")
        try:
            # Space is reserved for files of several blocks; one block needs no help to stay in one piece.
            part = self._part(index, entry, entry.size if entry.size and entry.size > size else 0)
            part.write(offset, size, parts)
            self._writeback.wrote(part, offset, size)
        except (OSError, PartFault, PartLocked) as error:
            self._failed[index] = self._failure(index, error)
            return self._failed[index]
        return None

    def whole(self, index: int, entry: Entry, size: int) -> list[Outcome]:
        if (failed := self._failed.pop(index, None)) is not None:
            return [failed]
        if index in self._waiting or (size and index not in self._parts):
            raise InternalError(f"entry {index} was never begun, or is finished already")
        try:
            part = self._part(index, entry, 0)
            part.seal(size, entry.mode & 0o777 & ~self._umask, entry.mtime_ns)
        except (OSError, PartFault, PartLocked) as error:
            return [self._failure(index, error)]
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting[index] = self._in_work.pop(index)
        self._waiting_bytes += size
        return self.flush() if self._is_due() else []

    def abandon(self, index: int) -> None:
        self._failed.pop(index, None)
        self._drop(index)

    def other(self, index: int, entry: Entry) -> list[Outcome]:
        if entry.kind is Kind.LINK:
            self._links.append((index, entry))
            return []
        try:
            self._directory(entry.path)
        except OSError as error:
            return [self._failure(index, error)]
        if entry.path in self._made:
            self._made[entry.path] = (index, entry)
            return []
        return [Outcome(index, FileStatus.DONE)]

    def flush(self) -> list[Outcome]:
        if not self._waiting:
            return []
        group, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        faulty = self._syncer.files(group.values())
        outcomes = []
        for index, part in group.items():
            try:
                if part in faulty:
                    raise faulty[part]
                outcomes.append(self._commit(index, part))
            except (OSError, PartFault) as error:
                outcomes.append(self._failure(index, error))
        self._sync_changed()
        return outcomes

    def finish(self) -> list[Outcome]:
        outcomes = self.flush()
        outcomes += [self._make_link(index, entry) for index, entry in self._links]
        self._links.clear()
        self._sync_changed()
        outcomes += self._finish_directories()
        self._root.sync()
        return outcomes

    def interrupt(self) -> None:
        """Nothing here waits for anybody but the disk."""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for index in list(self._parts):
            self._drop(index)
        for path in _deepest_first(self._made):
            self._leave_directory(path)
        self._made.clear()
        self._directories.close()
        self._root.close()

    def _clash(self, entry: Entry) -> Clash | None:
        parent, name = split(entry.path)
        try:
            return clash(entry, self._directories.get(parent).lstat(name))
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return no_way()
        except OSError as error:
            return Clash(Obstacle.NAME, self._reason(error), hopeless=True)

    def _part(self, index: int, entry: Entry, reserve: int) -> PartFile:
        """The part file of an entry, open; made when there is none yet."""
        part = self._in_work.get(index)
        if part is not None:
            self._in_work.move_to_end(index)
            return part
        while len(self._in_work) >= self._max_open:
            self._in_work.popitem(last=False)[1].suspend()
        part = self._parts.get(index)
        if part is None:
            directory = self._directory(split(entry.path)[0])
            part = self._parts[index] = PartFile(directory, entry.path, reserve)
        else:
            part.reopen(self._directories.get(part.parent))
        self._in_work[index] = part
        return part

    def _directory(self, path: str) -> Directory:
        """Open; made when it is missing."""
        try:
            return self._directories.get(path)
        except FileNotFoundError:
            if not path:
                raise
        parent, name = split(path)
        above = self._directory(parent)
        above.make_directory(name)
        self._made[path] = None
        self._note_change(above, parent)
        return self._directories.get(path)

    def _is_due(self) -> bool:
        return (
            len(self._waiting) >= self._group_files
            or self._waiting_bytes >= self._group_bytes
            or time.monotonic() - self._waiting_since >= self._group_s
        )

    def _commit(self, index: int, part: PartFile) -> Outcome:
        directory = self._directories.get(part.parent)
        part.check(directory)
        part.release(directory)
        self._note_change(directory, part.parent)
        outcome = self._placing.settle(
            index,
            part.path,
            directory,
            place=lambda name: directory.rename(part.part, name),
            replace=lambda: directory.replace(part.part, part.name),
        )
        if outcome.ok:
            part.suspend()
            del self._parts[index]
        else:
            self._drop(index)
        return outcome

    def _make_link(self, index: int, entry: Entry) -> Outcome:
        parent, name = split(entry.path)

        def replace() -> None:
            temporary = part_name(name)
            with suppress(FileNotFoundError):
                if stat.S_ISLNK(directory.lstat(temporary).st_mode):
                    directory.remove(temporary)  # left by a run that was killed here
            directory.make_link(temporary, entry.target, entry.mtime_ns)
            directory.replace(temporary, name)

        try:
            directory = self._directory(parent)
            self._note_change(directory, parent)
            return self._placing.settle(
                index,
                entry.path,
                directory,
                place=lambda free: directory.make_link(free, entry.target, entry.mtime_ns),
                replace=replace,
            )
        except OSError as error:
            return self._failure(index, error)

    def _finish_directories(self) -> list[Outcome]:
        """Directories that this run made get their own mode and time, the deepest first, as a parent may shut us out."""
        outcomes = []
        for path in _deepest_first(self._made):
            made = self._made.pop(path)
            index, outcome = made[0] if made else -1, None
            try:
                self._stamp(path, made)
                outcome = Outcome(index, FileStatus.DONE)
            except OSError as error:
                outcome = self._failure(index, error)
            if made:
                outcomes.append(outcome)
        try:
            self._syncer.everything()
        except OSError as error:
            self._reason(error)
        return outcomes

    def _stamp(self, path: str, made: tuple[int, Entry] | None) -> None:
        """Final mode and time of a directory; one that no entry stands for gets what mkdir would have given it."""
        directory = self._directories.get(path)
        mode = made[1].mode & 0o777 if made else 0o777
        directory.stamp(mode & ~self._umask, made[1].mtime_ns if made else None)
        if not self._syncer.covers(directory.stat().st_dev):
            directory.sync()

    def _leave_directory(self, path: str) -> None:
        """The transfer ends early: remove an empty directory that it made, and leave no other behind closed doors."""
        parent, name = split(path)
        # What cannot be removed or changed stays as it is: there is nothing left to do about it.
        with suppress(OSError):
            try:
                self._directories.get(parent).remove_directory(name)
            except OSError:
                self._stamp(path, self._made[path])

    def _note_change(self, directory: Directory, path: str) -> None:
        if path not in self._changed:
            self._changed[path] = directory.stat().st_dev

    def _sync_changed(self) -> None:
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

    def _drop(self, index: int) -> None:
        """Forget a file, and remove what there is of it."""
        self._in_work.pop(index, None)
        self._waiting.pop(index, None)
        if (part := self._parts.pop(index, None)) is None:
            return
        # A part file that cannot be removed does no harm: the next run replaces it.
        with suppress(OSError):
            try:
                part.discard(self._directories.get(part.parent))
            finally:
                part.suspend()

    def _failure(self, index: int, error: Exception) -> Outcome:
        self._drop(index)
        return Outcome(index, FileStatus.FAILED, self._reason(error))

    def _reason(self, error: Exception) -> str:
        """Why one entry cannot be stored. Raises LocalFileError when it is not about one entry."""
        shown = self._root.shown
        if isinstance(error, PartLocked):
            raise LocalFileError(
                f"another p2pcopy is writing {display(str(error))} in {shown}",
                "Wait until it has finished, or choose another place with --output.",
            ) from error
        if not isinstance(error, OSError):
            return str(error)
        if (failure := faults.fatal(error, shown)) is not None:
            raise failure from error
        if isinstance(error, FileNotFoundError) and self._root.is_gone():
            raise faults.gone(shown) from error
        if isinstance(error, NotADirectoryError):
            return no_way().reason
        return faults.reason(error)


def _deepest_first(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.count("/"), reverse=True)


def _spare_descriptors() -> int:
    """How many files may wait open for their commit: a quarter of what the system allows this process."""
    allowed = _WINDOWS_DESCRIPTORS
    if sys.platform != "win32":
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return sys.maxsize
    return max(1, allowed // 4)
