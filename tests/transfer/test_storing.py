"""What the storing thread makes of accepted entries: slices, and the room that they need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from p2pcopy.config import Existing
from p2pcopy.events import FileStatus, Mark
from p2pcopy.transfer import storing
from p2pcopy.transfer.held import Digests, Held, told_cost
from p2pcopy.transfer.items import Clash, Obstacle, Outcome, Room, Useless
from p2pcopy.transfer.orders import Listed
from p2pcopy.transfer.storing import MARKS, Begin, Begun, Checked, StoreWork, Weigh, Weighed
from p2pcopy.transfer.wire import Entry, Kind


@pytest.fixture(autouse=True)
def _in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine is busy."""
    monkeypatch.setattr(storing, "_SLICE_S", 60.0)


class Gate:
    def admit(self, entry: Entry) -> None:
        """Every name."""


class Log:
    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)

    def append(self, entry: Entry, local: str = "") -> int:
        self.entries.append(entry)
        return len(self.entries) - 1

    def __getitem__(self, index: int) -> tuple[Entry, str]:
        return self.entries[index], ""


class Store:
    """Knows by the first letter of a name what is there. "-" at its end: a part file, too."""

    def __init__(self) -> None:
        self.existing = Existing.REFUSE
        self.looked = 0

    def admit(self, index: int, entry: Entry) -> Clash | None:
        if entry.path[0] in "se":
            return Clash(Obstacle.FILE, "it exists already", same=entry.path[0] == "s")
        return None

    def mark(self, entry: Entry, clash: Clash | None) -> Mark:
        if clash is None:
            return Mark.BEGUN if entry.path[0] == "p" else Mark.NEW
        return Mark.SAME if clash.same else Mark.EXISTS

    def free_bytes(self) -> int:
        return 5

    def reusable_bytes(self, entry: Entry) -> int:
        return 30 if entry.path[0] == "p" or entry.path.endswith("-") else 0

    def begin(self, block_size: int) -> None:
        """Nothing."""

    def resolve(self, existing: Existing) -> None:
        self.existing = existing

    def refuses(self, index: int, entry: Entry) -> Outcome | None:
        if entry.path[0] == "s":
            return Outcome(index, FileStatus.SKIPPED, "it is there already", there=True)
        replaced = self.existing in (Existing.REPLACE, Existing.RENAME)
        return None if replaced else Outcome(index, FileStatus.SKIPPED, "it exists already")

    def held(self, index: int, entry: Entry) -> Held | Useless | Outcome | None:
        self.looked += 1
        match entry.path[0]:
            case "h":
                digests = Digests()
                digests.append(0, bytes(32))
                return Held(index, digests)
            case "u":
                return Useless(index, "damaged")
            case "f":
                return Outcome(index, FileStatus.FAILED, "broken")
        return None

    def other(self, index: int, entry: Entry) -> list[Outcome]:
        return [Outcome(index, FileStatus.DONE)]


def work_with(*names: str) -> tuple[StoreWork, Store, list[Entry]]:
    entries = [Entry(Kind.DIRECTORY if name == "d" else Kind.FILE, name, 100) for name in names]
    store = Store()
    return StoreWork(Gate(), Log(entries), store), store, entries  # type: ignore[arg-type]


def begun(work: StoreWork, *marks: Mark, start: int = 0) -> Begun:
    (done,) = work(Begin(start, bytes(map(MARKS.index, marks))))
    assert isinstance(done, Begun)
    return done


def test_room_is_that_of_names_that_are_free_less_their_own_part_files() -> None:
    names = ("new", "part", "same-", "exists-")
    store = Store()
    work = StoreWork(Gate(), Log(), store)  # type: ignore[arg-type]
    entries = tuple(Entry(Kind.FILE, name, 100) for name in names)
    (checked,) = work(Listed(0, entries, 0))
    assert isinstance(checked, Checked)
    assert [MARKS[met] for met in checked.met] == [Mark.NEW, Mark.BEGUN, Mark.SAME, Mark.EXISTS]
    assert (checked.room, checked.free_bytes) == (Room(200, 30), 5)


@pytest.mark.parametrize(
    ("policy", "room"),
    [
        (Existing.SKIP, Room()),
        (Existing.RESUME, Room()),
        (Existing.REPLACE, Room(200, 30)),
        (Existing.RENAME, Room(200, 30)),
    ],
)
def test_room_of_names_that_are_taken_depends_on_the_policy(policy: Existing, room: Room) -> None:
    work, store, _ = work_with("new", "exists-", "same-", "exists")
    met = bytes(map(MARKS.index, (Mark.NEW, Mark.EXISTS, Mark.SAME, Mark.EXISTS)))
    (weighed,) = work(Weigh(0, policy, 4096, met))
    assert isinstance(weighed, Weighed)
    assert (weighed.room, weighed.job.stop, store.existing) == (room, 4, policy)


def test_a_slice_sorts_entries_out() -> None:
    work, _, _ = work_with("d", "new", "same", "held", "useless", "fails")
    done = begun(work, Mark.NEW, Mark.NEW, Mark.SAME, Mark.BEGUN, Mark.BEGUN, Mark.BEGUN)
    assert done.stop == 6
    assert [(fate.path, fate.is_file, fate.outcome.status) for fate in done.fates] == [
        ("", False, FileStatus.DONE),
        ("same", True, FileStatus.SKIPPED),
        ("fails", True, FileStatus.FAILED),
    ]
    assert [file.entry for file in done.held] == [3]
    assert done.useless == [(Useless(4, "damaged"), "useless")]


@pytest.mark.parametrize("letter", ["same", "useless"])
def test_a_slice_ends_when_there_is_much_to_be_told(letter: str) -> None:
    work, _, _ = work_with(*[letter] * 2500)
    stops = [0]
    while stops[-1] < 2500:
        marks = [Mark.SAME if letter == "same" else Mark.BEGUN] * (2500 - stops[-1])
        stops.append(begun(work, *marks, start=stops[-1]).stop)
    assert all(stop - start <= 1000 for start, stop in pairwise(stops))


def test_a_slice_ends_when_much_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_SLICE_COST", 2 * told_cost(1) + 1)
    work, store, _ = work_with(*["held"] * 5, *["new"] * 5)
    done = begun(work, *[Mark.BEGUN] * 10)
    assert (done.stop, store.looked) == (3, 3)
    done = begun(work, *[Mark.BEGUN] * 7, start=3)
    assert done.stop == 10


def test_a_slice_ends_in_time_and_is_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_SLICE_S", 0.0)
    work, _, _ = work_with("new", "new")
    assert begun(work, Mark.NEW, Mark.NEW).stop == 1
    assert begun(work, Mark.NEW, start=1).stop == 2
    assert begun(work, start=2).stop == 2
