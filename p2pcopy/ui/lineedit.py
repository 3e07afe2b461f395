"""A line as somebody types or pastes it at a terminal that neither shows nor edits what is typed. Pure."""

from __future__ import annotations

import codecs
from typing import Final

MAX_LINE: Final = 64 * 1024  # characters; what is beyond is lost, and the line is longer than that

_ENDS: Final = "\r\n"
_ERASE: Final = "\x08\x7f"
_ERASE_WORD: Final = "\x17"
_ERASE_LINE: Final = "\x15"
_END_OF_INPUT: Final = "\x04"
_ESCAPE: Final = "\x1b"


class LineEditor:
    """Understands Enter, Backspace, Ctrl-U, Ctrl-W and Ctrl-D; other keys that stand for no character do nothing.

    So do the marks that a terminal puts around what is pasted (bracketed paste). text: what stands there now.
    """

    def __init__(self) -> None:
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequence = ""
        self._after_return = False

    def feed(self, keys: bytes) -> list[str | None]:
        """The lines that these keys have ended, without their ends; None: the end of input."""
        ended: list[str | None] = []
        for character in self._decoder.decode(keys):
            if self._sequence:
                self._go_on(character)
            elif character in _ENDS:
                if not (character == "\n" and self._after_return):
                    ended.append(self._take())
            elif character == _END_OF_INPUT:
                if not self.text:
                    ended.append(None)
            else:
                self._edit(character)
            self._after_return = character == "\r"
        return ended

    def clear(self) -> None:
        """Forget what stands there."""
        self._take()

    def _take(self) -> str:
        line, self.text = self.text, ""
        return line

    def _edit(self, character: str) -> None:
        if character == _ESCAPE:
            self._sequence = character
        elif character in _ERASE:
            self.text = self.text[:-1]
        elif character == _ERASE_LINE:
            self.text = ""
        elif character == _ERASE_WORD:
            self.text = self.text.rstrip().rpartition(" ")[0]
        elif character == "\t":
            self._add(" ")
        elif character.isprintable():
            self._add(character)

    def _add(self, character: str) -> None:
        if len(self.text) <= MAX_LINE:
            self.text += character

    def _go_on(self, character: str) -> None:
        """With a sequence of a key or a mark (ECMA-48 5.4): ESC [ ... letter, ESC O letter, or ESC and one character."""
        begins = self._sequence == _ESCAPE and character in "[O"
        inside = len(self._sequence) > 1 and self._sequence[1] == "[" and not "@" <= character <= "~"
        self._sequence = self._sequence[:2] + character if begins or inside else ""
