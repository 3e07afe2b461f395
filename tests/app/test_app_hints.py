"""What the hint of an error that ends a transfer says about going on: the truth, and once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from p2pcopy.errors import ConnectionLost, IntegrityError, Interrupted, LocalFileError, P2PCopyError
from p2pcopy.stories import _saying_what_stays

RERUN = "Run the same two commands again, with fresh codes."
DISK = "Free some space there, then run the same two commands again."
STAYS = "What has arrived stays: the same two commands, with fresh codes, go on with it."
INPUT = "A transfer through standard input cannot go on where it stopped: start it again from its beginning."
THEIRS = "A transfer through the other side's standard output cannot go on where it stopped: start it again from its beginning."


@dataclass
class Machine:
    peer_streams: bool = False


@dataclass
class Session:
    seconds: float = 1.0
    has_arrived: bool = True
    machine: Machine = field(default_factory=Machine)


def hint_of(error: P2PCopyError, session: Any, *, stream: bool = False) -> str:
    with pytest.raises(type(error)), _saying_what_stays(session, "standard input", "standard output", stream=stream):
        raise error
    return error.hint


@pytest.mark.parametrize("kind", [ConnectionLost, Interrupted])
def test_what_has_arrived_stays(kind: type[P2PCopyError]) -> None:
    assert hint_of(kind("it broke", RERUN), Session()) == STAYS


def test_what_is_to_be_done_about_a_disk_is_said_as_well() -> None:
    assert hint_of(LocalFileError("full", DISK), Session()) == f"{DISK} What has arrived stays."
    assert hint_of(LocalFileError("gone", "Bring it back."), Session()) == f"Bring it back. {STAYS}"
    assert hint_of(LocalFileError("gone"), Session()) == STAYS


@pytest.mark.parametrize("session", [Session(has_arrived=False), Session(seconds=0.0)])
def test_nothing_is_said_to_stay_when_nothing_has_arrived(session: Session) -> None:
    error = ConnectionLost("it broke", RERUN)
    assert hint_of(error, session) == RERUN
    assert error.resumable


def test_an_error_that_a_rerun_does_not_mend_keeps_its_hint() -> None:
    assert hint_of(IntegrityError("they differ", "Look."), Session(), stream=True) == "Look."


@pytest.mark.parametrize("has_arrived", [True, False])
@pytest.mark.parametrize(
    ("stream", "theirs", "said"), [(True, False, INPUT), (True, True, INPUT), (False, True, THEIRS)]
)
def test_both_sides_of_a_stream_know_that_it_cannot_go_on(
    stream: bool, theirs: bool, said: str, has_arrived: bool
) -> None:
    session = Session(has_arrived=has_arrived, machine=Machine(theirs))
    error = ConnectionLost("it broke", RERUN)
    assert hint_of(error, session, stream=stream) == said
    assert not error.resumable
    short = said.partition(":")[0]
    assert hint_of(LocalFileError("full", DISK), session, stream=stream) == f"{DISK} {short}."
