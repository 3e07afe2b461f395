"""Two terminals side by side as an SVG picture, in which their text can be selected. It needs no font but a monospace one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

CELL, ROW, FONT = 8.4, 18, 14
PAD, TITLE, GAP = 14, 30, 16
# The top and the height of block elements, in halves of a cell.
BLOCKS = {"▀": (0, 1), "▄": (1, 1), "█": (0, 2)}
# Dark windows with a border: they stand out from a white page and from a black one.
WINDOW, BORDER, BAR, LABEL, INK = "#161b22", "#6e7681", "#30363d", "#c9d1d9", "#e6edf3"
GRAY, RED, GREEN, YELLOW = (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)
BLUE, MAGENTA, CYAN, WHITE = (88, 166, 255), (188, 140, 255), (57, 197, 207), (255, 255, 255)
THEME = TerminalTheme((22, 27, 34), (230, 237, 243), [GRAY, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE])


@dataclass(frozen=True)
class Window:
    """title: on its bar; rows: what is on the terminal, with colour sequences."""

    title: str
    rows: Sequence[str]


def drawing(windows: Sequence[Window], columns: int, description: str) -> str:
    """The SVG. columns: of each window; description: for those who cannot see it. The windows are as high as the fullest."""
    height = TITLE + 2 * PAD + ROW * max(len(window.rows) for window in windows)
    width = columns * CELL + 2 * PAD
    total = len(windows) * (width + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:g} {height + 2 * GAP:g}" role="img" '
        f"aria-label={quoteattr(description)}>",
        f"<title>{escape(description)}</title>",
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{FONT}">',
    ]
    for number, window in enumerate(windows):
        parts += _window(window, GAP + number * (width + GAP), width, height)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _window(window: Window, left: float, width: float, height: float) -> Iterator[str]:
    yield f'<g transform="translate({left:g} {GAP})">'
    yield f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{WINDOW}" stroke="{BORDER}"/>'
    yield f'<path d="M0 {TITLE}V8a8 8 0 0 1 8-8H{width - 8:g}a8 8 0 0 1 8 8V{TITLE}z" fill="{BAR}"/>'
    yield f'<text x="{width / 2:g}" y="20" fill="{LABEL}" text-anchor="middle">{escape(window.title)}</text>'
    yield f'<g transform="translate({PAD} {TITLE + PAD})" shape-rendering="crispEdges">'
    # In one piece, because colours go on from row to row.
    for number, row in enumerate(Text.from_ansi("\n".join(window.rows)).split(allow_blank=True)):
        yield from _row(row, number * ROW)
    yield "</g>"
    yield "</g>"


def _row(row: Text, top: float) -> Iterator[str]:
    column = 0
    for text, style in _pieces(row):
        left, cells = column * CELL, cell_len(text)
        column += cells
        ink, paper = _colors(style)
        if paper:
            yield f'<rect x="{left:g}" y="{top:g}" width="{cells * CELL:g}" height="{ROW}" fill="{paper}"/>'
        if set(text) <= {" ", *BLOCKS}:
            yield from _blocks(text, left, top, ink)
        else:
            bold = ' font-weight="bold"' if style.bold else ""
            faint = ' opacity="0.65"' if style.dim else ""
            yield (
                f'<text x="{left:g}" y="{top + 13:g}" fill="{ink}"{bold}{faint} textLength="{cells * CELL:g}" '
                f'xml:space="preserve">{escape(text)}</text>'
            )


def _pieces(row: Text) -> Iterator[tuple[str, Style]]:
    """Runs of one style."""
    ends = sorted({0, len(row.plain), *(end for span in row.spans for end in (span.start, span.end))})
    for start, end in pairwise(ends):
        styles = [span.style for span in row.spans if span.start <= start < span.end]
        yield row.plain[start:end], Style.combine([Style(), *(each for each in styles if isinstance(each, Style))])


def _blocks(text: str, left: float, top: float, ink: str) -> Iterator[str]:
    """Drawn and not written: fonts leave gaps between them."""
    drawn = [
        f"M{left + number * CELL:g} {top + first * ROW / 2:g}h{CELL}v{halves * ROW / 2:g}h-{CELL}z"
        for number, character in enumerate(text)
        if character in BLOCKS
        for first, halves in [BLOCKS[character]]
    ]
    if drawn:
        yield f'<path d="{"".join(drawn)}" fill="{ink}"/>'


def _colors(style: Style) -> tuple[str, str]:
    """Of the ink, and of the paper where it is not that of the window."""
    ink = _hex(style.color, INK)
    paper = _hex(style.bgcolor, "")
    return (paper or WINDOW, ink) if style.reverse else (ink, paper)


def _hex(color: Color | None, default: str) -> str:
    return default if color is None or color.is_default else color.get_truecolor(THEME).hex
