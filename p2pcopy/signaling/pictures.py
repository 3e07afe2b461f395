"""QR codes in pictures: screenshots, photos, and the frames of a camera. Needs the extra p2pcopy[scan]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from p2pcopy.errors import CodeError, LocalFileError, UsageError
from p2pcopy.signaling.code import parse_any

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURE: Final = 100_000_000  # pixels
PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")  # what is taken for a picture
WAYS: Final = 4  # of looking at a picture, see codes_in()


def is_picture(path: Path) -> bool:
    """Whether this is the name of a picture that is there."""
    with suppress(OSError, ValueError):  # a name that no file can have
        return path.suffix.lower() in PICTURES and path.is_file()
    return False


def read_picture(path: Path) -> str:
    """Blocking. The code in a screenshot or photo; another QR code when there is no code, for its error to be told.

    Raises UsageError without the extra, LocalFileError for what is no picture, CodeError when it shows no QR code.
    """
    require_reader()
    picture = _open_picture(path)
    for way in range(WAYS):
        if seen := codes_in(picture, way):
            return _code_among(seen)
    raise CodeError(
        f"no QR code can be seen in {str(path)!r}",
        "Take the picture again, straight and whole, or paste the text code.",
    )


def require_reader() -> None:
    """Raises UsageError where the extra is not installed."""
    try:
        import PIL.ImageFilter  # noqa: F401
        import zxingcpp  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "reading a QR code needs zxing-cpp and Pillow, which are not installed",
            'Install them with pip install "p2pcopy[scan]" (with pipx: pipx inject p2pcopy zxing-cpp pillow), '
            "or give the code as text.",
        ) from error


def codes_in(picture: Image, way: int) -> list[str]:
    """Blocking. The texts of the QR codes in a picture in shades of grey, at any angle and light on dark as well.

    way: 0 to WAYS - 1. The first looks at the picture as it is; the others see codes whose cells are torn by the gaps between a
    terminal's lines, or by the pixels of a screen that was photographed.
    """
    import zxingcpp

    formats = zxingcpp.barcode_formats_from_str("QRCode")
    return [barcode.text for barcode in zxingcpp.read_barcodes(_WAYS[way](picture), formats=formats)]


def _as_it_is(picture: Image) -> Image:
    return picture


def _blurred(radius: float) -> Callable[[Image], Image]:
    """radius: in pixels."""

    def blur(picture: Image) -> Image:
        import PIL.ImageFilter

        return picture.filter(PIL.ImageFilter.GaussianBlur(radius))

    return blur


def _halved(picture: Image) -> Image:
    return picture.reduce(2)


_WAYS: Final = (_as_it_is, _blurred(1.5), _blurred(3), _halved)


def _open_picture(path: Path) -> Image:
    """In shades of grey, on white where it is transparent."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as opened:
            if opened.width * opened.height > MAX_PICTURE:
                raise ValueError(f"it has more than {MAX_PICTURE} pixels")
            if not opened.has_transparency_data:
                return opened.convert("L")
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
    """The first that is a code; without any the first."""
    return next(filter(is_code, texts), texts[0])


def is_code(text: str) -> bool:
    with suppress(CodeError):
        parse_any(text)
        return True
    return False
