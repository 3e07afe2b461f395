"""Codes as QR codes: drawn for a terminal or as a picture, and read from one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from p2pcopy.errors import CodeError, LocalFileError, UsageError
from p2pcopy.signaling.code import parse_any
from p2pcopy.signaling.exchange import write_private

if TYPE_CHECKING:
    from PIL.Image import Image

Matrix = tuple[tuple[bool, ...], ...]

TERMINAL_BORDER: Final = 2  # cells; the standard says 4, every decoder tried is content with 2
PICTURE_BORDER: Final = 4
PICTURE_SIZE: Final = 300  # pixels at least
MAX_PICTURE: Final = 100_000_000  # pixels
PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")  # what is taken for a picture
_BLUR_RADIUS: Final = 3  # pixels; closes the gaps that a terminal leaves between lines


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


def code_in_picture(name: str) -> str | None:
    """Blocking. The code in the picture of this name; None when it is not the name of a picture. Raises like read_qr_image()."""
    path = Path(name)
    return read_qr_image(path) if path.suffix.lower() in PICTURES and path.is_file() else None


def read_qr_image(path: Path) -> str:
    """Blocking. The code in a screenshot or photo. Needs the extra p2pcopy[scan].

    Raises UsageError without the extra, LocalFileError for what is no picture, CodeError when it shows no QR code.
    """
    try:
        import PIL.ImageFilter
        import zxingcpp
    except ImportError as error:
        raise UsageError(
            "reading a code from a picture needs zxing-cpp and Pillow, which are not installed",
            'Install them with pip install "p2pcopy[scan]", or give the code as text.',
        ) from error
    picture = _open_picture(path)
    formats = zxingcpp.barcode_formats_from_str("QRCode")
    for blur in (None, PIL.ImageFilter.GaussianBlur(_BLUR_RADIUS)):
        seen = zxingcpp.read_barcodes(picture.filter(blur) if blur else picture, formats=formats)
        if seen:
            return _code_among([barcode.text for barcode in seen])
    raise CodeError(
        f"no QR code can be seen in {str(path)!r}",
        "Take the picture again, straight and whole, or paste the text code.",
    )


def _open_picture(path: Path) -> Image:
    """In shades of grey, on white where it is transparent."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as opened:
            if opened.width * opened.height > MAX_PICTURE:
                raise ValueError(f"it has more than {MAX_PICTURE} pixels")
            picture = opened.convert("RGBA")
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a usable picture"
        raise LocalFileError(
            f"{str(path)!r} cannot be read: {reason}", "Give a screenshot or photo as a PNG or JPEG file."
        ) from error
    white = PIL.Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white.convert("L")


def _code_among(texts: Sequence[str]) -> str:
    """The first that is a code; without any the first, for its error to be told."""
    for text in texts:
        with suppress(CodeError):
            parse_any(text)
            return text
    return texts[0]
