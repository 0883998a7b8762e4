# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Paths and names that several fields take."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Str

MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
RELATIVE = r"(?!/)(?!.*(^|/)\.\.(/|$))(?!.*//)[^\0\n]{1,400}"
RELATIVE_HINT = "must be a path inside the source, relative and without '..'"
ENTRY = rf"(?!\.{{1,2}}(/|$))(?!.*/\.(/|$)){RELATIVE}(?<!/)"
ENTRY_HINT = (
    "must be the path of a file inside the source, relative and without '.', '..' and a slash at its end"
)


class InSource(Str):
    """A path inside the source. A file system takes 255 bytes for each name in it."""

    def __init__(
        self, doc: str = "", pattern: str = RELATIVE, hint: str = RELATIVE_HINT, **options: Any
    ) -> None:
        super().__init__(doc, pattern=pattern, hint=hint, **options)

    def objection(self, value: str) -> str:
        return "has a name that is too long: a file system takes 255 bytes" if too_long_a_name(value) else ""


def too_long_a_name(path: str) -> bool:
    return any(len(name.encode()) > 255 for name in path.split("/"))
