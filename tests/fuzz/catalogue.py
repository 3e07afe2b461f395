"""Which targets there are, and what is kept for each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzz import targets

CORPUS: Final = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Target:
    """modules: what it is for, and what its coverage is counted of."""

    name: str
    modules: tuple[str, ...]
    one: Callable[[bytes], None]
    make_seeds: Callable[[], Iterable[bytes]]

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    def seeds(self) -> list[bytes]:
        """What is kept in its corpus, always in the same order."""
        return [path.read_bytes() for path in sorted(self.corpus.iterdir())]


def names() -> list[str]:
    return sorted(found.name for found in pkgutil.iter_modules(targets.__path__))


def load(name: str) -> Target:
    module = importlib.import_module(f"fuzz.targets.{name}")
    return Target(name, module.MODULES, module.one, module.seeds)
