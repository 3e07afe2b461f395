"""What people see from start to end, in the cases that docs/screens.md shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lab import Coturn, Lab, Nat, Topology

from screens.stage import Person, Stage, stage

MIB = 2**20
SECRET = "screens"


@dataclass(frozen=True)
class Story:
    """title, says: as on the page; opens: the stage, in a folder; plays: takes the shots."""

    title: str
    says: str
    opens: Callable[[Path], AbstractContextManager[Stage]]
    plays: Callable[[Stage], None]


def on_a_lan(folder: Path) -> AbstractContextManager[Stage]:
    return stage(Lab(Topology.LAN), folder)


def behind_nats(folder: Path) -> AbstractContextManager[Stage]:
    lab = Lab(Topology.TWO_NATS)
    return stage(lab, folder, Coturn(Lab.SERVER, lab=lab))


def behind_symmetric_nats(folder: Path) -> AbstractContextManager[Stage]:
    lab = Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)
    return stage(lab, folder, Coturn(Lab.SERVER, lab=lab))


def with_a_relay(folder: Path) -> AbstractContextManager[Stage]:
    lab = Lab.between(Nat.SYMMETRIC, Nat.SYMMETRIC)
    return stage(lab, folder, Coturn(Lab.SERVER, lab=lab), turn=True)


def holiday(ada: Person, mib: int = 1) -> None:
    """A directory with pictures, and some notes."""
    pictures = ada.files / "holiday" / "by the sea"
    pictures.mkdir(parents=True)
    for number, size in enumerate((3 * mib * MIB // 4, mib * MIB // 4)):
        (pictures / f"IMG_{2231 + number}.jpg").write_bytes(os.urandom(size))
    (ada.files / "notes.txt").write_text("Bring the boots.\n" * 48)


def offered(here: Stage, command: str = "p2pcopy send holiday notes.txt") -> str:
    """ada's code, once it is on the screen."""
    here.ada.runs(command)
    here.ada.until_seen("left)")
    return here.ada.code()


def both_ready(here: Stage) -> None:
    for person in (here.ben, here.ada):
        person.until_ready()


def one_paste(here: Stage) -> None:
    holiday(here.ada)
    here.ada.runs("p2pcopy send holiday notes.txt")
    here.ada.until_seen("paste it here:")
    here.shoot("The code is shown", here.ada)
    here.ben.runs(f"p2pcopy receive {here.ada.code()}")
    here.ben.until_seen("[y/N]")
    here.ada.until_seen("Waiting for the other side to accept")
    here.shoot("The other side has used it")
    here.ben.enter("y")
    both_ready(here)
    here.shoot("The end")


def two_pastes(here: Stage) -> None:
    holiday(here.ada)
    code = offered(here, "p2pcopy send --no-qr holiday notes.txt")
    here.ben.runs(f"p2pcopy receive {code}")
    here.ben.until_seen("Paste the code above")
    here.shoot("No direct way in: the receiver shows a code as well")
    here.ada.paste(f"{here.ben.code()}\n")
    here.ben.until_seen("[y/N]")
    here.ada.until_seen("Waiting for the other side to accept")
    here.shoot("It is pasted back")
    here.ben.enter("y")
    both_ready(here)
    here.shoot("The end")


def relayed(here: Stage) -> None:
    holiday(here.ada, 24)
    here.limit(40)
    code = offered(here, "p2pcopy send --no-qr --compress never holiday notes.txt")
    here.ben.runs(f"p2pcopy receive --yes {code}")
    moving(here)
    here.shoot("Under way")
    both_ready(here)
    here.shoot("The end")


def moving(here: Stage) -> None:
    """Both show how far it is, for a while already, so that the figures are worth something."""
    for person in (here.ada, here.ben):
        person.until(lambda rows: any("B/s" in row and " left" in row for row in rows))


def confirmed(here: Stage) -> None:
    holiday(here.ada)
    code = offered(here, "p2pcopy send --no-qr --confirm holiday notes.txt")
    here.ben.runs(f"p2pcopy receive {code}")
    here.ada.until_seen("Does the other side show")
    here.ben.until_seen("Verification number")
    here.shoot("The sender wants the number to be compared")
    here.ada.enter("y")
    here.ben.until_seen("[y/N]")
    here.ben.enter("y")
    both_ready(here)
    here.shoot("The end")


def declined(here: Stage) -> None:
    holiday(here.ada)
    code = offered(here, "p2pcopy send --no-qr holiday notes.txt")
    here.ben.runs(f"p2pcopy receive {code}")
    here.ben.until_seen("[y/N]")
    here.ben.press("Enter")
    both_ready(here)
    here.shoot("The receiver presses Enter")


