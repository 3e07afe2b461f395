"""What is told before and outside of a run, which has a reporter of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from p2pcopy.errors import LocalFileError, P2PCopyError


@contextmanager
def telling(json: bool) -> Iterator[None]:
    """Failures before the run has a reporter of its own."""
    try:
        yield
    except P2PCopyError as error:
        fail(error, json=json)
        raise typer.Exit(error.exit_code) from None


def fail(error: P2PCopyError, *, json: bool = False) -> None:
    """json: as an event on standard output, instead of lines on standard error."""
    from p2pcopy.events import Failed

    if json:
        from p2pcopy.ui.jsonlines import to_json

        with suppress(LocalFileError):  # nobody reads any more; the exit code still says what happened
            show(to_json(Failed.of(error)) + "\n")
    else:
        from p2pcopy.ui.plain import Quiet

        Quiet(sys.stderr, None).tell(Failed.of(error))


def warn(message: str, *, json: bool = False) -> None:
    """As fail() does, for what does not end the run. Raises LocalFileError."""
    from p2pcopy.events import Warned

    if json:
        from p2pcopy.ui.jsonlines import to_json

        show(to_json(Warned(message)) + "\n")
    else:
        from p2pcopy.ui.screen import Out
        from p2pcopy.ui.wording import sentence

        out = Out(sys.stderr)
        out.write(out.fitted(f"warning: {sentence(message)}\n"))


def show(text: str) -> None:
    """To standard output, at once. Raises LocalFileError; what comes later goes nowhere."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise LocalFileError(f"standard output cannot be written: {error.strerror}", "Send it elsewhere.") from error


def occupy_closed_streams() -> list[str]:
    """Put /dev/null where a standard stream is closed, or the next socket or file would get its number."""
    closed: list[str] = []
    for descriptor, name in enumerate(("standard input", "standard output", "standard error")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            closed.append(name)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    return closed
