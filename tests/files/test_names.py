"""The gate for names from the peer, and how names are shown."""

from __future__ import annotations

import ast
import contextlib
import itertools
import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pcopy.config import TransferLimits
from p2pcopy.errors import ExitCode, ProtocolError
from p2pcopy.files.names import (
    BadName,
    NameGate,
    NameTaken,
    check_entry,
    check_path,
    check_target,
    display,
    fold,
    is_reserved,
)
from p2pcopy.transfer.wire import Entry, Kind

KEY = bytes(range(32))
LIMITS = TransferLimits()

# Names that are likely to be read differently by somebody, and pieces to make more of.
PIECES = [
    ".",
    "..",
    "/",
    "\\",
    ":",
    "C:",
    "//",
    "a",
    "B",
    "é",
    "e\u0301",
    "\udcc3",
    "\udca9",
    "\0",
    "\n",
    " ",
    "NUL",
    "com1",
    ".txt",
]
PIECES += ["~", "-", "\u202e", "\ud800", "\U0001f600", "$", "?", "*", "\x1b", "b" * 200, ".p2pcopy-part"]
names = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
paths = names | st.lists(names, max_size=6).map("/".join)
numbers = st.integers() | st.sampled_from([0, 0o777, 0o1777, -1, 2**53, 2**63])
entries = st.builds(Entry, st.sampled_from(Kind), paths, st.none() | numbers, numbers, numbers, paths | st.just(""))


def reason(path: str, *, windows: bool = False, limits: TransferLimits = LIMITS) -> str:
    with pytest.raises(BadName) as caught:
        check_path(path, windows=windows, limits=limits)
    return caught.value.reason


def target_reason(path: str, target: str, *, windows: bool = False) -> str:
    with pytest.raises(BadName) as caught:
        check_target(path, target, windows=windows)
    return caught.value.reason


class TestDisplay:
    @pytest.mark.parametrize(
        "text",
        ["", "plain.txt", "Änderung (2).odt", "日本\u3000語", "a b", "quote'\"", "\U0001f600", "Screenshot 1\u202fPM"],
    )
    def test_leaves_ordinary_text_alone(self, text: str) -> None:
        assert display(text) == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\nb\r\t", r"a\nb\r\t"),
            ("\x1b[2J\x07\x7f", r"\x1b[2J\x07\x7f"),
            ("back\\slash", r"back\\slash"),
            ("caf\udce9", r"caf\xe9"),
            ("\x9b31m\xad", r"\u009b31m\u00ad"),
            ("invoice\u202efdp.exe", r"invoice\u202efdp.exe"),
            ("\u200f\u2066\u200b\ufeff", r"\u200f\u2066\u200b\ufeff"),
            ("\u2028\u2029", r"\u2028\u2029"),
            ("\ue000\ud800\uffff", r"\ue000\ud800\uffff"),
            ("\U000e0041\U0010ffff", r"\U000e0041\U0010ffff"),
        ],
    )
    def test_escapes_what_could_deceive(self, text: str, shown: str) -> None:
        assert display(text) == shown

    @given(names)
    def test_shows_nothing_that_acts_and_stays_unambiguous(self, text: str) -> None:
        shown = display(text)
        assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in shown)
        # A byte escape is the only \xNN from 80 on, so both kinds can be told apart again.
        as_python = re.sub(r"(\\\\)|\\x([89a-f][0-9a-f])", lambda m: m[1] or f"\\udc{m[2]}", shown)
        assert ast.literal_eval('"' + as_python.replace('"', '\\"') + '"') == text


