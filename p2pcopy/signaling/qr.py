"""Codes as QR codes: drawn for a terminal, or as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from p2pcopy.signaling.exchange import write_private

Matrix = tuple[tuple[bool, ...], ...]

TERMINAL_BORDER: Final = 2  # cells; the standard says 4, every decoder tried is content with 2
PICTURE_BORDER: Final = 4
PICTURE_SIZE: Final = 300  # pixels at least


def qr_matrix(text: str, *, border: int = TERMINAL_BORDER) -> Matrix:
    """The QR code of a code, True is dark; level L, alphanumeric mode, border cells of light around it.

    Raises ValueError for text with characters that a code does not have, or too long for any QR code.
    """
    import qrcode.util  # takes a while, with Pillow, and few codes are drawn

    drawing = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=border)
    drawing.add_data(qrcode.util.QRData(text, mode=qrcode.util.MODE_ALPHA_NUM))
    return tuple(tuple(map(bool, row)) for row in drawing.get_matrix())


def half_blocks(matrix: Matrix) -> list[str]:
    """Lines of text, two rows a line; dark cells in the foreground colour. Both colours have to be set explicitly."""
    rows = [*matrix, (False,) * len(matrix[0])] if len(matrix) % 2 else [*matrix]
    return [
        "".join(" ▄▀█"[upper * 2 + lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def write_qr_png(text: str, path: Path) -> None:
    """Blocking. A black and white picture of at least 300 pixels, for its owner only. Raises LocalFileError."""
    import png

    matrix = qr_matrix(text, border=PICTURE_BORDER)
    scale = -(-PICTURE_SIZE // len(matrix))
    rows = [[not dark for dark in row for _ in range(scale)] for row in matrix for _ in range(scale)]
    picture = io.BytesIO()
    png.Writer(len(rows), len(rows), greyscale=True, bitdepth=1).write(picture, rows)
    write_private(path, picture.getvalue())
