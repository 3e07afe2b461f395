"""Going on with what an earlier run left of a file: its part file and journal, believed only as far as they prove themselves."""

from __future__ import annotations

import os
import random
import stat
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from p2pcopy.files import journal, journalfile, plain
from p2pcopy.files.dirs import Directory, split
from p2pcopy.files.journal import Identity, Journal, JournalFault
from p2pcopy.files.journalfile import JournalFile, Journaling
from p2pcopy.files.parts import PartFile
from p2pcopy.files.plain import PartFault, journal_name, part_name
from p2pcopy.files.readback import Readback
from p2pcopy.transfer.held import Digests
from p2pcopy.transfer.wire import Entry

_SAMPLE: Final = 4  # besides the first and the last


def take_up(
    directory: Directory, entry: Entry, owner: int, block_size: int, settings: Journaling, stopped: threading.Event
) -> tuple[PartFile, Digests] | None:
    """The part file of an entry, open, and the blocks in it that count; None when there is nothing of use.

    Blocks that were on the disk at the last sync are believed when a sample of them fits; those written later are all read back.
    Raises JournalFault with the reason when there is something that cannot be used, PartLocked, Interrupted, OSError.
    """
    size = entry.size or 0
    name = split(entry.path)[1]
    with ExitStack() as opened:
        try:
            fd = plain.open_old(directory, part_name(name), owner)
            opened.callback(os.close, fd)
            journal_fd, found = journalfile.read(directory, journal_name(name), owner)
            opened.callback(os.close, journal_fd)
        except (FileNotFoundError, PermissionError, PartFault):
            # What is in the way of a new part file says so when that is made.
            return None
        found = _checked(found, plain.identity(fd), entry, block_size)
        good = _good_blocks(Readback(fd, size, block_size, stopped), found)
        if not found.synced and not good:
            return None
        resumed = JournalFile.resumed(journal_name(name), journal_fd, found, good, settings)
        part = PartFile.resumed(entry.path, owner, fd, size, resumed)
        opened.pop_all()
    return part, digests_of({**found.synced, **good})


def fits(directory: Directory, entry: Entry) -> bool | None:
    """Whether an entry would go on with what an earlier run has left of it, by its journal; None when there is nothing of use.

    A look only: take_up() may still find a damage. Raises OSError.
    """
    name = split(entry.path)[1]
    try:
        part = directory.lstat(part_name(name))
        header = journalfile.peek(directory, journal_name(name))
    except FileNotFoundError:
        return None
    except JournalFault:
        return False
    if header is None or not stat.S_ISREG(part.st_mode):
        return None
    found = header.size, header.mtime_ns, header.part.inode
    return found == (entry.size, entry.mtime_ns, part.st_ino & (2**64 - 1))


def digests_of(blocks: dict[int, bytes]) -> Digests:
    """In ascending order, whatever the order was."""
    digests = Digests()
    for number in sorted(blocks):
        digests.append(number, blocks[number])
    return digests


def _checked(found: Journal, part: Identity, entry: Entry, block_size: int) -> Journal:
    """The journal, when it is about this entry and this part file. Raises JournalFault."""
    header = found.header
    if (header.size, header.mtime_ns) != (entry.size, entry.mtime_ns):
        raise JournalFault("the sender has another version of it now")
    if header.block_size != block_size:
        raise JournalFault("it was sent in blocks of another size")
    if header.part != part:
        raise JournalFault("its journal belongs to another part file")
    if part.birth is None:
        # This may be a later file with the same inode number: everything has to be read back.
        everything = {**found.synced, **found.written}
        return replace(found, synced={}, written=everything, synced_end=journal.beginning(header)[1])
    return found


def _good_blocks(readback: Readback, found: Journal) -> dict[int, bytes]:
    """Those that fit of the blocks written after the last sync. Raises JournalFault when one from before it does not."""
    numbers = sorted(found.synced)
    sample = {*numbers[:1], *numbers[-1:], *random.sample(numbers, min(_SAMPLE, len(numbers)))}
    if any(readback.digest(number) != found.synced[number] for number in sorted(sample)):
        raise JournalFault("its part file does not hold what its journal says")
    return {number: digest for number, digest in sorted(found.written.items()) if readback.digest(number) == digest}
