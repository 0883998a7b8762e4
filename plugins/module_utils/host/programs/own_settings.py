# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Files of a project that replace DJANGO_SETTINGS_MODULE, so that what they start has other settings."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from django.conf import settings

VARIABLE = "DJANGO_SETTINGS_MODULE"
# The web process compares its own, when it has loaded them (homeport_web.py of the role gunicorn).
NAMES = ("celery.py", "celery_app.py")


def commands_of_their_own() -> list[str]:
    """What to say of each such file, by its line."""
    wanted = os.environ.get(VARIABLE, "")
    packages = [getattr(settings, "ROOT_URLCONF", "") or "", os.environ.get("HOMEPORT_PACKAGE", "")]
    folders = [os.path.join(*name.split(".")[:-1] or [name]) for name in packages if name]
    paths = [
        "manage.py",
        *(os.path.join(folder, name) for folder in dict.fromkeys(["", *folders]) for name in NAMES),
    ]
    return [
        f"{path}, line {line} sets {VARIABLE} to {module}, where this app has {wanted}: write os.environ.setdefault"
        for path in paths
        if os.path.isfile(path)
        for line, module in replaced(path)
        if module != wanted
    ]


def replaced(path: str) -> Iterator[tuple[int, str]]:
    """Line and module of each plain assignment to the variable."""
    try:
        with open(path, encoding="utf-8") as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError):  # whoever runs it says so
        return
    for node in unconditional(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        for target in node.targets:
            index = target.slice if isinstance(target, ast.Subscript) else None
            if isinstance(index, ast.Constant) and index.value == VARIABLE:
                yield node.lineno, str(node.value.value)


def unconditional(node: ast.AST) -> Iterator[ast.AST]:
    """What a module does in any case, also in its functions; what it does for tests alone is under a condition."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.If) or "__name__" in ast.dump(child.test):
            yield child
            yield from unconditional(child)
