"""A small part of `make faults`: kinds of faults, each once, at a moment that a seed gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.injections import DATAGRAMS
from faults.kinds import KINDS, Kind
from faults.place import bench
from faults.trial import Bench

SEED = 7
# The others wait for as long as these.
SOME = [kind for kind in KINDS if kind.calls != DATAGRAMS and not kind.slow_peer]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("faults")) as place:
        yield place


@pytest.mark.lab
@pytest.mark.timeout(400)  # two transfers, however long a busy machine takes for them
@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("kind", SOME, ids=lambda kind: kind.name)
def test_nothing_is_lost_and_the_exit_codes_tell_the_truth(here: Bench, kind: Kind) -> None:
    verdict = here.run(kind, SEED, share=0.5)
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.struck, "the moment did not come"
