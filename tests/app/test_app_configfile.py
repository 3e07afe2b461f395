"""The config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pcopy import configfile
from p2pcopy.errors import LocalFileError, UsageError
from p2pcopy.keys import SETTINGS


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("P2PCOPY_CONFIG", str(path))
    return path


def test_every_key(file: Path) -> None:
    file.write_text(
        """
        stun = ["stun:a", "stun:b"]
        turn = "turn:a turn:b"
        turn_user = "user"
        turn_password_file = "~/secret"
        turn_secret_file = "~/shared"
        turn_insecure = true
        relay = "never"
        share_relay = false
        interface = ["eth0", "Ethernet 2"]
        family = "ipv6"
        two_way = true
        confirm = true
        wait = "15m"
        stall_limit = "1h"
        fast_path = false
        gso = true
        gro = false
        compress = "always"
        existing = "skip"
        checksum = true
        verify_resume = "all"
        output = "~/Downloads"
        """
    )
    table = configfile.load()
    assert set(table) == set(SETTINGS)
    assert table["stun"] == ["stun:a", "stun:b"]


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("relais = 'only'", "'relais' in", "Did you mean 'relay'?"),
        ("x = 1", "is not a setting", "There are compress, verify_resume,"),
        ("[wait]\nx = 1", "'wait' in", "quotes"),
        ("wait = 60", "has to be text", "quotes"),
        ("stun = [1]", "has to be text", "quotes"),
        ("interface = 1", "has to be text", "quotes"),
        ("confirm = 'yes'", "'confirm' in", "= true or "),
        ("gso = 'off'", "has to be true or false", "= true or "),
        ("share_relay = 1", "has to be true or false", "= true or "),
        ("wait = true", "has to be text", "quotes"),
        ("family = 'ipv5'", "cannot be used: 'ipv5'", "any, ipv4, ipv6"),
        ("relay = 'maybe'", "cannot be used: 'maybe'", "auto, only, never"),
        ("wait = 'soon'", "'wait' in", "90s"),
        ("existing = 'merge'", "'merge' is no choice", "rename"),
        ("wait 60", "cannot be used", "Mend it"),
        ("wait = '1h'\nwait = '2h'", "cannot be used", "Mend it"),
    ],
)
def test_what_it_may_not_hold(file: Path, content: str, message: str, hint: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        configfile.load()
    assert message in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint


def test_what_is_set_to_nothing_is_not_set(file: Path) -> None:
    file.write_text("wait = ''\nrelay = ''\nstun = []\noutput = ' '")
    assert configfile.load() == {"stun": [], "output": " "}


def test_a_mark_of_the_encoding_is_passed_over(file: Path) -> None:
    file.write_text("wait = '2h'\r\n", encoding="utf-8-sig")
    assert configfile.load() == {"wait": "2h"}


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be used"):
        configfile.load()


def test_a_file_that_is_nested_too_deeply(file: Path) -> None:
    file.write_text("wait = " + "[" * 100_000)
    with pytest.raises(UsageError, match="cannot be used"):
        configfile.load()


def test_a_directory_instead_of_a_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageError, match="cannot be used"):
        configfile.load()


def test_a_named_file_has_to_be_there(file: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        configfile.load()


def test_no_file_at_the_usual_place_means_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PCOPY_CONFIG", "")
    monkeypatch.setattr(configfile, "_default", lambda: tmp_path / "p2pcopy" / "config.toml")
    assert configfile.load() == {}


@pytest.mark.skipif("sys.platform != 'linux'", reason="only on Linux does XDG_CONFIG_HOME count")
def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("P2PCOPY_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "p2pcopy").mkdir()
    (tmp_path / "p2pcopy" / "config.toml").write_text('wait = "5m"')
    assert configfile.load() == {"wait": "5m"}


def test_the_template_sets_nothing_and_has_everything(file: Path) -> None:
    file.write_text(configfile.template())
    assert configfile.load() == {}
    lines = configfile.template().splitlines()
    file.write_text(
        "\n".join(line.removeprefix("#") for line in lines if line[:1] == "#" and line[:2] not in ("# ", "##"))
    )
    table = configfile.load()
    assert list(table) == list(SETTINGS)
    for key, setting in SETTINGS.items():
        written = tuple(table[key]) if isinstance(table[key], list) else table[key]
        assert written == (setting.example if setting.default is None else setting.default)
        assert f"# {setting.help}" in lines


def test_it_is_written_once_unless_it_is_to_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "config.toml"
    monkeypatch.setenv("P2PCOPY_CONFIG", str(path))
    assert configfile.write("one", replace=False) == path
    with pytest.raises(UsageError, match="there is a config file already") as caught:
        configfile.write("two", replace=False)
    assert "--force" in caught.value.hint
    assert path.read_text() == "one"
    configfile.write("three", replace=True)
    assert path.read_text() == "three"
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"]


def test_a_link_to_it_stays_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, link = tmp_path / "kept" / "p2pcopy.toml", tmp_path / "config.toml"
    kept.parent.mkdir()
    kept.write_text("one")
    link.symlink_to(kept)
    monkeypatch.setenv("P2PCOPY_CONFIG", str(link))
    assert configfile.write("two", replace=True) == link
    assert link.is_symlink()
    assert kept.read_text() == "two"
    assert len(list(kept.parent.iterdir())) == 1


def test_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "config.toml", Path("\0")):
        monkeypatch.setattr(configfile, "path", lambda path=path: path)
        with pytest.raises(LocalFileError, match="cannot be written"):
            configfile.write("", replace=False)
