"""What all tests share: what to do where a laboratory is not possible, and a watch for what asyncio complains about."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import lab.network
import lab.turn
import pytest
from hypothesis import HealthCheck, settings

from p2pcopy import keys

# Both go by the clock, and fail where the machine is busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_NEEDS = {"lab": lab.network.why_not, "coturn": lab.turn.why_not}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that need what is not here are skipped, but never in continuous integration, which has to have it."""
    for name, why_not in _NEEDS.items():
        if item.get_closest_marker(name) is not None and (reason := why_not()):
            if os.environ.get("CI"):
                pytest.fail(f"this test has to run here: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def _what_stays_is_not_looked_through_again() -> None:
    """Collecting the garbage after each test would take longer than most tests do."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor a config file sets anything."""
    for name in keys.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config.toml"
    config.touch()
    monkeypatch.setenv("P2PCOPY_CONFIG", str(config))


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@pytest.fixture(autouse=True)
def _asyncio_does_not_complain() -> Iterator[None]:
    """Fails a test after which asyncio reports exceptions that nobody took, or tasks destroyed while pending.

    Such reports are log messages, not warnings, so that filterwarnings does not see them.
    """
    logger, complaints = logging.getLogger(asyncio.__name__), _Complaints()
    logger.addHandler(complaints)
    yield
    gc.collect()
    logger.removeHandler(complaints)
    if complaints.messages:
        pytest.fail("asyncio complains: " + "\n".join(complaints.messages), pytrace=False)
