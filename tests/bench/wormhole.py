"""magic-wormhole, with a mailbox server of its own beside the sender, and no transit relay: it connects directly."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from bench import comparing, equipment
from bench.measuring import Measured, Trouble
from bench.networks import Hosts
from bench.runs import Run, Side
from bench.task import Task

_PORT = 4000
_CODE = "7-guitarist-revenge"
_START_S = 30.0


class Wormhole:
    """Its time is the one that the sender tells: from the first byte until the receiver says that all is verified."""

    def missing(self) -> str:
        try:
            equipment.wormhole()
        except equipment.Missing as error:
            return str(error)
        return ""

    def run(self, task: Task) -> Run:
        programs, hosts, folder = equipment.wormhole(), task.hosts, task.folder
        (folder / "out").mkdir()
        address = hosts.addresses["a"]
        listen = f"--port=tcp:{_PORT}:interface={address}"
        serve = [str(programs / "twist"), "wormhole-mailbox", listen, f"--channel-db={folder / 'mailbox'}"]
        wormhole = [str(programs / "wormhole"), f"--relay-url=ws://{address}:{_PORT}/v1", "--transit-helper="]
        timing = folder / "timing"
        send = [*wormhole, f"--dump-timing={timing}", "send", "--hide-progress", f"--code={_CODE}", str(task.source)]
        receive = [*wormhole, "receive", "--hide-progress", "--accept-file", "-o", str(folder / "out"), _CODE]
        with Measured("mailbox", folder, serve, place=hosts.command("a")):
            _wait_for_server(hosts)
            began = time.monotonic()
            with (
                Measured("sender", folder, send, place=hosts.command("a")) as sender,
                Measured("receiver", folder, receive, place=hosts.command("b")) as receiver,
            ):
                received, sent = (each.finish(task.limit_s) for each in (receiver, sender))
                whole_s = time.monotonic() - began
        return Run(
            task.entry,
            task.round,
            bytes=comparing.same(task.source, folder / "out" / task.source.name),
            seconds=_seconds(timing),
            send=Side(sent.cpu_s, sent.peak_mib),
            receive=Side(received.cpu_s, received.peak_mib),
            whole_s=whole_s,
        )


def _seconds(timing: Path) -> float:
    events = {event["name"]: event for event in json.loads(timing.read_text())}
    return float(events["get ack"]["stop"]) - float(events["tx file"]["start"])


def _wait_for_server(hosts: Hosts) -> None:
    end = time.monotonic() + _START_S
    with hosts.inside("b"):
        while time.monotonic() < end:
            try:
                with socket.create_connection((hosts.addresses["a"], _PORT), 1.0):
                    return
            except OSError:
                time.sleep(0.1)
    raise Trouble("the mailbox server does not start")
