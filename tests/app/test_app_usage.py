"""Help, complaints and completion, made from a small command line of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from p2pcopy import events
from p2pcopy.ui import settingslist
from p2pcopy.usage import mistakes
from p2pcopy.usage.commands import Argument, Command, Option, Program, command, program
from p2pcopy.usage.completion import AT_FILES, DIRECTORIES, FILES, NOTHING, Kind, Reply, complete
from p2pcopy.usage.examples import EXAMPLES
from p2pcopy.usage.helptext import help_text

HELP = Option(("-h", "--help"), (), "", "Show this help and end.", "Options")
SEND = Command(
    "send",
    ("Send files.", "More of it."),
    (Argument("PATH...", "What to send."),),
    (
        Option(("--exclude",), (), "PATTERN", "Leave out. Repeatable.", "Files", is_repeatable=True),
        Option(("--compress",), (), "auto|never", "Compress? (default: auto)", "Files"),
        Option(("-o", "--output"), (), "DIR", "Where files go; or - for standard output.", "Files"),
        Option(("--to",), (), "CODE", "The code.", "Codes"),
        Option(("--answer",), (), "SRC", "Where from.", "Codes"),
        Option(("--qr",), ("--no-qr",), "", "Draw it.", "Codes"),
        Option(("--interface",), (), "NAME", "Which.", "Network"),
        Option(("--wait",), (), "DURATION", "How long.", "Other things"),
        HELP,
    ),
)
RECEIVE = Command("receive", ("Receive files.",), (Argument("[CODE]", "The code."),), (HELP,))
PARTS = Command("parts", ("List.",), (Argument("[DIR]", "Where."),), (HELP,))
COMPLETION = Command("completion", ("Print.",), (Argument("SHELL", "Which."),), (HELP,))
BARE = Command("help", ("Help.",), (Argument("[COMMAND]", "Which."),), (HELP,))
DOCTOR = Command("doctor", ("Look.",), (), (HELP,))
ITSELF = Command("", ("Copy files.",), (), (Option(("--version",), (), "", "Show the version.", "Options"), HELP))
PROGRAM = Program(ITSELF, (SEND, RECEIVE, PARTS, COMPLETION, BARE, DOCTOR))


def test_what_is_read_from_the_parsers_objects() -> None:
    def parameter(kind: str, **given: object) -> SimpleNamespace:
        usual = {
            "opts": [],
            "secondary_opts": [],
            "is_flag": False,
            "multiple": False,
            "rich_help_panel": None,
            "help": None,
        }
        return SimpleNamespace(param_type_name=kind, **(usual | given))

    params = [
        parameter("argument", metavar="[CODE]"),
        parameter("option", opts=["--quiet", "-q"], is_flag=True, metavar="BOOLEAN", help="Say nothing."),
        parameter("option", opts=["--stun"], metavar="URL", multiple=True, rich_help_panel="Network"),
    ]
    given = SimpleNamespace(help="One\nsentence.\n\nMore.", params=params, hidden=False)
    made = command(given, "receive")
    assert made.paragraphs == ("One sentence.", "More.")
    assert made.arguments == (Argument("[CODE]", ""),)
    assert made.options[0] == Option(("-q", "--quiet"), (), "", "Say nothing.", "Options")
    assert made.options[1] == Option(("--stun",), (), "URL", "", "Network", is_repeatable=True)
    group = SimpleNamespace(help=None, params=[], commands={"receive": given, "secret": SimpleNamespace(hidden=True)})
    assert [each.name for each in program(group).all] == ["", "receive"]


def test_words_about_commands() -> None:
    assert [each.label for each in SEND.options[2:6]] == [
        "-o, --output DIR",
        "    --to CODE",
        "    --answer SRC",
        "    --[no-]qr",
    ]
    assert (SEND.usage, ITSELF.usage) == ("p2pcopy send [OPTIONS] PATH...", "p2pcopy [OPTIONS] COMMAND ...")
    assert list(SEND.groups) == ["Files", "Codes", "Network", "Other things", "Options"]
    assert [(each.name, each.is_required, each.is_many) for each in SEND.arguments] == [("PATH", True, True)]
    assert not RECEIVE.arguments[0].is_required
    assert PROGRAM.command("nothing") is None
    assert SEND.option("--no-qr") == SEND.options[5]


def test_help_for_a_terminal() -> None:
    shown = help_text(SEND, PROGRAM, width=60)
    assert shown.startswith("Usage: p2pcopy send [OPTIONS] PATH...\n\nSend files.\n\nMore of it.\n\nArguments:\n")
    assert (
        "  -o, --output DIR          Where files go; or - for\n                            standard output.\n" in shown
    )
    assert "      --compress auto|never\n                            Compress? (default: auto)\n" in shown
    assert f"Examples:\n  {EXAMPLES['send'][0].what}\n    {EXAMPLES['send'][0].line}\n" in shown
    assert max(map(len, help_text(ITSELF, PROGRAM, width=5).splitlines())) <= 44
    assert "\x1b[1mUsage:\x1b[0m p2pcopy [OPTIONS] COMMAND" in help_text(ITSELF, PROGRAM, width=500, bold=True)
    assert "Examples:" not in help_text(Command("other", ("Odd.",), (), (HELP,)), PROGRAM)


def test_complaints() -> None:
    error = SimpleNamespace(message="Got something odd.")
    assert mistakes.refused(error, SEND).message == "got something odd"
    error = SimpleNamespace(option_name="--xyzzy", message="")
    assert mistakes.refused(error, SEND).hint == "p2pcopy send --help says more."
    error = SimpleNamespace(option_name="--qr", message="")
    assert mistakes.refused(error, SEND).message == "--qr takes no value"
    error = SimpleNamespace(option_name="--wait", message="")
    assert mistakes.refused(error, SEND).hint == "Write --wait DURATION: How long."
    assert mistakes.missing("[THIS]...", Command("other", ("Odd.",), (), ())).hint == (
        "Write p2pcopy other [OPTIONS]. p2pcopy other --help says more."
    )


def completed(*words: str) -> Reply:
    return complete(PROGRAM, words, lambda: ["eth0", "eth1", "lo"])


def values(*words: str) -> list[str]:
    reply = completed(*words)
    assert reply.kind is Kind.VALUES
    return [value for value, _ in reply.values]


def test_commands_are_completed() -> None:
    assert values() == values("") == [each.name for each in PROGRAM.commands]
    assert values("re") == ["receive"]
    assert values("--v") == ["--version"]
    assert values("--version", "p") == ["parts"]
    assert values("help", "s") == ["send"]
    assert values("completion", "") == ["bash", "zsh", "fish"]
    assert completed("nothing", "").values == completed("doctor", "x").values == ()
    assert completed("receive", "CODE", "x") == Reply()
    assert str(completed("re")) == "values\t\nreceive\tReceive files.\n"


def test_options_are_completed() -> None:
    assert values("send", "--qr", "--no") == [], "what was said is not said again"
    assert values("send", "--n") == ["--no-qr"]
    assert "--exclude" in values("send", "--exclude", "x", "-")
    assert completed("send", "--ex").values == (("--exclude", "Leave out"),)
    assert completed("send", "--compress=au").kept == "--compress="
    assert values("send", "--compress=au") == values("send", "--compress", "au") == ["auto"]
    assert values("send", "--interface", "e") == values("send", "--interface=e") == ["eth0", "eth1"]
    assert completed("send", "--bogus=x") == completed("send", "--qr=x") == completed("send", "--wait", "1") == Reply()


def test_files_are_completed() -> None:
    for words in (["x"], ["a", "b", "x"], ["--", "-x"], ["-", "x"], ["--compress", "auto", "x"], ["--bogus", "x"]):
        assert completed("send", *words) == Reply(Kind.FILES), words
    assert completed("receive", "") == completed("send", "--to", "x") == Reply(Kind.FILES)
    assert completed("receive", "@x") == completed("send", "--answer", "@x") == Reply(Kind.FILES, "@")
    assert completed("send", "--to=@x") == Reply(Kind.FILES, "--to=@")
    assert completed("send", "-o", "x") == completed("parts", "") == Reply(Kind.DIRECTORIES)
    assert completed("send", "--output=x") == Reply(Kind.DIRECTORIES, "--output=")
    assert completed("send", "--answer", "x") == Reply()


def test_it_is_known_what_every_value_is() -> None:
    import typer

    from p2pcopy import cli

    whole = program(typer.main.get_command(cli.app))
    known = FILES | DIRECTORIES | AT_FILES | NOTHING
    assert {
        option.metavar for each in whole.all for option in each.options if option.metavar and "|" not in option.metavar
    } <= known
    assert {argument.name for each in whole.all for argument in each.arguments} <= known | {"SHELL", "COMMAND"}
    assert set(EXAMPLES) == {each.name for each in whole.all}


@pytest.mark.parametrize("exists", [True, False])
def test_settings_as_a_table(exists: bool) -> None:
    settings = (
        events.SettingLine("stun", ("stun:a", "stun:b"), "file", "", ("--stun", "--no-stun"), None, ""),
        events.SettingLine("turn", (), "variable", "", ("--turn",), None, ""),
        events.SettingLine("gso", False, "default", "", (), True, ""),
        events.SettingLine("confirm", True, "default", "", ("--confirm",), True, ""),
        events.SettingLine("existing", None, "default", "", ("--existing",), None, "ask on a terminal, else refuse"),
        events.SettingLine("output", "a\x1b", "default", "", ("--output", "-o"), ".", ""),
        events.SettingLine("name", "", "file", "", (), None, ""),
    )
    shown = settingslist.as_text(events.Configuration("/x\x1b", exists, settings), 60)
    assert shown.splitlines()[2:12] == [
        "SETTING   FROM      FLAG        VALUE",
        "stun      file      --stun      stun:a",
        "                                stun:b",
        "turn      variable  --turn      (none)",
        "gso       default               no",
        "confirm   default   --confirm   yes",
        "existing  default   --existing  (ask on a terminal, else",
        "                                refuse)",
        "output    default   --output    a\\x1b",
        "name      file                  ",
    ]
    assert ("--write" in shown) is not exists
    assert shown.startswith("Config file: /x\\x1b\n" if exists else "Config file, which is not there: /x\\x1b\n")