class TestPath:
    @pytest.mark.parametrize(
        "path",
        [
            "a",
            "a/b/c",
            "with space/quote'\"",
            "line\nbreak",
            "\x1b[31m",
            "...",
            "a..b/..c",
            "~",
            "-rf",
            "a\\b",
            "C:x",
            "NUL",
            "end.",
            "é",
            "caf\udce9",
            "x" * 255,
        ],
    )
    def test_lets_posix_names_through(self, path: str) -> None:
        check_path(path)

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("", "is empty"),
            ("/etc/passwd", "is absolute"),
            ("//host/share", "is absolute"),
            ("..", 'holds ".."'),
            ("../x", 'holds ".."'),
            ("a/../../x", 'holds ".."'),
            ("a/..", 'holds ".."'),
            (".", 'holds "."'),
            ("./a", 'holds "."'),
            ("a/./b", 'holds "."'),
            ("a//b", "has an empty part"),
            ("a/", "has an empty part"),
            ("a\0b", "holds a NUL character"),
            ("\ud800", "holds half a character"),
            ("a\udc41", "holds half a character"),
            ("\udcc3\udca9", "hides valid UTF-8 in escapes"),
            ("x" * 256, "has a part that is longer than 255 bytes"),
            ("é" * 128, "has a part that is longer than 255 bytes"),
            ("/".join(["d"] * 129), "is more than 128 directories deep"),
            ("/".join(["d" * 200] * 21), "is longer than 4096 bytes"),
            ("/".join(["é" * 100] * 21), "is longer than 4096 bytes"),
            (".a.p2pcopy-part", "is reserved for unfinished transfers"),
            ("d/.A.P2PCopy-Journal", "is reserved for unfinished transfers"),
            (".a.p2pcopy-part/b", "is reserved for unfinished transfers"),
        ],
    )
    def test_refuses(self, path: str, expected: str) -> None:
        assert reason(path) == expected
        assert reason(path, windows=True) == expected

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("a\\b", "holds a character that has a meaning on Windows"),
            ("..\\..\\x", "holds a character that has a meaning on Windows"),
            ("C:", "holds a character that has a meaning on Windows"),
            ("C:/x", "holds a character that has a meaning on Windows"),
            ("\\\\host\\share", "holds a character that has a meaning on Windows"),
            ("file.txt:stream", "holds a character that has a meaning on Windows"),
            ("file::$DATA", "holds a character that has a meaning on Windows"),
            ('a"b', "holds a character that has a meaning on Windows"),
            ("a?", "holds a character that has a meaning on Windows"),
            ("*", "holds a character that has a meaning on Windows"),
            ("a<b>|c", "holds a character that has a meaning on Windows"),
            ("line\nbreak", "holds a control character"),
            ("a\x85", "holds a control character"),
            ("caf\udce9", "holds bytes that are not UTF-8"),
            ("a.", "ends with a dot or a space, which Windows takes away"),
            ("...", "ends with a dot or a space, which Windows takes away"),
            ("d /a", "ends with a dot or a space, which Windows takes away"),
            ("NUL", "is a device on Windows"),
            ("d/con", "is a device on Windows"),
            ("aux.tar.gz", "is a device on Windows"),
            ("Com1.txt", "is a device on Windows"),
            ("LPT\u00b9", "is a device on Windows"),
            ("prn .txt", "is a device on Windows"),
            ("CONOUT$", "is a device on Windows"),
        ],
    )
    def test_refuses_on_windows_only(self, path: str, expected: str) -> None:
        check_path(path)
        assert reason(path, windows=True) == expected

    @pytest.mark.parametrize("path", ["console", "nul1", "com", "com10", "auxiliary.txt", ".con", "a.nul", "é b"])
    def test_knows_what_is_no_device(self, path: str) -> None:
        check_path(path, windows=True)

    def test_limits_are_those_given(self) -> None:
        tight = TransferLimits(max_path_bytes=10, max_name_bytes=4, max_depth=2)
        check_path("abcd/efgh", limits=tight)
        assert reason("abcde", limits=tight) == "has a part that is longer than 4 bytes"
        assert reason("a/b/c", limits=tight) == "is more than 2 directories deep"
        assert reason("abcd/efghij", limits=tight) == "is longer than 10 bytes"

    @given(paths, st.booleans())
    @example("a/..", False)
    @example("C:..", True)
    def test_what_is_accepted_stays_below_the_directory(self, path: str, windows: bool) -> None:
        try:
            check_path(path, windows=windows)
        except BadName:
            return
        parts = path.split("/")
        assert all(part not in ("", ".", "..") and "\0" not in part for part in parts)
        assert posixpath.normpath(posixpath.join("/dest", path)) == "/dest/" + path
        assert os.fsencode(path).decode("utf-8", "surrogateescape") == path
        if windows:
            joined = ntpath.normpath(ntpath.join("D:\\dest", path))
            assert joined == "D:\\dest\\" + path.replace("/", "\\")
            assert ntpath.splitdrive(path)[0] == ""
            assert not any(ntpath.basename(part) != part for part in parts)

    def test_the_error_tells_both_sides_something_harmless(self) -> None:
        with pytest.raises(ProtocolError) as caught:
            check_path("a\x1b[2J/../" + "b" * 3000)
        error = caught.value
        assert isinstance(error, BadName)
        assert error.name == "bad-name"
        assert error.exit_code is ExitCode.PEER
        assert "\\x1b[2J" in error.message
        assert "\x1b" not in error.message
        assert len(error.message) < 500
        assert error.hint


