"""`make bench`: p2pcopy from disk to disk against the raw data channel of stock aiortc, in turn, on this machine.

Prints a table for docs/performance.md. Figures of shared machines vary; the ratios of one run are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
P2PCOPY = [sys.executable, "-m", "p2pcopy"]
TIMEOUT_S = 900


@dataclass(frozen=True)
class Run:
    """One transfer. cpu_s: of the data phase and everything else of both processes; peaks in MiB."""

    mib_per_s: float
    seconds: float
    send_cpu_s: float
    receive_cpu_s: float
    send_peak: float
    receive_peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=200, help="size of the big file")
    parser.add_argument("--small", type=int, default=10_000, help="number of files of 1 KiB")
    parser.add_argument("--only", choices=["raw", "small", "start"], help="one part alone")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory(prefix="p2pcopy-bench-") as folder:
        if options.only in (None, "raw"):
            compare_raw(Path(folder), options.rounds, options.mib)
        if options.only in (None, "small"):
            many_small(Path(folder), options.rounds, options.small)
    if options.only in (None, "start"):
        start_up(options.rounds)


def compare_raw(folder: Path, rounds: int, mib: int) -> None:
    source = folder / "big.bin"
    with source.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(2**20))
    stock_runs, our_runs = [], []
    for number in range(rounds):
        stock_runs.append(stock(mib))
        our_runs.append(p2pcopy(source, folder / f"out{number}"))
        (folder / f"out{number}" / source.name).unlink()
    print(f"## {mib} MiB, {rounds} rounds in turn\n")
    table([("stock aiortc, raw channel", stock_runs, mib), ("p2pcopy, verified file", our_runs, mib)])
    ratios = [ours.mib_per_s / theirs.mib_per_s for ours, theirs in zip(our_runs, stock_runs, strict=True)]
    print(
        f"\nratio of p2pcopy to stock aiortc: median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})\n"
    )


def many_small(folder: Path, rounds: int, count: int) -> None:
    source = folder / "many"
    for number in range(count):
        directory = source / f"d{number // 500}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{number}").write_bytes(os.urandom(1024))
    runs = [p2pcopy(source, folder / f"small{number}") for number in range(rounds)]
    seconds = [run.seconds for run in runs]
    print(f"## {count} files of 1 KiB, {rounds} rounds\n")
    print(f"seconds: median {statistics.median(seconds):.1f} ({min(seconds):.1f}-{max(seconds):.1f})")
    print(
        f"peak memory: send {max(r.send_peak for r in runs):.0f} MiB, receive {max(r.receive_peak for r in runs):.0f} MiB\n"
    )


def start_up(rounds: int) -> None:
    print("## start\n")
    for argument in ("--help", "--version"):
        seconds = []
        for _ in range(rounds):
            with subprocess.Popen([*P2PCOPY, argument], stdout=subprocess.DEVNULL) as process:
                seconds.append(finish(process)["cpu_s"])
        print(f"p2pcopy {argument}: {statistics.median(seconds):.2f} s of CPU ({min(seconds):.2f}-{max(seconds):.2f})")


def table(rows: list[tuple[str, list[Run], int]]) -> None:
    print("| | MiB/s median (range) | CPU s/GiB send / receive | peak MiB send / receive |")
    print("|---|---|---|---|")
    for name, runs, mib in rows:
        rates = [run.mib_per_s for run in runs]
        send_cpu = statistics.median(run.send_cpu_s for run in runs) * 1024 / mib
        receive_cpu = statistics.median(run.receive_cpu_s for run in runs) * 1024 / mib
        peaks = f"{max(run.send_peak for run in runs):.0f} / {max(run.receive_peak for run in runs):.0f}"
        rate = f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})"
        print(f"| {name} | {rate} | {send_cpu:.1f} / {receive_cpu:.1f} | {peaks} |")


def stock(mib: int) -> Run:
    command = [sys.executable, str(HERE / "stock.py")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([*command, "receive", str(mib)], **pipes) as receiver,
        subprocess.Popen([*command, "send", str(mib)], **pipes) as sender,
    ):
        pass_line(sender, receiver)
        pass_line(receiver, sender)
        sent, received = read_report(sender), read_report(receiver)
        return Run(
            mib_per_s=sent["mib_per_s"],
            seconds=mib / sent["mib_per_s"],
            send_cpu_s=sent["cpu_s"],
            receive_cpu_s=received["cpu_s"],
            send_peak=sent["peak_kib"] / 1024,
            receive_peak=received["peak_kib"] / 1024,
        )


def pass_line(source: Any, destination: Any) -> None:
    destination.stdin.write(source.stdout.readline())
    destination.stdin.flush()


def read_line(process: subprocess.Popen[Any]) -> str:
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    line: str = process.stdout.readline()
    return line


def read_report(process: subprocess.Popen[Any]) -> dict[str, Any]:
    line, _ = process.communicate(timeout=TIMEOUT_S)
    report: dict[str, Any] = json.loads(line)
    return report


def p2pcopy(source: Path, destination: Path) -> Run:
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [*P2PCOPY, "send", "--no-stun", "--quiet", "--compress", "never", str(source)], **quiet
    ) as sender:
        code = read_line(sender).strip()
        command = [*P2PCOPY, "receive", code, "--no-stun", "--json", "--yes", "--output", str(destination)]
        with subprocess.Popen(command, **quiet) as receiver:
            events = []
            while line := read_line(receiver):
                events.append(json.loads(line))
            received = finish(receiver)
        sent = finish(sender)
    done = events[-1]
    if done["event"] != "done" or not done["ok"] or sent["code"] or received["code"]:
        raise SystemExit(f"a transfer failed: {done}")
    return Run(
        mib_per_s=done["rate_bytes_per_s"] / 2**20,
        seconds=done["seconds"],
        send_cpu_s=sent["cpu_s"],
        receive_cpu_s=received["cpu_s"],
        send_peak=sent["peak_kib"] / 1024,
        receive_peak=received["peak_kib"] / 1024,
    )


def finish(process: subprocess.Popen[Any]) -> dict[str, Any]:
    """Wait for a child, with what it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"code": process.returncode, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}


if __name__ == "__main__":
    main()
