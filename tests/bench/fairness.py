"""Shares of one bottleneck: raw channels of p2pcopy, and flows of the system's TCP, over a cable of a rate. Prints a table."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lab.tied import shell

from bench import equipment
from bench.cables import Cable
from bench.measuring import Measured, Trouble
from bench.networks import Hosts, network

OURS = "ours"
_ENVIRONMENT = {"PYTHONPATH": f"{equipment.ROOT / 'tests'}:{equipment.ROOT}"}
_MEET_S = 60.0
_BLOCK = 256 * 1024
_MARK_S = 0.25
_SPARE_S = 2.0  # that flows go on after the time that counts
# TCP's, so large that only its congestion control decides: the longest path holds 4 MB.
_BUFFERS = "4096 262144 33554432"
_PRIORITY = 5


@dataclass
class Arrived:
    """Bytes in all at moments of the monotonic clock; sent, resent: packets, of ours."""

    times: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    sent: int = 0
    resent: int = 0

    def add(self, at: float, count: float) -> None:
        self.times.append(at)
        self.counts.append(count)

    def mbit_s(self, since: float, until: float) -> float:
        return (self._at(until) - self._at(since)) * 8e-6 / (until - since)

    def _at(self, when: float) -> float:
        """As if the rate were constant between two moments."""
        after = bisect_right(self.times, when)
        if after in {0, len(self.times)}:
            return self.counts[max(0, after - 1)]
        (t0, t1), (c0, c1) = self.times[after - 1 : after + 1], self.counts[after - 1 : after + 1]
        return c0 + (c1 - c0) * (when - t0) / (t1 - t0)


# Waits until the flow is over. Raises Trouble.
Wait = Callable[[], Arrived]


@dataclass(frozen=True)
class Shares:
    """mbit_s: of each flow while all of them are there; thirds: the last flow's share in each third of that time; resent: share
    of packets; late_ms: the worst that the cable was behind its time."""

    mbit_s: tuple[float, ...]
    thirds: tuple[float, ...]
    resent: float
    late_ms: float

    @property
    def share(self) -> float:
        """Of the last flow."""
        return self.mbit_s[-1] / sum(self.mbit_s)


def measure(flows: Sequence[str], cable: Cable, later: float, seconds: float) -> Shares:
    """From a to b. flows: OURS, or what the system calls a congestion control of TCP; the last starts so much later than the
    others, and seconds count from then on. Raises equipment.Missing, OSError, RuntimeError, Trouble."""
    with network(cable) as hosts, tempfile.TemporaryDirectory() as folder:
        for name in hosts.namespaces.values():
            shell([f"ip netns exec {name} sysctl -qw net.ipv4.tcp_{which}='{_BUFFERS}'" for which in ("rmem", "wmem")])
        if hosts.cable is None:
            raise Trouble("there is no cable")
        with hosts.cable.plugged_in(seed=1), ExitStack() as stack:
            waits = []
            for number, name in enumerate(flows):
                rest = seconds + _SPARE_S
                if number == len(flows) - 1:
                    time.sleep(later)
                else:
                    rest += later
                waits.append(stack.enter_context(_flow(name, hosts, Path(folder) / str(number), rest)))
            arrived = [wait() for wait in waits]
        return _shares(arrived, hosts.cable.traffic[0].late_ms)


def _shares(flows: Sequence[Arrived], late_ms: float) -> Shares:
    since, until = max(each.times[0] for each in flows), min(each.times[-1] for each in flows)
    bounds = [since + (until - since) * number / 3 for number in range(4)]
    thirds = [[each.mbit_s(*bound) for each in flows] for bound in itertools.pairwise(bounds)]
    sent, resent = sum(each.sent for each in flows), sum(each.resent for each in flows)
    return Shares(
        tuple(each.mbit_s(since, until) for each in flows),
        tuple(each[-1] / sum(each) for each in thirds),
        resent / sent if sent else 0.0,
        late_ms,
    )


def _flow(name: str, hosts: Hosts, folder: Path, seconds: float) -> AbstractContextManager[Wait]:
    folder.mkdir()
    return _ours(hosts, folder, seconds) if name == OURS else _tcp(name, hosts, seconds)


@contextlib.contextmanager
def _ours(hosts: Hosts, folder: Path, seconds: float) -> Iterator[Wait]:
    module = [sys.executable, "-m", "bench.peer_p2pcopy"]
    send, receive = [*module, "send", "0", "{}"], [*module, "receive", str(seconds), "{}"]
    with (
        Measured("receiver", folder, receive, place=hosts.command("b"), environment=_ENVIRONMENT) as receiver,
        Measured("sender", folder, send, place=hosts.command("a"), environment=_ENVIRONMENT) as sender,
    ):
        receiver.say(sender.line(_MEET_S))
        sender.say(receiver.line(_MEET_S))

        def wait() -> Arrived:
            arrived = Arrived()
            while True:
                at, line = receiver.timed_line(_MEET_S + seconds)
                told = json.loads(line)
                if "at" not in told:
                    break
                if not arrived.times:
                    arrived.add(at - told["at"], 0)
                arrived.add(at, told["bytes"])
            if told["error"]:
                raise Trouble(told["error"])
            if not arrived.times:
                arrived.add(at - told["seconds"], 0)
            arrived.add(at, told["bytes"])
            used = json.loads(sender.line(_MEET_S))
            arrived.sent, arrived.resent = used["packets_sent"], used["packets_resent"]
            return arrived

        yield wait


@contextlib.contextmanager
def _tcp(control: str, hosts: Hosts, seconds: float) -> Iterator[Wait]:
    with hosts.inside("b"):
        listening = socket.create_server((hosts.addresses["b"], 0))
    with hosts.inside("a"):
        sending = socket.socket()
    arrived = Arrived()
    with listening, sending:
        sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        sending.settimeout(_MEET_S)
        sending.connect(listening.getsockname())
        receiving, _ = listening.accept()
        with receiving:
            sender = threading.Thread(target=_send, args=(sending,))
            receiver = threading.Thread(target=_receive, args=(receiving, arrived, seconds))

            def wait() -> Arrived:
                receiver.join()
                return arrived

            try:
                sender.start()
                receiver.start()
                yield wait
            finally:
                for each in (receiving, sending):
                    with contextlib.suppress(OSError):  # the other end may have done it
                        each.shutdown(socket.SHUT_RDWR)
                for thread in (sender, receiver):
                    thread.join()


def _send(connection: socket.socket) -> None:
    block = bytes(_BLOCK)
    with contextlib.suppress(OSError):  # it is over
        while True:
            connection.sendall(block)


def _receive(connection: socket.socket, arrived: Arrived, seconds: float) -> None:
    block, count = bytearray(_BLOCK), 0
    began = time.monotonic()
    arrived.add(began, 0)
    while (now := time.monotonic()) < began + seconds and (size := connection.recv_into(block)):
        count += size
        if now - arrived.times[-1] >= _MARK_S:
            arrived.add(now, count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument(
        "--flows", type=lambda text: text.split(","), default=["cubic", OURS], help="such as cubic,ours"
    )
    parser.add_argument("--later", type=float, default=0.0, help="seconds by which the last of them starts later")
    parser.add_argument("--rtts", type=_numbers, default=[10, 20, 50, 100], help="ms")
    parser.add_argument("--queues", type=_numbers, default=[5, 50, 200], help="ms")
    parser.add_argument("--rate", type=float, default=100.0, help="Mbit/s")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each measurement")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    # All that is started inherits it. Else what other programs do is measured: who is late does not get its share.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    equipment.impair()
    print(
        "| RTT, queue in ms | Mbit/s | share of the last | in each third | sent again | cable late by |\n"
        + "|---" * 6
        + "|"
    )
    for rtt, queue in itertools.product(options.rtts, options.queues):
        cable = Cable(rtt_ms=rtt, rate_mbit=options.rate, queue_ms=queue)
        shares = measure(options.flows, cable, options.later, options.seconds)
        rates = " / ".join(f"{each:.1f}" for each in shares.mbit_s)
        thirds = ", ".join(f"{each:.0%}" for each in shares.thirds)
        rest = f"{shares.share:.0%} | {thirds} | {shares.resent:.2%} | {shares.late_ms:.0f} ms"
        print(f"| {rtt:g}, {queue:g} | {rates} | {rest} |", flush=True)


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
