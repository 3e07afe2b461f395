"""What keys do to a line that is typed or pasted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.ui.lineedit import MAX_LINE, LineEditor


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (b"abc", "abc"),
        (b"abx\x7fc", "abc"),
        (b"\x08\x7fa", "a"),
        (b"wrong\x15right", "right"),
        (b"one two \x17three", "onethree"),
        (b"one\x17", ""),
        (b"a\tb\x00\x07\x0bc", "a bc"),
        (b"a\x1b[Ab\x1bOPc\x1b[1;5Cd", "abcd"),
        (b"a\x1bxb", "ab"),
        (b"\x1b[200~pasted\x1b[201~", "pasted"),
        ("été".encode(), "été"),
        (b"caf\xe9 au lait", "caf\ufffd au lait"),
        (b"x\x04", "x"),
    ],
)
def test_keys(keys: bytes, line: str) -> None:
    editor = LineEditor()
    assert editor.feed(keys) == []
    assert editor.text == line
    assert editor.feed(b"\r") == [line]
    assert editor.text == ""


def test_lines_end_with_any_of_the_ends() -> None:
    editor = LineEditor()
    assert editor.feed(b"one\ntwo\r\nthree\r\rfour") == ["one", "two", "three", ""]
    assert editor.feed(b"\x04\n") == ["four"]


def test_the_end_of_input() -> None:
    editor = LineEditor()
    assert editor.feed(b"x\n\x04y") == ["x", None]
    assert editor.text == "y"


def test_what_is_cleared_is_gone() -> None:
    editor = LineEditor()
    editor.feed(b"half")
    editor.clear()
    assert editor.feed(b"\n") == [""]


def test_a_line_has_an_end_somewhere() -> None:
    editor = LineEditor()
    for _ in range(3):
        editor.feed(b"x" * MAX_LINE)
    [line] = editor.feed(b"\n")
    assert line is not None
    assert len(line) == MAX_LINE + 1


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_it_does_not_matter_how_keys_are_cut(keys: bytes, cuts: list[int]) -> None:
    whole, pieces = LineEditor(), LineEditor()
    expected = whole.feed(keys)
    ended: list[str | None] = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(keys)], strict=True):
        ended += pieces.feed(keys[start : max(start, stop)])
    assert (ended, pieces.text) == (expected, whole.text)
    assert pieces.text.isprintable()
