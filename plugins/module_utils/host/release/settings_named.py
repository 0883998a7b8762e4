# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which settings modules a manage.py names, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

VARIABLE = "DJANGO_SETTINGS_MODULE"
READERS = ("get", "getenv", "env", "config")  # functions that read a variable of the environment


def settings_named(text: str, environment: Mapping[str, str]) -> list[str]:
    """Each module once, in the order of the text, as it is with the variables of ``environment``."""
    try:
        tree = ast.parse(text.lstrip("\ufeff"))
    except (SyntaxError, ValueError):
        return first_named(text)  # the app's Python may be newer than the host's
    nodes = list(ast.walk(tree))
    # the default of a mere read counts only where nothing else names a module
    return modules([node for node in nodes if not reads(node)], environment) or modules(nodes, environment)


def assigned(text: str) -> bool:
    """Whether a plain assignment replaces the variable, whatever the environment has."""
    try:
        tree = ast.parse(text.lstrip("\ufeff"))
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.Assign) and list(given_values(node)) for node in ast.walk(tree))


def modules(nodes: list[ast.AST], environment: Mapping[str, str]) -> list[str]:
    values = [value for node in nodes for value in given_values(node)]
    found = [module for value in values for module in results(value, environment)]
    return list(dict.fromkeys(module for module in found if re.fullmatch(r"[\w.]+", module)))


def first_named(text: str) -> list[str]:
    """The module of a text that cannot be parsed, where it is written beside the variable."""
    found = re.search(rf"(?m)^[^#\n]*{VARIABLE}['\"]\s*(?:,|\]\s*=)\s*['\"]([\w.]+)['\"](?!\s*[+%.])", text)
    return [found[1]] if found else []


def reads(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and called(node) in READERS


def given_values(node: ast.AST) -> Iterator[ast.expr]:
    """What a node gives the variable: by assignment, a call such as setdefault, or a dictionary for update."""
    if isinstance(node, ast.Assign):
        if any(isinstance(target, ast.Subscript) and is_name(target.slice) for target in node.targets):
            yield node.value
    elif isinstance(node, ast.Call):
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        first, second = [*node.args[:2], None, None][:2]
        if is_name(first or named.get("key")):
            value = second or named.get("value") or named.get("default")
            if value:
                yield value
        elif VARIABLE in named and called(node) == "update":
            yield named[VARIABLE]
    elif isinstance(node, ast.Dict):
        yield from (value for key, value in zip(node.keys, node.values) if is_name(key))


def results(value: ast.expr, environment: Mapping[str, str]) -> list[str]:
    """What an expression may come to; nothing where that is not plain."""
    if isinstance(value, ast.Constant):
        return [value.value] if isinstance(value.value, str) else []
    if isinstance(value, ast.IfExp):
        return [*results(value.body, environment), *results(value.orelse, environment)]
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        # the first that is there
        return next((found for part in value.values if (found := results(part, environment))), [])
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return in_environment(value.slice.value, environment) if last_name(value.value) == "environ" else []
    if isinstance(value, ast.Call) and called(value) in READERS and value.args:
        name = value.args[0]
        found = in_environment(name.value, environment) if isinstance(name, ast.Constant) else []
        default = [
            *value.args[1:2],
            *(keyword.value for keyword in value.keywords if keyword.arg == "default"),
        ]
        return found or [module for part in default for module in results(part, environment)]
    return []


def in_environment(name: object, environment: Mapping[str, str]) -> list[str]:
    return [environment[name]] if isinstance(name, str) and environment.get(name) else []


def is_name(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == VARIABLE


def called(node: ast.Call) -> str:
    return last_name(node.func)


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
