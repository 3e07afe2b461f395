"""p2pcopy on the hosts of a laboratory, each told of the servers that it may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import Coturn, Lab
from processes import Ended, Processes, Running

CONNECTED = rb'"event": "connected"'


class Hosts:
    """The sender is on "a", the receiver on "b"; neither asks a server that it is not told of."""

    def __init__(self, lab: Lab, start: Processes, server: Coturn | None) -> None:
        self.lab = lab
        self.start = start
        self._server = server

    def send(self, *arguments: str, **how: Any) -> Running:
        return self.run("a", "send", *arguments, **how)

    def receive(self, *arguments: str, **how: Any) -> Running:
        """Into the directory "out"."""
        return self.run("b", "receive", *arguments, "--output", "out", "--yes", **how)

    def run(
        self,
        host: str,
        command: str,
        *arguments: str,
        stun: str = "",
        turn: str = "",
        environment: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Running:
        """stun, turn: URLs; the TURN server gets the credential that it takes, unless environment has another."""
        given = {}
        options = ["--stun", stun] if stun else ["--no-stun"]
        if self._server is not None:
            given["SSL_CERT_FILE"] = str(self._server.ca_file)
        if self._server is not None and turn:
            options += ["--turn", turn]
            if self._server.secret:
                given["P2PCOPY_TURN_SECRET"] = self._server.secret
            else:
                given["P2PCOPY_TURN_USER"], given["P2PCOPY_TURN_PASSWORD"] = self._server.credential()
        place = self.lab.command(host)
        how["environment"] = given | dict(environment or {})
        return self.start.start(command, *arguments, *options, place=place, **how)

    def explained(self, code: str) -> str:
        """What p2pcopy code says of it."""
        ended = self.start.start("code", code).ended()
        assert ended.exit_code == 0, ended.err
        return ended.out.decode()


@contextmanager
def hosts_in(lab: Lab, work: Path, server: Coturn | None = None) -> Iterator[Hosts]:
    """All three of them, while it lasts. server: one that is not started yet."""
    with lab:
        if server is None:
            with Processes(work) as start:
                yield Hosts(lab, start, None)
        else:
            with server, Processes(work) as start:
                yield Hosts(lab, start, server)


def succeeded(*processes: Running) -> list[Ended]:
    """All of them end with exit code 0."""
    ends = [each.ended() for each in processes]
    assert [each.exit_code for each in ends] == [0] * len(ends), "".join(each.err + each.out.decode() for each in ends)
    return ends
