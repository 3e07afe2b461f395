"""docs/troubleshooting.md quotes the program: what stands there in italics is said somewhere in its sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUOTED = re.findall(
    r"^\| \*([^*]+)\*", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
)


def said() -> str:
    """All texts in the sources, a line each."""
    nodes = (
        node
        for path in (ROOT / "p2pcopy").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_every_message_on_the_page_is_one_of_the_program() -> None:
    assert len(QUOTED) > 12
    sources = said()
    assert [quote for quote in QUOTED if quote not in sources] == []
