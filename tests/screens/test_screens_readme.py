"""README.md: what it tells to type is typed, word for word, at two terminals, and what it shows is what is seen there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from installs.__main__ import WAYS
from lab import Coturn, Lab, Nat

from screens import picture
from screens.stage import HOME, Stage, stage
from screens.stories import both_ready, holiday, on_a_lan

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"),
        reason="tmux is needed for a terminal without a screen",
    ),
]
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECRET = "change-me"
SSH = """#!/bin/sh
[ "$1" = alpha ] && shift && cd {directory} && exec {place} sh -c "$*"
"""


def blocks(text: str, language: str = "bash") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def section(title: str) -> str:
    (found,) = re.findall(rf"^##+ {title}\n(.*?)(?=^##|\Z)", README, re.MULTILINE | re.DOTALL)
    return str(found)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def given(here: Stage, sends: str, receives: str, *, asked: bool = True) -> None:
    """ada types one command and ben the other, with her code, and y when he is asked."""
    here.ada.runs(sends)
    here.ada.until_seen("On the other machine")
    here.ben.runs(receives.replace("CODE", here.ada.code()))
    if asked:
        here.ben.until_seen("[y/N]")
        here.ben.enter("y")


def files(here: Stage, typed: list[str]) -> None:
    sends, receives, receives_first, answers = typed
    assert (sends, receives) == (picture.SEND, picture.RECEIVE.format(code="CODE"))
    picture.play(here.ada, here.ben)
    assert contents(here.ben.files) == contents(here.ada.files)
    drawn = in_the_picture()
    for person in (here.ada, here.ben):
        assert masked(drawn[picture.TITLES[person.name]]) == masked(person.screen())
    for person in (here.ada, here.ben):
        person.clears()
    here.ben.runs(receives_first)
    here.ben.until_seen("On the other machine")
    here.ada.runs(answers.replace("CODE", here.ben.code()))
    here.ben.until_seen("[y/N]")
    here.ben.enter("y")
    both_ready(here)
    assert contents(here.ben.files / "incoming" / "holiday") == contents(here.ada.files / "holiday")


def over_ssh(here: Stage, typed: list[str]) -> None:
    (sends,) = typed
    alpha = here.ada.files.parent / "alpha"
    alpha.mkdir()
    ssh = here.ada.files.parents[1] / "bin" / "ssh"
    ssh.write_text(SSH.format(directory=f"{HOME}/alpha", place=shlex.join(here.lab.command("b"))))
    ssh.chmod(0o755)
    here.ada.runs(sends)
    here.ada.until_seen("Sent 2 files")
    here.ada.until_ready()
    assert contents(alpha / "inbox" / "holiday") == contents(here.ada.files / "holiday")


def through_pipes(here: Stage, typed: list[str]) -> None:
    given(here, *typed, asked=False)
    both_ready(here)
    assert contents(here.ben.files / "holiday") == contents(here.ada.files / "holiday")


def through_firewalls(here: Stage, typed: list[str]) -> None:
    (here.ada.files / "turn-secret").write_text(f"{SECRET}\n")
    given(here, *typed)
    both_ready(here)
    for person in (here.ada, here.ben):
        person.until_seen("Path: relayed")
    assert contents(here.ben.files / "holiday") == contents(here.ada.files / "holiday")


def it_broke(here: Stage, typed: list[str]) -> None:
    shutil.rmtree(here.ada.files / "holiday")
    holiday(here.ada, 32)
    here.limit(24)
    given(here, *typed)
    here.ben.until(lambda rows: any(re.search(r"[2-9]\.0 MiB of 32\.0 MiB", row) for row in rows))
    here.ben.press("C-c")
    both_ready(here)
    for person in (here.ada, here.ben):
        person.clears()
    here.limit(1000)
    given(here, *typed)
    both_ready(here)
    (shown,) = blocks(section("It broke"), "")
    for person in (here.ada, here.ben):
        assert [row.rstrip() for row in person.screen() if like(row.rstrip()) == like(shown)]
    assert contents(here.ben.files / "holiday") == contents(here.ada.files / "holiday")


def like(line: str) -> str:
    return re.sub(r"\d+", "0", line)


def behind_firewalls(folder: Path) -> AbstractContextManager[Stage]:
    lab = Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)
    return stage(lab, folder, Coturn(Lab.SERVER, lab=lab, secret=SECRET))


def at_the_size_of_the_picture(folder: Path) -> AbstractContextManager[Stage]:
    return stage(Lab(picture.TOPOLOGY), folder, columns=picture.COLUMNS, rows=picture.ROWS)


RECIPES: dict[str, tuple[Callable[[Path], AbstractContextManager[Stage]], Callable[[Stage, list[str]], None]]] = {
    "Files and directories": (at_the_size_of_the_picture, files),
    "Over ssh, without carrying a code": (on_a_lan, over_ssh),
    "Through pipes": (on_a_lan, through_pipes),
    "Through firewalls": (behind_firewalls, through_firewalls),
    "It broke": (on_a_lan, it_broke),
}


@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[pytest.mark.coturn] * (title == "Through firewalls")) for title in RECIPES]
)
def test_the_recipe_works(tmp_path: Path, title: str) -> None:
    opens, plays = RECIPES[title]
    with opens(tmp_path) as here:
        holiday(here.ada)
        plays(here, blocks(section(title)))


def test_nothing_that_can_be_copied_is_left_out() -> None:
    installs = blocks(section("Install"))
    assert set(installs) <= set(WAYS)
    recipes = [block for title in RECIPES for block in blocks(section(title))]
    assert blocks(README) == installs + recipes
    assert len(blocks(README, "")) == len(blocks(section("It broke"), ""))
    assert README.count("```") == 2 * len(blocks(README) + blocks(README, ""))


# The picture


def masked(rows: list[str]) -> str:
    """In one line, without the QR code and what differs from run to run."""
    text = " ".join(re.sub("[▀▄█]", " ", " ".join(rows)).split())
    text = re.sub(r"[0-9A-Z]{20,}( [0-9A-Z]+\b)*", "CODE", text)
    text = re.sub(r"[\d.]+:\d+", "ADDRESS", text)
    return re.sub(r"[\d.]+ m?s( \([^)]*/s\))?", "TIME", text)


def in_the_picture() -> dict[str, list[str]]:
    """The rows of each window, by its title."""
    svg = ElementTree.parse(picture.PICTURE).getroot()
    tag = "{http://www.w3.org/2000/svg}"
    shown: dict[str, list[str]] = {}
    for window in svg.findall(f"{tag}g/{tag}g"):
        rows: dict[str, str] = {}
        for text in window.findall(f"{tag}g/{tag}text"):
            rows[text.attrib["y"]] = rows.get(text.attrib["y"], "") + (text.text or "")
        shown[window.findtext(f"{tag}text", "")] = list(rows.values())
    return shown
