# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A small vocabulary for describing the shape of user data.

Each checker takes a value and its path, adds every problem it finds to a list and
returns the normalised value. Problems never quote a value: it may be a secret.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable

MISSING = object()

# Characters: a line that a person writes, and a text of several lines.
LONGEST_LINE = 10_000
LONGEST_TEXT = 1_000_000
# Bytes: Linux takes 128 KiB for one argument or one variable of an environment, with its name and what ends it.
LONGEST_VALUE = 128 * 1024 - 1


class Problems(list[str]):
    """The problems found so far, as ``path: what is wrong`` strings."""

    def add(self, path: str, message: str) -> None:
        self.append(f"{path}: {message}")


# Sees a whole dictionary, with its path.
Rule = Callable[[dict[str, Any], str, Problems], None]


def type_name(value: Any) -> str:
    """The YAML name of the type of ``value``, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, datetime.date):
        return "a date"
    return f"a {type(value).__name__}"


def unwritable(text: str) -> str:
    """Why no file can hold ``text`` as it is; empty where one can."""
    if "\0" in text:
        return "contains a NUL byte"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half a character (a lone surrogate)"
    return ""


def breaks_line(text: str) -> bool:
    """Whether some program would take ``text`` for more than one line."""
    return text.splitlines() not in ([], [text])


def controls(text: str) -> bool:
    """Whether ``text`` has characters that move a terminal's cursor, or do nothing that one can see."""
    return any(unicodedata.category(char) == "Cc" and char != "\t" for char in text)


class Field:
    """A value of any type. ``default`` is used when the field is absent."""

    kind = "any"

    def __init__(self, doc: str = "", default: Any = MISSING, required: bool = False) -> None:
        self.doc = doc
        self.default = default
        self.required = required

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        return value

    def accepts(self, value: Any) -> bool:
        """Whether a union may hand ``value`` to this checker."""
        return True


class Str(Field):
    """A one-line string; ``pattern`` must match all of it and ``hint`` says what would.

    ``most`` is the number of characters that it may have.
    """

    kind = "string"
    several_lines = "must be a single line"

    def __init__(
        self,
        doc: str = "",
        pattern: str = "",
        hint: str = "",
        multiline: bool = False,
        most: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(doc, **options)
        self.pattern = re.compile(pattern) if pattern else None
        self.hint = hint
        self.multiline = multiline
        self.most = most or (LONGEST_TEXT if multiline else LONGEST_LINE)

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, str):
            problems.add(path, f"must be a string, not {type_name(value)}{quote_hint(value)}")
            return value
        if unwritable(value):
            problems.add(path, f"{unwritable(value)}, which no configuration file can hold")
        elif len(value) > self.most:
            problems.add(path, f"must have at most {self.most} characters")
        elif not self.multiline and breaks_line(value):
            problems.add(path, self.several_lines)
        elif not self.multiline and controls(value):
            problems.add(path, "contains a control character")
        elif self.pattern and not self.pattern.fullmatch(value):
            problems.add(path, self.hint or f"must match {self.pattern.pattern}")
        else:
            problems.extend(f"{path}: {found}" for found in [self.objection(value)] if found)
        return str(value)

    def objection(self, value: str) -> str:
        """What else is wrong with a value that is right up to here; empty where nothing is."""
        return ""


def quote_hint(value: Any) -> str:
    """What helps where YAML has made something else of a text: a number, a boolean, a date."""
    return " (put it in quotes)" if isinstance(value, (int, float, datetime.date)) else ""


class Scalar(Field):
    """A string, number or boolean, kept as the string that an environment variable holds."""

    kind = "string, number or boolean"
    wanted = "must be a string, a number or a boolean"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (str, int, float, bool))

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not self.accepts(value):
            problems.add(path, f"{self.wanted}, not {type_name(value)}{quote_hint(value)}")
            return ""
        if isinstance(value, float) and not math.isfinite(value):
            problems.add(path, "is not a number that could be written down (put it in quotes)")
        elif isinstance(value, str) and unwritable(value):
            problems.add(path, f"{unwritable(value)}, which an environment cannot hold")
        elif isinstance(value, str) and len(value.encode()) > LONGEST_VALUE:
            problems.add(path, f"must have at most {LONGEST_VALUE} bytes")
        return str(value)


class Int(Field):
    """A whole number from ``low`` to ``high``, or one of ``words``."""

    kind = "integer"

    def __init__(
        self, doc: str = "", low: int = 0, high: int = 2**31, words: tuple[str, ...] = (), **options: Any
    ) -> None:
        super().__init__(doc, **options)
        self.low = low
        self.high = high
        self.words = words

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):  # what `-e` and Jinja give
            value = int(value)
        if not self.accepts(value):
            wanted = " or ".join([*self.words, "a whole number"])
            problems.add(path, f"must be {wanted}, not {type_name(value)}")
        elif not self.low <= value <= self.high:
            problems.add(path, f"must be from {self.low} to {self.high}")
        return value


