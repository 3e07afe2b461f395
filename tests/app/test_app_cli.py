"""Arguments to settings, errors to exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import p2pcopy.app
from p2pcopy import __version__, cli
from p2pcopy.config import DEFAULT_STUN, Compress, Existing, IceServer, ReceiveSettings, Relay, SendSettings
from p2pcopy.errors import ExitCode

ENVIRONMENT = ("STUN", "TURN", "TURN_USER", "TURN_PASSWORD", "CONFIG")


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(f"P2PCOPY_{name}", raising=False)
    config = tmp_path / "config.toml"
    config.touch()
    monkeypatch.setenv("P2PCOPY_CONFIG", str(config))


def settings(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> SendSettings | ReceiveSettings:
    """What the command line becomes."""
    made: list[SendSettings | ReceiveSettings] = []

    def run(given: SendSettings | ReceiveSettings) -> ExitCode:
        made.append(given)
        return ExitCode.INTEGRITY

    monkeypatch.setattr(p2pcopy.app, "run_send", run)
    monkeypatch.setattr(p2pcopy.app, "run_receive", run)
    assert CliRunner().invoke(cli.app, arguments).exit_code == ExitCode.INTEGRITY, (
        "the run's exit code is the process's"
    )
    return made[0]


def sending(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> SendSettings:
    made = settings(monkeypatch, "send", *arguments)
    assert isinstance(made, SendSettings)
    return made


def receiving(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ReceiveSettings:
    made = settings(monkeypatch, "receive", *arguments)
    assert isinstance(made, ReceiveSettings)
    return made


def refused(*arguments: str, exit_code: int = 2) -> str:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_send_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sending(monkeypatch, "a", "b")
    assert (made.paths, made.name, made.excludes, made.to) == (("a", "b"), None, (), None)
    assert (made.follow_symlinks, made.compress) == (False, Compress.AUTO)
    assert made.net.stun == tuple(IceServer(url) for url in DEFAULT_STUN)
    assert (made.net.turn, made.net.relay, made.net.wait_s) == ((), Relay.AUTO, 3600)
    talk = made.talk
    assert (talk.answer, talk.answer_to, talk.qr, talk.qr_file) == (None, None, None, None)
    assert (talk.json, talk.quiet, talk.verbose, talk.progress) == (False, False, False, True)


def test_send_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sending(
        monkeypatch,
        *("-", "--name", "n", "--exclude", "*.log", "--exclude", "tmp/", "--follow-symlinks", "--compress", "never"),
        *("--to", "CODE", "--stun", "stun:a", "--stun", "stun:b", "--relay", "never", "--wait", "90s"),
        *(
            "--answer",
            "@in",
            "--answer-to",
            "fd:3",
            "--no-qr",
            "--qr-file",
            "code.png",
            "--json",
            "-v",
            "--no-progress",
        ),
    )
    assert (made.paths, made.name, made.excludes, made.to) == (("-",), "n", ("*.log", "tmp/"), "CODE")
    assert (made.follow_symlinks, made.compress) == (True, Compress.NEVER)
    assert (made.net.stun, made.net.relay) == ((IceServer("stun:a"), IceServer("stun:b")), Relay.NEVER)
    assert made.net.wait_s == 90
    talk = made.talk
    assert (talk.answer, talk.answer_to, talk.qr, talk.qr_file) == ("@in", "fd:3", False, "code.png")
    assert (talk.json, talk.quiet, talk.verbose, talk.progress) == (True, False, True, False)


def test_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    made = receiving(monkeypatch)
    assert (made.code, made.output, made.yes, made.existing, made.max_bytes) == (None, ".", False, None, None)
    made = receiving(
        monkeypatch, "CODE", "-o", "out", "-y", "--existing", "rename", "--max-size", "2k", "--no-stun", "-q"
    )
    assert (made.code, made.output, made.yes) == ("CODE", "out", True)
    assert (made.existing, made.max_bytes, made.net.stun) == (Existing.RENAME, 2048, ())
    assert made.talk.quiet


def test_the_environment_and_the_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("from a file\n")
    (tmp_path / "config.toml").write_text(
        f'stun = ["stun:file"]\nturn = "turn:file"\nturn_user = "file"\nturn_password_file = "{password}"\n'
        'relay = "only"\nwait = "5m"\ncompress = "always"\nexisting = "skip"\noutput = "~/here"\n'
    )
    monkeypatch.setenv("HOME", "/home/nobody")
    made = receiving(monkeypatch, "CODE")
    assert made.net.stun == (IceServer("stun:file"),)
    assert made.net.turn == (IceServer("turn:file", "file", "from a file"),)
    assert (made.net.relay, made.net.wait_s) == (Relay.ONLY, 300)
    assert (made.existing, made.output) == (Existing.SKIP, "/home/nobody/here")
    assert sending(monkeypatch, "a").compress is Compress.ALWAYS

    monkeypatch.setenv("P2PCOPY_STUN", "stun:a, stun:b stun:c")
    monkeypatch.setenv("P2PCOPY_TURN", "turn:environment")
    monkeypatch.setenv("P2PCOPY_TURN_USER", "environment")
    monkeypatch.setenv("P2PCOPY_TURN_PASSWORD", "from the environment")
    made = receiving(monkeypatch, "CODE")
    assert [server.url for server in made.net.stun] == ["stun:a", "stun:b", "stun:c"]
    assert made.net.turn == (IceServer("turn:environment", "environment", "from the environment"),)

    flags = ("--turn", "turn:flag", "--turn-user", "flag", "--turn-password-file", str(password), "--wait", "1m")
    made = receiving(monkeypatch, "CODE", *flags)
    assert made.net.turn == (IceServer("turn:flag", "flag", "from a file"),)
    assert made.net.wait_s == 60


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    assert "--no-stun" in refused("send", "a", "--stun", "stun:a", "--no-stun")
    assert "--verbose" in refused("send", "a", "-q", "-v")
    assert "--output -" in refused("receive", "X", "--json", "-o", "-")
    assert "user name and a password" in refused("send", "a", "--turn", "turn:a", "--turn-user", "u")
    assert "TURN server" in refused("send", "a", "--relay", "only")


def test_a_password_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, reason in (("missing", "No such file"), ("binary", "not text"), (".", "directory")):
        flags = ("--turn", "turn:a", "--turn-user", "u", "--turn-password-file", str(tmp_path / name))
        assert reason in refused("send", "a", *flags, exit_code=3)


def test_failures_before_the_run_are_told_as_json_too() -> None:
    event = json.loads(refused("send", "a", "--json", "--wait", "soon"))
    assert (event["event"], event["error"], event["exit_code"]) == ("error", "usage", 2)


def test_bad_arguments() -> None:
    assert "--bogus" in refused("send", "--bogus", "a")
    assert "bogus" in refused("bogus")
    refused("send", "a", "--compress", "sometimes")
    refused("send", "--wait", "1s")


def test_explain_and_its_failures() -> None:
    result = CliRunner().invoke(cli.app, ["code", "28RFT0000000000000000000000052ZAG30000G2PDPQKJR"])
    assert result.exit_code == 0
    assert result.output.startswith("An answer code")
    assert "error: " in refused("code", "nonsense!", exit_code=4)


# The process


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script + "\nfrom p2pcopy.cli import main\nmain()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


def test_help_and_version_import_nothing_heavy() -> None:
    script = """
