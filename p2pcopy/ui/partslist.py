"""What unfinished transfers have left, as lines of text. Pure; text from outside is escaped here."""

from __future__ import annotations

import shlex

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.quantities import count, duration, share, size
from p2pcopy.ui import wording


def as_text(event: events.Unfinished | events.UnfinishedTotal | events.Note) -> str:
    """One line or several, with their ends."""
    match event:
        case events.Unfinished():
            return f"{display(event.path)}  {', '.join(_facts(event))}\n"
        case events.UnfinishedTotal():
            return "".join(f"{line}\n" for line in _total(event))
        case events.Note():
            return f"note: {display(event.path)}: {wording.sentence(event.reason)}\n"


def _facts(found: events.Unfinished) -> list[str]:
    there = f"{size(found.bytes_on_disk)} to be sent again"
    if found.bytes_total is not None:
        there = f"{share(found.bytes_there, found.bytes_total)} there"
    states = [state for state, holds in (("in use", found.in_use), ("removed", found.removed)) if holds]
    return [there, f"changed {duration(found.age_s)} ago", *states]


def _total(total: events.UnfinishedTotal) -> list[str]:
    lines = []
    if total.files_removed:
        lines.append(
            f"Removed {count(total.files_removed, 'unfinished file')}, {size(total.bytes_removed)} on the disk."
        )
    if total.files:
        lines.append(f"{count(total.files, 'unfinished file')}, {size(total.bytes_on_disk)} on the disk.")
        lines.append("To go on with them, run the same two commands again, with fresh codes.")
        lines.append(f"To remove them: p2pcopy parts {_argument(total.directory)} --remove")
    return lines or ["No unfinished files."]


def _argument(path: str) -> str:
    """As a shell takes it; what cannot be typed is escaped all the same."""
    return display(shlex.quote(path))
