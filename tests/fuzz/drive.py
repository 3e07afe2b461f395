"""One target for so many seconds, in this process: guided by coverage with atheris, or else at random with hypothesis."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from fuzz.catalogue import load
from fuzz.mutation import MAX_SIZE, mutations

MEMORY_MB: Final = 1024  # of the process; more is a find
INPUT_S: Final = 10  # for one input; more is a find


def is_guided() -> bool:
    return importlib.util.find_spec("atheris") is not None


def guided(name: str, seconds: int, found: Path) -> None:
    """Does not return. found: where new inputs and crashes go."""
    import atheris

    with atheris.instrument_imports(include=["p2pcopy"]):
        target = load(name)
    directory = found / "corpus"
    directory.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            name,
            f"-max_total_time={seconds}",
            f"-max_len={MAX_SIZE}",
            f"-timeout={INPUT_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={found}/",
            "-print_final_stats=1",
            "-verbosity=1",
            str(directory),
            str(target.corpus),
        ],
        target.one,
    )
    atheris.Fuzz()


def at_random(name: str, seconds: int, found: Path) -> None:
    """Ends with the first breach, made as small as hypothesis can."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    target = load(name)
    seeds = target.seeds()
    executions = 0
    end = time.monotonic() + seconds
    found.mkdir(parents=True, exist_ok=True)

    changed = st.integers(0, 2**32).map(lambda seed: next(mutations(seeds, 1, Random(seed))))

    @settings(
        max_examples=2000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(data=st.one_of(st.binary(max_size=MAX_SIZE), changed))
    def run(data: bytes) -> None:
        nonlocal executions
        executions += 1
        _kept_if_it_fails(target.one, data, found)

    try:
        while time.monotonic() < end:
            run()
    finally:
        print(f"stat::number_of_executed_units: {executions}", file=sys.stderr)


def _kept_if_it_fails(one: Callable[[bytes], None], data: bytes, found: Path) -> None:
    try:
        one(data)
    except Exception:
        (found / "crash-shrunk").write_bytes(data)  # the last one is the smallest
        raise


if __name__ == "__main__":
    name, seconds, found = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    (guided if is_guided() else at_random)(name, seconds, found)
