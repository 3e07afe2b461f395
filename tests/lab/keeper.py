"""A laboratory that outlives the command that asked for it: a process that keeps it, and how to talk to that process.

One question a connection, as a line of JSON: [command, {argument: value}]; the answer is {"value": ...} or {"error": text}.
Whoever kills the keeper has the servers killed, too, and the next laboratory sweeps the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import namespaces
from lab.kinds import Layout, Shape, Site
from lab.network import Lab
from lab.turn import SECRET, Coturn

FOLDER, _PREFIX, _SUFFIX = Path("/run"), "p2pcopy-lab-", ".sock"
_READY = b"ready\n"
_ANSWER_S = 30.0


class NoAnswer(Exception):
    """What to tell the user."""


def start(name: str, layout: Layout, *, servers: bool, turn: str, secret: bool) -> None:
    """Have a laboratory kept. turn: udp, tcp or tls; secret: its users make credentials of a secret. Raises NoAnswer."""
    if _answers(name):
        raise NoAnswer(f"there is a laboratory {name!r} already: end it with down, or give another --name")
    arguments = [name, str(layout.a), str(layout.b), layout.shape.value, str(int(servers)), turn, str(int(secret))]
    process = subprocess.Popen(
        [sys.executable, "-c", "from lab.keeper import main\nmain()", *arguments],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said = b""
    for line in process.stdout or ():
        if line == _READY:
            process.returncode = 0  # it lives on, and nobody waits for it
            return
        said += line
    process.wait()
    raise NoAnswer(said.decode(errors="replace").strip())


def ask(name: str, command: str, **arguments: Any) -> Any:
    """What the keeper of a laboratory answers. Raises NoAnswer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(_socket_of(name)))
            connection.sendall(json.dumps([command, arguments]).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        except OSError as error:
            raise NoAnswer(f"there is no laboratory {name!r}: {error.strerror or error}") from None
        except ValueError:
            raise NoAnswer(f"the laboratory {name!r} has just ended") from None
    if "error" in answer:
        raise NoAnswer(answer["error"])
    return answer["value"]


def end(name: str) -> None:
    """Returns when all of it is gone, what runs in it included, and what killed keepers have left. Raises NoAnswer."""
    try:
        process = os.pidfd_open(ask(name, "pid"))
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended, _, _ = select.select([process], [], [], _ANSWER_S)
        os.close(process)
        if not ended:
            raise NoAnswer(f"the laboratory {name!r} does not end")
    finally:
        if not _answers(name):
            _socket_of(name).unlink(missing_ok=True)
        namespaces.sweep()


def names() -> list[str]:
    """Those of the laboratories that are kept."""
    found = sorted(
        each.name.removeprefix(_PREFIX).removesuffix(_SUFFIX) for each in FOLDER.glob(f"{_PREFIX}*{_SUFFIX}")
    )
    return [each for each in found if _answers(each)]


def main() -> None:
    """The keeper's process."""
    name, a, b, shape, servers, turn, secret = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(Layout(Site.parse(a), Site.parse(b), Shape(shape))))
        server = None
        if servers == "1":
            also = (Lab.SERVER_2, Lab.SERVER6, Lab.SERVER6_2)
            server = stack.enter_context(Coturn(Lab.SERVER, also=also, lab=lab, secret=SECRET if secret == "1" else ""))
        os.umask(0o077)  # only root gets at the socket
        _socket_of(name).unlink(missing_ok=True)
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(_socket_of(name)))
        stack.callback(_socket_of(name).unlink, missing_ok=True)
        listening.listen()
        sys.stdout.buffer.write(_READY)
        sys.stdout.buffer.flush()
        Keeper(lab, server, turn).serve(listening)


class Keeper:
    """What can be asked of a laboratory. turn: the transport for which exec has the settings, "" for none."""

    def __init__(self, lab: Lab, server: Coturn | None, turn: str) -> None:
        self._lab = lab
        self._server = server
        self._turn = turn
        self._commands: dict[str, Callable[..., Any]] = {
            "status": self.status,
            "place": self.place,
            "cut": lab.cut,
            "mend": lab.mend,
            "flush": lab.forget_mappings,
            "rebind": lab.rebind,
            "slow": lab.slow_down,
            "renumber": lab.renumber,
            "roam": self.roam,
            "server": self.server,
            "pid": os.getpid,
        }

    def serve(self, listening: socket.socket) -> None:
        """Until a signal ends it."""
        while True:
            connection, _ = listening.accept()
            connection.settimeout(_ANSWER_S)
            with connection, contextlib.suppress(OSError), connection.makefile("rb") as questions:
                connection.sendall(json.dumps(self._answer(questions.readline())).encode() + b"\n")

    def status(self) -> str:
        lines = [f"{host}: {self._lab.link(host).site}, {self._lab.namespace(host)}" for host in ("a", "b")]
        if self._server is not None:
            urls = (self._server.stun_url, self._server.turn_url, self._server.turn_tcp_url, self._server.turns_url)
            username, password = self._server.credential()
            user = f"secret {self._server.secret!r}" if self._server.secret else f"user {username}, password {password}"
            lines.append(f"server: {', '.join(urls)}; {user}; trust {self._server.ca_file}")
            lines.append(f"other addresses: {', '.join(self._server.addresses[1:])}")
        return "\n".join(lines)

    def place(self, member: str) -> dict[str, Any]:
        """How to run a command there, and with which environment."""
        return {"command": self._lab.command(member), "environment": self._environment(member)}

    def roam(self, host: str, site: str | None) -> None:
        self._lab.roam(host, Site.parse(site) if site else None)

    def server(self, do: str) -> None:
        if self._server is None:
            raise ValueError("there is no server: up --stun or up --turn makes one")
        does = {"kill": self._server.stop, "start": self._server.restart, "freeze": self._server.freeze}
        does.get(do, self._server.thaw)()

    def _environment(self, member: str) -> dict[str, str]:
        server = self._server
        if server is None:
            return {}
        ipv6_only = member in ("a", "b") and not self._lab.link(member).site.family.has_ipv4
        address = Lab.SERVER6 if ipv6_only else Lab.SERVER
        environment = {"SSL_CERT_FILE": str(server.ca_file), "P2PCOPY_STUN": server.url("stun", address=address)}
        if self._turn:
            environment["P2PCOPY_TURN"] = server.url_over(self._turn, address)
            if server.secret:
                environment["P2PCOPY_TURN_SECRET"] = server.secret
            else:
                environment["P2PCOPY_TURN_USER"], environment["P2PCOPY_TURN_PASSWORD"] = server.credential()
        return environment

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            command, arguments = json.loads(line)
            return {"value": self._commands[command](**arguments)}
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            return {"error": str(error) or type(error).__name__}


def _socket_of(name: str) -> Path:
    return FOLDER / f"{_PREFIX}{name}{_SUFFIX}"


def _answers(name: str) -> bool:
    try:
        ask(name, "pid")
    except NoAnswer:
        return False
    return True
