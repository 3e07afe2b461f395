"""QR codes: what is drawn is read back by an independent decoder, from a file and from a picture of a terminal."""

from __future__ import annotations

import builtins
import stat
from pathlib import Path
from typing import Any

import png
import pytest
from PIL import Image

from p2pcopy.errors import CodeError, LocalFileError, UsageError
from p2pcopy.signaling import pictures
from p2pcopy.signaling.candidates import Candidate
from p2pcopy.signaling.code import Offer, Starter, encode_offer, parse_any, to_text
from p2pcopy.signaling.pictures import read_picture
from p2pcopy.signaling.qr import half_blocks, qr_matrix, write_qr_png

LAN = Candidate("host", "192.168.1.23", 54321)
PUBLIC = Candidate("srflx", "203.0.113.7", 40123)
MANY = tuple(Candidate("host", f"2001:db8:{number}::1", 50000 + number) for number in range(1, 9))


def offer_text(*candidates: Candidate) -> str:
    return to_text(encode_offer(Offer(bytes(range(16)), bytes(range(16)), Starter.SENDER, 7, candidates)))


TEXT = offer_text(LAN, PUBLIC)


def terminal_picture(lines: list[str], *, cell: int = 8, gap: int = 0, inverted: bool = False) -> Image.Image:
    """Half blocks as a terminal with cells of cell x 2 cell pixels draws them, gap pixels between its lines."""
    dark, light = (230, 20) if inverted else (20, 230)
    height = 2 * cell
    picture = Image.new("L", (cell * len(lines[0]), (height + gap) * len(lines)), light)
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            top = row * (height + gap)
            first, last = {"▀": (0, cell), "▄": (cell, height), "█": (0, height), " ": (0, 0)}[character]
            picture.paste(dark, (column * cell, top + first, (column + 1) * cell, top + last))
    return picture


def test_an_offer_with_a_public_address_fits_a_terminal_with_its_text() -> None:
    lines = half_blocks(qr_matrix(TEXT))
    assert len(lines) + 3 <= 24
    assert {len(line) for line in lines} == {37}
    assert len(TEXT) <= 80


@pytest.mark.parametrize("text", [TEXT, offer_text(LAN), offer_text(*MANY)])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("cell", "gap"), [(8, 0), (4, 0), (9, 0), (8, 1)])
def test_a_picture_of_the_terminal_is_read(text: str, inverted: bool, cell: int, gap: int, tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    terminal_picture(half_blocks(qr_matrix(text)), cell=cell, gap=gap, inverted=inverted).save(path)
    assert read_picture(path) == text


def test_gaps_between_the_lines_of_a_terminal_are_blurred_away(tmp_path: Path) -> None:
    picture = terminal_picture(half_blocks(qr_matrix(TEXT)), gap=2, inverted=True)
    picture.save(tmp_path / "screen.png")
    assert read_picture(tmp_path / "screen.png") == TEXT


@pytest.mark.parametrize("text", [TEXT, offer_text(LAN), offer_text(*MANY)])
def test_the_png_is_read_back(text: str, tmp_path: Path) -> None:
    path = tmp_path / "code.png"
    write_qr_png(text, path)
    assert read_picture(path) == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    width, height, rows, _ = png.Reader(bytes=path.read_bytes()).read()
    pixels = [list(row) for row in rows]
    scale = width // len(qr_matrix(text, border=4))
    assert width == height == scale * len(qr_matrix(text, border=4)) >= 300
    assert [pixels[4 * scale - 1][4 * scale], pixels[4 * scale][4 * scale]] == [1, 0]


def test_the_matrix_has_its_border_and_finder_pattern() -> None:
    matrix = qr_matrix(TEXT)
    assert len(matrix) == len(matrix[0]) == 33 + 2 * 2
    assert not any(matrix[1])
    assert matrix[2][2:10] == (True,) * 7 + (False,)


def test_half_blocks() -> None:
    assert half_blocks(((True, False, True), (True, True, False), (True, False, False))) == ["█▄▀", "▀  "]
    assert half_blocks(((False, True), (True, False))) == ["▄▀"]


@pytest.mark.parametrize("text", ["lower case", "2" * 5000])
def test_what_is_not_a_code_is_not_drawn(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        qr_matrix(text)


def test_transparent_background_counts_as_white(tmp_path: Path) -> None:
    opaque = terminal_picture(half_blocks(qr_matrix(TEXT)))
    picture = Image.new("RGBA", opaque.size, (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), mask=opaque.point(lambda shade: 255 if shade < 128 else 0))
    picture.save(tmp_path / "code.png")
    assert read_picture(tmp_path / "code.png") == TEXT


def test_the_code_among_other_qr_codes(tmp_path: Path) -> None:
    pictures = [terminal_picture(half_blocks(qr_matrix(text))) for text in ("HTTPS://EXAMPLE.ORG", TEXT)]
    both = Image.new("L", (sum(picture.width for picture in pictures) + 40, pictures[1].height), 230)
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[1], (pictures[0].width + 40, 0))
    both.save(tmp_path / "both.png")
    assert read_picture(tmp_path / "both.png") == TEXT


def test_a_qr_code_that_is_no_code_is_given_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.png"
    write_qr_png("HTTPS://EXAMPLE.ORG", path)
    text = read_picture(path)
    assert text == "HTTPS://EXAMPLE.ORG"
    with pytest.raises(CodeError):
        parse_any(text)


def test_a_picture_without_a_code(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    with pytest.raises(CodeError, match="no QR code") as caught:
        read_picture(tmp_path / "white.png")
    assert caught.value.hint


@pytest.mark.parametrize("content", [None, b"", b"text", "cut"])
def test_what_is_no_picture(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "code.png"
    if content == "cut":
        write_qr_png(TEXT, path)
        path.write_bytes(path.read_bytes()[:80])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(LocalFileError, match="cannot be read") as caught:
        read_picture(path)
    assert caught.value.hint


def test_a_picture_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_qr_png(TEXT, tmp_path / "code.png")
    monkeypatch.setattr(pictures, "MAX_PICTURE", 1000)
    with pytest.raises(LocalFileError, match="cannot be read"):
        read_picture(tmp_path / "code.png")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="cannot be written"):
        write_qr_png(TEXT, tmp_path / "missing" / "code.png")


@pytest.mark.parametrize("missing", ["zxingcpp", "PIL"])
def test_without_the_extra_the_hint_says_how_to_install_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        read_picture(tmp_path / "code.png")
    assert 'pip install "p2pcopy[scan]"' in caught.value.hint