class TestTarget:
    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("top/l", "file"),
            ("top/l", "."),
            ("top/l", "./a//b/"),
            ("top/l", "not\nthere"),
            ("top/l", "caf\udce9"),
            ("top/d/l", ".."),
            ("top/d/l", "../other/file"),
            ("top/d/e/l", "../../x"),
            ("top/d/e/l", "./.././../x/..."),
        ],
    )
    def test_lets_links_inside_through(self, path: str, target: str) -> None:
        check_target(path, target)

    @pytest.mark.parametrize(
        ("path", "target", "expected"),
        [
            ("top/l", "", "is a link to nothing"),
            ("top/l", "/etc/passwd", "is a link with an absolute target"),
            ("top/l", "a\0b", "is a link whose target holds a NUL character"),
            ("top/l", "x" * 4097, "is a link whose target is longer than 4096 bytes"),
            ("top/l", "\udcc3\udca9", "is a link whose target hides valid UTF-8 in escapes"),
            ("top/l", "\ud800", "holds half a character"),
            ("l", "sibling", "is a link outside of any sent directory"),
            ("l", ".", "is a link outside of any sent directory"),
            ("top/l", "..", "is a link that leads out of the sent directory"),
            ("top/l", "../top/x", "is a link that leads out of the sent directory"),
            ("top/d/l", "../../x", "is a link that leads out of the sent directory"),
            ("top/d/l", "./.././../..", "is a link that leads out of the sent directory"),
            ("top/l", "d/..", 'is a link whose target has ".." behind a name'),
            ("top/d/l", "../x/../y", 'is a link whose target has ".." behind a name'),
        ],
    )
    def test_refuses(self, path: str, target: str, expected: str) -> None:
        assert target_reason(path, target) == expected

    @pytest.mark.parametrize("target", ["C:", "C:x", "a\\..\\..\\b", "\\\\host\\share", "d/NUL", "file:stream"])
    def test_refuses_on_windows_only(self, target: str) -> None:
        check_target("top/l", target)
        assert target_reason("top/l", target, windows=True).startswith("is a link whose target ")
        check_target("top/d/l", "../fine", windows=True)

    def test_no_two_links_leave_the_top_entry_together(self) -> None:
        """Every pair of accepted targets of up to four parts, resolved step by step like a kernel does."""
        deep, shallow = accepted_targets("top/a/b/x", "..", "a", "y"), accepted_targets("top/y", "..", "a", "b", "x")
        assert ["..", ".."] in deep
        assert ["a", "b", "x"] in shallow
        for deep_target in deep:
            for shallow_target in shallow:
                links = {("top", "a", "b", "x"): deep_target, ("top", "y"): shallow_target}
                assert all(stays_inside(links, link) for link in links), links


