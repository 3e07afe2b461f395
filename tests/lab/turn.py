"""coturn as STUN and TURN server over UDP, TCP and TLS, in a namespace of the laboratory or on a plain address of the machine."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lab.network import Lab
from lab.ports import free_port
from lab.tied import Tied, runs

USERNAME = "north"
PASSWORD = "south"
SECRET = "east of the sun"
START_S = 30.0

# Directories are named p2pcopy-coturn-<process>-<random>.
_PREFIX = "p2pcopy-coturn-"
_BINDING_REQUEST = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"p2pcopy lab!"


class Coturn:
    """Use as a context manager. Without a laboratory it needs no root. It is killed when the thread that starts it ends.

    address: the one in its URLs; also: more that it listens at; with a second one of the same family it does the tests of
    RFC 5780. port, tls_port: 0 is 3478 and 5349 in a laboratory, free ones elsewhere. secret: shared with its users, who
    make time-limited credentials of it ("use-auth-secret"); "": there is one user, USERNAME with PASSWORD. certified: what
    its certificate is for, None: its addresses. conf: a turnserver.conf for port 3478 and 5349 and this secret, used as it is
    but for the places of certificates.
    """

    def __init__(
        self,
        address: str,
        *,
        also: Sequence[str] = (),
        lab: Lab | None = None,
        member: str = "m",
        port: int = 0,
        tls_port: int = 0,
        secret: str = "",
        certified: Sequence[str] | None = None,
        conf: str = "",
    ) -> None:
        self.address = address
        self.addresses = (address, *also)
        self.port = port or (3478 if lab else free_port(address))
        self.tls_port = tls_port or (5349 if lab else free_port(address))
        self.secret = secret
        self._certified = self.addresses if certified is None else tuple(certified)
        self._conf = conf
        self._lab = lab
        self._member = member
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: Tied | None = None

    def url(self, scheme: str = "turn", *, transport: str = "", address: str = "") -> str:
        """scheme: stun, turn or turns; transport: udp or tcp, "" leaves it out; address: another one that it listens at."""
        host = address or self.address
        port = self.tls_port if scheme == "turns" else self.port
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"{scheme}:{authority}?transport={transport}" if transport else f"{scheme}:{authority}"

    def url_over(self, transport: str, address: str = "") -> str:
        """The TURN URL that leaves no choice. transport: udp, tcp or tls."""
        if transport == "tls":
            return self.url("turns", transport="tcp", address=address)
        return self.url("turn", transport=transport, address=address)

    @property
    def stun_url(self) -> str:
        return self.url("stun")

    @property
    def turn_url(self) -> str:
        """Over UDP, or what the client makes of a URL without a transport."""
        return self.url("turn")

    @property
    def turn_tcp_url(self) -> str:
        return self.url("turn", transport="tcp")

    @property
    def turns_url(self) -> str:
        """Over TLS."""
        return self.url("turns", transport="tcp")

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that vouches for it, while it is in use: for SSL_CERT_FILE."""
        return self._place / "ca.pem"

    @property
    def pid(self) -> int:
        """Raises RuntimeError when it does not run."""
        return self._running().pid

    @property
    def log(self) -> str:
        """What it has written."""
        with contextlib.suppress(FileNotFoundError):
            return (self._place / "log").read_text(errors="replace")
        return ""

    def credential(self, lifetime_s: float = 3600) -> tuple[str, str]:
        """User name and password. With a secret they are good for lifetime_s seconds, which may be negative."""
        if not self.secret:
            return USERNAME, PASSWORD
        username = f"{int(time.time() + lifetime_s)}:{USERNAME}"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return username, base64.b64encode(digest).decode()

    def __enter__(self) -> Coturn:
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    def start(self) -> None:
        """Returns when the server answers. It knows nothing of what was before. Raises RuntimeError when it does not."""
        command = ["turnserver", "-c", str(self._configure())]
        place = self._lab.command(self._member) if self._lab is not None else ()
        self._process = Tied(command, place=place)
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill it, as a power cut would: no goodbye to anybody."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """From now on it takes packets and connections, and answers nothing."""
        self._running().freeze()

    def thaw(self) -> None:
        """The end of freeze. Now it answers what came meanwhile."""
        self._running().thaw()

    def _running(self) -> Tied:
        if self._process is None:
            raise RuntimeError("coturn does not run")
        return self._process

    @property
    def _place(self) -> Path:
        if self._directory is None:
            _sweep()
            self._directory = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")
            place = Path(self._directory.name)
            from lab import authority  # not before a server is started: cryptography takes its time

            certificate, key = authority.of_this_run().issue(self._certified)
            (place / "ca.pem").write_bytes(authority.of_this_run().pem)
            (place / "certificate.pem").write_bytes(certificate)
            (place / "key.pem").write_bytes(key)
        return Path(self._directory.name)

    def _configure(self) -> Path:
        file = self._place / "conf"
        settings = self._given() if self._conf else self._usual()
        file.write_text("\n".join([*settings, *self._places()]) + "\n")
        return file

    def _given(self) -> list[str]:
        return [line for line in self._conf.splitlines() if not line.startswith(("cert=", "pkey="))]

    def _usual(self) -> list[str]:
        users = (
            ("use-auth-secret", f"static-auth-secret={self.secret}")
            if self.secret
            else ("lt-cred-mech", f"user={USERNAME}:{PASSWORD}")
        )
        return [
            *(f"listening-ip={each}" for each in self.addresses),
            *(f"relay-ip={each}" for each in self._relay_addresses()),
            f"listening-port={self.port}",
            f"tls-listening-port={self.tls_port}",
            *users,
            "realm=lab",
            "fingerprint",
            "no-dtls",
            "no-cli",
            "allow-loopback-peers",
        ]

    def _places(self) -> list[str]:
        place = self._place
        return [
            f"cert={place / 'certificate.pem'}",
            f"pkey={place / 'key.pem'}",
            f"userdb={place / 'users'}",
            f"pidfile={place / 'pid'}",
            f"log-file={place / 'log'}",
            "simple-log",
        ]

    def _relay_addresses(self) -> list[str]:
        """The first of each family: then one allocation's address is another's, and one paste is enough."""
        return list({":" in each: each for each in reversed(self.addresses)}.values())

    def _wait_for_answer(self) -> None:
        """Until a STUN request over UDP is answered."""
        place = self._lab.inside(self._member) if self._lab else contextlib.nullcontext()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        end = time.monotonic() + START_S
        with place, socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.05)
            probe.connect((self.address, self.port))
            while time.monotonic() < end and self._process is not None and self._process.runs():
                with contextlib.suppress(OSError):
                    probe.send(_BINDING_REQUEST)
                    if probe.recv(1500):
                        return
        raise RuntimeError(f"coturn did not start\n{self.log}")

    def _clean_up(self) -> None:
        self.stop()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None


@functools.cache
def why_not() -> str:
    """Why there can be no TURN server on this machine, "" when there can."""
    return "" if shutil.which("turnserver") else "not installed: coturn"


def _sweep() -> None:
    """Remove the directories of killed processes."""
    for each in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = each.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not runs(int(owner)):
            shutil.rmtree(each, ignore_errors=True)
