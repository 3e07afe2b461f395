"""The questions that a person is asked."""

from __future__ import annotations

import pytest

from p2pcopy import events
from p2pcopy.config import Existing
from p2pcopy.ui.question import (
    confirm_question,
    existing_question,
    parse_confirm,
    parse_existing,
    parse_save,
    save_question,
)


def manifest(**changes: object) -> events.Manifest:
    counts = dict.fromkeys(("files", "directories", "links", "bytes", "streams", "existing", "same"), 0)
    return events.Manifest(**(counts | {"policy": "ask", "destination": "/in"} | changes), entries=())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offered", "question"),
    [
        (manifest(files=12, bytes=285 * 1024**2, directories=3), "Save 12 files (285.0 MiB) into /in? [y/N] "),
        (manifest(files=1, streams=1), "Save 1 file (size unknown) into /in? [y/N] "),
        (manifest(files=2, bytes=5, streams=1), "Save 2 files (5 B and 1 file of unknown size) into /in? [y/N] "),
        (manifest(directories=1), "Save 1 directory into /in? [y/N] "),
        (manifest(files=9, same=1), "Save 9 files (0 B) into /in, except 1 that is there already? [y/N] "),
        (manifest(links=3, same=3), "Save 3 links into /in, except 3 that are there already? [y/N] "),
        (manifest(directories=2, links=1), "Save 2 directories, 1 link into /in? [y/N] "),
        (manifest(), "Save 0 files (0 B) into /in? [y/N] "),
        (manifest(files=1, destination="a\x1b[2Jb"), "Save 1 file (0 B) into a\\x1b[2Jb? [y/N] "),
        (manifest(files=1, destination=""), "Save 1 file (0 B)? [y/N] "),
    ],
)
def test_save_question(offered: events.Manifest, question: str) -> None:
    assert save_question(offered, True) == question
    assert save_question(offered, False) == question.replace("[y/N]", "[y/N, l lists all]")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("y", True),
        (" YES\n", True),
        ("n", False),
        ("no", False),
        ("", False),
        ("\n", False),
        ("yy", None),
        ("1", None),
        ("l", "list"),
        ("List\n", "list"),
    ],
)
def test_save(text: str, meaning: object) -> None:
    assert parse_save(text) == meaning


def test_existing_question() -> None:
    alone = existing_question(manifest(files=1, existing=1))
    assert alone == "1 name is taken: [s]kip, re[n]ame, re[p]lace, [c]ancel? [C] "
    many = existing_question(manifest(files=1_000_000, existing=999_999))
    assert many.startswith("999,999 names are taken: ")
    assert len(many) < 80


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("s", Existing.SKIP),
        ("Skip\n", Existing.SKIP),
        ("n", Existing.RENAME),
        ("rename", Existing.RENAME),
        ("p", Existing.REPLACE),
        ("replace", Existing.REPLACE),
        ("e", Existing.RESUME),
        ("resume", Existing.RESUME),
        ("c", "cancel"),
        ("", "cancel"),
        ("r", None),
        ("re", None),
        ("x", None),
    ],
)
def test_existing(text: str, meaning: object) -> None:
    assert parse_existing(text) == meaning


def test_numbers_are_the_same_only_when_somebody_says_so() -> None:
    assert confirm_question("1234 5678 9012") == "Does the other side show 1234 5678 9012? [y/N] "
    answers = {"y": True, " Yes ": True, "": False, "n": False, "NO": False, "l": None, "1234 5678 9012": None}
    assert {text: parse_confirm(text) for text in answers} == answers
