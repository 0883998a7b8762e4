# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Files written into the source of each release."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import too_long_a_name
from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Object, Problems, Str


def _file_rule(file: dict[str, Any], path: str, problems: Problems) -> None:
    if len(file) != 1:
        problems.add(path, "needs exactly one of template, content")


FILE = Object(
    {
        "template": Str(
            "Jinja template on the controller, relative to the inventory; `app` holds the resolved app"
        ),
        "content": Str("the text itself", multiline=True),
    },
    short="content",
    rule=_file_rule,
)


def files_rule(files: dict[str, Any], path: str, problems: Problems) -> None:
    for name in files:
        if too_long_a_name(name):
            problems.add(
                path, f"{printable(name)} has a name that is too long: a file system takes 255 bytes"
            )
        for other in files:
            if name.startswith(f"{other}/"):
                problems.add(f"{path}.{printable(name)}", f"lies in {printable(other)}, which is a file, too")
