"""It broke: the same two commands go on where it stopped, and what is there already is told from what is not."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3
from processes import Ended, Processes, Running, wait_until
from trees import MIB, copied, facts, leftovers, make, noise

from p2pcopy.files.directory import DirectoryStore
from p2pcopy.transfer.wire import Entry, Kind

BLOCKS = 24
# From the block with this number on, the receiver's disk takes a quarter of a second for each.
SLOW = f"""
import time
from p2pcopy.files.directory import DirectoryStore
real, writes = DirectoryStore.write, 0
def write(self, *arguments, **more):
    global writes
    writes += 1
    if writes > {BLOCKS}:
        time.sleep(0.25)
    return real(self, *arguments, **more)
DirectoryStore.write = write
"""


def copy(
    start: Processes, *paths: str, receive: tuple[str, ...] = (), send: tuple[str, ...] = ()
) -> tuple[Ended, Ended]:
    """One copy into out, told as JSON, and how both sides ended."""
    sender = start.send(*paths, "--json", *send)
    receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", *receive)
    return sender.ended(), receiver.ended()


def notes(ended: Ended) -> list[str]:
    return [event["reason"] for event in ended.events if event["event"] == "note"]


def outcomes(ended: Ended) -> dict[str, str]:
    return {event["path"]: event["status"] for event in ended.events if event["event"] == "file"}


@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_a_killed_transfer_goes_on(tmp_path: Path, victim: str) -> None:
    make(tmp_path / "tree" / "big", noise(64 * MIB))
    for number in range(20):
        make(tmp_path / "tree" / "a" / str(number), b"small")
    make(tmp_path / "tree" / "z", noise(5 * MIB, 2))
    with Processes(tmp_path) as start:
        sender = start.send("tree")
        receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", before=SLOW)
        receiver.out.wait_for(rb'"bytes_done": (2[4-9]|[3-9]\d)\d{6},')
        killed, other = (sender, receiver) if victim == "sender" else (receiver, sender)
        killed.signal(signal.SIGKILL)
        other.signal(signal.SIGINT)
        assert killed.ended().exit_code == -signal.SIGKILL
        stopped = other.ended()
        assert stopped.exit_code == 130
        said = stopped.told("error")["hint"] if victim == "sender" else stopped.err
        assert "What has arrived stays" in said
        assert not (tmp_path / "out" / "tree" / "big").exists()

        listed = start.start("parts", "out").ended()
        assert " of 64.0 MiB there, changed " in listed.out.decode(), listed.out

        sender = start.send("tree", "--json")
        receiver = start.receive(sender.code(), "-o", "out", "-y")
        sent, received = sender.ended(), receiver.ended()
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert copied(tmp_path / "tree", tmp_path / "out")
    assert not leftovers(tmp_path)
    assert "goes on: " in received.err
    done = sent.told("done")
    assert done["bytes_resumed"] >= (BLOCKS - 4) * MIB
    assert done["bytes_done"] + done["bytes_resumed"] <= 69 * MIB + 100
    first = next(event for event in sent.events if event["event"] == "progress")
    assert first["bytes_resumed"] == done["bytes_resumed"] <= first["bytes_done"]


# Of the part files in work one is open at a time, and before the first block comes the process stops itself.
ONE_OPEN_AND_STOPPED = """
import os, signal
from p2pcopy.files.directory import DirectoryStore
DirectoryStore.__init__.__kwdefaults__["open_parts"] = 1
real = DirectoryStore.write
def write(self, *arguments, **more):
    DirectoryStore.write = real
    os.write(2, b"stopping\\n")
    os.kill(os.getpid(), signal.SIGSTOP)
    return real(self, *arguments, **more)
DirectoryStore.write = write
"""


def test_what_a_running_transfer_is_about_to_go_on_with_is_not_removed(tmp_path: Path) -> None:
    for name in "abc":
        content = noise(16 * MIB, ord(name))
        make(tmp_path / "tree" / name, content)
        half(tmp_path, content, (tmp_path / "tree" / name).stat().st_mtime_ns, f"tree/{name}")
    with Processes(tmp_path) as start:
        sender = start.send("tree", "--json")
        receiver = start.receive(sender.code(), "-o", "out", "-y", "--json", before=ONE_OPEN_AND_STOPPED)
        receiver.err.wait_for(rb"^stopping$")
        wait_until(lambda: is_stopped(receiver), "the stop")
        for place in ("out/tree", "."):
            *found, total = start.start("parts", place, "--remove", "--json").ended().events
            assert (total["files"], total["files_in_use"], total["files_removed"]) == (3, 3, 0), found
        said = start.start("parts", "out", "--remove").ended()
        assert said.exit_code == 0
        assert "In use: 3; " in said.out.decode()
        receiver.signal(signal.SIGCONT)
        sent, received = sender.ended(), receiver.ended()
        assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
        assert sent.told("done")["bytes_resumed"] == 24 * MIB
    assert copied(tmp_path / "tree", tmp_path / "out")
    assert not leftovers(tmp_path)


def is_stopped(process: Running) -> bool:
    return "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text()


def half(work: Path, content: bytes, mtime_ns: int, path: str = "file") -> None:
    """What a transfer of a file into out has left that stopped after its first half."""
    with closing(DirectoryStore(str(work / "out"))) as store:
        store.open()
        store.begin(MIB)
        entry = Entry(Kind.FILE, path, len(content), 0o644, mtime_ns)
        store.admit(0, entry)
        for start in range(0, len(content) // 2, MIB):
            block = content[start : start + MIB]
            store.write(0, entry, start, block, digest=blake3(block).digest())


# The disk is full from the block with this number on.
FULL = """
import errno
from p2pcopy.files import faults
from p2pcopy.files.directory import DirectoryStore
real, writes = DirectoryStore.write, 0
def write(self, *arguments, **more):
    global writes
    writes += 1
    if writes > 6:
        raise faults.fatal(OSError(errno.ENOSPC, "full"), "out")
    return real(self, *arguments, **more)
