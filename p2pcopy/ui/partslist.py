"""What unfinished transfers have left, as lines of text. Pure; text from outside is escaped here."""

from __future__ import annotations

import shlex

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.quantities import count, duration, share, size
from p2pcopy.ui import wording


def as_text(event: events.Unfinished | events.UnfinishedTotal | events.Note, *, removing: bool) -> str:
    """One line or several, with their ends. removing: what is listed is to be removed."""
    match event:
        case events.Unfinished():
            return f"{display(event.file or event.path)}  {', '.join(_facts(event))}\n"
        case events.UnfinishedTotal():
            return "".join(f"{line}\n" for line in _total(event, removing=removing))
        case events.Note():
            return f"note: {display(event.path)}: {wording.sentence(event.reason)}\n"


def _facts(found: events.Unfinished) -> list[str]:
    there = f"to be sent again from its beginning, {size(found.bytes_on_disk)} on the disk"
    if found.bytes_total is not None:
        there = f"{share(found.bytes_there, found.bytes_total)} there"
    whose = [] if found.file else ["of a file with a longer name"]
    states = [state for state, holds in (("in use", found.in_use), ("removed", found.removed)) if holds]
    return [*whose, there, f"changed {duration(found.age_s)} ago", *states]


def _total(total: events.UnfinishedTotal, *, removing: bool) -> list[str]:
    lines = []
    if total.files_removed:
        lines.append(
            f"Removed {count(total.files_removed, 'unfinished file')}, {size(total.bytes_removed)} on the disk."
        )
    if total.files:
        stays = "Not removed: " if removing else ""
        lines.append(f"{stays}{count(total.files, 'unfinished file')}, {size(total.bytes_on_disk)} on the disk.")
    if total.files_in_use:
        lines.append(f"In use: {total.files_in_use:,}; a transfer is running there, so nothing of it is removed now.")
    if total.files_younger:
        lines.append(f"Younger than that, and left alone: {count(total.files_younger, 'unfinished file')}.")
    if total.files > total.files_in_use:
        lines.append("To go on with them, run the same two commands again, with fresh codes.")
        if not removing:
            lines.append(f"To remove them: p2pcopy parts {_argument(total.directory)} --remove")
    return lines or ["No unfinished files."]


def _argument(path: str) -> str:
    """As a shell takes it; what cannot be typed is escaped all the same."""
    return display(shlex.quote(path))
