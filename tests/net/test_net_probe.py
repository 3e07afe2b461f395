from __future__ import annotations

import pytest
from aioice.turn import TurnClientMixin

from p2pcopy.errors import ExitCode, InternalError
from p2pcopy.net import probe


def test_the_installed_libraries_have_all_that_is_touched() -> None:
    probe.probe_libraries()


def test_an_untested_version_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "version", lambda name: "1.17.2")
    with pytest.raises(InternalError, match=r"aiortc 1\.17\.2") as caught:
        probe.probe_libraries()
    assert "pip install 'aiortc==1.16.0' 'aioice==0.13.0'" in caught.value.hint
    assert caught.value.exit_code is ExitCode.INTERNAL


def test_a_missing_member_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TOUCHED", ((TurnClientMixin, ("request", "_no_such_thing")),))
    with pytest.raises(InternalError, match=r"TurnClientMixin\._no_such_thing"):
        probe.probe_libraries()


def test_every_entry_of_the_list_is_looked_at() -> None:
    names = [(owner, name) for owner, touched in probe.TOUCHED for name in touched]
    assert len(names) == len(set(names))
