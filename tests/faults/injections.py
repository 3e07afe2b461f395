"""What goes wrong inside a p2pcopy process: its calls of the system are counted, and one of them, or all from one on, go wrong.

Only what belongs to a file below the root of the injection counts.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2pcopy.files import native
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.journalfile import Journaling
from p2pcopy.net.udp import BatchSocket
from p2pcopy.transfer.packing import Packer
from p2pcopy.transfer.receiver import Receiver

# The calls that change something on the disk, and those that read it. A name without a dot is one of the os module.
WRITES = ("pwritev", "pwrite", "write")
SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "replace", "link")
CHANGES = (*WRITES, *SYNCS, *RENAMES, "unlink", "mkdir", "symlink", "ftruncate", "fchmod", "utime", "rmdir")
READS = ("read", "pread", "readv", "preadv")
DATAGRAMS = "datagrams"
CALLS = {"writes": WRITES, "syncs": SYNCS, "renames": RENAMES, "changes": CHANGES, "reads": READS}


@dataclass(frozen=True)
class Injection:
    """what: the name of a function of this module, which is called with this injection. at: the number of the call, from 1.

    calls: a key of CALLS, or DATAGRAMS: single ones that are sent. root: the directory whose files count. more: what the function
    needs besides. count_to: a file into which the number of calls is written. struck: a file into which the name of the call is
    written when it happens.
    """

    what: str
    calls: str
    at: int
    root: str
    more: Any = None
    count_to: str = ""
    struck: str = ""

    def note(self, call: str) -> None:
        """It happens now; told of the first time."""
        if self.struck:
            with contextlib.suppress(FileExistsError):
                _write_down(self.struck, call, os.O_EXCL)


def install(injection: Injection) -> None:
    """In a process of its own, before p2pcopy begins."""
    # A busy machine would sync journals in between, other calls than those counted; what names a part file may fail, for one.
    defaults: Any = DirectoryStore.__init__.__kwdefaults__
    defaults["journaling"] = Journaling(sync_s=math.inf)
    if injection.what in _ELSEWHERE:
        _ELSEWHERE[injection.what](injection)
        return
    counter = _Counter(injection, _ON_CALL[injection.what])
    if injection.calls == DATAGRAMS:
        BatchSocket.send = counter.around(BatchSocket.send)  # type: ignore[method-assign]
        return
    for name in CALLS[injection.calls]:
        if (original := getattr(os, name, None)) is not None:
            setattr(os, name, counter.around(original))
    if injection.calls in ("syncs", "changes"):
        native.sync_file_system = counter.around(native.sync_file_system)
    if injection.calls in ("renames", "changes"):
        native.rename_without_replacing = counter.around(native.rename_without_replacing)


class _Counter:
    def __init__(self, injection: Injection, act: Callable[[Injection], None]) -> None:
        self._injection = injection
        self._act = act
        self._calls = 0
        self._on = True

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if self._on and self._counts(args, kwargs):
                self._calls += 1
                if self._injection.count_to:
                    self._note()
                if self._calls == self._injection.at or (
                    self._calls > self._injection.at and self._injection.more == "on"
                ):
                    self._inside(function.__name__)
            return function(*args, **kwargs)

        return called

    def _inside(self, call: str) -> None:
        # What the fault itself does is no call of p2pcopy's.
        self._on = False
        try:
            self._injection.note(call)
            self._act(self._injection)
        finally:
            self._on = True

    def _counts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if self._injection.calls == DATAGRAMS:
            return True
        where = kwargs.get("dir_fd", kwargs.get("src_dir_fd", args[0]))
        if isinstance(where, int):
            try:
                where = os.readlink(f"/proc/self/fd/{where}")
            except OSError:
                return False
        return str(where).startswith(self._injection.root)

    def _note(self) -> None:
        self._on = False
        _write_down(self._injection.count_to, str(self._calls), os.O_TRUNC)
        self._on = True


def _write_down(path: str, text: str, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _nothing(injection: Injection) -> None:
    """Only counts."""


def _kill(injection: Injection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _terminate(injection: Injection) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(injection: Injection) -> None:
    """Until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _fails(number: int) -> Callable[[Injection], None]:
    def fail(injection: Injection) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _remove_root(injection: Injection) -> None:
    shutil.rmtree(injection.root)


def _truncate(injection: Injection) -> None:
    os.truncate(injection.more, os.stat(injection.more).st_size // 2)


def _grow(injection: Injection) -> None:
    with open(injection.more, "ab") as file:
        file.write(b"more")


def _rewrite(injection: Injection) -> None:
    with open(injection.more, "r+b") as file:
        file.seek(os.stat(injection.more).st_size // 2)
        file.write(b"something else")


def _delete(injection: Injection) -> None:
    os.unlink(injection.more)


def _jump(injection: Injection) -> None:
    """The clock on the wall, not the one that only goes forward."""
    seconds, now, now_ns = float(injection.more), time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)


def _slow(injection: Injection) -> None:
    """Each call takes as long as half a MiB does at 1 MB/s."""
    time.sleep(0.05)


_ON_CALL: dict[str, Callable[[Injection], None]] = {
    "count": _nothing,
    "kill": _kill,
    "terminate": _terminate,
    "stop": _stop,
    "no space": _fails(errno.ENOSPC),
    "no quota": _fails(errno.EDQUOT),
    "read-only": _fails(errno.EROFS),
    "input/output error": _fails(errno.EIO),
    "no permission": _fails(errno.EACCES),
    "remove the destination": _remove_root,
    "truncate": _truncate,
    "grow": _grow,
    "rewrite": _rewrite,
    "delete": _delete,
    "clock jumps": _jump,
    "slow": _slow,
}


def _damage_blocks(injection: Injection) -> None:
    """At the sender, between hash and channel: the block number `at`, for `more` times."""
    pack, seen = Packer.block, [0, 0]

    def block(self: Packer, entry: int, number: int, raw_size: int, body: bytes, *rest: Any, **named: Any) -> None:
        seen[0] += 1
        chosen = seen[0] == injection.at or (seen[0] > injection.at and (entry, number) == tuple(seen[2:]))
        if chosen and seen[1] < injection.more:
            seen[1] += 1
            seen[2:] = [entry, number]
            injection.note("block")
            body = bytes(body[:-1]) + bytes((body[-1] ^ 1,))
        pack(self, entry, number, raw_size, body, *rest, **named)

    Packer.block = block  # type: ignore[method-assign]


def _damage_messages(injection: Injection) -> None:
    """At the receiver, above DTLS: one bit of a data message; `more` says where, from 0 to 1."""
    take, seen = Receiver.data_received, [0]

    def data_received(self: Receiver, message: bytes, now: float) -> None:
        seen[0] += 1
        if seen[0] == injection.at:
            injection.note("data_received")
            place = int(injection.more * len(message))
            message = message[:place] + bytes((message[place] ^ 4,)) + message[place + 1 :]
        take(self, message, now)

    Receiver.data_received = data_received  # type: ignore[method-assign]


_ELSEWHERE: dict[str, Callable[[Injection], None]] = {
    "damaged blocks": _damage_blocks,
    "damaged messages": _damage_messages,
}
