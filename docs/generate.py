#!/usr/bin/env python
"""Writes the generated parts of the documentation, between two markers, and the JSON Schema of what users write.

Tables of variables come from the roles' argument specs, the reference of the apps' fields and the JSON Schema from the
fields that check them.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".collections"))

from ansible_collections.homeport.django.plugins.module_utils.app import setups  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, APP_NAME_HINT  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.queues import table as queues  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.validation import schema  # noqa: E402
from ansible_collections.homeport.django.plugins.module_utils.validation.json_schema import (  # noqa: E402
    DRAFT,
    json_schema,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (  # noqa: E402
    INPUTS,
    WIRED,
)

Row = tuple[str, str, str, str]
SCHEMA = ROOT / "docs/schema/apps.json"
FIELDS = re.compile(r"^( +)# generated: (\w+)\n.*?(?=^\1# end$)", re.DOTALL | re.MULTILINE)
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cell(text: Any) -> str:
    """Text in a cell of a table: one line, with Ansible's markup and bars as Markdown has them."""
    text = re.sub(r"\b[CVO]\((.*?)\)(?=[\s.,;:)(]|$)", r"`\1`", " ".join(str(text).split()))
    text = re.sub(r"`[^`]*`|<", lambda match: "&lt;" if match[0] == "<" else match[0], text)
    return text.replace("|", "\\|")


def code(value: Any) -> str:
    return f"`{value}`".replace("|", "\\|")


