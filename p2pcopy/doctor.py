"""`p2pcopy doctor`: what this network allows, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys

from p2pcopy import __version__
from p2pcopy.config import NetSettings
from p2pcopy.errors import ExitCode, InternalError, LocalFileError
from p2pcopy.net import abilities
from p2pcopy.net.findings import Abilities, Diagnosis, Library, Network, Software
from p2pcopy.net.probe import FAST_TESTED, TESTED, installed, is_tested, probe_libraries
from p2pcopy.net.quiet import quiet_libraries
from p2pcopy.net.survey import survey
from p2pcopy.net.verdict import judge
from p2pcopy.ui.report import as_json, as_text
from p2pcopy.ui.screen import Out


def run_doctor(settings: NetSettings, *, json: bool, verbose: bool) -> ExitCode:
    """Report on standard output: as text, or as one line of JSON. CONNECT when no connection is possible.

    Raises UsageError, LocalFileError when the report cannot be written.
    """
    quiet_libraries(verbose)
    software = _software()
    network, data_path = asyncio.run(_look(settings))
    diagnosis = Diagnosis(judge(network, software, settings), network, data_path, software)
    _print(as_json(diagnosis) if json else Out(sys.stdout).fitted(as_text(diagnosis, verbose=verbose)))
    return ExitCode.OK if diagnosis.verdict.possible else ExitCode.CONNECT


async def _look(settings: NetSettings) -> tuple[Network, Abilities]:
    return await survey(settings), abilities.probe(settings)


def _software() -> Software:
    problem = remedy = ""
    try:
        probe_libraries()
    except InternalError as error:
        problem, remedy = error.message, error.hint
    libraries = tuple(Library(name, installed(name), is_tested(name)) for name, *_ in (*TESTED, *FAST_TESTED))
    return Software(__version__, platform.python_version(), platform.platform(terse=True), libraries, problem, remedy)


def _print(text: str) -> None:
    try:
        sys.stdout.write(Out(sys.stdout).encodable(text))
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer goes nowhere
        raise LocalFileError(f"standard output cannot be written: {error.strerror}", "Send it elsewhere.") from error
