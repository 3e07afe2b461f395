"""A directory as the destination: part files, commits in groups, and nothing touched that the user did not give up."""

from __future__ import annotations

import stat
import sys
import threading
import time
from contextlib import suppress
from typing import Final

from p2pcopy.config import MIB, Existing
from p2pcopy.errors import InternalError, LocalFileError
from p2pcopy.events import FileStatus, Mark
from p2pcopy.files import faults, native
from p2pcopy.files.dirs import OpenDirectories, split
from p2pcopy.files.entrylog import EntryLog
from p2pcopy.files.journalfile import Journaling
from p2pcopy.files.made import MadeDirectories
from p2pcopy.files.names import display
from p2pcopy.files.parts import PartFile
from p2pcopy.files.placing import Placing, no_way
from p2pcopy.files.plain import PartFault, PartLocked, part_name
from p2pcopy.files.present import Present
from p2pcopy.files.root import Root
from p2pcopy.files.sync import Syncer
from p2pcopy.files.work import PartFiles
from p2pcopy.files.writeback import Writeback
from p2pcopy.transfer.held import Held
from p2pcopy.transfer.items import Clash, Outcome, Useless
from p2pcopy.transfer.wire import Check, Entry, Kind

if sys.platform != "win32":
    import resource

_WINDOWS_DESCRIPTORS: Final = 512
_JOURNALING: Final = Journaling()