import atexit, sys
heavy = "aiortc", "aioice", "cryptography", "OpenSSL", "p2pcopy.app", "rich.progress", "qrcode", "blake3", "zstandard"
atexit.register(lambda: print("imported:", *(name for name in heavy if name in sys.modules)))
"""
    version = run(script, "--version")
    assert version.stdout == f"p2pcopy {__version__}\nimported:\n"
    for arguments in (["--help"], ["send", "--help"], ["receive", "-h"], ["send"], []):
        done = run(script, *arguments)
        assert "Usage:" in done.stdout + done.stderr
        assert done.stdout.endswith("imported:\n")


def test_the_module_is_the_program() -> None:
    command = [sys.executable, "-m", "p2pcopy", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"p2pcopy {__version__}\n")


def test_a_defect_is_told_without_a_traceback_unless_it_is_wanted() -> None:
    defect = "import p2pcopy.explain\ndef explain_code(spec): raise ZeroDivisionError('oops')\n"
    defect += "p2pcopy.explain.explain_code = explain_code\n"
    done = run(defect, "code", "X")
    assert done.returncode == 1
    assert done.stderr.startswith("error: internal error: ZeroDivisionError: oops\nhint: ")
    assert "Traceback" not in done.stderr
    wanted = run(defect.replace("\n", "\nimport sys; sys.argv[0] = '-v'\n", 1), "code", "X")
    assert wanted.returncode == 1
    assert "Traceback" in wanted.stderr


def test_ctrl_c_before_anything_has_begun() -> None:
    interrupt = "import p2pcopy.explain\ndef explain_code(spec): raise KeyboardInterrupt\n"
    interrupt += "p2pcopy.explain.explain_code = explain_code\n"
    done = run(interrupt, "code", "X")
    assert (done.returncode, done.stderr) == (130, "")


def test_closed_streams_are_occupied() -> None:
    """What is opened next must not get the number of standard output or standard error."""
    done = run("import os\nos.close(0)\nos.close(2)\n", "--version")
    assert (done.returncode, done.stdout) == (0, f"p2pcopy {__version__}\n")
    done = run("import os\nos.close(1)\n", "--version")
    assert done.returncode == 3
    assert "standard output is closed" in done.stderr


DEFAULTS = {
    "send": ["stdin", "auto", "-", "-", "where they fit", "auto", "1h"],
    "receive": [".", "ask on a terminal, else refuse", "auto", "1h", "-", "-", "where they fit"],
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_help_says_everything_that_was_written_for_it(command: str) -> None:
    """Nothing is taken for markup, and no type stands where there is no value."""
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    shown = " ".join(result.output.split())
    assert re.findall(r"\(default: ([^)]*)\)", shown) == DEFAULTS[command]
    described = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
    assert all(each.help in shown for each in described)
    assert {"send": "[OPTIONS] PATH...", "receive": "[OPTIONS] [CODE]"}[command] in shown
    for odd in ("<bool>", "<str>", "<list", "{", "[[", "[default"):
        assert odd not in shown
    for panel in ("Arguments", "Options", "Codes", "Network", "Output"):
        assert f"─ {panel} ─" in shown
