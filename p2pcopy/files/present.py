"""What is at the destination before an entry comes: what is in its way, and what an earlier run has done for it already."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from dataclasses import replace

from p2pcopy.config import Existing
from p2pcopy.events import FileStatus, Mark
from p2pcopy.files import journalfile
from p2pcopy.files.comparing import find_same
from p2pcopy.files.dirs import Directory, OpenDirectories, split
from p2pcopy.files.journal import JournalFault
from p2pcopy.files.journalfile import Journaling
from p2pcopy.files.parts import PartFile
from p2pcopy.files.placing import Placing, clash, is_as_long, no_way
from p2pcopy.files.plain import PartLocked, journal_name, part_name
from p2pcopy.files.resume import fits, take_up
from p2pcopy.transfer.held import Digests
from p2pcopy.transfer.items import Clash, Obstacle, Outcome, Useless
from p2pcopy.transfer.wire import Entry, Kind


class Present:
    """owner: of what this process makes; stopped: ends what reads for long, with Interrupted.

    reason: tells why an error concerns one entry only, and raises LocalFileError when it does not.
    """

    def __init__(
        self,
        directories: OpenDirectories,
        placing: Placing,
        *,
        checksum: bool,
        journaling: Journaling,
        owner: int,
        stopped: threading.Event,
        reason: Callable[[Exception], str],
    ) -> None:
        self._directories = directories
        self._placing = placing
        self._checksum = checksum
        self._journaling = journaling
        self._owner = owner
        self._stopped = stopped
        self._reason = reason

    def clash(self, entry: Entry) -> Clash | None:
        """What is in the way of an entry, or makes it needless. Changes nothing."""
        parent, name = split(entry.path)
        try:
            directory = self._directories.get(parent)
            found = clash(entry, name, directory, checksum=self._checksum)
            return found if found is None else self._by_other_names(entry, found, directory)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return no_way()
        except OSError as error:
            return Clash(Obstacle.NAME, self._reason(error), hopeless=True)

    def mark(self, entry: Entry, found: Clash | None) -> Mark:
        """What becomes of an entry under the policy of now. found: by clash(). Changes nothing."""
        if found is None:
            return {True: Mark.BEGUN, False: Mark.STALE, None: Mark.NEW}[self._fits(entry)]
        if found.hopeless:
            return Mark.FAILS
        if found.same:
            return Mark.SAME
        if self._placing.gives_way:
            if self._placing.keeps_out(found.obstacle):
                return Mark.FAILS
            if self._fits(entry):
                return Mark.BEGUN_EXISTS
        return Mark.COMPARED if found.compare else Mark.EXISTS

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        """The outcome of an entry that is not stored because of what is there; None when it is, or its content decides."""
        found = self.clash(entry)
        if found is None:
            return None
        outcome = self._there_already(index, entry) if found.same else self._placing.refuses(index, found)
        if outcome is not None and outcome.status is FileStatus.SKIPPED and self.may_be_resumed(entry):
            self._remove_orphan(entry)
        return outcome

    def may_be_resumed(self, entry: Entry) -> bool:
        """Whether it is worth a journal."""
        return entry.kind is Kind.FILE and entry.size is not None and entry.size >= self._journaling.from_size

    def part_bytes(self, entry: Entry) -> int:
        """What an old part file of an entry takes on the disk."""
        if not self.may_be_resumed(entry):
            return 0
        parent, name = split(entry.path)
        try:
            found = self._directories.get(parent).lstat(part_name(name))
        except OSError:
            return 0
        return getattr(found, "st_blocks", 0) * 512 if stat.S_ISREG(found.st_mode) else 0

    def same_size(self, entry: Entry, block_size: int) -> tuple[str, Digests] | None:
        """The name and all blocks of a file that may have the content of an entry, with checksum only.

        It is at the entry's own name, or at one with a number where RENAME may have given it that.
        """
        if not self._checksum or not entry.size:
            return None
        try:
            directory = self._directories.get(split(entry.path)[0])
            candidates = self._placing.candidates(entry.path, directory)
            return find_same(directory, candidates, entry, block_size, self._stopped)
        except OSError as error:
            self._reason(error)
            return None

    def unfinished(self, index: int, entry: Entry, block_size: int) -> tuple[PartFile, Digests] | Useless | None:
        """The open part file that an earlier run has left of an entry, and the blocks in it that count."""
        if not self.may_be_resumed(entry):
            return None
        try:
            directory = self._directories.get(split(entry.path)[0])
            return take_up(directory, entry, self._owner, block_size, self._journaling, self._stopped)
        except JournalFault as fault:
            return Useless(index, str(fault))
        except (OSError, PartLocked) as error:
            self._reason(error)
            return None

    def _fits(self, entry: Entry) -> bool | None:
        if not self.may_be_resumed(entry):
            return None
        try:
            return fits(self._directories.get(split(entry.path)[0]), entry)
        except OSError:
            return None  # who wants to go on with it finds out what is wrong

    def _by_other_names(self, entry: Entry, found: Clash, directory: Directory) -> Clash:
        """The same, with what an earlier run may have stored under a name with a number. Raises OSError."""
        if found.same or found.hopeless or self._placing.existing is not Existing.RENAME:
            return found
        if self._placing.there_already(0, entry, directory, checksum=self._checksum) is not None:
            return replace(found, same=True, compare=False)
        alike = (is_as_long(entry, other) for _, other in self._placing.candidates(entry.path, directory))
        return replace(found, compare=self._checksum and any(alike))

    def _there_already(self, index: int, entry: Entry) -> Outcome | None:
        try:
            directory = self._directories.get(split(entry.path)[0])
            return self._placing.there_already(index, entry, directory, checksum=self._checksum)
        except OSError as error:
            return Outcome(index, FileStatus.FAILED, self._reason(error))

    def _remove_orphan(self, entry: Entry) -> None:
        """The journal of a run that was killed after it gave the file its name, and before it removed this, or its part file."""
        parent, name = split(entry.path)
        try:
            directory = self._directories.get(parent)
            directory.finish_rename(part_name(name), name)
            try:
                directory.lstat(part_name(name))
            except FileNotFoundError:
                journalfile.remove(directory, journal_name(name), self._owner)
        except OSError as error:
            self._reason(error)
