# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of the versions of Python."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Field,
    List,
    Str,
)

INPUTS: dict[str, Field] = {
    "python_versions": List(
        Str(pattern=r"3\.[0-9]{1,2}", hint="must be a version such as '3.12', in quotes")
    ),
    "python_mirror": Str(
        pattern=r"(https?://|file:///)[^\s\0]+|",
        hint="must be an address that begins with https://, http:// or file:///",
    ),
}
