"""Pictures and videos of terminals: what a screen shows, as a camera or a screenshot sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFilter

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_HALVES = {"▀": (0, 1), "▄": (1, 2), "█": (0, 2)}
_LIGHT_BACKGROUNDS = ("107", "48;5;231", "48;2;255;255;255")


def rendered(rows: Sequence[str], *, cell: int = 6, gap: int = 0, dark: int = 20, light: int = 225) -> Image.Image:
    """The rows of a screen with their colour sequences, on a dark terminal. cell: width in pixels; gap: between rows."""
    width = max(len(_SGR.sub("", row)) for row in rows)
    height = 2 * cell + gap
    picture = Image.new("L", (width * cell, height * len(rows)), dark)
    draw = ImageDraw.Draw(picture)
    for y, row in enumerate(rows):
        for x, (character, on_light) in enumerate(_cells(row)):
            left, top = x * cell, y * height
            paper, ink = (light, dark) if on_light else (dark, light)
            draw.rectangle((left, top, left + cell - 1, top + 2 * cell - 1), fill=paper)
            if character in _HALVES:
                first, last = _HALVES[character]
                draw.rectangle((left, top + first * cell, left + cell - 1, top + last * cell - 1), fill=ink)
            elif character != " ":
                draw.text((left, top), character.encode("ascii", "replace").decode(), fill=ink)
    return picture


def _cells(row: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether its background is light."""
    on_light = False
    for number, part in enumerate(_SGR.split(row)):
        if number % 2 == 0:
            yield from ((character, on_light) for character in part)
        elif any(code in part for code in _LIGHT_BACKGROUNDS):
            on_light = True
        elif set(part.split(";")) & {"", "0", "49"}:
            on_light = False


def photographed(screen: Image.Image, *, angle: float = 4.0, tilt: float = 0.12, blur: float = 0.8) -> Image.Image:
    """As with a phone held up to it: turned (degrees), tilted (share of the width), a little out of focus, with noise."""
    table = Image.new("L", (screen.width + 160, screen.height + 160), 70)
    table.paste(screen, (80, 80))
    width, height = table.size
    narrow = tilt * width
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    moved = [(narrow, 0.0), (width - narrow, 0.0), (width, height), (0.0, height)]
    seen = table.transform(
        table.size,
        Image.Transform.PERSPECTIVE,
        _perspective(corners, moved),
        Image.Resampling.BICUBIC,
        fillcolor=70,
    ).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=70)
    noisy = Image.blend(seen, Image.effect_noise(seen.size, 40), 0.12)
    return noisy.filter(ImageFilter.GaussianBlur(blur))


def _perspective(source: list[tuple[float, float]], target: list[tuple[float, float]]) -> list[float]:
    """The coefficients that Pillow needs: from target back to source, by Gauss's elimination of 8 equations."""
    rows: list[list[float]] = []
    for (sx, sy), (tx, ty) in zip(source, target, strict=True):
        rows.append([tx, ty, 1, 0, 0, 0, -sx * tx, -sx * ty, sx])
        rows.append([0, 0, 0, tx, ty, 1, -sy * tx, -sy * ty, sy])
    for column in range(8):
        pivot = max(range(column, 8), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(8):
            if row != column:
                factor = rows[row][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[8] for row in rows]


def film(path: Path, pictures: Sequence[Image.Image], *, seconds: float = 1.0) -> None:
    """A video in which each picture is seen for so long, as MPEG-TS: it can be read from a FIFO while it is written."""
    width, height = (max(picture.size[side] for picture in pictures) // 2 * 2 + 2 for side in (0, 1))
    with av.open(str(path), "w", format="mpegts") as container:
        frame_of: Any = av.VideoFrame.from_image
        stream: Any = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 8_000_000
        for picture in pictures:
            page = Image.new("RGB", (width, height), (70, 70, 70))
            page.paste(picture.convert("RGB"), (0, 0))
            for _ in range(max(1, round(25 * seconds))):
                container.mux(stream.encode(frame_of(page)))
        container.mux(stream.encode())
