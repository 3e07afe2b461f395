"""Who tells the user what happens: the interface that the app talks to, and the choice of the one that fits the run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Literal, Protocol, Self, TextIO

from p2pcopy import events

Role = Literal["send", "receive"]
CodeSink = Callable[[str], None]


class Reporter(Protocol):
    """Takes the events of one run. Never blocks longer than a write to its stream takes; draws only when called.

    all_shown: the manifest told last was shown with all its entries. draws_typing: what somebody types is to be told with
    typing(), since the terminal does not show it. Also a context manager that closes itself.
    """

    all_shown: bool
    draws_typing: bool

    def tell(self, event: events.Event) -> None:
        """Show an event. The display stands still between events: tell Waiting and Progress about once a second at least.

        Raises LocalFileError once when standard output is closed (JSON lines only); a lost terminal is no error.
        """

    def ask(self, question: str) -> None:
        """Show a question on standard error and leave the cursor behind it; the app reads the answer."""

    def list_entries(self, lines: Iterable[events.ManifestLine], policy: str) -> None:
        """Show these entries, one a line, on standard error. policy: of the manifest they belong to."""

    async def settled(self) -> None:
        """Until whoever reads has taken most of what was told. Awaited between batches, so that events need little memory."""

    def typing(self, text: str) -> None:
        """This stands behind the question or prompt now. Where draws_typing only."""

    def entered(self) -> None:
        """The user has ended a line with Enter; unless draws_typing, the cursor stands at the start of the next row."""

    def pause(self) -> None:
        """Leave the terminal to others, until redraw()."""

    def redraw(self) -> None:
        """The terminal has another size, or others had it."""

    def close(self) -> None:
        """Leave the terminal as it was found. May be called again. Raises LocalFileError as tell() does."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closing(ABC):
    """What most reporters have in common: they are context managers, and keep nothing back."""

    all_shown = False
    draws_typing = False

    def typing(self, text: str) -> None:  # noqa: B027 - the terminal shows what is typed
        """Nothing to do."""

    def pause(self) -> None:  # noqa: B027 - lines only
        """Nothing to do."""

    def redraw(self) -> None:  # noqa: B027 - lines only
        """Nothing to do."""

    async def settled(self) -> None:  # noqa: B027 - there is nothing to wait for
        """Everything is written."""

    @abstractmethod
    def close(self) -> None:
        """See Reporter."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_reporter(
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    progress: bool,
    qr: bool | None,
    role: Role,
    code_to: CodeSink | None,
    stderr: TextIO,
    stdout: TextIO,
    color: bool | None,
    prompts: bool = True,
    codes_shown: bool | None = None,
    draws_typing: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Reporter:
    """The reporter for a run: JSON lines on stdout, errors only, a live terminal, or plain lines on stderr.

    code_to writes one code as a line of its own and flushes; every reporter calls it exactly once for each Code event, at
    the moment when the screen is ready for it. None: the code travels by another road.
    qr: None draws the offer when codes go to a terminal where it fits; True also when it has to scroll, and answers too.
    color: None means yes unless NO_COLOR is set. prompts: a person can type here (standard input is a terminal).
    codes_shown: codes appear on this terminal; None: they do when standard output is a terminal. draws_typing: a live
    display is told what is typed.
    """
    if json:
        from p2pcopy.ui.jsonlines import JsonLines

        return JsonLines(stdout, stderr, code_to)
    if quiet:
        from p2pcopy.ui.plain import Quiet

        return Quiet(stderr, code_to)
    if stderr.isatty() and environment.get("TERM") not in ("dumb", "unknown") and _understands_escapes():
        from p2pcopy.ui.terminal import Look, Terminal

        look = Look(
            verbose=verbose,
            progress=progress,
            qr=qr,
            role=role,
            color=not environment.get("NO_COLOR") if color is None else color,
            prompts=prompts,
            codes_shown=code_to is not None and (stdout.isatty() if codes_shown is None else codes_shown),
            draws_typing=draws_typing and os.name == "posix",
        )
        return Terminal(stderr, code_to, look)
    from p2pcopy.ui.plain import Plain

    return Plain(stderr, code_to, role=role, verbose=verbose, progress=progress, qr=qr)


def _understands_escapes() -> bool:
    from p2pcopy.ui.ink import understands_escapes

    return understands_escapes()
