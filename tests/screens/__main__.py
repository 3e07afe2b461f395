"""`make screens`: plays the stories on real terminals in the laboratory, and writes what was on them into docs/screens.md.

docs/terminals.svg, the picture in README.md, is drawn in the same way.

Takes a minute or two, as root, with tmux and coturn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from screens import picture
from screens.stage import Shot
from screens.stories import STORIES, Story

PAGE = Path(__file__).parents[2] / "docs" / "screens.md"
ROLES = {"ada": "ada, who sends", "ben": "ben, who receives"}
HEAD = """# What is on the screens

Real terminals of 80 columns and 24 rows, one for each side, in a laboratory of network namespaces; `make screens` makes this page
anew. What to do next stands last. Above it is what has happened, and it stays.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="stories with this in their title, printed and not written to the page"
    )
    parser.add_argument("--keep", type=Path, help="a directory for the screens with their colour sequences")
    parser.add_argument("--picture", action="store_true", help="only docs/terminals.svg")
    options = parser.parse_args()
    if options.picture:
        picture.draw()
        return
    chosen = [story for story in STORIES if options.only.lower() in story.title.lower()]
    parts = [HEAD]
    for story in chosen:
        print(story.title, file=sys.stderr)
        shots = _played(story)
        parts += section(story, shots)
        if options.keep is not None:
            _keep(options.keep, story, shots)
    text = "\n".join(parts)
    if options.only:
        print(text)
    else:
        PAGE.write_text(text)
        picture.draw()


def _played(story: Story) -> list[Shot]:
    with tempfile.TemporaryDirectory(prefix="p2pcopy-screens-") as folder, story.opens(Path(folder)) as here:
        story.plays(here)
        return here.shots


def section(story: Story, shots: Iterable[Shot]) -> Iterator[str]:
    """Of the page."""
    yield f"## {story.title}\n\n{story.says}\n"
    moment = ""
    drawn: set[str] = set()
    for shot in shots:
        if shot.moment != moment:
            moment = shot.moment
            yield f"### {moment}\n"
        rows = _without_picture(shot.rows) if shot.who in drawn else [row.rstrip() for row in shot.rows]
        drawn.add(shot.who)
        text = "\n".join(rows).strip("\n")
        yield f"{ROLES[shot.who]}:\n\n```\n{text}\n```\n"


def _without_picture(rows: Iterable[str]) -> list[str]:
    """The QR code is shown once."""
    kept = [row.rstrip() for row in rows]
    picture = [number for number, row in enumerate(kept) if set(row) & set("▀▄█") and set(row) <= set(" ▀▄█")]
    if picture:
        kept[picture[0] - 1 : picture[-1] + 2] = ["  (the QR code)"]
    return kept


def _keep(directory: Path, story: Story, shots: Iterable[Shot]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for number, shot in enumerate(shots, 1):
        name = f"{story.title} {number} {shot.who}".lower().replace(" ", "-")
        (directory / f"{name}.ansi").write_text("\n".join(shot.colored) + "\n")


if __name__ == "__main__":
    main()
