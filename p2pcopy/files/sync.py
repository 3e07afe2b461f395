"""Getting many files and directories onto the disk with few disk flushes."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from p2pcopy.files import native
from p2pcopy.files.dirs import Directory
from p2pcopy.files.parts import PartFile

# Below it, single syncs are quick, and what other programs have written need not be waited for.
FEW: Final = 8


class Syncer:
    """Syncs below one root, which must have been opened before the first file: syncfs() tells of later errors only."""

    def __init__(self, root: Directory) -> None:
        self._root = root.fd
        self._device = root.stat().st_dev
        self._at_once = self._root is not None and native.can_sync_at_once(self._root)

    def files(self, parts: Collection[PartFile]) -> dict[PartFile, OSError]:
        """Data and metadata of these open part files are on the disk, but for those that are returned."""
        rest = list(parts)
        here = {part for part in parts if self.covers(part.device)}
        if len(here) > FEW and self.try_everything():
            rest = [part for part in parts if part not in here]
        if len(rest) > 1:
            for part in rest:
                _start(part)
        failures: dict[PartFile, OSError] = {}
        for part in rest:
            try:
                os.fsync(part.open_fd)
            except OSError as error:
                failures[part] = error
        if rest:
            try:
                native.flush_drive(rest[-1].open_fd)
            except OSError as error:
                failures |= dict.fromkeys(rest, error)
        return failures

    def covers(self, device: int) -> bool:
        """Whether everything() is as good as single syncs on this device."""
        return self._at_once and device == self._device

    def everything(self) -> None:
        """All that was changed on the root's file system is on the disk. Raises OSError; does nothing where it covers no device."""
        if self._at_once and self._root is not None:
            native.sync_file_system(self._root)

    def try_everything(self) -> bool:
        """As everything(), and whether it went well."""
        try:
            self.everything()
        except OSError:
            # It may be another program's file that failed: a sync of each of ours tells.
            return False
        return True


def _start(part: PartFile) -> None:
    try:
        native.start_writeback(part.open_fd, 0, 0)
    except OSError:
        # The fsync() that follows reports it as well.
        return
