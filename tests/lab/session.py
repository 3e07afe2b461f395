"""Both sides of a transfer in a laboratory, and who hands their codes over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.network import Lab
from lab.program import Program, Trouble, named
from lab.turn import Coturn

FILE = "file"
_END_S = 120.0


@dataclass(frozen=True)
class Session:
    """The sender is on host "a", the receiver on "b". The answering side has the offer; answer: the code that it made."""

    folder: Path
    sender: Program
    receiver: Program
    offering: Program
    answer: str

    @property
    def both(self) -> tuple[Program, Program]:
        return self.sender, self.receiver

    def paste(self) -> None:
        """The answer, to the offering side."""
        self.offering.type(f"{self.answer}\n")

    def connected(self, timeout: float = 60.0) -> tuple[float, float]:
        """When the sender was connected, and when the receiver was. Raises Trouble."""
        at = [each.wait_for(named("connected"), timeout).time for each in self.both]
        return at[0], at[1]

    def story(self) -> str:
        """What both sides told but their progress, with seconds since the first."""
        told = sorted(
            (
                (each.time, program.host, each)
                for program in self.both
                for each in program.told
                if each.name != "progress"
            ),
            key=lambda line: line[0],
        )
        return "\n".join(
            f"{at - told[0][0]:8.2f} {host} {json.dumps(dict(each.event))[:300]}" for at, host, each in told
        )

    def finish(self, timeout: float = _END_S) -> None:
        """Raises Trouble unless both sides end well within so many seconds, and the file is the same on both."""
        codes = [each.ended(timeout) for each in self.both]
        if codes != [0, 0]:
            raise Trouble(f"exit codes {codes}: " + " / ".join(each.last_words() for each in self.both))
        if (self.folder / FILE).read_bytes() != (self.folder / "out" / FILE).read_bytes():
            raise Trouble("the file differs")


@contextmanager
def session(
    lab: Lab, folder: Path, arguments: Sequence[str], *, environment: Mapping[str, str], receiver_offers: bool = False
) -> Iterator[Session]:
    """Of FILE in the folder. arguments: of both sides. Raises Trouble when there are no codes."""
    send, receive = ("send", FILE, *arguments), ("receive", "--yes", "--output", "out", *arguments)
    if receiver_offers:
        with Program(lab, "b", folder, *receive, environment=environment) as receiver:
            to = ("--to", receiver.code("offer"))
            with Program(lab, "a", folder, *send, *to, environment=environment) as sender:
                yield Session(folder, sender, receiver, receiver, sender.code("answer"))
    else:
        with Program(lab, "a", folder, *send, environment=environment) as sender:
            offer = sender.code("offer")
            with Program(lab, "b", folder, *receive, offer, environment=environment) as receiver:
                yield Session(folder, sender, receiver, sender, receiver.code("answer"))


def credential(server: Coturn) -> Mapping[str, str]:
    """What the environment has to say for it to be used."""
    username, password = server.credential()
    return {
        "P2PCOPY_TURN_USER": username,
        "P2PCOPY_TURN_PASSWORD": password,
        "SSL_CERT_FILE": str(server.ca_file),
    }
