"""What is true of the project as a whole: start-up cost, versions, the wheel, the demo, pages that repeat the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import p2pcopy
from p2pcopy import errors
from p2pcopy.files import names

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "OpenSSL",
    "aioice",
    "aiortc",
    "asyncio",
    "av",
    "blake3",
    "cryptography",
    "msgspec",
    "p2pcopy.app",
    "pathspec",
    "pydantic",
    "qrcode",
    "rich",
    "rich.live",
    "rich.progress",
    "zstandard",
}

needs_wait4 = pytest.mark.skipif(not hasattr(os, "wait4"), reason="only on POSIX systems is there wait4")


def environment() -> dict[str, str]:
    """Without what makes coverage measure a child."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def run(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def cpu_seconds(*arguments: str) -> float:
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@needs_wait4
@pytest.mark.parametrize("option", ["--version", "--help"])
def test_it_starts_fast(option: str) -> None:
    """Once at least: others that use the same caches slow it down."""
    assert any(cpu_seconds("-m", "p2pcopy", option) < 0.3 for _ in range(20))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["send", "--help"], ["help"]])
def test_nothing_heavy_is_imported_for_a_word_of_help(arguments: list[str]) -> None:
    ended = run("-X", "importtime", "-m", "p2pcopy", *arguments)
    assert ended.returncode == 0
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", ended.stderr, re.MULTILINE))
    assert "p2pcopy.cli" in imported
    assert not imported & HEAVY


def test_the_version_is_the_same_everywhere() -> None:
    assert run("-m", "p2pcopy", "--version").stdout == f"p2pcopy {p2pcopy.__version__}\n"
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == p2pcopy.__version__
    project = pyproject()
    assert project["project"]["dynamic"] == ["version"]
    assert ROOT / project["tool"]["hatch"]["version"]["path"] == Path(p2pcopy.__file__)


def test_the_command_exists() -> None:
    scripts = pyproject()["project"]["scripts"]
    assert set(scripts) == {"p2pcopy"}
    assert callable(EntryPoint("p2pcopy", scripts["p2pcopy"], "console_scripts").load())


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    ended = run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    info = f"p2pcopy-{p2pcopy.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        names = set(archive.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "p2pcopy").rglob("*.py")}
    sources.add("p2pcopy/py.typed")
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "p2pcopy/usage/shells").iterdir()}
    shared = {f"man/man1/{path.name}" for path in (ROOT / "docs/man").iterdir()}
    shared |= {
        "bash-completion/completions/p2pcopy",
        "zsh/site-functions/_p2pcopy",
        "fish/vendor_completions.d/p2pcopy.fish",
    }
    assert names == (
        sources
        | {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
        | {f"p2pcopy-{p2pcopy.__version__}.data/data/share/{name}" for name in shared}
    )
    assert metadata["Version"] == p2pcopy.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert "p2pcopy = p2pcopy.__main__:main" in entry_points


def test_the_source_archive_can_be_built_and_tested(tmp_path: Path) -> None:
    ended = run("-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert names >= {
        "pyproject.toml",
        "Makefile",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "p2pcopy/cli.py",
        "tests/test_project.py",
        "docs/exit-codes.md",
    }
    assert not any(".venv" in name or "__pycache__" in name for name in names)


@pytest.mark.timeout(300)
def test_the_demo_ends_with_verified() -> None:
    ended = subprocess.run(
        [sys.executable, "tests/demo/demo.py"],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.split()[-1] == "verified"


def failures(base: type[errors.P2PCopyError] = errors.P2PCopyError) -> set[type[errors.P2PCopyError]]:
    return {base}.union(*(failures(each) for each in base.__subclasses__()))


def test_the_page_of_exit_codes_is_that_of_the_classes() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|.*\| (yes|no) \|$", page, re.MULTILINE)
    assert len(rows) == len(set(rows))
    documented = [each for each in failures() if each.__module__ in (errors.__name__, names.__name__)]
    assert {(int(code), name, resumable == "yes") for code, name, resumable in rows} == {
        (int(each.exit_code), each.name, each.resumable) for each in documented
    }


def test_the_page_names_every_exit_code() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == set(errors.ExitCode)
