"""p2pcopy parts: what is listed, what is removed, and what is left alone."""

from __future__ import annotations

import fcntl
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import json_schema
import pytest
from blake3 import blake3
from typer.testing import CliRunner, Result

from p2pcopy import cli
from p2pcopy.config import MIB
from p2pcopy.files.directory import DirectoryStore
from p2pcopy.files.dirs import Directory
from p2pcopy.files.plain import part_name
from p2pcopy.transfer.wire import Entry, Kind

SIZE = 5 * MIB
BLOCK = bytes(MIB - 1) + b"x"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two blocks of d/big, and what a killed process leaves of a small file."""
    with closing(DirectoryStore(str(tmp_path))) as store:
        store.open()
        store.begin(MIB)
        entry = Entry(Kind.FILE, "d/big", SIZE, 0o644, 1_700_000_000 * 10**9)
        assert store.admit(0, entry) is None
        for number in (0, 3):
            store.write(0, entry, number * MIB, BLOCK, digest=blake3(BLOCK).digest())
    (tmp_path / ".small.p2pcopy-part").write_bytes(b"half")
    return tmp_path


def parts(*arguments: str | Path, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(cli.app, ["parts", *map(str, arguments)])
    assert result.exit_code == exit_code, result.output
    return result


def told(*arguments: str | Path, exit_code: int = 0) -> list[dict[str, Any]]:
    return json_schema.lines(parts(*arguments, "--json", exit_code=exit_code).stdout)


def names(place: Path) -> set[str]:
    return {path.name for path in place.rglob(".*")}


def test_what_is_there_is_listed(place: Path) -> None:
    before = names(place)
    *found, total = told(place)
    big, small = sorted(found, key=lambda event: str(event["path"]), reverse=True)
    assert (big["path"], big["bytes_there"], big["bytes_total"]) == ("d/.big.p2pcopy-part", 2 * MIB, SIZE)
    assert (small["path"], small["bytes_there"], small["bytes_total"]) == (".small.p2pcopy-part", 0, None)
    assert (big["in_use"], big["removed"]) == (False, False)
    assert 0 <= big["age_s"] < 3600
    assert total["event"] == "unfinished_total"
    assert (total["files"], total["files_removed"], total["directory"]) == (2, 0, str(place))
    assert total["bytes_on_disk"] == big["bytes_on_disk"] + small["bytes_on_disk"]
    assert names(place) == before


def test_people_read_how_to_go_on_and_how_to_remove(place: Path) -> None:
    lines = parts(place).stdout.splitlines()
    assert len(lines) == 5
    assert re.match(r"small  to be sent again from its beginning, \d\.\d KiB on the disk, changed .* ago$", lines[0])
    assert re.match(r"d/big  2\.0 of 5\.0 MiB there, changed .* ago$", lines[1])
    assert re.match(r"2 unfinished files, \d\.\d MiB on the disk\.$", lines[2])
    assert lines[-2] == "To go on with them, run the same two commands again, with fresh codes."
    assert lines[-1] == f"To remove them: p2pcopy parts {place} --remove"


def test_they_are_removed_when_that_is_wanted(place: Path) -> None:
    (place / "d" / "whole").write_bytes(b"stays")
    output = parts(place, "--remove").stdout
    assert output.count(", removed\n") == 2
    assert "Removed 2 unfinished files" in output
    assert names(place) == set()
    assert (place / "d" / "whole").read_bytes() == b"stays"
    assert parts(place).stdout == "No unfinished files.\n"


def test_what_is_in_use_stays(place: Path) -> None:
    with (place / "d" / ".big.p2pcopy-part").open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        assert ", in use\n" in parts(place).stdout
        assert "In use: 1; " in parts(place).stdout
        *_, total = told(place, "--remove")
        assert (total["files"], total["files_removed"], total["files_in_use"]) == (1, 1, 1)
        output = parts(place, "--remove").stdout
        assert "Not removed: 1 unfinished file, " in output
        assert "In use: 1; " in output
        assert "p2pcopy parts" not in output
    assert names(place) == {".big.p2pcopy-part", ".big.p2pcopy-journal"}


def test_what_is_younger_stays(place: Path) -> None:
    assert told(place, "--remove", "--older", "1h") == [
        {
            "event": "unfinished_total",
            "v": 1,
            "files": 0,
            "files_removed": 0,
            "bytes_on_disk": 0,
            "bytes_removed": 0,
            "directory": str(place),
            "files_in_use": 0,
            "files_younger": 2,
        }
    ]
    assert parts(place, "--older", "1h").stdout == "Younger than that, and left alone: 2 unfinished files.\n"
    assert len(names(place)) == 3


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    [failed] = told(tmp_path / "missing", exit_code=3)
    assert (failed["event"], failed["error"]) == ("error", "local")
    assert "No such file" in failed["message"]


def test_what_cannot_be_removed_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_root: str, _found: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("p2pcopy.files.leftovers.remove", refuse)
    result = parts(place, "--remove", exit_code=3)
    assert result.stderr.count("it could not be removed: Permission denied") == 2
    assert "Not removed: 2 unfinished files" in result.stdout
    assert "To remove" not in result.stdout


def test_what_cannot_be_read_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Directory.child

    def child(self: Directory, name: str) -> Directory:
        if name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(self, name)

    monkeypatch.setattr(Directory, "child", child)
    (place / "shut").mkdir()
    result = parts(place, exit_code=3)
    assert result.stderr == "note: shut: it could not be searched: Permission denied\n"
    assert "2 unfinished files" in result.stdout


def test_names_from_elsewhere_are_escaped(place: Path) -> None:
    (place / ".a\x1b[2J\r\n.p2pcopy-part").touch()
    assert parts(place).stdout.startswith("a\\x1b[2J\\r\\n  to be sent again ")


def test_a_name_that_is_too_long_is_told_by_its_part_file(place: Path) -> None:
    (place / part_name("x" * 255)).touch()
    assert f"\n{part_name('x' * 255)}  of a file with a longer name, " in f"\n{parts(place).stdout}"
