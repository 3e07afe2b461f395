"""The program in this process, attacked at every step of its conversation."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hostile import contents, grants, joined, manifests, offers, races, receivers, resumes, senders
from hostile.case import Case
from hostile.verdict import Scene

# Cases of a kind in one test: what pytest does around each would take longer than they do.
GROUPS: dict[str, list[Case]] = defaultdict(list)
for source in (offers, manifests, senders, contents, grants, receivers, resumes, races):
    for each in source.cases():
        if each.here:
            GROUPS[each.group].append(each)


@pytest.mark.timeout(600)  # each case has a bound of its own
@pytest.mark.parametrize("group", GROUPS)
def test_it_holds(group: str, record_property: Callable[[str, object], None]) -> None:
    failed = {}
    for case in GROUPS[group]:
        try:
            _play(case, record_property)
        except (AssertionError, OSError, RuntimeError) as error:  # a TimeoutError is an OSError
            failed[str(case)] = f"{type(error).__name__}: {error}"
    assert not failed, "\n\n".join(f"{name}\n{why}" for name, why in failed.items())


def _play(case: Case, record_property: Callable[[str, object], None]) -> None:
    with TemporaryDirectory(prefix="hostile-") as directory:
        scene = Scene(case, Path(directory))
        outcome = asyncio.run(joined.play(case, Path(directory)))
        record_property("hostile", (str(case), outcome.seconds, outcome.peak))
        scene.check(outcome)


def test_no_case_has_the_name_of_another() -> None:
    names = [str(case) for group in GROUPS.values() for case in group]
    assert len(names) == len(set(names))