def stalled(here: Stage) -> None:
    holiday(here.ada, 24)
    here.limit(24)
    code = offered(here, "p2pcopy send --no-qr --compress never holiday notes.txt")
    here.ben.runs(f"p2pcopy receive {code}")
    here.ben.until_seen("Paste the code above")
    here.ada.paste(f"{here.ben.code()}\n")
    here.ben.until_seen("[y/N]")
    here.ben.enter("y")
    moving(here)
    here.lab.cut("a")
    for person in (here.ada, here.ben):
        person.until_seen("Stalled: ")
    time.sleep(4)
    here.shoot("The sender's cable is out")
    here.lab.mend("a")
    for person in (here.ada, here.ben):
        person.until_seen("Back after")
    moving(here)
    here.shoot("It is in again")
    both_ready(here)
    here.shoot("The end")


def interrupted(here: Stage) -> None:
    holiday(here.ada, 32)
    here.limit(60)
    send, receive = "p2pcopy send --no-qr --compress never holiday", "p2pcopy receive --yes {}"
    here.ben.runs(receive.format(offered(here, send)))
    moving(here)
    here.ben.press("C-c")
    both_ready(here)
    here.shoot("The receiver presses Ctrl-C")
    here.ada.clears()
    here.ben.clears()
    here.ben.runs(receive.format(offered(here, send)))
    both_ready(here)
    here.shoot("The same two commands again")


def failed(here: Stage) -> None:
    holiday(here.ada)
    code = offered(here, "p2pcopy send --no-qr --wait 12s holiday notes.txt")
    here.ben.runs(f"p2pcopy receive --wait 12s {code}")
    here.ben.until_seen("Paste the code above")
    here.ada.paste(f"{here.ben.code()}\n")
    both_ready(here)
    here.shoot("Two NATs that let nobody in, and no TURN server")


def nowhere_to_write(here: Stage) -> None:
    holiday(here.ada)
    (here.ben.files / "full").write_text("a file")
    code = offered(here, "p2pcopy send --no-qr holiday notes.txt")
    here.ben.runs(f"p2pcopy receive --output full {code}")
    here.ben.until_ready()
    here.shoot("The receiver fails before the two sides meet", here.ben)


def many_files(here: Stage) -> None:
    for folder in range(20):
        data = here.ada.files / "measurements" / f"day {folder + 1:02}"
        data.mkdir(parents=True)
        for number in range(250):
            (data / f"{number:03}.csv").write_text("0;1;2\n" * 200)
    (here.ben.files / "measurements" / "day 01").mkdir(parents=True)
    (here.ben.files / "measurements" / "day 01" / "000.csv").write_text("mine")
    here.limit(4)
    code = offered(here, "p2pcopy send --no-qr --compress never measurements")
    here.ben.runs(f"p2pcopy receive {code}")
    here.ben.until_seen("[y/N")
    here.shoot("The receiver is asked", here.ben)
    here.ben.enter("y")
    here.ben.until_seen("[s]kip")
    here.ben.enter("s")
    moving(here)
    here.shoot("Under way")
    both_ready(here)
    here.shoot("The end")


STORIES = (
    Story(
        "One paste", "Two machines in one network: the code goes from the sender to the receiver.", on_a_lan, one_paste
    ),
    Story(
        "Two pastes",
        "Both are behind NATs that let nobody in by themselves: the receiver shows an answer code after a few seconds.",
        behind_nats,
        two_pastes,
    ),
    Story("Relayed", "No direct way is there, but both know a TURN server.", with_a_relay, relayed),
    Story(
        "Compared numbers",
        "With `--confirm`, nothing is sent before somebody has compared numbers.",
        on_a_lan,
        confirmed,
    ),
    Story("Declined", "Nothing but Enter means no.", on_a_lan, declined),
    Story("Stalled and recovered", "The path breaks in the middle, and comes back.", behind_nats, stalled),
    Story("Interrupted", "What has arrived stays, and is not sent again.", on_a_lan, interrupted),
    Story("Failed with the reason", "What was tried, and what helps, stand at the end.", behind_symmetric_nats, failed),
    Story(
        "Failed before they met",
        "The sender knows nothing of it, and the code can be used again.",
        on_a_lan,
        nowhere_to_write,
    ),
    Story("Many files", "5,000 small ones, one of which meets another file.", on_a_lan, many_files),
)
