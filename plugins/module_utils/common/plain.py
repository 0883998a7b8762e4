# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Text that comes from an app, as a terminal may show it."""

from __future__ import annotations

import unicodedata
from typing import Any

KEPT = "\n\t"
# controls (C0, C1), formats (direction, zero width), surrogates, private use, line and paragraph separators
UNSAFE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def plain(value: Any) -> Any:
    """``value`` with every character that a terminal would obey written as an escape, in whatever it holds.

    Such characters move the cursor, set the title or the clipboard, or reverse the direction of text. Newlines and tabs
    stay; a carriage return, which would overwrite a line, becomes a newline.
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable():
            return value
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        return "".join(escaped(char) for char in text)
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def escaped(char: str) -> str:
    if char in KEPT or unicodedata.category(char) not in UNSAFE:
        return char
    return char.encode("unicode_escape").decode("ascii")
