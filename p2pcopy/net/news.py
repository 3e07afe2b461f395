"""What an agent has to tell."""

from __future__ import annotations

from dataclasses import dataclass

from p2pcopy.net.liveness import Gone, Silent
from p2pcopy.net.pairs import Pair


@dataclass(frozen=True)
class Selected:
    """There is a path, or another one than before. gap_s: for how long there was none in a session, 0.0: not at all."""

    pair: Pair
    gap_s: float


@dataclass(frozen=True)
class TurnedAway:
    """The other side has a session already: the code was used."""


@dataclass(frozen=True)
class Confirmed:
    """The other side is in the session, too."""


@dataclass(frozen=True)
class Abandoned:
    """The other side never got into the session, and looks for a path again."""


News = Selected | Silent | Gone | TurnedAway | Confirmed | Abandoned
