"""The ways to install p2pcopy, each in an environment of its own and tried with a real transfer.

One of them has the oldest versions that pyproject.toml allows, and runs tests with them. Needs a package index. Ends with
exit code 0 when all of them work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 1800
TOOLS: Final = ("build", "hatchling>=1.21", "pipx", "uv")
TESTED: Final = ("tests/signaling", "tests/transfer", "tests/ui", "tests/app", "tests/session")
CONTENT: Final = bytes(range(256)) * 9000


class Failed(Exception):
    """Something does not work. The text is what it said."""


class Workshop:
    """Where everything is made. Nothing of it is left."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("P2PCOPY", "PYTHONPATH"))},
            "PIPX_HOME": str(place / "pipx"),
            "PIPX_BIN_DIR": str(place / "pipx-bin"),
            "PIPX_MAN_DIR": str(place / "pipx-man"),
            "UV_TOOL_DIR": str(place / "uv-tools"),
            "UV_TOOL_BIN_DIR": str(place / "uv-bin"),
            "UV_PYTHON": sys.executable,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.run(sys.executable, "-m", "venv", self.place / "tools")
        self.run(self.tool("python"), "-m", "pip", "install", "--quiet", *TOOLS)
        self.run(self.tool("python"), "-m", "build", "--no-isolation", "--outdir", self.place / "dist", ROOT)
        (self.wheel,) = (self.place / "dist").glob("*.whl")
        (self.sdist,) = (self.place / "dist").glob("*.tar.gz")

    def tool(self, name: str) -> Path:
        return self.place / "tools" / "bin" / name

    def run(self, *command: str | Path, where: Path | None = None, **more: str) -> str:
        """What it writes to standard output. Raises Failed."""
        return _run([str(each) for each in command], where or self.place, {**self.environment, **more})

    def bare(self, name: str) -> Path:
        """The Python of a new environment."""
        self.run(self.tool("uv"), "venv", "--quiet", "--python", sys.executable, self.place / name)
        return self.place / name / "bin" / "python"


def _run(command: list[str], where: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}".rstrip())
    return done.stdout


def by_pip(workshop: Workshop, package: Path, name: str) -> Path:
    workshop.run(sys.executable, "-m", "venv", workshop.place / name)
    program = workshop.place / name / "bin"
    workshop.run(program / "python", "-m", "pip", "install", "--quiet", package)
    return program / "p2pcopy"


def as_written(command: str, *where: str) -> Callable[[Workshop], Path]:
    """As in README.md, in a checkout. where: the program is then, below the workshop."""

    def install(workshop: Workshop) -> Path:
        if command.startswith("pip "):
            workshop.run(sys.executable, "-m", "venv", workshop.place / where[0])
        first = [workshop.place.joinpath(*where).parent, workshop.tool("bin").parent]
        path = os.pathsep.join([*map(str, first), os.environ["PATH"]])
        workshop.run("bash", "-c", command, where=ROOT, PATH=path)
        return workshop.place.joinpath(*where)

    return install


def oldest(workshop: Workshop) -> Path:
    """The oldest version of everything that pyproject.toml names. The tests run with them, too."""
    python = workshop.bare("oldest")
    install = ("pip", "install", "--quiet", "--python", python)
    uv = workshop.tool("uv")
    workshop.run(uv, *install, "--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml")
    workshop.run(uv, *install, "--no-deps", workshop.wheel)
    workshop.run(uv, *install, "--group", f"{ROOT / 'pyproject.toml'}:dev")
    terminals = ("--ignore", "tests/ui/test_ui_tty.py", "--ignore", "tests/ui/test_ui_roads.py")
    workshop.run(python.parent / "pytest", "-q", "-n", "4", "--dist", "loadgroup", *TESTED, *terminals, where=ROOT)
    return python.parent / "p2pcopy"


def transfers(program: Path, work: Path) -> None:
    """A file from one process of it to another. Raises Failed."""
    work.mkdir()
    (work / "file").write_bytes(CONTENT)
    _run([str(program), "--version"], work, os.environ)
    _run([str(program), "send", "--help"], work, os.environ)
    command = [str(program), "send", "file", "--no-stun", "--wait", "2m"]
    with (
        (work / "log").open("wb") as log,
        subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as sender,
    ):
        code = sender.stdout.readline().decode().strip() if sender.stdout else ""
        try:
            _run([str(program), "receive", code, "--output", "out", "--yes", "--no-stun"], work, os.environ)
        except Failed:
            sender.terminate()
            raise
    if sender.returncode or (work / "out" / "file").read_bytes() != CONTENT:
        raise Failed(f"the sender ended with {sender.returncode}\n{(work / 'log').read_text()}")


WAYS: Final[dict[str, Callable[[Workshop], Path]]] = {
    "pip, wheel": lambda workshop: by_pip(workshop, workshop.wheel, "pip-wheel"),
    "pip, sdist": lambda workshop: by_pip(workshop, workshop.sdist, "pip-sdist"),
    **{
        command: as_written(command, *where)
        for command, where in {
            "pipx install .": ("pipx-bin", "p2pcopy"),
            "uv tool install .": ("uv-bin", "p2pcopy"),
            "pip install .": ("pip-checkout", "bin", "p2pcopy"),
        }.items()
    },
    "oldest versions": oldest,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="installs", description=__doc__)
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one; repeatable")
    chosen = parser.parse_args().way or list(WAYS)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="p2pcopy-installs-") as place:
        workshop = Workshop(Path(place))
        for number, way in enumerate(chosen):
            try:
                transfers(WAYS[way](workshop), Path(place) / f"work-{number}")
            except Failed as failure:
                failures += 1
                print(f"{way}: FAILED\n{failure}", flush=True)
            else:
                print(f"{way}: works", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
