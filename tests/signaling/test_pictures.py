"""Codes in pictures as people take them: turned, scaled, inverted, photographed."""

from __future__ import annotations

from pathlib import Path

import pytest
from filming import photographed, rendered
from PIL import Image
from test_qr import MANY, TEXT, offer_text, terminal_picture

from p2pcopy.signaling.pictures import is_code, is_picture, read_picture
from p2pcopy.signaling.qr import half_blocks, qr_matrix

LONG = offer_text(*MANY)


def read(picture: Image.Image, path: Path) -> str:
    picture.save(path / "picture.png")
    return read_picture(path / "picture.png")


@pytest.mark.parametrize("angle", [90, 180, 270, 17, 45, 200])
def test_turned(angle: int, tmp_path: Path) -> None:
    picture = terminal_picture(half_blocks(qr_matrix(TEXT)), cell=6)
    assert read(picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=128), tmp_path) == TEXT


@pytest.mark.parametrize("scale", [0.35, 0.61, 1.7, 6.0])
def test_scaled(scale: float, tmp_path: Path) -> None:
    picture = terminal_picture(half_blocks(qr_matrix(TEXT)), cell=8)
    size = (round(picture.width * scale), round(picture.height * scale))
    assert read(picture.resize(size, Image.Resampling.BICUBIC), tmp_path) == TEXT


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_inverted_and_mirrored(inverted: bool, mirrored: bool, tmp_path: Path) -> None:
    """A dark terminal without colours shows the code inverted, and some cameras mirror what they see."""
    picture = terminal_picture(half_blocks(qr_matrix(TEXT)), inverted=inverted)
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture
    assert read(turned, tmp_path) == TEXT


@pytest.mark.parametrize("text", [TEXT, LONG])
@pytest.mark.parametrize(("gap", "angle", "tilt"), [(0, 4, 0.12), (1, -7, 0.05), (0, 183, 0.1)])
def test_photographed_from_a_screen(text: str, gap: int, angle: float, tilt: float, tmp_path: Path) -> None:
    rows = [f"\x1b[30m\x1b[107m{row}\x1b[39m\x1b[49m" for row in half_blocks(qr_matrix(text))]
    screen = rendered(["$ p2pcopy send holiday", *rows, text[:60], text[60:]], cell=8, gap=gap)
    assert read(photographed(screen, angle=angle, tilt=tilt), tmp_path) == text


def test_a_photo_of_many_pixels(tmp_path: Path) -> None:
    photo = Image.new("RGB", (4000, 3000), (90, 80, 70))
    picture = terminal_picture(half_blocks(qr_matrix(TEXT)), cell=20, gap=4)
    photo.paste(picture.convert("RGB").rotate(5, Image.Resampling.BICUBIC, expand=True), (1500, 900))
    photo.save(tmp_path / "photo.jpg", quality=80)
    assert read_picture(tmp_path / "photo.jpg") == TEXT


def test_what_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "A.PNG").write_bytes(b"")
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    names = ("A.PNG", "a.txt", "folder.png", "missing.png", "nul\0.png", "x" * 5000 + ".png")
    assert [is_picture(tmp_path / name) for name in names] == [True, False, False, False, False, False]


def test_what_is_a_code() -> None:
    assert is_code(TEXT)
    assert not is_code("HTTPS://EXAMPLE.ORG")
