"""coturn as STUN and TURN server over UDP and TCP, in a namespace of the laboratory or on a plain address of the machine."""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from lab.network import Lab

USERNAME = "north"
PASSWORD = "south"


class Coturn:
    """Use as a context manager. Without a laboratory it needs no root. port: 0 takes a free one."""

    def __init__(self, address: str, *, lab: Lab | None = None, member: str = "m", port: int = 0) -> None:
        self.address = address
        self.port = port or (3478 if lab else _free_port(address))
        self._lab = lab
        self._member = member
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stun_url(self) -> str:
        return f"stun:{self._authority}"

    @property
    def turn_url(self) -> str:
        return f"turn:{self._authority}"

    @property
    def _authority(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def __enter__(self) -> Coturn:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers. Raises RuntimeError when it does not."""
        self._directory = tempfile.TemporaryDirectory(prefix="p2pcopy-coturn-")
        place = Path(self._directory.name)
        settings = [
            f"listening-ip={self.address}",
            f"relay-ip={self.address}",
            f"listening-port={self.port}",
            "lt-cred-mech",
            f"user={USERNAME}:{PASSWORD}",
            "realm=lab",
            "fingerprint",
            "no-tls",
            "no-dtls",
            "no-cli",
            "allow-loopback-peers",
            f"userdb={place / 'users'}",
            f"pidfile={place / 'pid'}",
            f"log-file={place / 'log'}",
            "simple-log",
        ]
        (place / "conf").write_text("\n".join(settings) + "\n")
        command = ["turnserver", "-c", str(place / "conf")]
        if self._lab is not None:
            command = self._lab.command(self._member, *command)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill it, as a power cut would: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _wait_for_answer(self) -> None:
        """Until a STUN request over UDP is answered."""
        place = self._lab.inside(self._member) if self._lab else contextlib.nullcontext()
        request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"p2pcopy lab!"
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        end = time.monotonic() + 10
        with place, socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.05)
            probe.connect((self.address, self.port))
            while time.monotonic() < end and self._process is not None and self._process.poll() is None:
                with contextlib.suppress(OSError):
                    probe.send(request)
                    if probe.recv(1500):
                        return
        raise RuntimeError("coturn did not start")


@functools.cache
def why_not() -> str:
    """Why there can be no TURN server on this machine, "" when there can."""
    return "" if shutil.which("turnserver") else "not installed: coturn"


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
