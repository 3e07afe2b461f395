"""docs/screens.md shows what the stories play."""

from __future__ import annotations

import re
from pathlib import Path

from screens.stage import COLUMNS, ROWS
from screens.stories import STORIES

PAGE = (Path(__file__).parents[2] / "docs" / "screens.md").read_text(encoding="utf-8")
SCREENS = [block.splitlines() for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def test_every_story_is_on_the_page() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [story.title for story in STORIES]


def test_screens_have_the_size_of_a_terminal_and_nothing_of_the_machine_that_made_them() -> None:
    assert len(SCREENS) > 30
    for rows in SCREENS:
        assert len(rows) <= ROWS
        assert all(len(row) <= COLUMNS for row in rows)
        assert not re.search(r"/tmp/|Traceback|command not found", "\n".join(rows))


def test_a_story_ends_at_the_shell() -> None:
    for story in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        last = re.findall(r"^(\w+), who (?:sends|receives):\n\n```\n(.*?)^```$", story, re.MULTILINE | re.DOTALL)
        for name, text in dict(last).items():
            assert text.splitlines()[-1].strip() == f"{name}$", story.splitlines()[0]
