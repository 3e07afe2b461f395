"""`make demo`: real files from one process to another on this machine, first with one code, then with a code each way.

Needs no network beyond this machine. Ends with "verified" and exit code 0 when both sides end with 0 and both trees are
the same in content, mode, times and link targets.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

LIMIT_S = 120
BIG = 24 * 1024 * 1024


class Facts(NamedTuple):
    """What has to be the same on both sides. content: SHA-256, the target of a link, "" for a directory."""

    kind: str
    size: int
    mode: str
    mtime_ns: int
    content: str


class Side:
    """One p2pcopy process. Its lines are shown behind its name: ">" standard output, "|" standard error."""

    def __init__(
        self,
        name: str,
        *arguments: str,
        env: dict[str, str],
        stdin: int = subprocess.DEVNULL,
        on_code: Callable[[str], None] | None = None,
    ) -> None:
        shown = " ".join(f"'{part}'" if " " in part else part for part in ("p2pcopy", *arguments))
        print(f"\n$ {shown}", flush=True)
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "p2pcopy", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        self._code = ""
        self._code_came = threading.Event()
        self._on_code = on_code
        self._readers = [
            self._read(self.process.stdout, self._take_code),
            self._read(self.process.stderr, lambda line: self._show("|", line)),
        ]

    def code(self, timeout: float) -> str:
        """The first code that the process printed."""
        self._code_came.wait(timeout)
        if not self._code:
            raise SystemExit(f"the {self.name} printed no code")
        return self._code

    def paste(self, code: str) -> None:
        """What a person does who copies a code from the other terminal to this one."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code tells how
            self.process.stdin.write(code.encode() + b"\n")
            self.process.stdin.flush()

    def exit_code(self, timeout: float) -> int:
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _take_code(self, line: str) -> None:
        self._show(">", line)
        self._code = self._code or line
        self._code_came.set()
        if self._on_code:
            self._on_code(line)

    def _show(self, stream: str, line: str) -> None:
        print(f"{self.name:>8} {stream} {line}", flush=True)

    def _read(self, stream: IO[bytes] | None, take: Callable[[str], None]) -> threading.Thread:
        assert stream is not None

        def run() -> None:
            for line in stream:
                take(line.decode(errors="replace").rstrip())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


def make_files(folder: Path) -> list[Path]:
    """A file and a directory to send."""
    album = folder / "Summer photos"
    for name in ("lake", "mountains/Zürich → Genève", "nothing in here"):
        (album / name).mkdir(parents=True)
    (album / "lake/big.bin").write_bytes(os.urandom(BIG))
    (album / "lake/empty.txt").touch()
    (album / "mountains/Zürich → Genève/naïve café 🏔.txt").write_text("Grüße\n", encoding="utf-8")
    script = album / "show.sh"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    (album / "latest").symlink_to("lake/big.bin")
    letter = folder / "letter.txt"
    letter.write_text("Dear friend,\n" * 1000)
    letter.chmod(0o600)
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):  # a directory after what is in it
        os.utime(path, ns=(0, (1_700_000_000 + 3600 * number) * 10**9 + 123_456_789), follow_symlinks=False)
    return [letter, album]


def facts(folder: Path) -> dict[str, Facts]:
    return {str(path.relative_to(folder)): _facts(path) for path in sorted(folder.rglob("*"))}


def _facts(path: Path) -> Facts:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return Facts("link", 0, "", 0, os.readlink(path))
    mode = oct(stat.S_IMODE(found.st_mode))
    if stat.S_ISDIR(found.st_mode):
        return Facts("directory", 0, mode, found.st_mtime_ns, "")
    return Facts("file", found.st_size, mode, found.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())


def compare(sent: dict[str, Facts], received: dict[str, Facts]) -> list[str]:
    """Shows both trees in one table and returns what differs."""
    differences = []
    print(f"\n{'':>10}  {'bytes':>9}  {'mode':5}  {'SHA-256':12}  name")
    for name in sorted(sent.keys() | received.keys()):
        ours, theirs = sent.get(name), received.get(name)
        here = ours or theirs
        assert here is not None
        if ours == theirs:
            verdict = "same"
        else:
            verdict = "missing" if theirs is None else "unexpected" if ours is None else "DIFFERENT"
            differences.append(f"{name}: sent {ours}, received {theirs}")
        target = f" -> {here.content}" if here.kind == "link" else ""
        digest = here.content[:12] if here.kind == "file" else here.kind
        size = here.size if here.kind == "file" else ""
        print(f"{verdict:>10}  {size:>9}  {here.mode:5}  {digest:12}  {name}{target}")
    return differences


def transfer(paths: list[Path], output: Path, env: dict[str, str], *, answer: bool) -> None:
    """Both processes from start to end. answer: the receiver's code is given to the sender as well."""
    deadline = time.monotonic() + LIMIT_S
    sides: list[Side] = []
    try:
        stdin = subprocess.PIPE if answer else subprocess.DEVNULL
        sender = Side("sender", "send", "--no-stun", *map(str, paths), env=env, stdin=stdin)
        sides.append(sender)
        code = sender.code(deadline - time.monotonic())
        arguments = ("receive", code, "--output", str(output), "--yes", "--no-stun")
        sides.append(Side("receiver", *arguments, env=env, on_code=sender.paste if answer else None))
        ends = [side.exit_code(max(deadline - time.monotonic(), 0)) for side in sides]
    except subprocess.TimeoutExpired:
        raise SystemExit(f"not done after {LIMIT_S} s") from None
    finally:
        for side in sides:
            side.end()
    if ends != [0, 0]:
        raise SystemExit(f"exit codes: sender {ends[0]}, receiver {ends[1]}")


def main() -> None:
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="p2pcopy-demo-") as temporary:
        folder = Path(temporary)
        (folder / "source").mkdir()
        paths = make_files(folder / "source")
        settings = folder / "config.toml"
        settings.touch()
        env = {name: value for name, value in os.environ.items() if not name.startswith("P2PCOPY_")}
        env["P2PCOPY_CONFIG"] = str(settings)
        env["PYTHONUNBUFFERED"] = "1"
        sent = facts(folder / "source")
        for title, answer in (("One code", False), ("A code and an answer", True)):
            print(f"\n=== {title} ===")
            output = folder / title
            output.mkdir()
            transfer(paths, output, env, answer=answer)
            if differences := compare(sent, facts(output)):
                raise SystemExit("\n".join(["", *differences]))
        if facts(folder / "source") != sent:
            raise SystemExit("the source has changed")
    print("\nverified")


if __name__ == "__main__":
    main()
