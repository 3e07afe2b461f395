"""p2pcopy as its users run it, from disk to disk."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench import comparing, equipment
from bench.measuring import Measured, Trouble
from bench.runs import Run, Side
from bench.task import Task

_MEET_S = 60.0


class P2pcopy:
    """Its time is the one that it tells: from when the offer is accepted until all is verified and stored."""

    def missing(self) -> str:
        return ""

    def run(self, task: Task) -> Run:
        program = [sys.executable, "-m", "p2pcopy"]
        network = ["--json", "--no-stun", "--no-qr"]
        send = [*program, "send", str(task.source), *network]
        receive = [*program, "receive", *network, "--yes", "--output", str(task.folder / "out")]
        if task.relay and task.hosts.server is not None:
            url = task.hosts.server.url_over(task.relay)
            send += ["--turn", url, "--relay", "only", "--no-share-relay"]
        ours, theirs = environments(task)
        places = {member: task.hosts.command(member) for member in ("a", "b")}
        with Measured("sender", task.folder, send, place=places["a"], environment=ours) as sender:
            offer = code(sender)
            began = time.monotonic()
            with Measured(
                "receiver", task.folder, [*receive, offer], place=places["b"], environment=theirs
            ) as receiver:
                sender.say(code(receiver))
                received, sent = (each.finish(task.limit_s) for each in (receiver, sender))
                whole_s = time.monotonic() - began
                done = json.loads(receiver.lines()[-1])
        kind = "relayed" if task.relay else "direct"
        if done["path"]["kind"] not in (kind, "local"):
            raise Trouble(f"the path was {done['path']['kind']}")
        return Run(
            task.entry,
            task.round,
            bytes=comparing.same(task.source, task.folder / "out" / task.source.name),
            seconds=done["seconds"],
            send=Side(sent.cpu_s, sent.peak_mib),
            receive=Side(received.cpu_s, received.peak_mib),
            whole_s=whole_s,
        )


def code(program: Measured) -> str:
    """The next that it prints. Raises Trouble."""
    while True:
        told: dict[str, Any] = json.loads(program.line(_MEET_S))
        if told["event"] == "code":
            return str(told["code"])
        if told["event"] == "error":
            raise Trouble(f"{program.name}: {told['message']}")


def environments(task: Task) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The sender's and the receiver's. Nothing of the user's own settings counts."""
    nowhere = str(task.folder / "nothing")
    both = {name: "" for name in os.environ if name.startswith("P2PCOPY_")}
    both |= {"HOME": nowhere, "XDG_CONFIG_HOME": nowhere, "PYTHONPATH": str(equipment.ROOT)}
    if not task.offload:
        both |= {"P2PCOPY_GSO": "off", "P2PCOPY_GRO": "off"}
    if not task.relay or task.hosts.server is None:
        return both, both
    server = task.hosts.server
    user, password = server.credential()
    turn = {"P2PCOPY_TURN_USER": user, "P2PCOPY_TURN_PASSWORD": password, "SSL_CERT_FILE": str(server.ca_file)}
    return both | turn, both