def table(rows: list[Row], first: str) -> str:
    lines = [f"| {first} | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


# Tables of variables, from argument specs


def variables(role: Path) -> str:
    """One table for all entry points: those of a role take the same variables."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    found: dict[str, Any] = {}
    for spec in specs.values():
        found.update(spec["options"])
    return table(list(variable_rows(found)), "variable")


def variable_rows(options: Mapping[str, Any], path: str = "") -> Iterator[Row]:
    for name, option in options.items():
        kind = f"list of {option['elements']}" if option["type"] == "list" else option["type"]
        if "choices" in option:
            kind = ", ".join(code(choice) for choice in option["choices"])
        default = "required" if option.get("required") else code(shown(option["default"]))
        # the rest of a list is generated from the fields, as the rows that follow are
        description = (
            option["description"] if isinstance(option["description"], str) else option["description"][0]
        )
        yield code(f"{path}{name}"), kind, default, cell(description)
        inside = "[]." if option["type"] == "list" else "."
        shape = fields_by_name(name)
        if shape:
            # an option without a meaning is in the program's own words
            yield from (row for row in field_rows(shape, f"{name}.<name>.") if row[3])
        elif not description.startswith("The same"):
            yield from variable_rows(option.get("options", {}), f"{path}{name}{inside}")


def fields_by_name(variable: str) -> schema.Object | None:
    """The fields of each entry of a variable whose entries have names, which no argument spec can describe."""
    known = {**INPUTS, **WIRED}.get(variable)
    return known.value if isinstance(known, schema.Map) and isinstance(known.value, schema.Object) else None


def specs(path: Path) -> str:
    """The argument specs of a role with the fields of such variables written anew."""
    return FIELDS.sub(lambda match: described(match[2], match[1]), path.read_text())


def described(variable: str, indent: str) -> str:
    """A line for each field, as entries of an option's description."""
    shape = fields_by_name(variable)
    assert shape, f"{variable} has no entries with names"
    rows = list(field_rows(shape))
    lines = [
        f"{name} ({', '.join(filter(None, [kind, told if told == 'required' else told and f'default: {told}']))}) - "
        f"{meaning}."
        for name, kind, told, meaning in rows
        if meaning
    ]
    own = [name for name, _kind, _default, meaning in rows if not meaning]
    lines += [f"{', '.join(own)} - options of the program itself."] if own else []
    texts = [re.sub(r"`([^`]*)`", r"C(\1)", line).replace("&lt;", "<").replace("\\|", "|") for line in lines]
    wrapped = [textwrap.wrap(text, 118 - len(indent), break_on_hyphens=False) for text in texts]
    entries = [f"{indent}- >-\n{textwrap.indent(chr(10).join(entry), f'{indent}  ')}\n" for entry in wrapped]
    return "".join([f"{indent}# generated: {variable}\n", *entries])


def shown(value: Any) -> str:
    """A default as one writes it in YAML, on one line."""
    return value if isinstance(value, str) and value else json.dumps(value)


# The fields of an app, from the schema


def fields(shape: schema.Object) -> str:
    return table(list(field_rows(shape)), "field")


def field_rows(shape: schema.Object, path: str = "") -> Iterator[Row]:
    for name, field in shape.fields.items():
        here = f"{path}{name}"
        yield code(here), kind(field), default(field), cell(meaning(field))
        inner = field
        while isinstance(inner, (schema.Map, schema.List)):
            here += ".<name>" if isinstance(inner, schema.Map) else "[]"
            inner = inner.value if isinstance(inner, schema.Map) else inner.item
        if isinstance(inner, schema.Object):
            yield from field_rows(inner, f"{here}.")


def kind(field: schema.Field) -> str:
    """What may be said, with its limits."""
    if isinstance(field, schema.Choice):
        return ", ".join(code(choice) for choice in field.choices)
    if isinstance(field, schema.Int):
        return f"integer from {field.low}" + (f" to {field.high}" if field.high < 2**31 else "")
    if isinstance(field, schema.List):
        return f"list: {kind(field.item)}"
    if isinstance(field, schema.Map):
        return f"dictionary: {kind(field.value)}"
    if isinstance(field, schema.Object) and field.short:
        return f"dictionary, or just `{field.short}`"
    return "text of several lines" if isinstance(field, schema.Str) and field.multiline else cell(field.kind)


def default(field: schema.Field) -> str:
    if field.required:
        return "required"
    if field.default is schema.MISSING or field.default == {}:
        return ""
    return code(shown(field.default))


def meaning(field: schema.Field) -> str:
    return field.doc or (field.item.doc if isinstance(field, schema.List) else "")


def table_of_setups() -> str:
    """What each setup gives an app that does not say."""
    lines = [
        "| setup | nginx in front | database | static files | cache | broker |",
        "|---|---|---|---|---|---|",
    ]
    for name, setup in setups.SETUPS.items():
        found = (setup.databases, setup.static, setup.caches)
        choices = [", ".join([f"**{first}**", *rest]) for first, *rest in found]
        cells = ["yes" if setup.proxy else "no", *choices, ", ".join(setup.brokers)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of_queues() -> str:
    """What goes with what, and what a stop and a kill mean."""
    lines = [
        "| `kind` | queue | brokers | `stop_signal` | `stop_timeout` | fields | a task whose worker is killed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, queue in queues.QUEUES.items():
        fields = ", ".join(code(field) for field in (*queue.fields, "options"))
        cells = [
            code(name),
            queue.title,
            ", ".join(queue.brokers),
            queue.stop_signal,
            f"{queue.stop_timeout} s",
        ]
        lines.append(f"| {' | '.join([*cells, fields, queue.killed])} |")
    return "\n".join(lines) + "\n"


def apps_schema() -> str:
    """The JSON Schema of a file such as group_vars/all/apps.yml, which may have any other variables."""
    apps = {
        "django_apps": schema.Map(APP, APP_NAME, APP_NAME_HINT, doc="the apps by name"),
        "vault_django_apps": schema.Map(SECRETS, APP_NAME, APP_NAME_HINT, doc="the apps' secrets by name"),
        "homeport_setup": schema.Choice(
            list(setups.SETUPS), doc="the setup whose playbook the servers are set up with"
        ),
        **INPUTS,
    }
    found = {
        "$schema": DRAFT,
        "title": "Variables of Homeport",
        "type": "object",
        "properties": {name: json_schema(field) for name, field in apps.items()},
    }
    return f"{json.dumps(found, indent=1)}\n"


def rendered(path: Path) -> str:
    """The text of a page with its generated parts written anew."""
    parts = {
        "variables": lambda: variables(path.parent),
        "app": lambda: fields(APP),
        "vault": lambda: fields(SECRETS),
        "setups": table_of_setups,
        "queues": table_of_queues,
    }
    return PART.sub(lambda match: f"{match[1]}\n{parts[match[2]]()}\n{match[3]}", path.read_text())


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("roles/*/README.md")), ROOT / "docs/apps.md", ROOT / "docs/workers.md"]


def main() -> None:
    texts = {path: specs(path) for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))}
    for path, text in texts.items():  # which the pages are made from
        if text != path.read_text():
            path.write_text(text)
            print(path.relative_to(ROOT))
    texts = {path: rendered(path) for path in pages()}
    for path, text in [*texts.items(), (SCHEMA, apps_schema())]:
        if not path.is_file() or text != path.read_text():
            path.write_text(text)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
