"""The rounds of one condition: all contenders in turn, again and again, so that what the machine does meanwhile hits all alike."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import equipment, machine, raw
from bench.conditions import Condition, Entry, Source
from bench.measuring import Trouble
from bench.networks import Hosts, network
from bench.runs import MIB, Outcome, Run
from bench.scp import Scp
from bench.stream import Stream
from bench.task import Contender, Task
from bench.whole import P2pcopy
from bench.wormhole import Wormhole

CONTENDERS: Mapping[str, Contender] = {
    "raw": raw.P2pcopy(),
    "aiortc": raw.Aiortc(),
    "libdatachannel": raw.Libdatachannel(),
    "p2pcopy": P2pcopy(),
    "stream": Stream(),
    "scp": Scp(),
    "wormhole": Wormhole(),
}
_PROGRAMS = ("p2pcopy", "stream", "scp", "wormhole")
_FILES_A_DIRECTORY = 500


def missing(contenders: Sequence[str]) -> dict[str, str]:
    """Why some of them cannot take part."""
    reasons = {name: CONTENDERS[name].missing() for name in contenders}
    return {name: reason for name, reason in reasons.items() if reason}


def measure(
    condition: Condition, rounds: int, contenders: Sequence[str], missing: Mapping[str, str], say: Callable[[str], None]
) -> Outcome:
    """So many rounds of those who take part. say: told of each run."""
    entries = [each for each in condition.entries if each.contender in contenders]
    left_out = {each.name: missing[each.contender] for each in entries if each.contender in missing}
    entries = [each for each in entries if each.name not in left_out]
    runs: list[Run] = []
    try:
        with network(condition.cable, server=condition.server) as hosts, _sources(condition, entries) as sources:
            for number in range(rounds):
                # There and back, so that nobody is always behind the same one.
                for entry in entries if number % 2 == 0 else reversed(entries):
                    run = _once(condition, entry, number, hosts, sources.get(entry.source or condition.source, Path()))
                    runs.append(run)
                    say(_line(run))
    except (equipment.Missing, RuntimeError) as error:
        left_out |= {each.name: str(error) for each in entries}
    return Outcome(condition.name, machine.described(), machine.date(), runs, left_out)


def _once(condition: Condition, entry: Entry, number: int, hosts: Hosts, source: Path) -> Run:
    folder = equipment.HOME / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task = Task(
        entry.name,
        number,
        hosts,
        folder,
        source,
        condition.seconds,
        condition.limit_s,
        condition.offload,
        entry.relay,
    )
    try:
        if hosts.cable is None:
            return CONTENDERS[entry.contender].run(task)
        with hosts.cable.plugged_in(seed=number):
            run = CONTENDERS[entry.contender].run(task)
        there, _ = hosts.cable.traffic
        figures = {"cable_packets": there.packets, "cable_lost": there.lost, "cable_overflowed": there.overflowed}
        return dataclasses.replace(run, figures={**run.figures, **figures, "cable_late_ms": there.late_ms})
    except (Trouble, OSError, subprocess.SubprocessError) as error:
        return Run(entry.name, number, trouble=str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _line(run: Run) -> str:
    if run.trouble:
        return f"  {run.round + 1} {run.entry}: FAILED: {run.trouble}"
    cpu = " / ".join(f"{each:.2f}" for each in run.cpu_s_per_gib)
    peaks = f"{run.send.peak_mib:.0f} / {run.receive.peak_mib:.0f}"
    return f"  {run.round + 1} {run.entry}: {run.mib_s:.1f} MiB/s, CPU {cpu} s/GiB, peak {peaks} MiB"


@contextlib.contextmanager
def _sources(condition: Condition, entries: Sequence[Entry]) -> Iterator[dict[Source, Path]]:
    """What programs are to copy: random bytes, on disk, and not on the way there any more."""
    folder = equipment.HOME / "sources"
    shutil.rmtree(folder, ignore_errors=True)
    wanted = {each.source or condition.source for each in entries if each.contender in _PROGRAMS}
    try:
        made = {each: _made(folder / f"{each.files}-of-{each.size}", each) for each in wanted}
        os.sync()
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(path: Path, source: Source) -> Path:
    numbers = random.Random(str(source))
    if source.files == 1:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(path, source.size, numbers)
        return path
    for number in range(source.files):
        directory = path / f"d{number // _FILES_A_DIRECTORY}"
        directory.mkdir(parents=True, exist_ok=True)
        _fill(directory / f"f{number}", source.size, numbers)
    return path


def _fill(path: Path, size: int, numbers: random.Random) -> None:
    with path.open("wb") as file:
        while size:
            block = numbers.randbytes(min(MIB, size))
            file.write(block)
            size -= len(block)