class Bool(Field):
    """true or false."""

    kind = "boolean"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if value in ("True", "False", "true", "false"):  # what `-e` and Jinja give
            value = value in ("True", "true")
        if not isinstance(value, bool):
            problems.add(path, f"must be true or false, not {type_name(value)}")
        return value


class Choice(Field):
    """One of a few words."""

    kind = "choice"

    def __init__(self, choices: list[str], doc: str = "", **options: Any) -> None:
        super().__init__(doc, **options)
        self.choices = choices

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, str):
            problems.add(
                path, f"must be one of {', '.join(self.choices)}, not {type_name(value)}{quote_hint(value)}"
            )
            return ""
        elif value not in self.choices:
            problems.add(path, f"must be one of {', '.join(self.choices)}{closest(value, self.choices)}")
        return value


class List(Field):
    """A list whose items all have one type. A lone item is taken as a list of one, unless it is ``strict``."""

    kind = "list"

    def __init__(
        self,
        item: Field,
        doc: str = "",
        unique: bool = False,
        least: int = 0,
        strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(doc, **options)
        self.item = item
        self.strict = strict
        self.unique = unique
        self.least = least

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (list, tuple)) or (not self.strict and self.item.accepts(value))

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, (list, tuple)):
            if self.strict or not self.item.accepts(value):
                problems.add(path, f"must be a list, not {type_name(value)}")
                return []
            value = [value]
        items = [self.item.check(item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
        if len(items) < self.least:
            problems.add(path, f"must have at least {self.least} item{'s' if self.least > 1 else ''}")
        if self.unique:
            for index, item in enumerate(items):
                if item in items[:index]:
                    problems.add(f"{path}[{index}]", "is there twice")
        return items


class Map(Field):
    """A dictionary whose keys match one pattern and whose values have one type."""

    kind = "dictionary"

    def __init__(
        self, value: Field, key: str, key_hint: str, doc: str = "", rule: Rule | None = None, **options: Any
    ) -> None:
        super().__init__(doc, **options)
        self.value = value
        self.key = re.compile(key)
        self.key_hint = key_hint
        self.rule = rule

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a dictionary, not {type_name(value)}")
            return {}
        result = {}
        for key, item in value.items():
            if not isinstance(key, str) or not self.key.fullmatch(key) or unwritable(key) or controls(key):
                problems.add(path, f"{printable(key)} is not a good name here: {self.key_hint}")
                continue
            result[str(key)] = self.value.check(item, f"{path}.{key}", problems)
        if self.rule:
            self.rule(result, path, problems)
        return result


class Object(Field):
    """A dictionary with known fields.

    ``short`` names the field that a lone value stands for. With ``others`` there may be further fields, which nobody
    looks at; one that ``may_be_empty`` has its required fields only where it has any.
    """

    kind = "dictionary"

    def __init__(
        self,
        fields: dict[str, Field],
        doc: str = "",
        short: str = "",
        rule: Rule | None = None,
        others: bool = False,
        may_be_empty: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(doc, **options)
        self.fields = fields
        self.short = short
        self.rule = rule
        self.others = others
        self.may_be_empty = may_be_empty

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Mapping) or bool(self.short and self.fields[self.short].accepts(value))

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if not isinstance(value, Mapping) and self.short and self.fields[self.short].accepts(value):
            value = {self.short: value}
        if not isinstance(value, Mapping):
            known = ", ".join(self.fields)
            problems.add(path, f"must be a dictionary with fields among {known}; it is {type_name(value)}")
            return self.blank()
        if self.may_be_empty and not value:
            return {}
        names = list(self.fields)
        for key in value:
            if key not in self.fields and not self.others:
                guess = closest(key, names)
                problems.add(
                    f"{path}.{printable(key)}",
                    f"is not a field here{guess}; known fields: {', '.join(names)}",
                )
        result = {}
        for name, field in self.fields.items():
            given = value.get(name)
            if given is not None:
                result[name] = field.check(given, f"{path}.{name}", problems)
            elif field.required:
                problems.add(f"{path}.{name}", f"is required: {field.doc}")
            elif field.default is not MISSING:
                result[name] = field.check(field.default, f"{path}.{name}", problems)
        if self.rule:
            self.rule(result, path, problems)
        return result

    def blank(self) -> dict[str, Any]:
        """The value of this object when nothing is given (required fields left out)."""
        return {
            name: field.check(field.default, "", Problems())
            for name, field in self.fields.items()
            if field.default is not MISSING
        }
