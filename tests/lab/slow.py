"""Making a cable slow or lossy, for kernels without netem."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.tied import Tied

_PROGRAM = Path(__file__).with_name("stretch.py")


class Slow:
    """A stretch that can be put between a cable and its bridge. Raises RuntimeError when it cannot be had.

    place: the command line that runs a command in the namespace of both; name: tells it from others there.
    """

    def __init__(self, place: Sequence[str], name: str, delay_s: float, loss: float, seed: int) -> None:
        self._place = " ".join(place)
        self._bridge, self._devices = f"slow-{name}", (f"slow-{name}-1", f"slow-{name}-2")
        command = [sys.executable, "-I", "-S", str(_PROGRAM), *self._devices, str(delay_s), str(loss), str(seed)]
        self._process = Tied(command, place=place, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            self._process.stop()
            raise RuntimeError("no TAP devices")

    def script(self, cable: str, bridge: str) -> list[str]:
        """What puts it between the two."""
        near, far = self._devices
        return [
            f"{self._place} ip link add {self._bridge} type bridge",
            f"{self._place} ip link set {self._bridge} up",
            f"{self._place} ip link set {near} master {bridge} up",
            f"{self._place} ip link set {far} master {self._bridge} up",
            f"{self._place} ip link set {cable} master {self._bridge}",
        ]

    def undo_script(self, cable: str, bridge: str) -> list[str]:
        """What takes it out again. Afterwards it can be stopped."""
        return [
            f"{self._place} ip link set {cable} master {bridge}",
            f"{self._place} ip link delete {self._bridge}",
        ]

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.stop()
