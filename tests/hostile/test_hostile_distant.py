"""The program as a process of its own, attacked over a real connection: its memory is measured as well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import channels, contents, distant, grants, manifests, offers, races, receivers, resumes, senders
from hostile.case import DECLINED, Case, Receiving
from hostile.forging import entry, raw
from hostile.nonsense import EVIL
from hostile.rogue import Rogue
from hostile.verdict import Scene

pytestmark = pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is there VmHWM")

# Each takes more than a second of processor time: the test suite has to do with some of them, `python -m hostile` plays all.
EVERYTHING = "HOSTILE_EVERYTHING" in os.environ
_REAL = [
    case
    for source in (offers, manifests, senders, contents, grants, receivers, resumes, races, channels)
    for case in source.cases()
    if case.really and (EVERYTHING or not case.heavy)
]
CASES = _REAL if EVERYTHING else _REAL[::5]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_holds(case: Case, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    scene = Scene(case, tmp_path)
    outcome = asyncio.run(distant.play(case, tmp_path))
    record_property("hostile", (str(case), outcome.seconds, outcome.peak))
    scene.check(outcome)


async def _show_and_leave(rogue: Rogue) -> None:
    """Names to choose from, then a reason to leave, all of them nasty."""
    await rogue.greet()
    names = [
        EVIL.replace("\0", "").replace("/", ""),
        raw(b"\x9b31m\xff\x1b]0;rogue\x07"),
        "\x85\u2069[blink]x",
        "\x1b[6n\x1bP+q\x1b\\",
    ]
    rogue.offer([entry(path=name) for name in names])
    await rogue.hear("credit", "ping")
    rogue.say("abort", error="declined", message=EVIL)


def test_a_terminal_gets_nothing_but_what_the_program_draws(tmp_path: Path) -> None:
    case = Case("show names on a terminal", _show_and_leave, (DECLINED,), Receiving(asks=True), seconds=20)
    Scene(case, tmp_path)
    screen = asyncio.run(distant.seen(case, tmp_path))
    assert screen.count(rb"\x1b]0;rogue\x07") >= 3  # two names and the reason, as they are shown
    for planted in (
        b"\x1b]0;rogue",
        b"\x1b[2J\xc2",
        b"\x1b[6n",
        b"\x1bP",
        b"\x07",
        b"\x9b",
        b"\x85",
        "\u202e".encode(),
        "\u2069".encode(),
    ):
        assert planted not in screen, planted