DirectoryStore.write = write
"""


def test_a_full_disk_keeps_what_has_arrived(tmp_path: Path) -> None:
    make(tmp_path / "file", noise(12 * MIB))
    with Processes(tmp_path) as start:
        sender = start.send("file")
        receiver = start.receive(sender.code(), "-o", "out", "-y", before=FULL)
        for ended in (sender.ended(), receiver.ended()):
            assert ended.exit_code == 3, ended.err
            assert "the disk of out is full" in ended.err
            assert "What has arrived stays" in ended.err
        sent, received = copy(start, "file")
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert sent.told("done")["bytes_resumed"] == received.told("done")["bytes_resumed"] == 6 * MIB
    assert sent.told("done")["bytes_done"] == 6 * MIB
    assert copied(tmp_path / "file", tmp_path / "out")


@pytest.mark.parametrize("change", ["time", "content"])
def test_a_file_that_was_changed_meanwhile_starts_over(tmp_path: Path, change: str) -> None:
    make(tmp_path / "file", noise(8 * MIB))
    mtime_ns = (tmp_path / "file").stat().st_mtime_ns
    if change == "time":
        half(tmp_path, noise(8 * MIB), mtime_ns - 1)
    else:
        half(tmp_path, noise(8 * MIB, 2), mtime_ns)
    with Processes(tmp_path) as start:
        sent, received = copy(start, "file")
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert copied(tmp_path / "file", tmp_path / "out")
    assert not leftovers(tmp_path)
    assert (sent.told("done")["bytes_done"], sent.told("done")["bytes_resumed"]) == (8 * MIB, 0)
    if change == "time":
        reason = "the sender has another version of it now"
        assert notes(received) == [f"it starts over: {reason}"]
        assert notes(sent) == [f"it starts over; the other side says: {reason}"]
    else:
        assert notes(sent) == ["what the other side has of it is of another file, so all of it is sent"]
        assert len(notes(received)) == 1


def test_every_block_is_compared_where_that_is_wanted(tmp_path: Path) -> None:
    """One bit of what is there differs, where a sample would hardly find it."""
    content = noise(32 * MIB)
    make(tmp_path / "file", content)
    other = bytearray(content)
    other[7 * MIB + 5] ^= 1
    half(tmp_path, bytes(other), (tmp_path / "file").stat().st_mtime_ns)
    with Processes(tmp_path) as start:
        sent, received = copy(start, "file", send=("--verify-resume", "all"))
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert sent.told("done")["bytes_resumed"] == 0
    assert copied(tmp_path / "file", tmp_path / "out")


@pytest.mark.parametrize("policy", ["refuse", "skip", "rename", "replace", "resume"])
def test_names_that_are_taken(tmp_path: Path, policy: str) -> None:
    for name in ("same", "taken", "new"):
        make(tmp_path / "tree" / name, f"{name} here".encode())
    make(tmp_path / "out" / "tree" / "same", b"same here")
    make(tmp_path / "out" / "tree" / "taken", b"other")
    os.mkfifo(tmp_path / "tree" / "pipe")
    with Processes(tmp_path) as start:
        sent, received = copy(start, "tree", receive=("--existing", policy))
    manifest = received.told("manifest")
    assert (manifest["existing"], manifest["same"], manifest["policy"]) == (1, 1, policy)
    marks = {entry["path"]: entry["status"] for entry in manifest["entries"] if entry["kind"] == "file"}
    assert marks == {"tree/same": "same", "tree/taken": "exists", "tree/new": "new"}
    taken = {"refuse": None, "skip": "skipped", "rename": "done", "replace": "done", "resume": "failed"}[policy]
    exit_code = {"refuse": 7, "resume": 3}.get(policy, 0)
    assert (sent.exit_code, received.exit_code) == (exit_code, exit_code), sent.err + received.err
    content = {path: (tmp_path / "out" / "tree" / path).read_text() for path in os.listdir(tmp_path / "out" / "tree")}
    if taken is None:
        assert content == {"same": "same here", "taken": "other"}
        return
    assert outcomes(received) == {"tree/same": "skipped", "tree/taken": taken, "tree/new": "done"}
    assert outcomes(sent) == outcomes(received)
    for ended in (sent, received):
        done = ended.told("done")
        counts = [done[f"files_{what}"] for what in ("done", "there", "skipped", "failed")]
        assert counts == [1 + (taken == "done"), 1, taken == "skipped", taken == "failed"]
        assert done["left_out"] == 1
    expected = {"same": "same here", "taken": "other", "new": "new here"}
    expected |= {"rename": {"taken (1)": "taken here"}, "replace": {"taken": "taken here"}}.get(policy, {})
    assert content == expected


def test_the_content_tells_what_is_there(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "same", noise(5 * MIB))
    make(tmp_path / "tree" / "differs", noise(MIB, 2))
    make(tmp_path / "out" / "tree" / "same", noise(5 * MIB), mtime_s=1)
    make(tmp_path / "out" / "tree" / "differs", noise(MIB, 3))
    with Processes(tmp_path) as start:
        sent, received = copy(start, "tree", receive=("--checksum", "--existing", "skip"))
        assert (sent.exit_code, received.exit_code) == (3, 3), sent.err + received.err
        assert outcomes(received) == {"tree/same": "skipped", "tree/differs": "failed"}
        assert outcomes(sent) == outcomes(received)
        for ended in (sent, received):
            done = ended.told("done")
            counts = [done[f"files_{what}"] for what in ("done", "there", "skipped", "failed")]
            assert counts == [0, 1, 0, 1]
            assert (done["bytes_done"], done["bytes_resumed"]) == (0, 5 * MIB)
        reasons = {event["path"]: event["reason"] for event in received.events if event["event"] == "file"}
        assert reasons["tree/differs"] == "it differs from the one that is there"

        sent, received = copy(start, "tree", receive=("--checksum", "--existing", "replace"))
    assert (sent.exit_code, received.exit_code) == (0, 0), sent.err + received.err
    assert outcomes(sent) == outcomes(received) == {"tree/same": "skipped", "tree/differs": "done"}
    assert sent.told("done")["bytes_done"] == MIB
    assert (tmp_path / "out" / "tree" / "differs").read_bytes() == noise(MIB, 2)


def test_a_dry_run_takes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "tree" / "new", b"new")
    make(tmp_path / "tree" / "taken", b"taken here")
    make(tmp_path / "out" / "tree" / "taken", b"other")
    before = facts(tmp_path / "out", directory_times=False)
    with Processes(tmp_path) as start:
        sender = start.send("tree")
        receiver = start.receive(sender.code(), "-o", "out", "--existing", "replace", "--dry-run", terminal=True)
        sent, received = sender.ended(), receiver.ended()
        assert (sent.exit_code, received.exit_code) == (7, 0), sent.err
        assert "dry run" in sent.err
        screen = received.out.decode()
        assert "exists: replaced" in screen
        assert "nothing was taken into" in screen
        assert "[y/N" not in screen

        sender = start.send("tree")
        received = start.receive(sender.code(), "-o", "nowhere", "--dry-run", "--json").ended()
    assert [event["event"] for event in received.events][-2:] == ["manifest", "dry_run"]
    assert facts(tmp_path / "out", directory_times=False) == before
    assert not (tmp_path / "nowhere").exists()


def test_both_sides_of_standard_output_say_that_it_cannot_go_on(tmp_path: Path) -> None:
    make(tmp_path / "file", noise(48 * MIB))
    reading, writing = os.pipe()
    try:
        with Processes(tmp_path) as start:
            sender = start.send("file", "--json")
            receiver = start.receive(sender.code(), "-o", "-", stdout=writing)
            os.close(writing)
            taken = 0
            while taken < 3 * MIB // 2:  # the first block, and then nothing more
                taken += len(os.read(reading, MIB // 2))
            sender.out.wait_for(rb'"bytes_done": 1048576')
            sender.signal(signal.SIGINT)
            sent, received = sender.ended(), receiver.ended()
    finally:
        os.close(reading)
    assert (sent.exit_code, received.exit_code) == (130, 6), sent.err + received.err
    error = sent.told("error")
    assert "the other side's standard output cannot go on where it stopped" in error["hint"]
    assert not error["resumable"]
    assert "A transfer through standard output cannot go on where it stopped" in received.err
    assert "What has arrived" not in received.err


def test_standard_input_says_that_it_cannot_go_on(tmp_path: Path) -> None:
    with Processes(tmp_path) as start:
        sender = start.send("-", "--name", "stream", "--json", keyboard=True)
        receiver = start.receive(sender.code(), "-o", "out", "-y", "--json")
        sender.type(noise(MIB))
        receiver.out.wait_for(rb'"bytes_done": 1048576')
        receiver.signal(signal.SIGINT)
        assert receiver.ended().exit_code == 130
        sent, received = sender.ended(), receiver.ended()
    assert (sent.exit_code, received.exit_code) == (6, 130)
    for ended, stream in ((sent, "standard input"), (received, "the other side's standard input")):
        error = ended.told("error")
        assert f"A transfer through {stream} cannot go on where it stopped" in error["hint"]
        assert not error["resumable"]
    assert not leftovers(tmp_path)
