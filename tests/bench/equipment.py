"""What the others need, in a directory of its own: what is missing is installed there, and nowhere else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".bench"
HERE = Path(__file__).parent

_NODE_DATACHANNEL = "0.33.4"
_MAGIC_WORMHOLE = "0.24.0"
_WORMHOLE = (f"magic-wormhole=={_MAGIC_WORMHOLE}", "magic-wormhole-mailbox-server==0.8.0")
VERSIONS = (f"node-datachannel {_NODE_DATACHANNEL}", f"magic-wormhole {_MAGIC_WORMHOLE}")
_PLOT = ("matplotlib>=3.9,<4",)
_SSHD_PACKAGES = ("openssh-server", "libwrap0")
_INSTALL_S = 300.0


class Missing(Exception):
    """Why something cannot be had here."""


@dataclass(frozen=True)
class Sshd:
    """command: begins with the program; libraries: for LD_LIBRARY_PATH, "" for none."""

    command: str
    libraries: str


@functools.cache
def impair() -> Path:
    """The program that is a slow, lossy cable. Raises Missing."""
    source, program = HERE / "impair.c", HOME / "impair"
    compiler = _found("cc", "a C compiler")
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        HOME.mkdir(exist_ok=True)
        _run([compiler, "-std=c11", "-O2", "-o", str(program), str(source)])
    return program


@functools.cache
def node_datachannel() -> Path:
    """The directory with the node modules. Raises Missing."""
    _found("node", "Node.js")
    place = HOME / "node"
    npm = _found("npm", "npm")
    package = f"node-datachannel@{_NODE_DATACHANNEL}"
    _once(place, package, lambda: _run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), package]))
    return place


@functools.cache
def wormhole() -> Path:
    """The directory with the programs wormhole and twist. Raises Missing."""
    return _packages("wormhole", _WORMHOLE)


@functools.cache
def plotter() -> Path:
    """A Python with matplotlib. Raises Missing."""
    return _packages("plot", _PLOT) / "python"


@functools.cache
def sshd() -> Sshd:
    """Raises Missing."""
    _found("scp", "the OpenSSH client")
    _found("ssh-keygen", "the OpenSSH client")
    if installed := shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Sshd(installed, "")
    place = HOME / "sshd"
    _once(place, " ".join(_SSHD_PACKAGES), lambda: _unpack(place))
    libraries = sorted({str(each.parent) for each in place.rglob("*.so*")})
    return Sshd(str(place / "usr/sbin/sshd"), ":".join(libraries))


def _unpack(place: Path) -> None:
    """Debian's packages, which are not installed."""
    fetch = [_found("apt-get", "the OpenSSH server"), "-qq", "download", *_SSHD_PACKAGES]
    place.mkdir(parents=True)
    try:
        _run(fetch, place)
    except Missing:  # it may be that nobody has ever asked what there is
        _run([fetch[0], "-qq", "update"])
        _run(fetch, place)
    for package in place.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(package), str(place)])


def _packages(name: str, wanted: Sequence[str]) -> Path:
    """A virtual environment's directory of programs."""
    place = HOME / name

    def install() -> None:
        _run([sys.executable, "-m", "venv", str(place)])
        _run([str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])

    _once(place, " ".join([*wanted, *map(str, sys.version_info[:2])]), install)
    return place / "bin"


def _once(place: Path, what: str, install: Callable[[], None]) -> None:
    """Unless exactly this is there already. Raises Missing."""
    mark = place / ".installed"
    if mark.exists() and mark.read_text() == what:
        return
    shutil.rmtree(place, ignore_errors=True)
    HOME.mkdir(exist_ok=True)
    print(f"installing {what} into {place.relative_to(ROOT)}", file=sys.stderr, flush=True)
    install()
    mark.write_text(what)


def _found(command: str, what: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise Missing(f"{what} is not installed")
    return path


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    """Raises Missing."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]}: {error}") from None
    if done.returncode:
        raise Missing(f"{Path(command[0]).name}: {done.stderr.strip().rpartition(chr(10))[2]}")
