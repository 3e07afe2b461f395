"""What README and docs say about flags, variables, settings, exit codes and commands, compared with what there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from p2pcopy import cli, keys
from p2pcopy.errors import ExitCode
from p2pcopy.usage import commands
from p2pcopy.usage.examples import EXAMPLES

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
GROUP = typer.main.get_command(cli.app)
PROGRAM = commands.program(GROUP)
FLAGS = {flag for command in PROGRAM.all for flag in command.flags}

# Flags of other programs that the pages name.
FOREIGN = {
    "command-line.md": "--user",
    "development.md": "--delay --flows --input --isolated --keep --labs --later --loss --only --picture --queues --rtts "
    "--seconds --secret --together",
    "performance.md": "--conditions --list --minutes --rounds",
    "reliability.md": "--files --jobs --kind --mib --runs --seed",
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_flag_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", TEXTS[name]))
    assert named - set(FOREIGN.get(name, "").split()) <= FLAGS


def test_every_setting_has_its_row() -> None:
    """With all its flags, its variable and its key, in the order of the table in keys.py, and with what it may be."""
    rows = re.findall(
        r"^\| ([^|]*)\| `(P2PCOPY_\w+)` \| `(\w+)` \| (.*) \| (.*) \|$", TEXTS["settings.md"], re.MULTILINE
    )
    assert [key for _, _, key, _, _ in rows] == list(keys.SETTINGS)
    for flags, variable, key, value, default in rows:
        setting = keys.SETTINGS[key]
        assert set(re.findall(r"`(--?[\w-]+)`", flags)) == set(setting.all_flags)
        assert variable == setting.variable
        assert set(setting.choices) <= set(re.findall(r"`(\w+)`", value))
        if isinstance(setting.default, str):
            assert f"`{setting.default}`" == default


def test_the_flags_of_the_table_are_those_of_the_commands() -> None:
    assert {flag for setting in keys.SETTINGS.values() for flag in setting.all_flags} <= FLAGS
    for option in (option for command in PROGRAM.all for option in command.options):
        for setting in keys.SETTINGS.values():
            if set(option.names) & set(setting.flags.replace("/", " ").split()):
                assert option.help.startswith(setting.help)


def test_every_variable_is_documented_and_no_other() -> None:
    named = {name: set(re.findall(r"P2PCOPY_[A-Z_]*[A-Z]", text)) for name, text in TEXTS.items()}
    assert set().union(*named.values()) <= keys.VARIABLES
    assert named["settings.md"] == keys.VARIABLES
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "p2pcopy").rglob("*.py"))
    assert set(re.findall(r"P2PCOPY_[A-Z_]*[A-Z]", sources)) <= keys.VARIABLES


def test_the_readme_names_exit_codes_that_exist() -> None:
    row = next(line for line in TEXTS["README.md"].splitlines() if line.startswith("| exit codes |"))
    named = {int(code) for code in re.findall(r"\b(\d+) [a-zC]", row)}
    assert named == set(ExitCode) - {ExitCode.INTERNAL, ExitCode.TERMINATED}


def test_every_command_is_documented() -> None:
    rows = re.findall(r"^\| `p2pcopy (\w+)` \|", TEXTS["command-line.md"], re.MULTILINE)
    assert rows == [command.name for command in PROGRAM.commands]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), link
        if heading:
            assert heading in headings(there), link


def headings(page: Path) -> set[str]:
    """As links name them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_readme_leads_to_every_page() -> None:
    listed = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", TEXTS["README.md"]))
    assert listed == set(TEXTS) - {"README.md"}


def invocations() -> Iterator[tuple[str, list[str]]]:
    """Each p2pcopy in the code blocks of the pages and in the examples, with its arguments."""
    for name, text in TEXTS.items():
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                yield from ((name, words) for words in in_line(line))
    for command, examples in EXAMPLES.items():
        for each in examples:
            yield from ((f"example of {command}", words) for words in in_line(each.line))


def in_line(line: str) -> Iterator[list[str]]:
    for part in re.split(r"\||&&|;|<|>|\$ |\$\(|\)|#", line):
        if re.match("p2pcopy [a-z-]", part.strip()):
            yield shlex.split(part.strip().rstrip('"'))[1:]


FOUND = list(invocations())


def test_there_are_examples() -> None:
    assert len(FOUND) > 30


@pytest.mark.parametrize(("where", "words"), FOUND, ids=lambda each: each if isinstance(each, str) else " ".join(each))
def test_every_example_is_a_command_line(where: str, words: list[str]) -> None:
    """That p2pcopy takes: nothing is run."""
    if words[0].startswith("-"):
        assert words[0] in PROGRAM.itself.flags
        return
    command = GROUP.commands[words[0]]  # type: ignore[attr-defined]
    if not {"--help", "-h"} & set(words):
        command.make_context(words[0], words[1:], parent=typer.Context(GROUP))
