# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Fields as JSON Schema (draft 7), by which editors complete and check what users write.

It accepts whatever the fields accept, and templates of Jinja: what a template gives is known at run time. It refuses
less than the fields do, as rules between fields and objections to a value are code.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    MISSING,
    Bool,
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Scalar,
    Str,
)

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
TEMPLATE: Schema = {"type": "string", "pattern": r"\{[{%]"}
# An editor may read YAML 1.2, in which only true and false are booleans; Ansible reads YAML 1.1.
TRUTH = "[Tt]rue|[Ff]alse|[Yy]es|[Nn]o|[Oo]n|[Oo]ff"
# Python has all letters in \w, ECMAScript those of ASCII.
WORD = "0-9A-Za-z_\u0080-\U0010ffff"


def json_schema(field: Field) -> Schema:
    """A field with its meaning and its default."""
    found = _shape(field)
    doc = field.doc or (field.item.doc if isinstance(field, List) else "")
    if doc:
        found = {"description": doc, **found}
    if field.default is not MISSING and field.default != {}:
        found["default"] = field.default
    return found


def _shape(field: Field) -> Schema:
    if isinstance(field, Object):
        return _object(field)
    if isinstance(field, Map):
        key = {"pattern": whole(field.key.pattern)}
        return _either(
            {"type": "object", "propertyNames": key, "additionalProperties": json_schema(field.value)},
            TEMPLATE,
        )
    if isinstance(field, List):
        return _list(field)
    if isinstance(field, Scalar):
        own = [_shape(reference) for reference in [getattr(field, "reference", None)] if reference]
        types = ["string", "number", "boolean", *(["null"] if own else [])]
        return _either({"type": types}, *own)
    return _word(field)


def _word(field: Field) -> Schema:
    """A text, number, boolean or choice."""
    if isinstance(field, Choice):
        return _either({"enum": field.choices}, TEMPLATE)
    if isinstance(field, Bool):
        return {"type": ["boolean", "string"], "pattern": templated(TRUTH)}
    if isinstance(field, Int):
        limits = {"minimum": field.low, "maximum": field.high}
        return {
            "type": ["integer", "string"],
            **limits,
            "pattern": templated("|".join([*field.words, "-?[0-9]{1,10}"])),
        }
    if isinstance(field, Str):
        return {"type": "string", **({"pattern": templated(field.pattern.pattern)} if field.pattern else {})}
    raise TypeError(f"{type(field).__name__} has no form in JSON Schema")


def _object(field: Object) -> Schema:
    properties = {
        name: json_schema(part) if part.required else _or_null(json_schema(part))
        for name, part in field.fields.items()
    }
    found: Schema = {"type": "object", "properties": properties}
    required = [name for name, part in field.fields.items() if part.required]
    if required and not field.may_be_empty:
        found["required"] = required
    if not field.others:
        found["additionalProperties"] = False
    return _either(found, _shape(field.fields[field.short]) if field.short else TEMPLATE)


def _list(field: List) -> Schema:
    item = json_schema(field.item)
    found: Schema = {"type": "array", "items": item}
    if field.least:
        found["minItems"] = field.least
    if field.unique:
        found["uniqueItems"] = True
    return _either(found, *([] if field.strict else [_shape(field.item)]), TEMPLATE)


def _or_null(schema: Schema) -> Schema:
    """A field that is nothing is one that is not there."""
    shape = {name: schema[name] for name in schema if name not in ("description", "default")}
    kept = {name: schema[name] for name in schema if name not in shape}
    return {**kept, **_either(shape, {"type": "null"})}


def _either(*schemas: Schema) -> Schema:
    """One schema for several; in one level where their types tell them apart, which editors show best."""
    found: list[Schema] = []
    for schema in schemas:
        for one in schema.get("anyOf", [schema]):
            if one == TEMPLATE and any(map(_takes_templates, found)):
                continue
            merged = _merged(found[0], one) if found else None
            found = [merged, *found[1:]] if merged else [*found, one]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _merged(one: Schema, other: Schema) -> Schema | None:
    if {"type"} != one.keys() & other.keys() or set(_types(one)) & set(_types(other)):
        return None
    return {**one, **other, "type": [*_types(one), *_types(other)]}


def _takes_templates(schema: Schema) -> bool:
    pattern = str(schema.get("pattern", TEMPLATE["pattern"]))
    return "string" in _types(schema) and pattern.endswith(TEMPLATE["pattern"])


def _types(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def templated(pattern: str) -> str:
    return f"{whole(pattern)}|{TEMPLATE['pattern']}"


def whole(pattern: str) -> str:
    """A pattern of Python that has to match a whole text, as ECMAScript has it, also with its flag u."""

    def ecma(match: re.Match[str]) -> str:
        if match["set"]:
            return re.sub(r"\\(.)", lambda found: WORD if found[1] == "w" else escape(found), match["set"])
        return f"[{WORD}]" if match[0] == r"\w" else escape(match)

    def escape(match: re.Match[str]) -> str:
        # there no character may be escaped that means nothing
        return match[0][1:] if match[0][1] in "'\"`" else match[0]

    return f"^(?:{re.sub(PARTS, ecma, pattern)})$"


# A set of characters, or a backslash with what follows it.
PARTS = r"(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|\\."
