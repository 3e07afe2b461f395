"""One large file, interrupted once: what is sent again, how soon data flows again, and what both sides read and take for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from resume.side import Ended, Pair, transfer

MIB = 1 << 20
_INTERRUPTED_AT = 0.6
_NAME = "large.bin"
# What a resumed transfer may cost.
MOST_AGAIN = 0.01
MOST_AGAIN_BYTES = 32 * MIB
MOST_S = 2.0


@dataclass(frozen=True)
class Large:
    """size, there (when it was interrupted, as its receiver had told last), travelled (in the second run), sent_again: bytes.

    sent_again: at most; what the sender had read for the first run counts as sent. flows_s: from connected until the receiver has
    stored something. sender, receiver: of the second run. same: the copy has the content, mode and time of the source.
    """

    size: int
    there: int
    resumed: int
    travelled: int
    sent_again: int
    flows_s: float
    sender: Ended
    receiver: Ended
    same: bool

    @property
    def missed(self) -> list[str]:
        """Which goals."""
        goals = {
            "both sides end with 0": (self.sender.exit_code, self.receiver.exit_code) == (0, 0),
            "the copy is the same": self.same,
            "bytes sent again": self.sent_again <= max(MOST_AGAIN * self.size, MOST_AGAIN_BYTES),
            "time until data flows again": self.flows_s < MOST_S,
        }
        return [goal for goal, reached in goals.items() if not reached]


def measure(work: Path, size: int) -> Large:
    """Send a file of so many bytes from work to work/out, in two runs."""
    source, copy = work / _NAME, work / "out" / _NAME
    _make(source, size)
    with transfer(work, _NAME, "out") as pair:
        pair.receiver.wait_for(lambda: _done(pair) >= _INTERRUPTED_AT * size, "enough of it")
        pair.kill()
        first_sender, _ = pair.ended()
        there = _done(pair)
    for path in (source, *(work / "out").iterdir()):
        _forget(path)
    with transfer(work, _NAME, "out") as pair:
        sender, receiver = pair.ended()
        done = pair.receiver.last["done"]
        flows_s = pair.receiver.moved_s - pair.receiver.first_s["connected"]
    travelled = int(done["bytes_done"])
    return Large(
        size=size,
        there=there,
        resumed=int(done["bytes_resumed"]),
        travelled=travelled,
        sent_again=first_sender.reads.asked + travelled - size,
        flows_s=flows_s,
        sender=sender,
        receiver=receiver,
        same=_is_copy(source, copy),
    )


def _done(pair: Pair) -> int:
    return int(pair.receiver.last.get("progress", {}).get("bytes_done", 0))


def _make(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, 16 * MIB):
            file.write(os.urandom(min(16 * MIB, size - start)))
    path.chmod(0o640)
    os.utime(path, ns=(1_600_000_000_123_456_789,) * 2)


def _forget(path: Path) -> None:
    """The system has nothing of it in memory any more, so that reading it takes the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _is_copy(source: Path, copy: Path) -> bool:
    ours, theirs = source.stat(), copy.stat()
    if (ours.st_size, ours.st_mode, ours.st_mtime_ns) != (theirs.st_size, theirs.st_mode, theirs.st_mtime_ns):
        return False
    with source.open("rb") as one, copy.open("rb") as other:
        while block := one.read(MIB):
            if other.read(MIB) != block:
                return False
    return True
