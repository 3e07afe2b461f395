"""Imports all of p2pcopy without what a Python on Windows does not have. Prints what cannot be imported.

A program of its own (`python tests/windows.py [MODULE...]`, modules beside all of p2pcopy), since it spoils the process. What
p2pcopy imports from elsewhere has seams of its own, so that is imported first.
"""

import importlib
import os
import pkgutil
import signal
import socket
import sys
from typing import Any

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
NAMES: dict[Any, str] = {
    os: "O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC chown fchmod fchown fdatasync fork fstatvfs getegid "
    "geteuid getgid getloadavg getpgrp getpriority getuid killpg lchown major minor mkfifo mknod nice openpty posix_fadvise "
    "posix_fallocate pread preadv pwrite pwritev sched_getaffinity sendfile setsid statvfs sync sysconf tcgetpgrp tcsetpgrp "
    "ttyname uname wait3 wait4",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH pthread_kill "
    "pthread_sigmask setitimer sigwait",
    socket: "AF_NETLINK AF_PACKET AF_UNIX CMSG_LEN CMSG_SPACE MSG_DONTWAIT MSG_ERRQUEUE SCM_RIGHTS SO_REUSEPORT",
}
FOREIGN = (
    "OpenSSL aioice aiortc asyncio blake3 concurrent.futures cryptography.x509 getpass ifaddr msgspec multiprocessing pathspec "
    "platformdirs qrcode rich.console subprocess tempfile typer zstandard"
)


class Missing:
    """Finds none of these modules."""

    def find_spec(self, name: str, *_: object) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def spoil() -> None:
    for name in FOREIGN.split():
        importlib.import_module(name)
    for module in MODULES:
        sys.modules.pop(module, None)
    sys.meta_path.insert(0, Missing())
    for owner, names in NAMES.items():
        for name in names.split():
            if hasattr(owner, name):
                delattr(owner, name)
    os.supports_dir_fd = set()
    sys.platform = "win32"


def failures(names: list[str]) -> int:
    count = 0
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, AttributeError) as error:
            print(f"{name}: {error}")
            count += 1
    return count


def everything() -> list[str]:
    import p2pcopy

    return [each.name for each in pkgutil.walk_packages(p2pcopy.__path__, "p2pcopy.")]


if __name__ == "__main__":
    spoil()
    sys.exit(failures([*everything(), *sys.argv[1:]]))
