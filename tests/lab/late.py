"""Answers that are pasted late, between two port-restricted NATs."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lab.network import Lab, Topology
from lab.program import Trouble
from lab.session import FILE, session
from lab.turn import Coturn

GOAL_S, GOAL_CPU = 1.0, 0.01
_PAYLOAD = b"late" * 1000


@dataclass(frozen=True)
class Late:
    """late_s: how long the answer was held back; connected_s: from the paste until this side was connected, first of the
    offering side, then of the answering one; cpu: share of one core while waiting, the same way round."""

    late_s: float
    connected_s: tuple[float, float]
    cpu: tuple[float, float]
    trouble: str = ""

    @property
    def good(self) -> bool:
        return not self.trouble and max(self.connected_s) <= GOAL_S and max(self.cpu) < GOAL_CPU


def measure(late_s: float) -> Late:
    """Takes late_s, in seconds, and a few more."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="p2pcopy-late-") as folder,
            Lab(Topology.TWO_NATS) as lab,
            Coturn(Lab.SERVER, lab=lab) as server,
        ):
            return _measure(late_s, lab, server, Path(folder))
    except Trouble as error:
        return Late(late_s, (0.0, 0.0), (0.0, 0.0), str(error))


def _measure(late_s: float, lab: Lab, server: Coturn, folder: Path) -> Late:
    (folder / FILE).write_bytes(_PAYLOAD)
    with session(lab, folder, ("--stun", server.stun_url), environment={}) as meeting:
        begun, before = time.monotonic(), [each.cpu_now_s() for each in meeting.both]
        time.sleep(late_s)
        waited, after = time.monotonic() - begun, [each.cpu_now_s() for each in meeting.both]
        pasted = time.monotonic()
        meeting.paste()
        at = meeting.connected()
        meeting.finish()
    used = [(end - start) / waited for start, end in zip(before, after, strict=True)]
    return Late(late_s, (at[0] - pasted, at[1] - pasted), (used[0], used[1]))


def table(results: list[Late]) -> list[str]:
    lines = [
        "| pasted after | connected after, offering side | answering side | CPU while waiting, offering side | answering side |",
        "|---:|---:|---:|---:|---:|",
    ]
    for each in results:
        if each.trouble:
            lines.append(f"| {duration(each.late_s)} | **{each.trouble}** | | | |")
        else:
            cells = [f"{seconds:.2f} s" for seconds in each.connected_s] + [f"{100 * cpu:.2f} %" for cpu in each.cpu]
            mark = "" if each.good else "**"
            lines.append(f"| {duration(each.late_s)} | " + " | ".join(f"{mark}{cell}{mark}" for cell in cells) + " |")
    return lines


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
