"""The command line as a person meets it: help, complaints, completion, p2pcopy config."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import json_schema
import pytest
import typer
from typer.testing import CliRunner

from p2pcopy import cli, keys
from p2pcopy.usage import commands

PROGRAM = commands.program(typer.main.get_command(cli.app))
NAMES = [each.name for each in PROGRAM.commands]


@pytest.fixture(autouse=True)
def _narrow(nothing_set: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def said(*arguments: str, exit_code: int = 0) -> str:
    """Standard output and standard error in one."""
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == exit_code, result.output
    return result.output


def refused(*arguments: str) -> str:
    return said(*arguments, exit_code=2)


def run(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script + "\nfrom p2pcopy.cli import main\nmain()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_help_says_everything_that_was_written_for_it(name: str) -> None:
    """And no line but an example is longer than a row of the terminal."""
    output = said(name, "--help")
    assert output == said(name, "-h") == said("help", name)
    assert max(len(line) for line in output.splitlines() if not line.startswith("    p2pcopy")) <= 80
    shown, command = " ".join(output.split()), PROGRAM.command(name)
    assert command is not None
    assert shown.startswith(f"Usage: {command.usage} ")
    assert all(argument.help in shown for argument in command.arguments)
    assert all(option.help in shown for option in command.options)
    for option in command.options:
        assert option.label.strip() in shown


def test_groups_stand_in_the_same_order_everywhere() -> None:
    def groups(command: str) -> list[str]:
        return re.findall(r"^(\w+):$", said(command, "--help"), re.MULTILINE)

    everything = ["Arguments", "Files", "Codes", "Output", "Network", "Relay", "Options", "Examples"]
    assert groups("send") == groups("receive") == everything
    assert groups("doctor") == ["Network", "Relay", "Options", "Examples"]


COMPLAINTS = [
    (["send", "--bogus", "a"], "p2pcopy send has no option --bogus", "p2pcopy send --help"),
    (["send", "--wiat", "3", "a"], "p2pcopy send has no option --wiat", "Did you mean --wait?"),
    (["send"], "PATH is missing", "p2pcopy send photos/ notes.txt"),
    (["send", "a", "--quiet=3"], "--quiet takes no value", "Write --quiet alone"),
    (["send", "a", "--no-confirm=3"], "--no-confirm takes no value", "alone"),
    (["receive", "a", "b"], "'b' is one argument too many", "Write p2pcopy receive [OPTIONS] [CODE]"),
    (["sned", "a"], "p2pcopy has no command 'sned'", "Did you mean p2pcopy send?"),
    (["23C34GP19J" * 7], "a code alone is no command", "Write p2pcopy receive CODE"),
    (["xyzzy"], "p2pcopy has no command 'xyzzy'", "There are send, receive,"),
    (["--bogus"], "p2pcopy has no option --bogus", "p2pcopy --help"),
    (["send", "a", "--compress", "gzip"], "--compress cannot be used: 'gzip' is no choice", "auto, never, always"),
    (["receive", "--relay", "yes"], "--relay cannot be used: 'yes' is no choice", "auto, only, never"),
    (["receive", "--wait", "soon"], "--wait cannot be used: 'soon' is not a duration", "1h30m"),
    (["config", "--path"], "--write, --path and --json exclude each other", "Choose one"),
    (["config", "--force"], "--force belongs to --write", "Add --write"),
]


@pytest.mark.parametrize(("arguments", "message", "hint"), COMPLAINTS)
def test_every_complaint_is_ours(arguments: list[str], message: str, hint: str) -> None:
    """In the form of all other failures, and an event where events are wanted."""
    event = json.loads(refused(*arguments, "--json"))
    assert (event["event"], event["error"], event["exit_code"]) == ("error", "usage", 2)
    assert event["message"].startswith(message)
    assert hint in event["hint"]
    if arguments != ["config", "--path"]:
        assert refused(*arguments).splitlines() == [f"error: {event['message']}", f"hint: {event['hint']}"]


def test_complaints_where_nothing_can_follow() -> None:
    assert refused("code").startswith("error: CODE is missing\nhint: Write p2pcopy code [OPTIONS] CODE, such as: ")
    assert refused("send", "a", "--wait").startswith("error: --wait needs a value\nhint: Write --wait DURATION: How ")
    assert "Did you mean p2pcopy send?" in refused("help", "sned")
    assert "bash, zsh, fish" in refused("completion", "tcsh")


def test_what_is_after_two_hyphens_is_no_option() -> None:
    assert refused("receive", "a", "--", "--json").startswith("error: '--json' is one argument too many")


def test_the_program_alone_shows_its_help_and_fails() -> None:
    alone = run()
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr.startswith("Usage: p2pcopy [OPTIONS] COMMAND ...")
    assert alone.stderr == said("--help") == said("help")


@pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux is there /dev/full")
@pytest.mark.parametrize("arguments", [["help"], ["send", "--help"], ["--help"], ["completion", "zsh"], ["config"]])
def test_a_full_disk_is_no_defect(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "p2pcopy", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "error: standard output cannot be written: No space left on device",
    )


def test_what_takes_long_is_not_imported_to_read_a_command_line() -> None:
    script = 'import atexit, sys\natexit.register(lambda: print("pydantic" in sys.modules, "rich" in sys.modules))\n'
    for arguments in (
        ["send", "a", "--wait", "soon"],
        ["receive", "--help"],
        ["--bogus"],
        ["__complete", "send", "--"],
    ):
        assert run(*arguments, script=script).stdout.endswith("False False\n")


def test_variables_that_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCOPY_EXSTING", "skip")
    warned = "P2PCOPY_EXSTING is no variable of p2pcopy, and is ignored: did you mean P2PCOPY_EXISTING?"
    wrong = ("receive", "--max-size", "much")
    assert refused(*wrong).startswith(f"warning: {warned}\nerror: ")
    assert refused(*wrong, "--quiet").startswith("error: ")
    first, second = (json.loads(line) for line in refused(*wrong, "--json").splitlines())
    assert (first["event"], first["message"], second["event"]) == ("warning", warned, "error")


def test_config_shows_every_setting_and_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('wait = "15m"\nturn_password_file = "~/password"\n')
    monkeypatch.setenv("P2PCOPY_EXISTING", "skip")
    output = said("config")
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if re.match("[a-z_]+ ", line)}
    assert list(keys.SETTINGS) == [key for key in rows if key in keys.SETTINGS]
    assert rows["wait"] == ["file", "--wait", "15m"]
    assert rows["existing"] == ["variable", "--existing", "skip"]
    assert rows["fast_path"] == ["default", "--fast-path", "yes"]
    assert rows["turn_password_file"] == ["file", "--turn-password-file", "~/password"]
    assert said("config", "--path") == f"{file}\n"

    (told,) = json_schema.lines(said("config", "--json"))
    assert (told["event"], told["path"], told["exists"]) == ("config", str(file), True)
    settings = {each["key"]: each for each in told["settings"]}
    assert (settings["wait"]["value"], settings["wait"]["default"], settings["wait"]["origin"]) == ("15m", "1h", "file")
    assert settings["stun"]["value"] == settings["stun"]["default"]


def test_config_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One in the environment makes the one in the file void."""
    (tmp_path / "config.toml").write_text('turn_secret_file = "~/secret"\n')
    monkeypatch.setenv("P2PCOPY_TURN_PASSWORD", "very secret")
    assert re.search(
        r"^turn_password_file +variable +--turn-password-file +\(not shown\)$", said("config"), re.MULTILINE
    )
    told = said("config", "--json")
    for output in (told, said("config")):
        assert "very secret" not in output
        assert "~/secret" not in output
    password = next(each for each in json.loads(told)["settings"] if each["key"] == "turn_password_file")
    assert (password["value"], password["variable"]) == (None, "P2PCOPY_TURN_PASSWORD")


def test_config_writes_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    monkeypatch.setenv("P2PCOPY_CONFIG", str(file))
    assert "p2pcopy config --write" in refused("config")
    assert said("config", "--write") == f"{file}\n"
    file.write_text("wiat = '1h'")
    assert "already" in refused("config", "--write")
    assert "Did you mean 'wait'?" in refused("config")
    assert said("config", "--path") == f"{file}\n"
    assert said("config", "--write", "--force") == f"{file}\n"
    assert said("config")


def test_scripts_for_shells_are_printed() -> None:
    for shell, mark in {"bash": "complete -F", "zsh": "#compdef p2pcopy", "fish": "complete -c p2pcopy"}.items():
        assert mark in said("completion", shell)
