"""The program as a process of its own, attacked over a real connection: its memory is measured as well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import channels, contents, distant, grants, manifests, offers, races, receivers, resumes, senders
from hostile.case import Case
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
