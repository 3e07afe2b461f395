"""Two people with a terminal each, on the two hosts of a laboratory."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import Coturn, Lab
from lab.tied import shell
from ui_tmux import Tmux

COLUMNS, ROWS = 80, 24
HOME = "/srv"  # what the people see of their directories
HOSTS = f"127.0.0.1 localhost\n{Lab.SERVER} turn.example.org\n"
CODE = re.compile(r"^[0-9A-Z]{13,}$", re.MULTILINE)


@dataclass(frozen=True)
class Shot:
    """What was on a screen. colored: the same with its colour sequences."""

    who: str
    moment: str
    rows: tuple[str, ...]
    colored: tuple[str, ...]


class Person(Tmux):
    """At the shell of a host, in a directory of the same name. There, turn.example.org is the host with the servers."""

    def __init__(
        self, lab: Lab, host: str, name: str, folder: Path, columns: int = COLUMNS, rows: int = ROWS, **environment: str
    ) -> None:
        self.name = name
        self.files = folder / "home" / name
        self.files.mkdir(parents=True)
        command = folder / "bin" / "p2pcopy"
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m p2pcopy "$@"\n')
        command.chmod(0o755)
        settings = folder / "config.toml"
        settings.write_text("" if "P2PCOPY_STUN" in environment else "stun = []\n")
        hosts = folder / "hosts"
        hosts.write_text(HOSTS)
        mounts = f"mount --bind {shlex.quote(str(folder / 'home'))} {HOME} && mount --bind {shlex.quote(str(hosts))} /etc/hosts"
        inside = f"{mounts} && cd {HOME}/{name} && exec env bash --norc"
        (folder / name).mkdir()
        values = {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": f"{HOME}/{name}",
            "PS1": f"{name}$ ",
            "HISTFILE": "",
            "P2PCOPY_CONFIG": str(settings),
        }
        place = lab.command(host, "sh", "-c", inside)
        super().__init__(folder / name, *place, columns=columns, rows=rows, **values | environment)
        self.until_seen(f"{name}$")

    def runs(self, command: str) -> None:
        """Begin a command."""
        self.enter(command)
        self.until_seen(f"{self.name}$ {command[:20]}")

    def clears(self) -> None:
        """The screen, which has more on it than the prompt."""
        self.enter("clear")
        self.until(lambda rows: [row.rstrip() for row in rows if row.strip()] == [f"{self.name}$"])

    def code(self) -> str:
        """The code on the screen, when it is there."""
        self.until(lambda _: bool(CODE.search(self.history())))
        return str(CODE.findall(self.history())[-1])

    def until_ready(self) -> None:
        """The shell takes the next command."""
        self.until(lambda rows: _last(rows).rstrip() == f"{self.name}$")


def _last(rows: list[str]) -> str:
    return next((row for row in reversed(rows) if row.strip()), "")


@dataclass
class Stage:
    """ada sends, ben receives."""

    lab: Lab
    ada: Person
    ben: Person
    shots: list[Shot] = field(default_factory=list)

    def shoot(self, moment: str, *people: Person) -> None:
        """Keep what is on their screens now; nobody given: on both."""
        for person in people or (self.ada, self.ben):
            rows, colored = person.screen(), person.screen(colors=True, blanks=True)
            self.shots.append(Shot(person.name, moment, tuple(rows), tuple(colored)))

    def limit(self, mbit: int) -> None:
        """What comes to ben comes slowly, so that a transfer can be looked at."""
        device = self.lab.link("b").device
        rate = f"tbf rate {mbit}mbit burst 64kb limit {mbit * 62_500}"
        shell([f"{' '.join(self.lab.command('m'))} tc qdisc replace dev {device} root {rate}"])


@contextlib.contextmanager
def stage(
    lab: Lab,
    folder: Path,
    server: Coturn | None = None,
    *,
    turn: bool = False,
    columns: int = COLUMNS,
    rows: int = ROWS,
) -> Iterator[Stage]:
    """server: for STUN, and with turn for both sides as a TURN server; columns, rows: of both terminals."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(lab)
        environment: Mapping[str, str] = {}
        if server is not None:
            stack.enter_context(server)
            environment = {"P2PCOPY_STUN": server.stun_url}
            if turn:
                user, password = server.credential()
                environment = {
                    **environment,
                    "P2PCOPY_TURN": server.turn_url,
                    "P2PCOPY_TURN_USER": user,
                    "P2PCOPY_TURN_PASSWORD": password,
                }
        ada, ben = (
            stack.enter_context(Person(lab, host, name, folder, columns, rows, **environment))
            for host, name in (("a", "ada"), ("b", "ben"))
        )
        yield Stage(lab, ada, ben)
