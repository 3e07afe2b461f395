"""Arguments to settings, errors to exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import p2pcopy.app
import p2pcopy.doctor
import p2pcopy.unfinished
from p2pcopy import __version__, cli
from p2pcopy.config import (
    DEFAULT_STUN,
    Compress,
    Existing,
    Family,
    IceServer,
    NetSettings,
    PartsSettings,
    ReceiveSettings,
    Relay,
    SendSettings,
    VerifyResume,
)
from p2pcopy.errors import ExitCode

pytestmark = pytest.mark.usefixtures("nothing_set")


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
    assert made.net == NetSettings()
    assert not made.keep_open
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


def test_the_network_with_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("north\r\n")
    made = sending(
        monkeypatch,
        *("a", "--interface", "eth0", "--interface", "Ethernet 2", "--ipv6", "--stall-limit", "1h", "--keep-open"),
        *("--turn", "turn:a", "--turn", "turns:b", "--turn-secret-file", str(secret), "--turn-insecure"),
        *("--share-relay", "--two-way", "--confirm"),
    )
    net = made.net
    assert made.keep_open
    assert (net.interfaces, net.family, net.stall_limit_s) == (("eth0", "Ethernet 2"), Family.IPV6, 3600)
    assert net.turn == (IceServer("turn:a", secret="north"), IceServer("turns:b", secret="north"))
    assert (net.turn_insecure, net.share_relay, net.two_way, net.confirm) == (True, True, True, True)
    assert sending(monkeypatch, "a", "--ipv4").net.family is Family.IPV4


def test_switches_of_the_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'interface = "Ethernet 2"\nfamily = "ipv4"\nstall_limit = "5m"\nturn = "turn:a"\nturn_insecure = true\n'
        "share_relay = true\ntwo_way = true\nconfirm = true\n"
    )
    monkeypatch.setenv("P2PCOPY_TURN_SECRET", "north")
    net = receiving(monkeypatch).net
    assert (net.interfaces, net.family, net.stall_limit_s) == (("Ethernet 2",), Family.IPV4, 300)
    assert net.turn == (IceServer("turn:a", secret="north"),)
    assert (net.turn_insecure, net.share_relay, net.two_way, net.confirm) == (True, True, True, True)
    flags = ("--no-share-relay", "--no-two-way", "--no-confirm", "--ipv6", "--interface", "eth0")
    net = receiving(monkeypatch, *flags).net
    assert (net.share_relay, net.two_way, net.confirm) == (False, False, False)
    assert (net.family, net.interfaces) == (Family.IPV6, ("eth0",))


def test_the_fast_data_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def switches(*flags: str) -> tuple[bool, bool, bool]:
        net = receiving(monkeypatch, *flags).net
        return net.fast_path, net.gso, net.gro

    assert switches() == (True, True, True)
    assert switches("--no-fast-path") == (False, True, True)
    (tmp_path / "config.toml").write_text("fast_path = false\ngso = false\ngro = true")
    assert switches() == (False, False, True)
    monkeypatch.setenv("P2PCOPY_FAST_PATH", "on")
    monkeypatch.setenv("P2PCOPY_GSO", "")
    monkeypatch.setenv("P2PCOPY_GRO", "0")
    assert switches() == (True, False, False)
    assert switches("--no-fast-path") == (False, False, False)
    assert sending(monkeypatch, "a", "--fast-path").net.fast_path
    monkeypatch.setenv("P2PCOPY_GRO", "maybe")
    assert "P2PCOPY_GRO cannot be used: 'maybe'" in refused("send", "a")
    assert "P2PCOPY_GRO" in refused("doctor")


def test_resuming(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def chosen(*flags: str) -> tuple[Existing | None, bool, bool]:
        made = receiving(monkeypatch, *flags)
        return made.existing, made.checksum, made.dry_run

    assert chosen() == (None, False, False)
    assert sending(monkeypatch, "a").verify_resume is VerifyResume.SAMPLE
    (tmp_path / "config.toml").write_text('existing = "skip"\nchecksum = true\nverify_resume = "all"')
    assert chosen("--dry-run") == (Existing.SKIP, True, True)
    assert not receiving(monkeypatch, "-o", "-").checksum
    assert sending(monkeypatch, "a", "-").verify_resume is VerifyResume.ALL
    monkeypatch.setenv("P2PCOPY_EXISTING", "resume")
    monkeypatch.setenv("P2PCOPY_CHECKSUM", "off")
    monkeypatch.setenv("P2PCOPY_VERIFY_RESUME", "sample")
    assert chosen() == (Existing.RESUME, False, False)
    assert chosen("--existing", "rename", "--checksum") == (Existing.RENAME, True, False)
    assert sending(monkeypatch, "a", "--verify-resume", "all").verify_resume is VerifyResume.ALL
    assert sending(monkeypatch, "-").verify_resume is VerifyResume.SAMPLE
    assert "--output -" in refused("receive", "--checksum", "-o", "-")
    assert "standard input cannot" in refused("send", "-", "--verify-resume", "all")
    monkeypatch.setenv("P2PCOPY_EXISTING", "overwrite")
    assert "P2PCOPY_EXISTING cannot be used: 'overwrite' is no choice" in refused("receive")


def test_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PartsSettings] = []

    def run_parts(given: PartsSettings, show: Callable[[str], None]) -> ExitCode:
        asked.append(given)
        return ExitCode.LOCAL

    monkeypatch.setattr(p2pcopy.unfinished, "run_parts", run_parts)
    monkeypatch.setenv("HOME", "/home/nobody")
    refused("parts", exit_code=3)
    refused("parts", "~/in", "--remove", "--older", "7d", "--json", exit_code=3)
    assert asked == [PartsSettings(), PartsSettings("/home/nobody/in", True, 7 * 86400, True)]
    assert "not a duration" in refused("parts", "--older", "long")


def test_a_password_or_a_secret_from_where_it_is_given_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("password", "secret"):
        (tmp_path / name).write_text(f"{name} in a file")
    turn = ("--turn", "turn:a", "--turn-user", "u")
    config = tmp_path / "config.toml"

    config.write_text(f'turn_password_file = "{tmp_path / "password"}"')
    assert receiving(monkeypatch, *turn).net.turn[0] == IceServer("turn:a", "u", "password in a file")
    monkeypatch.setenv("P2PCOPY_TURN_SECRET", "secret in the environment")
    assert receiving(monkeypatch, *turn).net.turn[0] == IceServer("turn:a", "u", "", "secret in the environment")
    flags = ("--turn-password-file", str(tmp_path / "password"))
    assert receiving(monkeypatch, *turn, *flags).net.turn[0] == IceServer("turn:a", "u", "password in a file")
    flags = ("--turn-secret-file", str(tmp_path / "secret"))
    assert receiving(monkeypatch, *turn, *flags).net.turn[0] == IceServer("turn:a", "u", "", "secret in a file")

    both = ("--turn-password-file", str(tmp_path / "password"), *flags)
    assert "--turn-secret-file" in refused("receive", *turn, *both)
    monkeypatch.setenv("P2PCOPY_TURN_PASSWORD", "password in the environment")
    assert "P2PCOPY_TURN_SECRET" in refused("receive", *turn)
    monkeypatch.delenv("P2PCOPY_TURN_PASSWORD")
    monkeypatch.delenv("P2PCOPY_TURN_SECRET")
    config.write_text(config.read_text() + f'\nturn_secret_file = "{tmp_path / "secret"}"')
    assert "config file" in refused("receive", *turn)
    monkeypatch.setenv("P2PCOPY_TURN_SECRET", "a\x1b")
    assert "P2PCOPY_TURN_SECRET" in refused("receive", *turn)


def test_a_credential_without_a_server_is_not_even_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('turn_password_file = "/missing"')
    assert receiving(monkeypatch).net.turn == ()
    for flag in ("--turn-user", "--turn-password-file", "--turn-secret-file"):
        assert "no TURN server" in refused("receive", flag, "x")


def test_only_a_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side's code may bring one; our own code cannot."""
    assert receiving(monkeypatch, "CODE", "--relay", "only").net.relay is Relay.ONLY
    assert sending(monkeypatch, "a", "--to", "CODE", "--relay", "only").net.relay is Relay.ONLY
    assert "TURN server" in refused("receive", "--relay", "only")
    assert "TURN server" in refused("send", "a", "--relay", "only")


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[NetSettings, bool, bool]] = []

    def run_doctor(net: NetSettings, *, json: bool, verbose: bool) -> ExitCode:
        asked.append((net, json, verbose))
        return ExitCode.CONNECT

    monkeypatch.setattr(p2pcopy.doctor, "run_doctor", run_doctor)
    monkeypatch.setenv("P2PCOPY_TURN", "turn:a")
    monkeypatch.setenv("P2PCOPY_TURN_SECRET", "north")
    result = CliRunner().invoke(cli.app, ["doctor", "--no-stun", "--ipv4", "--json"])
    assert result.exit_code == ExitCode.CONNECT
    turn = (IceServer("turn:a", secret="north"),)
    assert asked == [(NetSettings(stun=(), turn=turn, family=Family.IPV4), True, False)]
    event = json.loads(refused("doctor", "--json", "--ipv4", "--ipv6"))
    assert event["error"] == "usage"


