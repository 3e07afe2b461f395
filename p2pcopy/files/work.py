"""The part files of a transfer: as many as one likes, few of them open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from p2pcopy.files.dirs import OpenDirectories
from p2pcopy.files.parts import PartFile


class PartFiles:
    """By the index of their entry. most: how many that are in work have an open descriptor; whole ones keep theirs."""

    def __init__(self, directories: OpenDirectories, most: int) -> None:
        self._directories = directories
        self._most = most
        self._parts: dict[int, PartFile] = {}
        self._open: OrderedDict[int, PartFile] = OrderedDict()  # in work, the least used first

    def __contains__(self, index: int) -> bool:
        return index in self._parts

    def get(self, index: int, make: Callable[[], PartFile]) -> PartFile:
        """Open; made when there is none yet. Raises OSError, PartFault, PartLocked, as make and PartFile.reopen() do."""
        part = self._open.get(index)
        if part is not None:
            self._open.move_to_end(index)
            return part
        while len(self._open) >= self._most:
            self._open.popitem(last=False)[1].suspend()
        part = self._parts.get(index)
        if part is None:
            part = self._parts[index] = make()
        else:
            part.reopen(self._directories.get(part.parent))
        self._open[index] = part
        return part

    def whole(self, index: int) -> PartFile:
        """Nothing more will be written to this open one."""
        return self._open.pop(index)

    def placed(self, index: int) -> None:
        """It has its final name."""
        self._parts.pop(index).close()

    def drop(self, index: int) -> None:
        """Forget a file, and remove what there is of it."""
        self._open.pop(index, None)
        if (part := self._parts.pop(index, None)) is None:
            return
        # A part file that cannot be removed does no harm: the next run replaces it.
        with suppress(OSError):
            try:
                part.discard(self._directories.get(part.parent))
            finally:
                part.close()

    def leave(self, index: int) -> None:
        """Forget a file; what the next run can go on with stays."""
        part = self._parts.get(index)
        if part is None or not part.is_resumable:
            self.drop(index)
            return
        self._open.pop(index, None)
        self._parts.pop(index).close()

    def leave_all(self) -> None:
        for index in list(self._parts):
            self.leave(index)
