"""Plain UDP sockets in a laboratory, to see what its networks do to packets."""

from __future__ import annotations

import contextlib
import socket
import time
from types import TracebackType

from lab.network import Lab

Address = tuple[str, int]
ARRIVES_S = 30.0
NEVER_S = 0.1
_END = b"that was all"


class Udp:
    """A socket of a member. Use as a context manager."""

    def __init__(self, lab: Lab, member: str, address: str = "0.0.0.0", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with lab.inside(member):
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise

    @property
    def address(self) -> Address:
        host, port, *_ = self._socket.getsockname()
        return host, port

    def send(self, data: bytes, to: Address) -> None:
        self._socket.sendto(data, to)

    def receive(self, timeout: float = ARRIVES_S) -> tuple[bytes, Address]:
        """The next packet and where it comes from. Raises TimeoutError when there is none in time."""
        self._socket.settimeout(timeout)
        data, (host, port, *_) = self._socket.recvfrom(1 << 16)
        return data, (host, port)

    def seen_by(self, other: Udp, to: Address | None = None) -> Address:
        """This socket's address as another one sees it. Raises TimeoutError when nothing gets there."""
        self.send(b"who am I?", to or other.address)
        return other.receive()[1]

    def hears(self, *others: tuple[Udp, Address]) -> list[bool]:
        """For each: does what it sends to an address arrive here? The last one has to: it shows that the others had time."""
        for number, (other, to) in enumerate(others):
            other.send(bytes([number]), to)
        heard: set[int] = set()
        while len(others) - 1 not in heard:
            heard.add(self.receive()[0][0])
        while len(heard) < len(others):
            try:
                heard.add(self.receive(NEVER_S)[0][0])
            except TimeoutError:
                break
        return [number in heard for number in range(len(others))]

    def arrived(self, other: Udp, to: Address) -> int:
        """How many packets of another one, which sends here, come before one that it sends now (again, if it is lost)."""
        count, end = 0, time.monotonic() + ARRIVES_S
        while time.monotonic() < end:
            other.send(_END, to)
            with contextlib.suppress(TimeoutError):
                while self.receive(NEVER_S)[0] != _END:
                    count += 1
                return count
        raise TimeoutError

    def __enter__(self) -> Udp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
