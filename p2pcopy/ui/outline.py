"""A manifest as an indented outline. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2pcopy import events
from p2pcopy.files.names import display
from p2pcopy.quantities import count, size
from p2pcopy.ui import wording

ROWS: Final = 15


@dataclass(frozen=True)
class Row:
    """One line: name (escaped, directories end in "/") below depth directories, and what is known of it.

    left_out: how many entries this row stands for, which have none of their own.
    """

    depth: int
    name: str
    detail: str
    left_out: int = 0


def outline(manifest: events.Manifest, limit: int | None = ROWS) -> list[Row]:
    """The first entries as a tree, at most limit rows, then one row with the number of those that are not shown."""
    rows: list[Row] = []
    above: list[str] = []
    shown = 0
    for entry in manifest.entries:
        parts = [part for part in entry.path.split("/") if part]
        if not parts:
            continue
        common = _common(above, parts[:-1])
        added = [Row(depth, f"{display(parts[depth])}/", "") for depth in range(common, len(parts) - 1)]
        added.append(_row(entry, len(parts) - 1, parts[-1], manifest.policy))
        if limit is not None and len(rows) + len(added) > limit:
            if rows:
                break
            added = [_row(entry, 0, entry.path, manifest.policy)]
        rows += added
        above = parts if entry.kind == "directory" else parts[:-1]
        shown += 1
    more = manifest.files + manifest.directories + manifest.links - shown
    if more > 0:
        rows.append(Row(0, f"... and {count(more, 'more', 'more')}", "", more))
    return rows


def is_whole(rows: list[Row]) -> bool:
    """Whether every entry has a row in this outline."""
    return not (rows and rows[-1].left_out)


def flat(entry: events.ManifestLine, policy: str) -> str:
    """One entry with its whole path: "tree/a.txt  812 B, exists: replaced". policy: of its manifest."""
    row = _row(entry, 0, entry.path, policy)
    return f"{row.name}  {row.detail}" if row.detail else row.name


def _common(above: list[str], parents: list[str]) -> int:
    """How many of the leading directories have a row already."""
    depth = 0
    while depth < min(len(above), len(parents)) and above[depth] == parents[depth]:
        depth += 1
    return depth


def _row(entry: events.ManifestLine, depth: int, name: str, policy: str) -> Row:
    if entry.kind == "directory":
        facts = []
    elif entry.kind == "file":
        facts = [size(entry.bytes) if entry.bytes is not None else "size unknown"]
    else:
        facts = [display(entry.kind)]
    if fate := wording.fate(entry, policy):
        facts.append(display(fate))
    return Row(depth, display(name) + ("/" if entry.kind == "directory" else ""), ", ".join(facts))
