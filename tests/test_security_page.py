"""docs/security.md and docs/reliability.md refer to tests: those exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_REFERENCE = re.compile(r"`(tests/[a-z0-9_/.]+)`((?:,? test_[a-z0-9_]+)*)")


def references(page: str) -> list[tuple[str, str]]:
    """Files of tests, each with the names of tests that follow it; "" for the file alone."""
    found = []
    for path, names in _REFERENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        found += [(path, name) for name in re.findall(r"test_[a-z0-9_]+", names) or [""]]
    return found


@pytest.mark.parametrize(("path", "name"), references("security.md") + references("reliability.md"))
def test_what_a_page_refers_to_is_there(path: str, name: str) -> None:
    assert (ROOT / path).exists(), path
    if name:
        assert re.search(rf"def {name}\b", (ROOT / path).read_text(encoding="utf-8")), name


def test_the_pages_refer_to_tests() -> None:
    assert len(references("security.md")) > 12
    assert references("reliability.md")
