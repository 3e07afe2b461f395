"""Ctrl-C, SIGTERM and SIGKILL on either side, at any time: both sides end, and nothing half done is left."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from processes import PATIENCE_S, Processes, Running
from trees import MIB, leftovers, make, noise

SIGNALS = pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
TOLD_WITHIN_S = 2.0
NOTICED_WITHIN_S = 16.0
# What machines under load may take longer.
SLACK_S = 8.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Processes]:
    make(tmp_path / "file", b"content")
    with Processes(tmp_path) as processes:
        yield processes


def in_the_middle(start: Processes, name: str = "stream") -> tuple[Running, Running]:
    """A transfer that has stored its first block and waits for more from the sender's standard input."""
    sender = start.send("-", "--name", name, keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json")
    sender.type(noise(MIB))
    receiver.out.wait_for(rb'"bytes_done": 1048576')
    return sender, receiver


def ends_within(process: Running, seconds: float, exit_code: int) -> str:
    """Wait for its end, and return what it said."""
    began = time.monotonic()
    ended = process.ended()
    assert ended.exit_code == exit_code, ended.err
    assert time.monotonic() - began < seconds + SLACK_S
    return ended.err + ended.out.decode()


@SIGNALS
def test_while_the_code_is_shown(start: Processes, number: int, exit_code: int) -> None:
    sender = start.send("file", keyboard=True)
    receiver = start.receive("-o", "out", terminal=True)
    for process in (sender, receiver):
        process.code()
        process.signal(number)
        assert "stopped by" in ends_within(process, TOLD_WITHIN_S, exit_code)
    assert not (start.work / "out").exists()


@SIGNALS
def test_while_a_code_is_waited_for(start: Processes, number: int, exit_code: int) -> None:
    receiver = start.receive("-", "-o", "out", keyboard=True, before=LOUD)
    receiver.err.wait_for(b"listening")
    receiver.signal(number)
    ends_within(receiver, TOLD_WITHIN_S, exit_code)
    assert not (start.work / "out").exists()


# Says on standard error when the process begins to wait for a line.
LOUD = """
from p2pcopy.signaling import exchange
real = exchange.Lines._read
def read(self):
    import os
    os.write(2, b"listening\\n")
    return real(self)
exchange.Lines._read = read
"""


@SIGNALS
def test_the_sender_is_stopped_in_the_middle(start: Processes, number: int, exit_code: int) -> None:
    sender, receiver = in_the_middle(start)
    sender.signal(number)
    assert "stopped by" in ends_within(sender, TOLD_WITHIN_S, exit_code)
    assert "the other side stopped the transfer" in ends_within(receiver, TOLD_WITHIN_S, 6)
    assert not (start.work / "out" / "stream").exists()
    assert not leftovers(start.work)


@SIGNALS
def test_the_receiver_is_stopped_in_the_middle(start: Processes, number: int, exit_code: int) -> None:
    sender, receiver = in_the_middle(start)
    receiver.signal(number)
    assert "stopped by" in ends_within(receiver, TOLD_WITHIN_S, exit_code)
    assert "the other side stopped the transfer" in ends_within(sender, TOLD_WITHIN_S, 6)
    assert not (start.work / "out" / "stream").exists()
    assert not leftovers(start.work)


def test_the_receiver_is_stopped_at_full_speed(start: Processes) -> None:
    with (start.work / "sparse").open("wb") as file:
        file.truncate(1 << 36)
    sender = start.send("sparse", "--compress", "never", "--json")
    receiver = start.receive(sender.code(), "-o", "-", "--quiet", stdout=os.open(os.devnull, os.O_WRONLY))
    sender.out.wait_for(rb'"bytes_done": [1-9]')
    receiver.signal(signal.SIGINT)
    ends_within(receiver, TOLD_WITHIN_S, 130)
    ends_within(sender, TOLD_WITHIN_S, 6)


def test_ctrl_c_on_a_terminal_in_the_middle(start: Processes) -> None:
    sender = start.send("-", "--name", "stream", keyboard=True)
    receiver = start.receive(sender.code(), "-o", "out", "-y", terminal=True)
    sender.type(noise(MIB))
    receiver.out.wait_for(rb"1\.0 MiB")
    receiver.type(b"\x03")
    ends_within(receiver, TOLD_WITHIN_S, 130)
    ends_within(sender, TOLD_WITHIN_S, 6)
    assert not leftovers(start.work)


def test_a_side_that_is_killed_is_noticed_by_the_other(start: Processes) -> None:
    killed_sender, receiver = in_the_middle(start)
    sender, killed_receiver = in_the_middle(start, "another")
    ports = [address_of(receiver, "remote"), address_of(killed_receiver, "local")]
    killed_sender.kill()
    killed_receiver.kill()
    began = time.monotonic()
    with taken(ports):
        for left in (receiver, sender):
            assert "nobody listens any more" in ends_within(left, NOTICED_WITHIN_S, 6)
    assert time.monotonic() - began < NOTICED_WITHIN_S + SLACK_S
    assert not [path for path in (start.work / "out").iterdir() if path.name in ("stream", "another")]


def address_of(receiver: Running, end: str) -> tuple[str, int]:
    """Of the path; end: local or remote."""
    host, _, port = receiver.out.wait_for(rf'"{end}": "([^"]+)"'.encode())[1].decode().rpartition(":")
    return host.strip("[]"), int(port)


@contextmanager
def taken(addresses: Sequence[tuple[str, int]]) -> Iterator[None]:
    """Nobody else, such as another test, gets these UDP ports; they refuse all the same, as nobody talks to us from port 9."""
    with ExitStack() as stack:
        for host, port in addresses:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            holder = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            holder.bind((host, port))
            holder.connect((host, 9))
        yield


def test_after_a_receiver_that_was_killed_the_same_copy_works(start: Processes) -> None:
    _, killed = in_the_middle(start)
    killed.kill()
    assert leftovers(start.work), "or this test shows nothing"
    make(start.work / "stream", b"whole")
    sender = start.send("stream")
    receiver = start.receive(sender.code(), "-o", "out", "-y")
    ends_within(receiver, PATIENCE_S, 0)
    ends_within(sender, PATIENCE_S, 0)
    assert (start.work / "out" / "stream").read_bytes() == b"whole"
    assert not leftovers(start.work)


def test_a_reader_of_standard_output_that_takes_nothing_is_no_reason_to_hang(start: Processes) -> None:
    """The receiver's writes block; a signal ends it all the same."""
    make(start.work / "large", noise(8 * MIB))
    reader, writer = os.pipe()
    sender = start.send("large")
    receiver = start.receive(sender.code(), "-o", "-", stdout=writer)
    os.close(writer)
    sender.err.wait_for(b"^connected: ")
    receiver.err.wait_for(b"^manifest: ")
    receiver.signal(signal.SIGTERM)
    ends_within(receiver, TOLD_WITHIN_S, 143)
    ends_within(sender, TOLD_WITHIN_S, 6)
    os.close(reader)
