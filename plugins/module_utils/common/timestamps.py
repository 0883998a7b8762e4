# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Points in time that operators write."""

from __future__ import annotations

import re
from datetime import datetime


def timestamp(text: str) -> str:
    """A time in UTC as PostgreSQL reads it. Raises ValueError."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?", text, re.ASCII):
        raise ValueError("it is written 2026-01-31T14:30:00, in UTC")
    whole, _dot, rest = text.rstrip("Z").replace(" ", "T").partition(".")
    found = datetime.fromisoformat(whole).strftime("%Y-%m-%d %H:%M:%S")
    return f"{found}{'.' + rest if rest else ''}+00"
