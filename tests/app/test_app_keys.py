"""The table of settings, and which of several values counts."""

from __future__ import annotations

from dataclasses import fields

import pytest

from p2pcopy import keys
from p2pcopy.config import Existing, NetSettings, ReceiveSettings, SendSettings
from p2pcopy.errors import UsageError
from p2pcopy.keys import SETTINGS, Kind, Origin, find


def test_flag_before_variable_before_file_before_default() -> None:
    environment, table = {"P2PCOPY_WAIT": "2m", "P2PCOPY_OUTPUT": ""}, {"wait": "3m", "output": "here"}
    found = find("wait", "1m", environment, table)
    assert (found.value, found.origin, found.where, found.given) == (60, Origin.FLAG, "--wait", "1m")
    found = find("wait", None, environment, table)
    assert (found.value, found.origin, found.where) == (120, Origin.VARIABLE, "P2PCOPY_WAIT")
    found = find("wait", "", {}, table)
    assert (found.value, found.origin, found.where) == (180, Origin.FILE, "'wait' in the config file")
    assert find("wait", None, {}, {}) == keys.Found(3600.0, Origin.DEFAULT, "", "1h")
    assert find("output", None, environment, table).value == "here", "what is empty was not given"
    assert find("turn", [], {}, {}) == keys.Found(None, Origin.DEFAULT)


def test_a_switch_that_is_off_was_given() -> None:
    assert find("fast_path", False, {"P2PCOPY_FAST_PATH": "on"}, {}).value is False
    assert find("fast_path", None, {"P2PCOPY_FAST_PATH": "off"}, {"fast_path": True}).value is False
    assert find("fast_path", None, {}, {"fast_path": False}).value is False


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("stun", "stun:a, stun:b stun:c", ("stun:a", "stun:b", "stun:c")),
        ("stun", ["stun:a"], ("stun:a",)),
        ("interface", "eth0,Ethernet 2,", ("eth0", "Ethernet 2")),
        ("interface", ["a, b"], ("a, b",)),
        ("confirm", True, True),
        ("confirm", "no", False),
        ("relay", "only", "only"),
        ("stall_limit", "90s", 90.0),
        ("turn_user", "me", "me"),
    ],
)
def test_values_of_each_kind(key: str, raw: object, value: object) -> None:
    assert keys.parse(SETTINGS[key], raw) == value


@pytest.mark.parametrize(
    ("key", "flag", "variable", "message"),
    [
        ("wait", "soon", "", "--wait cannot be used: 'soon' is not a duration"),
        ("relay", None, "maybe", "P2PCOPY_RELAY cannot be used: 'maybe' is no choice"),
        ("confirm", None, "maybe", "P2PCOPY_CONFIRM cannot be used: 'maybe' is neither on nor off"),
        ("family", "ipv5", "", "--ipv4 cannot be used"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_with_its_place(
    key: str, flag: str | None, variable: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        find(key, flag, {f"P2PCOPY_{key.upper()}": variable}, {})
    assert caught.value.hint


def test_the_defaults_are_those_of_the_settings() -> None:
    """Where a run is made without the command line, in tests for example, the same holds."""
    defaults = {
        field.name: field.default for kind in (NetSettings, ReceiveSettings, SendSettings) for field in fields(kind)
    }
    named = {"wait": "wait_s", "stall_limit": "stall_limit_s", "interface": "interfaces"}
    for key in SETTINGS:
        value, default = find(key, None, {}, {}).value, defaults.get(named.get(key, key))
        if key == "stun":
            assert value == tuple(each.url for each in NetSettings().stun)
        elif not key.startswith("turn_") or key == "turn_insecure":
            assert (value or None) == (default or None), key


def test_every_entry_of_the_table_is_whole() -> None:
    for key, setting in SETTINGS.items():
        assert setting.key == key
        assert setting.help.endswith((".", "?"))
        assert (setting.default is None) == (setting.example != "")
        assert setting.default_said
        assert (setting.kind is Kind.CHOICE) == bool(setting.choices)
        if setting.default is not None:
            assert keys.parse(setting, setting.default) is not None
    assert SETTINGS["existing"].choices == tuple(Existing)
    assert SETTINGS["output"].all_flags == ("--output", "-o")
    assert SETTINGS["stun"].all_flags == ("--stun", "--no-stun")


def test_default_values_for_people() -> None:
    said = {key: setting.default_said for key, setting in SETTINGS.items()}
    assert (said["stun"], said["fast_path"], said["confirm"], said["wait"]) == ("two public servers", "yes", "no", "1h")
    assert said["turn"] == "none"


def test_variables_that_are_none_of_ours() -> None:
    environment = {"P2PCOPY_EXSTING": "1", "P2PCOPY_QQQQ": "1", "P2PCOPY_WIAT": "", "P2PCOPY_WAIT": "1", "PATH": "/bin"}
    assert list(keys.strangers(environment)) == [
        "P2PCOPY_EXSTING is no variable of p2pcopy, and is ignored: did you mean P2PCOPY_EXISTING?",
        "P2PCOPY_QQQQ is no variable of p2pcopy, and is ignored",
    ]
