# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Words of a message."""

from __future__ import annotations

import difflib
import re
from typing import Any

STILL_SERVES = "The live release still serves unless the message says otherwise."


def closest(word: str, choices: list[str]) -> str:
    """``" (did you mean 'x'?)"`` when one of ``choices`` is close to ``word``."""
    match = difflib.get_close_matches(str(word), choices, n=1)
    return f" (did you mean '{match[0]}'?)" if match else ""


def printable(key: Any) -> str:
    """A key as it may stand in a message: shortened, and without control characters."""
    text = "".join(char if char.isprintable() else "?" for char in str(key))
    return f"'{text[:60]}'" if not re.fullmatch(r"[\w.-]{1,60}", text) else text
