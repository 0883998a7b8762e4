"""Whatever stands in a definition: it is refused with its field named, or it arrives as it is written."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.action.preflight import unknown_apps
from ansible_collections.homeport.django.plugins.module_utils.app.check import check, parse
from ansible_collections.homeport.django.plugins.module_utils.app.environment import RELEASE_ENVIRONMENT
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.local_files import local_files
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, RESERVED_NAMES
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import INSTANCE
from ansible_collections.homeport.django.plugins.module_utils.validation import sandboxed
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (
    INPUTS,
    problems_of,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Field,
    Map,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import app_files
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import certificates, topology
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import (
    release_secrets,
    release_specs,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import SUPERVISORD_INSTANCE
from ansible_collections.homeport.django.plugins.plugin_utils.origin import place as place_of

from tests.hostile import KEYS, MARK, NASTY, ODD, WRONG, Author, leaves, place, takes, text, texts
from tests.unit.support import SECRET, app

DEFINITIONS = 500
CARELESSNESS = (0, 0.03, 0.15, 0.5)
# Fields whose values a message may show: they are no secrets, and it would not be clear without them.
SHOWN = re.compile(
    r"(domains|aliases|web\.port|(cache|broker)\.port|databases?\.(\w+\.)?name)|is not a field here|there is no "
)


def definition(seed: int) -> tuple[str, Any, Any]:
    author = Author(seed, CARELESSNESS[seed % len(CARELESSNESS)])
    setup = author.rng.choice(list(SETUPS))
    fields, secrets = author.definition("blog")
    return setup, fields, secrets


def well_said(problems: list[str]) -> None:
    """Each problem begins with a field, is one line, and does not show what stands there."""
    for problem in problems:
        assert re.match(r"(vault_)?django_apps\.blog(\.\S.*?)?: \S", problem) or problem.startswith(
            "homeport_"
        ), problem
        assert problem.isprintable(), problem
        assert len(problem) < 2000, problem[:2000]
        assert MARK not in problem or SHOWN.search(problem), problem


def test_500_definitions() -> None:
    accepted = 0
    for seed in range(DEFINITIONS):
        setup, fields, secrets = definition(seed)
        apps, vault = {"blog": fields}, {"blog": secrets} if secrets else {}
        found = check(apps, vault, SECRET, setup)
        well_said(found)
        if found:
            continue
        accepted += 1
        arrives(fields, secrets, resolve(apps, vault, SECRET, setup)["blog"])
    # neither does everything go through, nor nothing
    assert DEFINITIONS / 10 < accepted < DEFINITIONS / 2


def arrives(fields: dict[str, Any], secrets: dict[str, Any], found: dict[str, Any]) -> None:
    """What a definition says is what the roles are told."""
    environment = {**found["environment"], **found["release_environment"]}
    known = {**found["environment"], **dict.fromkeys(RELEASE_ENVIRONMENT, "\0")}
    for name, value in {**(fields.get("env") or {}), **(secrets.get("env") or {})}.items():
        if value is None:
            continue
        if not isinstance(value, dict):
            assert environment[name] == str(value)
        elif "from" in value:
            assert environment[name] == known[value["from"]]
        elif not any(f"{{{other}}}" in value["format"] for other in known):
            assert environment[name] == value["format"]
    told = set(texts([found, app_files({"blog": found}), release_specs({"blog": found})]))
    told |= set(found["files"]) | set(texts(release_secrets({"blog": found})))
    told.add(Path(found["database"].get("name", "")).name.removesuffix(".sqlite3"))
    told.add(found["database"].get("url", "").partition("://")[0])
    # what the app has none of, or the vault an address of, is not what its own host has
    services = ("database", "cache", "broker")
    elsewhere = {name for name in services if f"{name}_url" in secrets or found[name]["engine"] == "none"} | {
        "env"
    }
    for given in texts({key: value for key, value in fields.items() if key not in elsewhere}):
        # a number may be written as a text, which is what `-e` gives
        assert given in told or given.isdigit(), given
    files = {entry["path"]: str(entry.get("content")) for entry in app_files({"blog": found})}
    # after the variables that each has of its own
    for name, process in found["processes"].items():
        command = process["command"].replace(INSTANCE, SUPERVISORD_INSTANCE)
        assert files[f"/srv/blog/config/processes/{name}"].endswith(f"exec {command}\n")
    for name, schedule in found["schedules"].items():
        assert files[f"/srv/blog/config/processes/{name}"].endswith(f"{schedule['command']}\n")


def test_no_definition_stops_the_preflight() -> None:
    groups: list[dict[str, Any]] = [
        {},
        {"app_servers": ["a", "b"], "database_servers": ["b"], "cache_servers": ["c"]},
    ]
    for seed in range(DEFINITIONS):
        setup, fields, secrets = definition(seed)
        rng = random.Random(seed)
        apps: Any = rng.choice([{"blog": fields}] * 8 + [{"blog": rng.choice(WRONG)}, rng.choice(WRONG)])
        vault: Any = rng.choice([{"blog": secrets}] * 8 + [{"blog": rng.choice(WRONG)}, rng.choice(WRONG)])
        settings = {"certificates_email": "", "certificates_dns_server": "", "certificates_dns_auth_hook": ""}
        parsed = parse(apps, vault, SECRET, setup)
        problems = [
            *topology(parsed, groups[seed % 2], setup),
            *certificates(parsed, settings, groups[seed % 2], setup),
            *local_files(parsed, "/nonexistent"),
            *sandboxed.problems(parsed.apps, {}),
            *unknown_apps(rng.choice(WRONG), apps, True),
        ]
        for problem in problems:
            assert problem.isprintable(), problem
            place_of(problem, {"django_apps": apps, "vault_django_apps": vault})


def values(field: Field, rng: random.Random) -> list[Any]:
    return [*rng.sample(WRONG, 6), rng.choice(ODD), rng.choice(NASTY), text(rng), text(rng)]


@pytest.mark.parametrize(
    ("root", "shape"), [("django_apps", APP), ("vault_django_apps", SECRETS)], ids=["apps", "vault"]
)
def test_every_field_is_named_when_its_value_is_refused(root: str, shape: Object) -> None:
    rng = random.Random(1)
    for path, field in leaves(shape):
        for value in values(field, rng) if path else []:
            if value is None or takes(field, value):
                continue
            fields: dict[str, Any] = app()
            secrets: dict[str, Any] = {}
            target = fields if root == "django_apps" else secrets
            target[path[0]] = place(value, path[1:])
            found = check({"blog": fields}, {"blog": secrets}, SECRET, "site")
            well_said(found)
            where = "".join(f"[{step}]" if step == 0 else f".{step}" for step in path)
            # where a lone value may stand for a list or a dictionary, or where a key is wrong, what is around it
            named = [problem.partition(": ")[0].removeprefix(f"{root}.blog") for problem in found]
            assert any(name.startswith(where) or where.startswith(name) for name in named), (
                path,
                value,
                found,
            )


def test_names_of_apps() -> None:
    rng = random.Random(4)
    for name in [*ODD, *NASTY, *KEYS, *(text(rng) for _ in range(200)), None, True, 3, 1.5, ("a",)]:
        for root, found in (
            ("django_apps", check({name: app()}, {}, SECRET, "site")),
            ("vault_django_apps", check({}, {name: {}}, SECRET, "site")),
        ):
            if isinstance(name, str) and re.fullmatch(APP_NAME, name) and name not in RESERVED_NAMES:
                continue
            assert any(problem.startswith(root) for problem in found), name
            assert all(problem.isprintable() for problem in found), name


def test_every_text_is_tried_with_something_that_it_takes() -> None:
    """Lest a field is never accepted, and so never seen to arrive."""
    for shape in (APP, SECRETS, *INPUTS.values()):
        for path, field in leaves(shape):
            if isinstance(field, Str):
                assert any(takes(field, word) for word in ODD), path


def test_hostile_inputs_of_roles_are_refused_by_name() -> None:
    rng = random.Random(2)
    for name, shape in INPUTS.items():
        for path, field in leaves(shape):
            for value in values(field, rng):
                if value is None or takes(field, value):
                    continue
                found = problems_of({name: place(value, path)})
                assert found, (name, path, value)
                for problem in found:
                    assert re.match(rf"{name}[^:]*: \S", problem), problem
                    assert problem.isprintable()
                    assert MARK not in problem or SHOWN.search(problem) or ".x y" in problem, problem


def test_names_that_are_close_are_told() -> None:
    for field in APP.fields:
        wrong = field[:-1] + "zz"
        assert any(
            closest(wrong, list(APP.fields)) in problem
            for problem in check({"blog": app(**{wrong: 1})}, {}, SECRET, "site")
        )


def test_maps_and_objects_are_walked() -> None:
    """The walk itself: what a schema says is reached."""
    reached = {path for path, _field in leaves(APP)}
    assert ("proxy", "extra") in reached
    assert ("processes", "a", "queues", 0) in reached
    assert all((name,) in reached for name in APP.fields)
    assert isinstance(APP.fields["files"], Map)
    problems = Problems()
    APP.check(place("x", ("files", "a", "content")), "", problems)
    assert all(": is required" in problem for problem in problems)
