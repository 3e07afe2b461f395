"""`p2pcopy parts`: what unfinished transfers have left of files, and how to go on with it or be rid of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from p2pcopy import events
from p2pcopy.config import PartsSettings
from p2pcopy.errors import ExitCode
from p2pcopy.files import faults, leftovers
from p2pcopy.ui import partslist
from p2pcopy.ui.jsonlines import to_json
from p2pcopy.ui.screen import Out


def run_parts(settings: PartsSettings, show: Callable[[str], None]) -> ExitCode:
    """List, and remove if that is wanted. show: writes text to standard output.

    LOCAL when a part of the directory could not be read, or something could not be removed. Raises LocalFileError when all of it
    cannot be read, or standard output not be written.
    """
    out, complaints = Out(sys.stdout), Out(sys.stderr)
    complete = True
    for event in _events(settings):
        complete = complete and not isinstance(event, events.Note)
        if settings.json:
            show(to_json(event) + "\n")
        elif isinstance(event, events.Note):
            complaints.write(partslist.as_text(event, removing=settings.remove))
        else:
            show(out.encodable(partslist.as_text(event, removing=settings.remove)))
    return ExitCode.OK if complete else ExitCode.LOCAL


def _events(settings: PartsSettings) -> Iterator[events.PartsEvent]:
    left = removed = left_bytes = removed_bytes = in_use = younger = 0
    now = time.time()
    for found in leftovers.find(settings.directory):
        if isinstance(found, leftovers.Unread):
            yield events.Note(found.path or ".", f"it could not be searched: {found.reason}")
            continue
        age_s = max(0.0, now - found.changed_s)
        if age_s < settings.older_s:
            younger += 1
            continue
        gone = False
        if settings.remove and not found.in_use:
            try:
                gone = leftovers.remove(settings.directory, found)
            except OSError as error:
                yield events.Note(found.path, f"it could not be removed: {faults.reason(error)}")
        if gone:
            removed += 1
            removed_bytes += found.taken
        else:
            left += 1
            left_bytes += found.taken
            in_use += found.in_use
        yield events.Unfinished(found.path, found.file, found.held, found.size, found.taken, age_s, found.in_use, gone)
    directory = str(Path(settings.directory).absolute())
    yield events.UnfinishedTotal(left, removed, left_bytes, removed_bytes, directory, in_use, younger)
