"""The questions that a person is asked, and what an answer means. Pure; reading the line is the app's job."""

from __future__ import annotations

from typing import Literal

from p2pcopy import events
from p2pcopy.config import Existing
from p2pcopy.files.names import display
from p2pcopy.quantities import count
from p2pcopy.ui import wording

_EXISTING: dict[str, Existing | Literal["cancel"]] = {
    "": "cancel",
    "c": "cancel",
    "cancel": "cancel",
    "s": Existing.SKIP,
    "skip": Existing.SKIP,
    "n": Existing.RENAME,
    "rename": Existing.RENAME,
    "p": Existing.REPLACE,
    "replace": Existing.REPLACE,
    "e": Existing.RESUME,
    "resume": Existing.RESUME,
}

_SAVE: dict[str, bool | Literal["list"]] = {
    "": False,
    "n": False,
    "no": False,
    "y": True,
    "yes": True,
    "l": "list",
    "list": "list",
}


def save_question(manifest: events.Manifest, all_shown: bool) -> str:
    """ "Save 12 files (285.0 MiB) into DIR, except 2 that are there already? [y/N] ".

    all_shown: the user has seen every entry, or else a list is offered.
    """
    into = f" into {display(manifest.destination)}" if manifest.destination else ""
    there = (
        f", except {manifest.same:,} that {'is' if manifest.same == 1 else 'are'} there already"
        if manifest.same
        else ""
    )
    return f"Save {wording.contents(manifest)}{into}{there}? [y/N{'' if all_shown else ', l lists all'}] "


def parse_save(text: str) -> bool | Literal["list"] | None:
    """Nothing but Enter means no; None: none of the answers, so ask again."""
    return _SAVE.get(text.strip().lower())


def existing_question(manifest: events.Manifest) -> str:
    """Asked when names are taken by other files."""
    taken = f"{count(manifest.existing, 'name')} {'is' if manifest.existing == 1 else 'are'} taken"
    return f"{taken}: [s]kip, re[n]ame, re[p]lace, [c]ancel? [C] "


def parse_existing(text: str) -> Existing | Literal["cancel"] | None:
    """The choice, by its letter or its word. Nothing but Enter cancels; "r" alone could be two things, so it is None: ask again."""
    return _EXISTING.get(text.strip().lower())


def confirm_question(number: str) -> str:
    """Asked before anything is sent. number: of this side."""
    return f"Does the other side show {number}? [y/N] "


def parse_confirm(text: str) -> bool | None:
    """Nothing but Enter means no; None: none of the answers, so ask again."""
    answer = parse_save(text)
    return None if answer == "list" else answer