def test_receive(monkeypatch: pytest.MonkeyPatch) -> None:
    made = receiving(monkeypatch)
    assert (made.code, made.output, made.yes, made.existing, made.max_bytes) == (None, ".", False, None, None)
    made = receiving(
        monkeypatch, "CODE", "-o", "out", "-y", "--existing", "rename", "--max-size", "2k", "--no-stun", "-q"
    )
    assert (made.code, made.output, made.yes) == ("CODE", "out", True)
    assert (made.existing, made.max_bytes, made.net.stun) == (Existing.RENAME, 2048, ())
    assert made.talk.quiet


def test_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sending(monkeypatch, "--text", "hello", "--keep-open")
    assert (made.text, made.paths, made.name) == ("hello", ("-",), None)
    assert sending(monkeypatch, "--text", "-").text == "-"
    assert not receiving(monkeypatch, "CODE").keep_text
    assert receiving(monkeypatch, "CODE", "-o", ".").keep_text
    assert "PATH" in refused("send", "a", "--text", "hello")
    assert "--name" in refused("send", "--name", "n", "--text", "hello")
    assert "empty" in refused("send", "--text", "")
    assert "PATH is missing" in refused("send", "--json")
    assert "--keep-open" in refused("send", "--text", "-", "--keep-open")


def test_roads_that_bring_the_other_sides_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that scans looks for the answer to its code, a receiver for the sender's code."""
    assert sending(monkeypatch, "a", "--scan").talk.answer == "camera:"
    assert sending(monkeypatch, "a", "--scan", "--camera", "USB").talk.answer == "camera:USB"
    assert sending(monkeypatch, "a", "--paste").to == "clipboard:"
    made = receiving(monkeypatch, "--scan", "--camera", "2")
    assert (made.code, made.talk.answer, made.talk.qr) == ("camera:2", None, True)
    assert receiving(monkeypatch, "--paste").code == "clipboard:"
    assert receiving(monkeypatch, "--scan", "--no-qr").talk.qr is False
    talk = sending(monkeypatch, "a", "--via", "ssh host", "--copy").talk
    assert (talk.via, talk.copy, talk.qr) == ("ssh host", True, None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("send a --scan --to CODE", ("--to", "--scan")),
        ("send a --answer @in --scan", ("--answer", "--scan")),
        ("send a --paste --to CODE", ("--to", "--paste")),
        ("send a --via x --to CODE", ("--to", "--via")),
        ("send a --via x --answer -", ("--answer", "--via")),
        ("receive CODE --scan", ("CODE", "--scan")),
        ("receive --paste --scan", ("--paste", "--scan")),
        ("receive CODE --answer - --via x", ("CODE", "--answer")),
        ("receive --camera USB", ("--camera", "--scan")),
        ("send a --via x --keep-open", ("--keep-open", "--via")),
        ("send a --paste --keep-open", ("--keep-open", "--to")),
        ("send a --json --qr", ("--json", "--qr")),
        ("receive --quiet --qr", ("--quiet", "--qr")),
    ],
)
def test_roads_that_exclude_each_other(arguments: str, named: tuple[str, str]) -> None:
    said = refused(*arguments.split())
    assert all(name in said for name in named)


