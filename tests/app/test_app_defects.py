"""A defect is told in one line, and in full to those who ask for it."""

from __future__ import annotations

import pytest

from p2pcopy import app
from p2pcopy.config import Talk
from p2pcopy.errors import ExitCode, InternalError
from p2pcopy.stops import Stops
from p2pcopy.ui.reporter import Reporter


@pytest.mark.parametrize("verbose", [True, False])
def test_the_traceback_is_for_those_who_ask(verbose: bool, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(reporter: Reporter, stops: Stops) -> ExitCode:
        try:
            raise ZeroDivisionError("why")
        except ZeroDivisionError as error:
            raise InternalError.from_defect(error) from error

    assert app._run("send", Talk(verbose=verbose), "-", False, story) is ExitCode.INTERNAL
    said = capfd.readouterr().err
    assert "internal error: ZeroDivisionError: why" in said
    assert ("Traceback" in said) is verbose