class DirectoryStore:
    """A Store below one directory; open() comes first.

    existing: what happens where a name is taken; ASK and REFUSE leave what is there and fail the entry.
    checksum: files of the same size are the same when their content is, whatever their times are.
    journaling: which files the next run can go on with in the middle.
    open_parts: how many files in work have open descriptors; the others are closed and opened again.
    group_files, group_bytes, group_s (seconds): a group of whole files is committed when it reaches one of them.
    Memory: nothing for a file that is neither in work nor waiting, about 300 bytes and its path for a directory made.
    """

    def __init__(
        self,
        root: str,
        *,
        existing: Existing = Existing.REFUSE,
        checksum: bool = False,
        journaling: Journaling = _JOURNALING,
        open_parts: int = 64,
        group_files: int = 512,
        group_bytes: int = 32 * MIB,
        group_s: float = 0.5,
    ) -> None:
        self._path = root
        self._placing = Placing(existing)
        self._checksum = checksum
        self._journaling = journaling
        self._block_size = 0
        self._max_open = open_parts
        self._group_files = group_files
        self._group_bytes = group_bytes
        self._group_s = group_s
        self._compared: dict[int, str] = {}  # with the name of the file whose content may be the entry's
        self._waiting: dict[int, PartFile] = {}  # whole, to be committed
        self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._placed: list[PartFile] = []
        self._failed: dict[int, Outcome] = {}
        self._links: EntryLog | None = None  # with the index of each in place of where it is
        self._writeback = Writeback()
        self._stopped = threading.Event()
        self._closed = True

    def open(self) -> None:
        """Make the directory if it is missing, and try whether it can be written. Raises LocalFileError."""
        self._root = Root(self._path)
        self._closed = False
        if not self._root.folds_names:  # there the name gate sees to it
            self._placing.began_ns = self._root.began_ns
        self._directories = OpenDirectories(self._root.directory)
        self._syncer = Syncer(self._root.directory)
        self._umask = native.umask()
        self._parts = PartFiles(self._directories, self._max_open)
        self._made = MadeDirectories(
            self._directories, self._syncer, umask=self._umask, owner=self._root.owner, reason=self._reason
        )
        self._present = Present(
            self._directories,
            self._placing,
            checksum=self._checksum,
            journaling=self._journaling,
            owner=self._root.owner,
            stopped=self._stopped,
            reason=self._reason,
        )
        self._group_files = min(self._group_files, _spare_descriptors())

    @property
    def folds_names(self) -> bool:
        """Whether names that differ in case or in Unicode normalization are one here. After open()."""
        return self._root.folds_names

    def free_bytes(self) -> int:
        """What this user may still write on the disk of the destination."""
        return self._root.free_bytes()

    def reusable_bytes(self, entry: Entry) -> int:
        return self._present.part_bytes(entry)

    def begin(self, block_size: int) -> None:
        self._block_size = block_size

    def resolve(self, existing: Existing) -> None:
        """What happens to entries whose names are taken."""
        self._placing.existing = existing

    def admit(self, index: int, entry: Entry) -> Clash | None:
        self._placing.expect(entry.path)
        return self._present.clash(entry)

    def mark(self, entry: Entry, clash: Clash | None) -> Mark:
        return self._present.mark(entry, clash)

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        return self._present.refuses(index, entry)

    def held(self, index: int, entry: Entry) -> Held | Useless | Outcome | None:
        if not self._block_size:
            return None
        same_size = self._present.same_size(entry, self._block_size)
        gives_way = self._placing.gives_way
        # What was being sent once, although a file was there, need not be compared again.
        left = self._present.unfinished(index, entry, self._block_size) if gives_way or same_size is None else None
        if isinstance(left, tuple):
            part, digests = left
            try:
                self._parts.get(index, lambda: part)
            except OSError as error:
                # Another file could not be set aside for it, or be closed: what is there of this one stays for the next run.
                part.close()
                return self._refused(index, error)
            return Held(index, digests)
        if same_size is not None:
            self._compared[index], digests = same_size
            return Held(index, digests, Check.ALL if gives_way else Check.ONLY)
        return left

    def start_over(self, index: int, entry: Entry) -> None:
        self._compared.pop(index, None)
        self._parts.drop(index)

    def write(
        self, index: int, entry: Entry, offset: int, *parts: bytes | memoryview, digest: bytes = b""
    ) -> Outcome | None:
        if index in self._failed:
            return None
        size = sum(map(len, parts))
        if (
            index in self._waiting
            or index in self._compared
            or offset < 0
            or (entry.size is not None and offset + size > entry.size)
        ):
            raise InternalError(f"a block at {offset} does not belong into entry {index}")
        try:
            # Space is reserved for files of several blocks; one block needs no help to stay in one piece.
            part = self._part(index, entry, entry.size if entry.size and entry.size > size else 0)
            part.write(offset, size, parts)
            self._write_back(part, offset, size)
            if self._block_size:
                part.record(offset // self._block_size, size, digest)
            if part.is_sync_due:
                part.sync(self._directories.get(part.parent))
        except (OSError, PartFault, PartLocked) as error:
            self._failed[index] = self._failure(index, error)
            return self._failed[index]
        return None

    def whole(self, index: int, entry: Entry, size: int) -> list[Outcome]:
        if (failed := self._failed.pop(index, None)) is not None:
            return [failed]
        if (name := self._compared.pop(index, None)) is not None:
            return [self._placing.same_content(index, entry.path, name)]
        if index in self._waiting or (size and index not in self._parts):
            raise InternalError(f"entry {index} was never begun, or is finished already")
        try:
            part = self._part(index, entry, 0)
            part.seal(size, entry.mode & 0o777 & ~self._umask, entry.mtime_ns)
        except (OSError, PartFault, PartLocked) as error:
            return [self._failure(index, error)]
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting[index] = self._parts.whole(index)
        self._waiting_bytes += size
        return self.flush() if self._is_due() else []

    def abandon(self, index: int, keep: bool = False) -> None:
        self._failed.pop(index, None)
        self._compared.pop(index, None)
        self._waiting.pop(index, None)
        if keep:
            self._parts.leave(index)
        else:
            self._parts.drop(index)

    def other(self, index: int, entry: Entry) -> list[Outcome]:
        if entry.kind is Kind.LINK:
            if self._links is None:
                self._links = EntryLog()
            self._links.append(entry, str(index))
            return []
        try:
            return [] if self._made.add(index, entry) else [Outcome(index, FileStatus.DONE)]
        except OSError as error:
            return [self._failure(index, error)]

    def flush(self) -> list[Outcome]:
        if not self._waiting:
            return []
        group, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        faulty = self._syncer.files(group.values())
        for part in faulty:
            part.distrust()
        outcomes = []
        for index, part in group.items():
            try:
                if part in faulty:
                    raise faulty[part]
                outcomes.append(self._commit(index, part))
            except (OSError, PartFault) as error:
                outcomes.append(self._failure(index, error))
        self._made.sync_changed()
        self._remove_journals()
        return outcomes

    def finish(self) -> list[Outcome]:
        outcomes = self.flush()
        if self._links is not None:
            outcomes += [self._make_link(int(index), entry) for entry, index in self._links]
            self._forget_links()
        self._made.sync_changed()
        outcomes += self._made.finish()
        self._root.sync()
        if self._root.is_gone():  # a name that was given in it is none any more
            raise faults.gone(self._root.shown)
        return outcomes

    def interrupt(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # Journals of files whose names are not on the disk yet stay: the next run needs them if the names get lost.
        self._placed.clear()
        self._parts.leave_all()
        self._made.leave()
        self._forget_links()
        self._directories.close()
        self._root.close()

    def _part(self, index: int, entry: Entry, reserve: int) -> PartFile:
        """The part file of an entry, open; made when there is none yet."""

        def make() -> PartFile:
            directory = self._made.get(split(entry.path)[0])
            part = PartFile.create(directory, entry.path, self._root.owner, reserve)
            if self._block_size and self._present.may_be_resumed(entry):
                part.keep_journal(directory, entry, self._block_size, self._journaling)
            return part

        return self._parts.get(index, make)

    def _write_back(self, part: PartFile, offset: int, size: int) -> None:
        """Raises LocalFileError: the system tells of an error once only, and it may be about any of the files in work."""
        try:
            self._writeback.wrote(part, offset, size)
        except OSError as error:
            raise faults.not_taken(error, self._root.shown) from error

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
        self._made.note_change(directory, part.parent)
        outcome = self._placing.settle(
            index,
            part.path,
            directory,
            place=lambda name: directory.rename(part.part, name),
            replace=lambda: directory.replace(part.part, part.name),
        )
        if outcome.ok:
            self._parts.placed(index)
            if part.has_journal:
                self._placed.append(part)
        else:
            self._parts.drop(index)
        return outcome

    def _remove_journals(self) -> None:
        """Of files whose final names are on the disk: earlier, a power failure could cost a whole file."""
        for part in self._placed:
            with suppress(OSError):
                part.discard_journal(self._directories.get(part.parent))
        self._placed.clear()

    def _forget_links(self) -> None:
        links, self._links = self._links, None
        if links is not None:
            links.close()

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
            directory = self._made.get(parent)
            self._made.note_change(directory, parent)
            return self._placing.settle(
                index,
                entry.path,
                directory,
                place=lambda free: directory.make_link(free, entry.target, entry.mtime_ns),
                replace=replace,
            )
        except OSError as error:
            return self._failure(index, error)

    def _refused(self, index: int, error: Exception) -> Outcome:
        """A file that has failed before anything of it came."""
        self._failed[index] = Outcome(index, FileStatus.FAILED, self._reason(error))
        return self._failed[index]

    def _failure(self, index: int, error: Exception) -> Outcome:
        reason = self._reason(error)  # what ends the transfer leaves all there is to the next run
        self._waiting.pop(index, None)
        self._parts.drop(index)
        return Outcome(index, FileStatus.FAILED, reason)

    def _reason(self, error: Exception) -> str:
        """Why one entry cannot be stored. Raises LocalFileError when it is not about one entry."""
        shown = self._root.shown
        if isinstance(error, PartLocked):
            raise LocalFileError(
                f"another p2pcopy is writing {display(str(error))} in {display(self._root.path)}",
                "It may be a run of yours that is stalled, or suspended with Ctrl-Z: look with jobs and pgrep -fl p2pcopy. "
                "Wait until it has finished or end it, or choose another place with --output.",
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


def _spare_descriptors() -> int:
    """How many files may wait open for their commit: a quarter of what the system allows this process."""
    allowed = _WINDOWS_DESCRIPTORS
    if sys.platform != "win32":
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return sys.maxsize
    return max(1, allowed // 4)