def accepted_targets(path: str, *pieces: str) -> list[list[str]]:
    accepted = []
    for length in range(1, 5):
        for parts in itertools.product(pieces, repeat=length):
            with contextlib.suppress(BadName):
                check_target(path, "/".join(parts))
                accepted.append(list(parts))
    return accepted


def stays_inside(links: Mapping[tuple[str, ...], list[str]], start: tuple[str, ...]) -> bool:
    """Whether following start never stands above "top". A circle of links stays inside; a kernel gives up at 40."""
    here, rest = start[:-1], [start[-1]]
    for _ in range(40):
        if not rest:
            break
        part, *rest = rest
        here = here[:-1] if part == ".." else (*here, part)
        if here in links:
            here, rest = here[:-1], links[here] + rest
        if here[:1] != ("top",):
            return False
    return True


class TestEntry:
    FILE = Entry(Kind.FILE, "a", 5, 0o644, 1)

    @pytest.mark.parametrize(
        "entry",
        [
            FILE,
            replace(FILE, size=None),
            replace(FILE, size=0, mode=0, mtime_ns=-1),
            replace(FILE, size=2**53 - 1, mode=0o777, mtime_ns=2**63 - 1),
            Entry(Kind.DIRECTORY, "d", 0, 0o755),
            Entry(Kind.LINK, "d/l", 0, 0o777, 0, "x"),
        ],
    )
    def test_accepts(self, entry: Entry) -> None:
        check_entry(entry)

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            (replace(FILE, path="../a"), 'holds ".."'),
            (replace(FILE, size=-1), "has a size that is out of range"),
            (replace(FILE, size=2**53), "has a size that is out of range"),
            (replace(FILE, mode=0o4755), "has a mode that is more than permission bits"),
            (replace(FILE, mode=-1), "has a mode that is more than permission bits"),
            (replace(FILE, mtime_ns=2**63), "has a modification time that is out of range"),
            (replace(FILE, mtime_ns=-(2**63) - 1), "has a modification time that is out of range"),
            (replace(FILE, target="x"), "has a target, but is no link"),
            (Entry(Kind.DIRECTORY, "d", 1), "has a size, but is no file"),
            (Entry(Kind.DIRECTORY, "d", None), "has a size, but is no file"),
            (Entry(Kind.DIRECTORY, "d", 0, target="x"), "has a target, but is no link"),
            (Entry(Kind.LINK, "d/l", 3, target="x"), "has a size, but is no file"),
            (Entry(Kind.LINK, "d/l", 0, target="../x"), "is a link that leads out of the sent directory"),
        ],
    )
    def test_refuses(self, entry: Entry, expected: str) -> None:
        with pytest.raises(BadName) as caught:
            check_entry(entry)
        assert caught.value.reason == expected


def directory(path: str) -> Entry:
    return Entry(Kind.DIRECTORY, path, 0, 0o755)


def file(path: str) -> Entry:
    return Entry(Kind.FILE, path)


def refused(gate: NameGate, entry: Entry) -> BadName:
    before = len(gate)
    with pytest.raises(BadName) as caught:
        gate.admit(entry)
    assert len(gate) == before
    return caught.value


