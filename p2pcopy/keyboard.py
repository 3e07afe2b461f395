"""Who sits at this machine: where lines come in, and the questions that are asked there."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from p2pcopy import events
from p2pcopy.config import Existing
from p2pcopy.errors import NUMBERS_DIFFER, Declined, UsageError
from p2pcopy.signaling import exchange
from p2pcopy.signaling.exchange import Lines, LineSource
from p2pcopy.signaling.sources import PicturesToo
from p2pcopy.stops import Stops
from p2pcopy.transfer.receive_session import Ask, Listing
from p2pcopy.tty import Tty, held
from p2pcopy.ui.question import (
    confirm_question,
    existing_question,
    parse_confirm,
    parse_existing,
    parse_save,
    save_question,
)
from p2pcopy.ui.reporter import Reporter

_LIST_BATCH: Final = 512
_NOTHING_SAVED: Final = "Nothing was saved; both sides can start again, with a fresh code."
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Keyboard:
    """What comes in. lines: the other side's codes, None when there is no way in; person: lines of somebody who can answer;
    tty: the terminal, where the display draws what is typed there."""

    lines: Lines | None
    person: Lines | None
    tty: Tty | None = None

    @contextmanager
    def held(self, stops: Stops) -> Iterator[None]:
        """The terminal belongs to the display meanwhile."""
        if self.tty is None:
            yield
            return
        stops.at_last = self.tty.abandon
        with held(self.tty):
            yield

    def typed(self, reporter: Reporter) -> LineSource:
        """The lines; the display is told when a person has typed one, which may be the name of a picture of a code."""
        return (self.lines or Lines()) if self.person is None else PicturesToo(_Typed(self.person, reporter))

    def asked(self, reporter: Reporter, question: str) -> LineSource | None:
        """Lines of the person, who is asked for each."""
        return None if self.person is None else PicturesToo(_Typed(self.person, reporter, question))

    async def reply(self, reporter: Reporter, question: str, parse: Callable[[str], _Answer | None]) -> _Answer | None:
        """The person's answer that makes sense to parse; None at the end of input, or when nobody is there.

        What was typed before the question was seen does not answer it.
        """
        if self.person is None:
            return None
        self.person.forget_typed()
        typed = _Typed(self.person, reporter)
        while True:
            reporter.ask(question)
            line = await typed.next_line()
            if line is None:
                return None
            answer = parse(line)
            if answer is not None:
                return answer


class _Typed:
    def __init__(self, lines: Lines, reporter: Reporter, question: str = "") -> None:
        self._lines = lines
        self._reporter = reporter
        self._question = question

    async def next_line(self) -> str | None:
        if self._question:
            self._reporter.ask(f"{self._question} ")
        line = await self._lines.next_line()
        if line is not None:
            self._reporter.entered()
        return line


def find_keyboard(reporter: Reporter, *, busy: bool) -> Keyboard:
    """Standard input; while that is busy with something else, the terminal itself if there is one."""
    if not busy and not has_person(busy=False):
        return Keyboard(Lines(), None)
    descriptor = _open_terminal() if busy else 0
    if descriptor is None:
        return Keyboard(None, None)
    if reporter.draws_typing:
        tty = Tty(descriptor, reporter)
        return Keyboard(tty, tty, tty)
    lines = Lines(descriptor, name="the terminal" if busy else "standard input")
    return Keyboard(lines, lines)


def has_person(*, busy: bool) -> bool:
    """Whether find_keyboard() will find somebody."""
    return sys.stderr.isatty() if busy else sys.stdin.isatty() and _questions_are_seen()


def _questions_are_seen() -> bool:
    """On a terminal, or by way of another program, such as tee; nobody sees what goes to a file or to /dev/null."""
    return sys.stderr.isatty() or stat.S_ISFIFO(os.fstat(2).st_mode)


def is_alone() -> bool:
    """Whether no other program has to do with the terminal, such as a pager that standard output leads to."""
    return sys.stderr.isatty() and not stat.S_ISFIFO(os.fstat(1).st_mode)


def _open_terminal() -> int | None:
    if not sys.stderr.isatty():
        return None
    with suppress(OSError, AttributeError):
        return os.open(os.ttyname(2), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    with suppress(OSError, AttributeError):
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return None


def asking_consent(yes: bool, existing: Existing, reporter: Reporter, keyboard: Keyboard) -> Ask:
    """Shows nothing by itself: the manifest is told before."""

    async def ask(manifest: events.Manifest, entries: Listing) -> Existing:
        if not yes and not await _save(manifest, entries):
            raise Declined("the offer was not accepted", _NOTHING_SAVED)
        if not manifest.existing or existing is not Existing.ASK:
            return existing
        choice = await _reply(existing_question(manifest), parse_existing)
        if not isinstance(choice, Existing):
            raise Declined("the offer was not accepted, as names are taken", _NOTHING_SAVED)
        return choice

    async def _save(manifest: events.Manifest, entries: Listing) -> bool:
        question = save_question(manifest, reporter.all_shown)
        while (answer := await _reply(question, parse_save)) == "list":
            await _list(entries(), manifest.policy)
        return answer is True

    async def _list(entries: Iterator[events.ManifestLine], policy: str) -> None:
        """In a thread: a terminal may be stopped while somebody reads."""

        def show() -> bool:
            batch = list(islice(entries, _LIST_BATCH))
            reporter.list_entries(batch, policy)
            return bool(batch)

        while await exchange.threaded(show):
            pass

    async def _reply(question: str, parse: Callable[[str], _Answer | None]) -> _Answer | None:
        if keyboard.person is None:
            raise Declined(
                "nobody is there to accept the offer: there is no terminal",
                "Add --yes to accept whatever the sender offers.",
            )
        return await keyboard.reply(reporter, question, parse)

    return ask


def asking_confirmation(reporter: Reporter, keyboard: Keyboard) -> Callable[[str], Awaitable[None]]:
    """Asks whether the other side shows the same verification number. Raises UsageError when nobody can be asked."""
    if keyboard.person is None:
        raise UsageError(
            "--confirm needs somebody to compare numbers, and there is no terminal",
            "Run it at a terminal, or leave --confirm out.",
        )

    async def ask(number: str) -> None:
        """Raises Declined."""
        if not await keyboard.reply(reporter, confirm_question(number), parse_confirm):
            raise Declined("the verification numbers were not confirmed", NUMBERS_DIFFER)

    return ask
