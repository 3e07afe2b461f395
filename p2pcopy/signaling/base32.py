"""The bytes of a code <-> one word in Crockford's base32, as people type and paste it. Pure; see docs/codes.md."""

from __future__ import annotations

import re
from typing import Final

from p2pcopy.errors import CodeTruncated, CodeTypo

MAX_TEXT: Final = 4096
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_READ_AS: Final = {
    **{spelled: upper for upper in ALPHABET for spelled in (upper, upper.lower())},
    **dict.fromkeys("Oo", "0"),
    **dict.fromkeys("IiLl", "1"),
}
_IGNORED: Final = re.compile("[\\s\\-\u2010-\u2014\u2212\u200b\ufeff]+")  # also typographic hyphens and invisible marks

COPY_AGAIN: Final = "Copy it again, from its first character to its last."
SAME_VERSION: Final = "Check it for a typo, and run the same version of p2pcopy on both sides (p2pcopy --version)."


def to_text(data: bytes) -> str:
    """Crockford base32 in upper case, 5 bits a character, the last one filled up with zero bits."""
    count = (len(data) * 8 + 4) // 5
    value = int.from_bytes(data, "big") << (count * 5 - len(data) * 8)
    return "".join(ALPHABET[value >> shift & 31] for shift in range((count - 1) * 5, -1, -5))


def from_text(text: str) -> bytes:
    """The bytes of a code in any accepted spelling. Raises CodeError when to_text cannot have made it."""
    word = read_word(text)
    data = whole_bytes(word)
    if to_text(data) != word:
        raise truncated()
    return data


def read_word(text: str) -> str:
    """The text as one word of the alphabet. Raises CodeError."""
    if len(text) > MAX_TEXT:
        raise CodeTypo(f"this is too long to be a code: more than {MAX_TEXT} characters", COPY_AGAIN)
    word = _IGNORED.sub("", text)
    if not word:
        raise CodeTruncated("there is no code: the text is empty", "Paste the code that the other side shows.")
    for character in word:
        if character not in _READ_AS:
            raise CodeTypo(f"this is not a code: {character!r} cannot be part of one", COPY_AGAIN)
    return "".join(_READ_AS[character] for character in word)


def whole_bytes(word: str) -> bytes:
    """All whole bytes in a word that read_word has made."""
    value = 0
    for character in word:
        value = value << 5 | ALPHABET.index(character)
    size = len(word) * 5 // 8
    return (value >> (len(word) * 5 - size * 8)).to_bytes(size, "big")


def take(data: bytes, at: int, count: int) -> bytes:
    """count bytes from index at on. Raises CodeTruncated when there are fewer."""
    if at + count > len(data):
        raise truncated()
    return data[at : at + count]


def truncated() -> CodeTruncated:
    """A cut code and a typo cannot always be told apart: what gives the length may be what is wrong."""
    return CodeTruncated("the code is cut off, or has a typo", COPY_AGAIN)
