"""What people paste where a code is expected. Pure."""

from __future__ import annotations

from typing import Final

_SHORTEST: Final = 13  # characters of an answer without any address


def code_in(line: str) -> str:
    """The code in a pasted command ("p2pcopy receive CODE -o DIR", a shell's prompt before it), or behind "code:"; any other
    line as it is."""
    word, colon, rest = line.partition(":")
    if colon and word.strip().lower() == "code":
        return rest
    words = line.split()
    names = [number for number, word in enumerate(words) if word.rpartition("/")[2] == "p2pcopy"]
    if not names:
        return line
    return max(filter(_may_be_code, words[names[-1] + 1 :]), key=len, default=line)


def _may_be_code(word: str) -> bool:
    return len(word) >= _SHORTEST and word[0] != "-" and word.isascii() and word.replace("-", "").isalnum()
