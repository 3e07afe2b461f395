"""docs/terminals.svg: both sides of one transfer, side by side, as they were on two terminals."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol

from lab import Lab, Topology

from screens.drawing import Window, drawing
from screens.stage import Shot, stage
from screens.stories import holiday

PICTURE = Path(__file__).parents[2] / "docs" / "terminals.svg"
COLUMNS, ROWS = 58, 30
TOPOLOGY = Topology.LAN
SEND, RECEIVE = "p2pcopy send holiday notes.txt", "p2pcopy receive {code}"
DESCRIPTION = "Two terminals: one sends a directory and a file and shows a code, the other one receives them with it."
TITLES = {"ada": "ada's laptop", "ben": "ben's laptop"}


class Terminal(Protocol):
    """One of the two, with a shell that waits for a command."""

    def runs(self, command: str) -> None: ...
    def code(self) -> str: ...
    def until_seen(self, text: str) -> list[str]: ...
    def enter(self, text: str) -> None: ...
    def until_ready(self) -> object: ...


def play(ada: Terminal, ben: Terminal) -> None:
    """A directory and a file go from ada to ben."""
    ada.runs(SEND)
    ada.until_seen("On the other machine")
    ben.runs(RECEIVE.format(code=ada.code()))
    ben.until_seen("[y/N]")
    ben.enter("y")
    ben.until_ready()
    ada.until_ready()


def draw() -> None:
    """Play it in the laboratory and write the picture. Needs root and tmux."""
    with (
        tempfile.TemporaryDirectory(prefix="p2pcopy-picture-") as folder,
        stage(Lab(TOPOLOGY), Path(folder), columns=COLUMNS, rows=ROWS) as here,
    ):
        holiday(here.ada)
        play(here.ada, here.ben)
        here.shoot("The end")
    PICTURE.write_text(drawing([_window(shot) for shot in here.shots], COLUMNS, DESCRIPTION), encoding="utf-8")


def _window(shot: Shot) -> Window:
    """Without the empty rows at its end."""
    full = max(number for number, row in enumerate(shot.rows, 1) if row.strip())
    return Window(TITLES[shot.who], shot.colored[:full])
