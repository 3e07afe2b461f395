"""scp, to an sshd of its own: as Debian has it, but for what logging in needs."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from bench import comparing, equipment
from bench.measuring import Late, Measured, Trouble, Usage
from bench.runs import Run, Side
from bench.task import Task

_LOGIN_S = 30.0


class Scp:
    """Its time is without that of copying an empty file, so that logging in does not count. Stopped when it takes too long."""

    def missing(self) -> str:
        try:
            equipment.sshd()
        except equipment.Missing as error:
            return str(error)
        return ""

    def run(self, task: Task) -> Run:
        _prepare(task.folder)
        empty = task.folder / "empty"
        empty.touch()
        login_s, _, _ = _copy(task, empty)
        seconds, client, server = _copy(task, task.source)
        arrived = task.folder / "out" / task.source.name
        compare = comparing.same if client.code == 0 else comparing.beginning
        return Run(
            task.entry,
            task.round,
            bytes=compare(task.source, arrived),
            seconds=max(1e-3, seconds - login_s),
            send=Side(client.cpu_s, client.peak_mib),
            receive=Side(server.cpu_s, server.peak_mib),
            whole_s=seconds,
        )


def _prepare(folder: Path) -> None:
    (folder / "out").mkdir()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=_LOGIN_S)
    (folder / "passwd").write_text(
        f"root:*:0:0:root:{folder}:/bin/sh\nsshd:*:65534:65534:sshd:/run/sshd:/usr/sbin/nologin\n"
    )
    (folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPermitRootLogin prohibit-password\n"
        "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    # In a mount namespace of its own, so that only sshd sees it: the user that it wants is not on every machine.
    (folder / "start").write_text(
        f"mount --bind {folder}/passwd /etc/passwd\nmount --bind {folder}/shadow /etc/shadow\n"
        'mount -t tmpfs none /run\nmkdir -m 755 /run/sshd\nexec "$@"\n'
    )


def _copy(task: Task, source: Path) -> tuple[float, Usage, Usage]:
    """Seconds, and what both sides used; client.code is 0 when it was not stopped. Raises Trouble."""
    folder, address, place = task.folder, task.hosts.addresses["b"], task.hosts.command("b")
    with task.hosts.inside("b"):
        listening = socket.create_server((address, 0))
    listening.settimeout(_LOGIN_S)
    options = (f"Port={listening.getsockname()[1]}", "StrictHostKeyChecking=no", f"UserKnownHostsFile={folder}/known")
    copy = ["scp", "-q", "-F", "/dev/null", "-B", "-i", f"{folder}/user", *(f"-o{option}" for option in options)]
    copy += [*["-r"] * source.is_dir(), str(source), f"root@{address}:{folder}/out/"]
    sshd = equipment.sshd()
    serve = [
        "unshare",
        "--mount",
        "sh",
        "-e",
        f"{folder}/start",
        sshd.command,
        "-i",
        "-e",
        "-f",
        f"{folder}/sshd_config",
    ]
    libraries = {"LD_LIBRARY_PATH": sshd.libraries} if sshd.libraries else {}
    began = time.monotonic()
    with (
        listening,
        Measured("scp", folder, copy, place=task.hosts.command("a"), stdin=subprocess.DEVNULL) as client,
    ):
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            raise Trouble(f"scp: {client.last_words() or 'it does not connect'}") from None
        stream = connection.fileno()
        with Measured("sshd", folder, serve, place=place, environment=libraries, stdin=stream, stdout=stream) as server:
            connection.close()
            try:
                usage = client.finish(task.limit_s)
                seconds = time.monotonic() - began
            except Late:
                seconds = time.monotonic() - began
                client.stop()
                usage = client.end(_LOGIN_S)
            return seconds, usage, server.end(_LOGIN_S)