@pytest.mark.parametrize(
    "arguments", ["receive --json -o -", "receive -o - --answer-to -", "send a --json --answer-to fd:1"]
)
def test_standard_output_is_for_one_thing(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "both need standard output" in refused(*arguments.split())
    monkeypatch.setenv("P2PCOPY_OUTPUT", "-")
    assert "both need standard output" in refused("receive", "--json")


def test_a_command_that_is_empty() -> None:
    assert "the command of --via is empty" in refused("send", "a", "--via", " ")


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


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"TURN": "turn:a", "TURN_USER": "u", "TURN_INSECURE": "on", "TURN_PASSWORD": "p", "RELAY": "only"}
    values |= {"WAIT": "90", "STALL_LIMIT": "5m", "TWO_WAY": "yes", "CONFIRM": "1", "SHARE_RELAY": "no"}
    values |= {"FAMILY": "ipv6", "INTERFACE": "eth0, Ethernet 2", "COMPRESS": "never", "OUTPUT": "out"}
    for name, value in values.items():
        monkeypatch.setenv(f"P2PCOPY_{name}", value)
    made = receiving(monkeypatch)
    assert made.output == "out"
    assert sending(monkeypatch, "a").compress is Compress.NEVER
    net = made.net
    assert (net.turn, net.turn_insecure) == ((IceServer("turn:a", "u", "p"),), True)
    assert (net.family, net.interfaces, net.relay) == (Family.IPV6, ("eth0", "Ethernet 2"), Relay.ONLY)
    assert (net.wait_s, net.stall_limit_s) == (90, 300)
    assert (net.two_way, net.confirm, net.share_relay) == (True, True, False)


