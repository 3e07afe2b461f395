"""The manual pages: up to date, and good roff. Run as a program it writes them, for `make man`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from p2pcopy import cli
from p2pcopy.errors import ExitCode
from p2pcopy.usage import commands, manpage

PAGES = Path(__file__).parents[2] / "docs" / "man"
PROGRAM = commands.program(typer.main.get_command(cli.app))


def test_they_are_up_to_date() -> None:
    """`make man` writes them anew."""
    written = {path.name: path.read_text(encoding="utf-8") for path in PAGES.iterdir()}
    assert written == manpage.pages(PROGRAM)


def test_they_name_every_option_and_exit_code() -> None:
    for command in PROGRAM.all:
        page = manpage.page(command, PROGRAM).replace("\\", "")
        assert all(option.label.strip() in page for option in command.options)
    assert set(manpage.EXIT_CODES) == set(ExitCode)


def test_what_roff_would_take_for_something_else_is_escaped() -> None:
    odd = commands.Command("send", ("A.", ".B it's \\n\\n -- ~x^2"), (), ())
    assert r"\&.B it\(aqs \(rsn\(rsn \-\- \(tix\(ha2" in manpage.page(odd, PROGRAM).splitlines()


@pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is mandoc installed for the tests")
@pytest.mark.parametrize("name", sorted(manpage.pages(PROGRAM)))
def test_they_are_good_roff(name: str) -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning", str(PAGES / name)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert not complaints


@pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is mandoc installed for the tests")
def test_a_page_as_it_is_read() -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        [mandoc, "-T", "ascii", str(PAGES / "p2pcopy-send.1")], capture_output=True, text=True, check=True
    )
    shown = " ".join(_without_bold(done.stdout).split())
    assert "SYNOPSIS p2pcopy send [OPTIONS] PATH..." in shown
    assert "--[no-]confirm Compare a number with the other side before anything is sent." in shown
    assert "tar c photos | p2pcopy send - --name photos.tar" in shown


def _without_bold(text: str) -> str:
    """What an overstruck character stands for."""
    while "\b" in text:
        place = text.index("\b")
        text = text[: place - 1] + text[place + 1 :]
    return text


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for name, page in manpage.pages(PROGRAM).items():
        (PAGES / name).write_text(page, encoding="utf-8")
