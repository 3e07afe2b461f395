"""p2pcopy with a stream that goes on for minutes: from standard input to standard output, with nothing behind that takes time."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from bench.measuring import Measured, Trouble
from bench.runs import Run, Sample, Side
from bench.task import Task
from bench.telling import EVERY_S
from bench.whole import code, environments

_QUIET_S = 60.0


class Stream:
    """What arrives is not compared here, but verified by p2pcopy itself. The memory is looked at every few seconds."""

    def missing(self) -> str:
        return ""

    def run(self, task: Task) -> Run:
        # The file again and again, for so many seconds.
        feed = ["timeout", str(task.seconds), "sh", "-c", f"while cat {task.source}; do :; done"]
        program = [sys.executable, "-m", "p2pcopy"]
        send = [*program, "send", "-", "--name", "stream", "--json", "--no-stun", "--no-qr"]
        receive = [*program, "receive", "--quiet", "--no-stun", "--yes", "--output", "-"]
        (ours, theirs), hosts, folder = environments(task), task.hosts, task.folder
        end, beginning = os.pipe()
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            with (
                Measured("sender", folder, send, place=hosts.command("a"), environment=ours, stdin=end) as sender,
                Measured(
                    "receiver",
                    folder,
                    [*receive, code(sender)],
                    place=hosts.command("b"),
                    environment=theirs,
                    stdin=nowhere,
                    stdout=nowhere,
                ) as receiver,
                Measured("feed", folder, feed, stdin=nowhere, stdout=beginning),
            ):
                os.close(beginning)
                beginning = -1
                samples, done = _followed(sender, receiver)
                sent, received = (each.finish(_QUIET_S) for each in (sender, receiver))
        finally:
            for descriptor in (end, nowhere, *([beginning] if beginning >= 0 else [])):
                os.close(descriptor)
        return Run(
            task.entry,
            task.round,
            bytes=done["bytes_done"],
            seconds=done["seconds"],
            send=Side(sent.cpu_s, sent.peak_mib),
            receive=Side(received.cpu_s, received.peak_mib),
            samples=tuple(samples),
        )


def _followed(sender: Measured, receiver: Measured) -> tuple[list[Sample], dict[str, Any]]:
    """Until all of it is sent: what was seen meanwhile, and the last event. Raises Trouble."""
    samples: list[Sample] = []
    began = 0.0
    while True:
        at, line = sender.timed_line(_QUIET_S)
        told: dict[str, Any] = json.loads(line)
        match told["event"]:
            case "done":
                return samples, told
            case "error":
                raise Trouble(f"sender: {told['message']}")
            case "progress" if told["bytes_done"]:
                began = began or at
                if at - began >= EVERY_S * (len(samples) + 1):
                    memory = sender.memory_mib(), receiver.memory_mib()
                    samples.append(Sample(at - began, told["bytes_done"], *memory))
