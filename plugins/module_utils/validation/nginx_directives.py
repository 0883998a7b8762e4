# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a piece of nginx's configuration is complete in itself, checked without nginx.

What each directive means only nginx knows. But one that a user adds must be complete. A quote or a brace too few, or
one too many, would include what Homeport writes after it, or end a block of Homeport's.
"""

from __future__ import annotations

SPACE = " \t\r\n"
# nginx reads a file through a buffer of this size, which a whole word has to fit into.
LONGEST_WORD = 4000


def misshapen(text: str) -> str:
    """What is wrong with the shape of some directives, with its line; empty where nothing is."""
    if "_by_lua_block" in text:  # what is in its braces is no configuration
        return ""
    reader = Reader(text)
    try:
        reader.read()
    except ValueError as error:
        return f"{error} in line {text.count(chr(10), 0, reader.place) + 1}"
    return ""


class Reader:
    """Goes through a text as nginx does: words, ``;``, ``{``, ``}``, comments."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def read(self) -> None:
        depth = words = begun = 0
        while self.place < len(self.text):
            char = self.text[self.place]
            if char in SPACE:
                self.place += 1
            elif char == "#":
                end = self.text.find("\n", self.place)
                self.place = len(self.text) if end < 0 else end
            elif char in ";{}":
                if (char == "}") == bool(words):
                    raise ValueError(f"unexpected {char}")
                depth += {"{": 1, "}": -1, ";": 0}[char]
                if depth < 0:
                    raise ValueError("one } too many")
                words = 0
                self.place += 1
            else:
                begun, words = self.place, words + 1
                self.word()
                if len(self.text[begun : self.place].encode()) > LONGEST_WORD:
                    raise ValueError(f"a word of more than {LONGEST_WORD} bytes")
        if words:
            self.place = begun
            raise ValueError("a directive without ; at its end")
        if depth:
            raise ValueError("one } too few")

    def word(self) -> None:
        quote = self.text[self.place] if self.text[self.place] in "'\"" else ""
        begun = self.place
        self.place += len(quote)
        while self.place < len(self.text):
            char = self.text[self.place]
            if char == "\\":
                self.place += 2
            elif quote and char == quote:
                self.place += 1
                if self.text[self.place : self.place + 1] not in ("", *SPACE, ";", "{", ")"):
                    raise ValueError("something right after a closing quote")
                return
            elif not quote and (char in f"{SPACE};" or (char == "{" and self.text[self.place - 1] != "$")):
                return
            else:
                self.place += 1
        if quote:
            self.place = begun
            raise ValueError("a quote that is not closed")