class TestGate:
    def test_admits_a_tree_in_order(self) -> None:
        gate = NameGate(KEY)
        tree = [
            directory("d"),
            directory("d/e"),
            file("d/e/f"),
            file("d/g"),
            Entry(Kind.LINK, "d/l", target="g"),
            file("top"),
        ]
        for entry in tree:
            gate.admit(entry)
        assert len(gate) == len(tree)

    @pytest.mark.parametrize("path", ["x/a", "f/a", "d/l/a", "d/e/a", "dd/a", "D/a"])
    def test_a_parent_must_be_a_directory_that_was_sent(self, path: str) -> None:
        gate = NameGate(KEY)
        for entry in [directory("d"), file("f"), Entry(Kind.LINK, "d/l", target="."), file("d/e")]:
            gate.admit(entry)
        assert refused(gate, file(path)).reason == "is not below a directory that was sent before it"

    @pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIRECTORY])
    @pytest.mark.parametrize("fold", [True, False])
    def test_a_path_comes_once(self, kind: Kind, fold: bool) -> None:
        gate = NameGate(KEY, fold=fold)
        gate.admit(directory("d"))
        gate.admit(file("d/a"))
        assert isinstance(refused(gate, Entry(kind, "d/a")), NameTaken)
        assert isinstance(refused(gate, Entry(kind, "d")), NameTaken)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("Readme", "README"),
            ("caf\u00e9", "cafe\u0301"),
            ("CAF\u00c9", "cafe\u0301"),
            ("\u212a", "k"),
            ("stra\u00dfe", "STRASSE"),
            ("\u1fb3", "\u0391\u0345"),
            ("\ufb03", "ffi"),
        ],
    )
    def test_names_that_a_file_system_may_take_for_one(self, first: str, second: str) -> None:
        gate = NameGate(KEY)
        gate.admit(file(first))
        assert "too similar" in refused(gate, file(second)).reason
        exact = NameGate(KEY, fold=False)
        exact.admit(file(first))
        exact.admit(file(second))

    def test_twins_of_directories_bring_nothing_in(self) -> None:
        gate = NameGate(KEY)
        gate.admit(directory("dir"))
        assert isinstance(refused(gate, directory("DIR")), NameTaken)
        assert refused(gate, file("DIR/a")).reason == "is not below a directory that was sent before it"

    def test_the_number_of_entries_is_bounded(self) -> None:
        gate = NameGate(KEY, limits=TransferLimits(max_entries=2))
        gate.admit(file("a"))
        gate.admit(file("b"))
        assert "one too many" in refused(gate, file("c")).reason

    def test_a_refused_entry_leaves_no_trace(self) -> None:
        gate = NameGate(KEY)
        refused(gate, replace(directory("d"), size=1))
        refused(gate, file("d/a"))
        gate.admit(directory("d"))
        gate.admit(file("d/a"))

    def test_windows_rules_are_passed_on(self) -> None:
        assert refused(NameGate(KEY, windows=True), file("nul")).reason == "is a device on Windows"
        gate = NameGate(KEY, windows=True)
        gate.admit(directory("d"))
        assert "Windows" in refused(gate, Entry(Kind.LINK, "d/l", target="C:\\x")).reason

    def test_the_same_bytes_have_one_spelling(self) -> None:
        gate = NameGate(KEY)
        gate.admit(file("caf\udce9"))
        assert isinstance(refused(gate, file("caf\udce9")), NameTaken)

    @given(st.lists(entries, max_size=12), st.booleans(), st.booleans())
    def test_any_entry_is_admitted_or_a_bad_name(self, drawn: list[Entry], windows: bool, exact: bool) -> None:
        gate = NameGate(KEY, windows=windows, fold=not exact)
        admitted: dict[str, Kind] = {}
        for entry in drawn:
            try:
                gate.admit(entry)
            except BadName:
                continue
            parent = entry.path.rpartition("/")[0]
            assert not parent or admitted[parent] is Kind.DIRECTORY
            assert entry.path not in admitted
            assert exact or all(fold(entry.path) != fold(path) for path in admitted)
            admitted[entry.path] = entry.kind
        assert len(gate) == len(admitted)

    def test_every_duplicate_among_many_is_found(self) -> None:
        gate = NameGate(KEY)
        gate.admit(directory("d"))
        for number in range(20_000):
            gate.admit(file(f"d/{number}"))
        for number in range(0, 20_000, 7):
            assert isinstance(refused(gate, file(f"d/{number}")), NameTaken)
        assert len(gate) == 20_001


@pytest.mark.parametrize("part", [".a.p2pcopy-part", "x.P2PCOPY-JOURNAL", ".p2pcopy-part"])
def test_reserved_names(part: str) -> None:
    assert is_reserved(part)
    assert not is_reserved(part + "s")
