"""docs/api.md: its examples are the programs in tests/examples, which run here, and its tables those of the functions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest
from trees import MIB, copied, make, noise

from p2pcopy import Network, receive, send

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "tests" / "examples"
# There is no network but this machine's.
RUN = """
import runpy, sys
from p2pcopy import config
config.DEFAULT_STUN = ()
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_page_has_the_examples_word_for_word_and_no_others() -> None:
    shown = dict(re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    assert shown == {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert PAGE.count("```python") == len(shown)


def test_the_tables_list_every_option() -> None:
    tables = {
        section.split("\n", 1)[0]: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    }
    assert tables == {
        "send": list(signature(send).parameters),
        "receive": list(signature(receive).parameters),
        "Network": [field.name for field in fields(Network)],
    }


class Programs:
    """Examples that run at once, in one directory."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._running: list[subprocess.Popen[str]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "error", "-c", RUN, str(EXAMPLES / name), *arguments]
        program = subprocess.Popen(command, cwd=self._work, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._running.append(program)
        return program

    def ended(self, program: subprocess.Popen[str], stdin: str = "") -> tuple[str, str]:
        """What it said until it ended as it should."""
        out, err = program.communicate(stdin, timeout=60)
        assert program.returncode == 0, err
        return out, err

    def end(self) -> None:
        for program in self._running:
            if program.poll() is None:
                program.kill()
                program.communicate()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    make(tmp_path / "photos" / "beach.jpg", noise(2 * MIB))
    make(tmp_path / "photos" / "notes.txt", b"sand\n")
    started = Programs(tmp_path)
    yield started
    started.end()


def first_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def test_give_and_take(programs: Programs, tmp_path: Path) -> None:
    giving = programs.start("give.py", "photos")
    taking = programs.start("take.py", first_line(giving))
    assert programs.ended(taking) == ("2 files, 0 failed\n", "")
    out, err = programs.ended(giving)
    assert re.fullmatch(r"2 files in \d+\.\d s, local path\n", out)
    assert err == ""
    assert copied(tmp_path / "photos", tmp_path / "incoming")


def test_fetch(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    taking, giving = programs.start("fetch.py", "take"), programs.start("fetch.py", "give")
    assert programs.ended(giving) == ("", "")
    assert programs.ended(taking) == ("", "")
    assert copied(tmp_path / "photos", tmp_path / "incoming")


def test_patient(programs: Programs, tmp_path: Path) -> None:
    giving = programs.start("give.py", "photos")
    _, err = programs.ended(programs.start("patient.py"), f"nonsense\n{first_line(giving)}\n")
    assert "code" in err.splitlines()[0]
    assert "bytes/s" in err
    programs.ended(giving)
    assert copied(tmp_path / "photos", tmp_path / "incoming")


@pytest.mark.skipif(os.name == "nt", reason="needs tar and its pipes")
def test_dump(programs: Programs) -> None:
    out, err = programs.ended(programs.start("dump.py"))
    assert "photos/beach.jpg" in out
    assert re.search(r"^\d{7} bytes$", out, re.MULTILINE)
    assert err == ""
