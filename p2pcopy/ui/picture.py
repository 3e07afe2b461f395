"""A code as a QR code on a terminal, or why there is none."""

from __future__ import annotations

from typing import Final

from p2pcopy.signaling.qr import half_blocks, qr_matrix
from p2pcopy.ui.screen import Out

_BELOW: Final = 2  # rows that the code is followed by


def picture_rows(out: Out, code: str, *, color: bool, may_scroll: bool) -> tuple[str, list[str]]:
    """Why there is no picture, or its rows. may_scroll: it is wanted even where its top is gone before it can be seen."""
    if not out.unicode:
        return "the terminal's character set lacks block elements", []
    if not color and not may_scroll:
        return "it needs colours (--qr draws it all the same)", []
    rows = half_blocks(qr_matrix(code))
    columns, lines = out.size
    if len(rows[0]) > columns:
        return f"it needs {len(rows[0])} columns", []
    needed = len(rows) + -(-len(code) // columns) + _BELOW
    if needed > lines and not may_scroll:
        return f"the terminal needs {needed} rows (--qr draws it all the same)", []
    return "", rows
