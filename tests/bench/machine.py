"""What kind of machine this is, in a line, without saying which one."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench import equipment


def described() -> str:
    """Cores, processor, memory, kernel and versions."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    hardware = f"{os.cpu_count()} cores ({_processor()}), {gib:.0f} GiB of memory"
    kernel = f"{platform.system()} {_kernel()}, TCP with {_tcp()}"
    ours = f"Python {platform.python_version()}, aiortc {version('aiortc')}, aioice {version('aioice')}"
    return ", ".join([hardware, kernel, ours, *_others()])


def date() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%d %B %Y")


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _kernel() -> str:
    return ".".join(platform.release().split(".")[:2])


def _tcp() -> str:
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _others() -> list[str]:
    """The versions of those of the others that are there."""
    found = []
    for name, command in (("Node.js", ["node", "--version"]), ("", ["ssh", "-V"])):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        words = (done.stdout or done.stderr).split()[0].strip(",")
        found.append(f"{name} {words}".strip().replace("_", " "))
    return [*found, *equipment.VERSIONS]