def test_a_variable_can_name_the_file_of_a_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("north")
    monkeypatch.setenv("P2PCOPY_TURN", "turn:a")
    monkeypatch.setenv("P2PCOPY_TURN_SECRET_FILE", str(tmp_path / "secret"))
    assert receiving(monkeypatch).net.turn == (IceServer("turn:a", secret="north"),)
    monkeypatch.setenv("P2PCOPY_TURN_SECRET", "south")
    assert "P2PCOPY_TURN_SECRET and P2PCOPY_TURN_SECRET_FILE exclude each other" in refused("receive")


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    assert "--no-stun" in refused("send", "a", "--stun", "stun:a", "--no-stun")
    assert "--verbose" in refused("send", "a", "-q", "-v")
    assert "--output -" in refused("receive", "X", "--json", "-o", "-")
    assert "user name and a password" in refused("send", "a", "--turn", "turn:a", "--turn-user", "u")
    assert "--ipv6" in refused("send", "a", "--ipv4", "--ipv6")
    assert "TURN server" in refused("send", "a", "--share-relay")
    assert "--relay never" in refused("receive", "CODE", "--share-relay", "--relay", "never")
    assert "--keep-open" in refused("send", "a", "--keep-open", "--to", "CODE")
    assert "standard input" in refused("send", "a", "-", "--keep-open")


def test_a_password_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two lines").write_text("one\ntwo\n")
    (tmp_path / "endless").write_text("x" * 2000)
    reasons = {
        "missing": "No such file",
        "binary": "not text",
        ".": "directory",
        "empty": "it is empty",
        "two lines": "not one line",
        "endless": "not one line",
    }
    for name, reason in reasons.items():
        for flag, what in (("--turn-password-file", "TURN password"), ("--turn-secret-file", "TURN secret")):
            flags = ("--turn", "turn:a", "--turn-user", "u", flag, str(tmp_path / name))
            said = refused("send", "a", *flags, exit_code=3)
            assert reason in said
            assert what in said


def test_failures_before_the_run_are_told_as_json_too() -> None:
    event = json.loads(refused("send", "a", "--json", "--wait", "soon"))
    assert (event["event"], event["error"], event["exit_code"]) == ("error", "usage", 2)


def test_explain_and_its_failures() -> None:
    result = CliRunner().invoke(cli.app, ["code", "28RFT0000000000000000000000052ZAG30000G2PDPQKJR"])
    assert result.exit_code == 0
    assert result.output.startswith("An answer code")
    assert "error: " in refused("code", "nonsense!", exit_code=4)


# The process


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script + "\nfrom p2pcopy.cli import main\nmain()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


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


def test_a_defect_is_an_event_where_events_are_wanted() -> None:
    defect = "import p2pcopy.app\ndef run_send(settings): raise ZeroDivisionError('oops')\n"
    done = run(defect + "p2pcopy.app.run_send = run_send\n", "send", "a", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    event = json.loads(done.stdout)
    assert (event["event"], event["error"], event["exit_code"]) == ("error", "internal", 1)


def test_ctrl_c_before_anything_has_begun() -> None:
    interrupt = "import p2pcopy.explain\ndef explain_code(spec): raise KeyboardInterrupt\n"
    interrupt += "p2pcopy.explain.explain_code = explain_code\n"
    done = run(interrupt, "code", "X")
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_while_it_is_still_read_from_the_disk() -> None:
    interrupt = """
import runpy, sys
class Impatient:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Impatient())
runpy.run_module("p2pcopy", run_name="__main__")
"""
    command = [sys.executable, "-c", interrupt]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_closed_streams_are_occupied() -> None:
    """What is opened next must not get the number of standard output or standard error."""
    done = run("import os\nos.close(0)\nos.close(2)\n", "--version")
    assert (done.returncode, done.stdout) == (0, f"p2pcopy {__version__}\n")
    done = run("import os\nos.close(1)\n", "--version")
    assert done.returncode == 3
    assert "standard output is closed" in done.stderr
