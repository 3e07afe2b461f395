"""Raw channels, from memory to memory: both ends of p2pcopy's own, of stock aiortc, of libdatachannel."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench import equipment
from bench.measuring import Measured, Trouble
from bench.payload import PATTERN
from bench.runs import Run, Sample, Side
from bench.task import Task

# Meeting, over a path that may lose the first packets of every handshake.
_MEET_S = 60.0
_PYTHONPATH = {"PYTHONPATH": f"{equipment.ROOT / 'tests'}:{equipment.ROOT}"}


class P2pcopy:
    def missing(self) -> str:
        return ""

    def run(self, task: Task) -> Run:
        settings: dict[str, Any] = {} if task.offload else {"gso": False, "gro": False}
        environment = dict(_PYTHONPATH)
        ours = settings
        if task.relay and task.hosts.server is not None:
            server = task.hosts.server
            ours = settings | {"server": [server.url_over(task.relay), *server.credential()]}
            environment["SSL_CERT_FILE"] = str(server.ca_file)
        module = [sys.executable, "-m", "bench.peer_p2pcopy"]
        send = [*module, "send", "0", json.dumps(ours)]
        receive = [*module, "receive", str(task.seconds), json.dumps(settings)]
        run, sent = _meet(task, send, receive, environment)
        kind = "relayed" if task.relay else "direct"
        if sent["path"] not in (kind, "local"):
            raise Trouble(f"the path was {sent['path']}")
        counts: dict[str, float] = {name: sent[name] for name in ("packets_sent", "packets_resent") if name in sent}
        return dataclasses.replace(run, figures=counts)


class Aiortc:
    def missing(self) -> str:
        return ""

    def run(self, task: Task) -> Run:
        module = [sys.executable, "-m", "bench.peer_aiortc"]
        return _meet(task, [*module, "send"], [*module, "receive", str(task.seconds)], _PYTHONPATH)[0]


class Libdatachannel:
    def missing(self) -> str:
        try:
            equipment.node_datachannel()
        except equipment.Missing as error:
            return str(error)
        return ""

    def run(self, task: Task) -> Run:
        script = ["node", str(equipment.HERE / "peer_libdatachannel.mjs")]
        pattern = task.folder / "pattern"
        pattern.write_bytes(PATTERN)
        last = [str(equipment.node_datachannel()), str(pattern)]
        return _meet(task, [*script, "send", "0", *last], [*script, "receive", str(task.seconds), *last], {})[0]


def _meet(
    task: Task, send: Sequence[str], receive: Sequence[str], environment: Mapping[str, str]
) -> tuple[Run, dict[str, Any]]:
    """The run, and the sender's report. Raises Trouble."""
    hosts, folder = task.hosts, task.folder
    with (
        Measured("receiver", folder, receive, place=hosts.command("b"), environment=environment) as receiver,
        Measured("sender", folder, send, place=hosts.command("a"), environment=environment) as sender,
    ):
        receiver.say(sender.line(_MEET_S))
        sender.say(receiver.line(_MEET_S))
        samples = []
        while "cpu_s" not in (told := json.loads(receiver.line(_MEET_S + task.seconds))):
            samples.append(Sample(told["at"], told["bytes"], sender.memory_mib(), receiver.memory_mib()))
        if told["error"]:
            raise Trouble(told["error"])
        sent = json.loads(sender.line(_MEET_S))
        for each in (sender, receiver):
            with contextlib.suppress(BrokenPipeError):
                each.input.close()
        used = [each.finish(_MEET_S) for each in (sender, receiver)]
    run = Run(
        task.entry,
        task.round,
        bytes=told["bytes"],
        seconds=told["seconds"],
        send=Side(sent["cpu_s"], used[0].peak_mib),
        receive=Side(told["cpu_s"], used[1].peak_mib),
        samples=tuple(samples),
    )
    return run, sent
