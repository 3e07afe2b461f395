"""Reading a finished file, so that the sender can compare it with its own."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable

from p2pcopy.files.dirs import Directory
from p2pcopy.files.placing import is_as_long, is_same
from p2pcopy.files.readback import Readback
from p2pcopy.transfer.held import MOST_OF_A_FILE, Digests, told_cost
from p2pcopy.transfer.wire import Entry


def find_same(
    directory: Directory,
    candidates: Iterable[tuple[str, os.stat_result]],
    entry: Entry,
    block_size: int,
    stopped: threading.Event,
) -> tuple[str, Digests] | None:
    """The name and all blocks of the one file that may have the entry's content: as long as it, best with the entry's time too.

    None when there is no such file, or it cannot be read, or has more blocks than a sender takes. Raises OSError, Interrupted.
    """
    size = entry.size or 0
    alike = [(not is_same(entry, found), name) for name, found in candidates if is_as_long(entry, found)]
    if not alike or told_cost(-(-size // block_size)) > MOST_OF_A_FILE:
        return None
    _, name = min(alike, key=lambda pair: pair[0])
    digests = _digests(directory, name, size, block_size, stopped)
    return None if digests is None else (name, digests)


def _digests(directory: Directory, name: str, size: int, block_size: int, stopped: threading.Event) -> Digests | None:
    try:
        fd = directory.open(name, read_only=True)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        readback = Readback(fd, size, block_size, stopped)
        digests = Digests()
        for number in range(-(-size // block_size)):
            digest = readback.digest(number)
            if digest is None:
                return None
            digests.append(number, digest)
        return digests
    finally:
        os.close(fd)
