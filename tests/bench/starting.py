"""How long a user waits: CPU of help, from `send` to the code, and from the code's paste to the first byte. Prints a table.

From the root: `PYTHONPATH=tests:tests/net:. python -m bench.starting`. Needs no network beyond this machine, and coturn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from turnserver import TurnServer

from bench.measuring import Measured

LIMIT_S = 60.0
BIG = 64 << 20
PROGRAM = (sys.executable, "-m", "p2pcopy")


@contextlib.contextmanager
def deaf_server() -> Iterator[str]:
    """The URL of a STUN server that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"stun:127.0.0.1:{deaf.getsockname()[1]}"


def cpu_s(folder: Path, *arguments: str) -> float:
    """Of a whole process."""
    with Measured("help", folder, [*PROGRAM, *arguments]) as program:
        return program.finish(LIMIT_S).cpu_s


def to_the_code(folder: Path, *options: str) -> float:
    """From the start of `p2pcopy send` until its code is there, in seconds."""
    with Measured("send", folder, [*PROGRAM, "send", "file", *options]) as sender:
        began = time.monotonic()
        return sender.timed_line(LIMIT_S)[0] - began


def to_the_first_byte(folder: Path) -> tuple[float, float]:
    """From the start of `p2pcopy receive CODE` until it is connected, and until the first bytes are verified and stored."""
    with Measured("send", folder, [*PROGRAM, "send", "file", "--no-stun"]) as sender:
        command = [*PROGRAM, "receive", sender.line(LIMIT_S), "--yes", "--output", "out", "--no-stun", "--json"]
        command += ["--existing", "replace"]
        with Measured("receive", folder, command) as receiver:
            began, connected = time.monotonic(), 0.0
            while True:
                at, line = receiver.timed_line(LIMIT_S)
                event = json.loads(line)
                if event["event"] == "connected":
                    connected = at - began
                if event["event"] == "done" or (event["event"] == "progress" and event["bytes_done"]):
                    receiver.finish(LIMIT_S)
                    sender.finish(LIMIT_S)
                    return connected, at - began


def row(what: str, values: Sequence[float]) -> str:
    return f"| {what} | {statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f}) |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.starting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds

    with tempfile.TemporaryDirectory(prefix="p2pcopy-starting-") as place, TurnServer() as stun, deaf_server() as deaf:
        folder = Path(place)
        with (folder / "file").open("wb") as file:
            file.truncate(BIG)
        measures: dict[str, Callable[[], float]] = {
            "CPU of `p2pcopy --version`": lambda: cpu_s(folder, "--version"),
            "CPU of `p2pcopy --help`": lambda: cpu_s(folder, "--help"),
            "CPU of `p2pcopy send --help`": lambda: cpu_s(folder, "send", "--help"),
            "`send` to its code, `--no-stun`": lambda: to_the_code(folder, "--no-stun"),
            "`send` to its code, STUN server that answers": lambda: to_the_code(folder, "--stun", stun.url("", "stun")),
            "`send` to its code, STUN server that does not": lambda: to_the_code(folder, "--stun", deaf),
        }
        found: dict[str, list[float]] = {what: [] for what in measures}
        connected: list[float] = []
        stored: list[float] = []
        for _ in range(rounds):
            for what, measure in measures.items():
                found[what].append(measure())
            for values, value in zip((connected, stored), to_the_first_byte(folder), strict=True):
                values.append(value)
    print(f"\n{rounds} rounds, medians (ranges) in seconds\n\n| what | s |\n|---|---|")
    for what, values in found.items():
        print(row(what, values))
    print(row("`receive CODE` to connected", connected))
    print(row("`receive CODE` to the first bytes stored", stored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
