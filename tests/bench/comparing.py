"""Is what arrived what was sent?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.measuring import Trouble

_BLOCK = 2**20


def same(source: Path, copy: Path) -> int:
    """The size in bytes of a file, or of all files of a directory. Raises Trouble unless they are the same."""
    if not source.is_dir():
        size = beginning(source, copy)
        if size != source.stat().st_size:
            raise Trouble(f"{source.name}: {size} bytes arrived")
        return size
    names = sorted(_names(source))
    if names != sorted(_names(copy)):
        raise Trouble(f"{source.name}: not the same files")
    return sum(same(source / name, copy / name) for name in names)


def beginning(source: Path, copy: Path) -> int:
    """The size in bytes of what is there of a file. Raises Trouble unless it is as in the source."""
    size = 0
    try:
        with source.open("rb") as sent, copy.open("rb") as arrived:
            while block := arrived.read(_BLOCK):
                if block != sent.read(len(block)):
                    raise Trouble(f"{source.name}: damaged")
                size += len(block)
    except OSError as error:
        raise Trouble(str(error)) from None
    return size


def _names(directory: Path) -> Iterator[Path]:
    return (each.relative_to(directory) for each in directory.rglob("*") if not each.is_dir())
