"""Every role has the same anatomy, and says of its inputs what is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.unit.support import CANARY

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
NAMES = [path.name for path in ROLES]
KNOWN_KEYS = {"description", "type", "elements", "default", "required", "choices", "options", "no_log"}
# What Ansible calls a task's keywords; the one that is left is the module.
KEYWORDS = {
    "name", "when", "register", "vars", "loop", "loop_control", "become", "become_user", "run_once", "delegate_to",
    "changed_when", "failed_when", "check_mode", "no_log", "tags", "notify", "until", "retries", "delay", "args",
    "any_errors_fatal", "throttle", "environment", "delegate_facts", "listen", "diff", "block", "rescue", "always",
}  # fmt: skip


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def specs(role: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(role / "meta/argument_specs.yml")["argument_specs"]
    return found


def task_files(role: Path) -> list[Path]:
    return sorted([*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")])


def tasks(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in items or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))


@pytest.fixture(params=ROLES, ids=NAMES)
def role(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_anatomy(role: Path) -> None:
    for name in (
        "README.md",
        "defaults/main.yml",
        "meta/main.yml",
        "meta/argument_specs.yml",
        "tasks/main.yml",
    ):
        assert (role / name).is_file(), name


def test_who_it_is_for(role: Path) -> None:
    info = load(role / "meta/main.yml")["galaxy_info"]
    assert info["author"] == "Homeport contributors"
    assert info["license"] == "MIT"


def test_defaults_and_specs_agree(role: Path) -> None:
    defaults = load(role / "defaults/main.yml") or {}
    for entry, spec in specs(role).items():
        stated = {name: option["default"] for name, option in spec["options"].items() if "default" in option}
        required = {name for name, option in spec["options"].items() if option.get("required")}
        assert stated == defaults, entry
        assert set(spec["options"]) == set(stated) | required, entry


def test_an_entry_point_for_every_task_file_that_others_call(role: Path) -> None:
    included = {
        match[1]
        for path in task_files(role)
        for match in re.finditer(r"(?:include|import)_tasks: (?:file: )?(\S+)\.yml", path.read_text())
    }
    assert {path.stem for path in role.glob("tasks/*.yml")} - included == set(specs(role))


def test_names_start_with_the_roles(role: Path) -> None:
    for name in load(role / "defaults/main.yml") or {}:
        assert name.startswith(f"{role.name}_"), name
    internal = f"__{role.name}_"
    for path in role.glob("vars/*.yml"):
        for name in load(path) or {}:
            assert name.startswith(internal), name
    for path in task_files(role):
        for task in tasks(load(path)):
            names = [*task.get("vars", {}), *filter(None, [task.get("register")])]
            assert all(name.startswith(internal) for name in names), (path.name, names)


def options(found: dict[str, dict[str, Any]], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in found.items():
        yield f"{path}{name}", option
        yield from options(option.get("options", {}), f"{path}{name}.")


def test_every_input_is_described(role: Path) -> None:
    for entry, spec in specs(role).items():
        assert spec["short_description"], entry
        assert spec["description"], entry
        for name, option in options(spec["options"]):
            parts = option["description"]
            for part in [parts] if isinstance(parts, str) else parts:
                assert part.strip().endswith("."), name
            assert option["type"] in {"str", "int", "bool", "list", "dict", "float", "path"}, name
            assert ("elements" in option) == (option["type"] == "list"), name
            assert option.get("required") or "default" in option, name
            assert set(option) <= KNOWN_KEYS, name
            assert "default" not in option or option["default"] in option.get(
                "choices", [option["default"]]
            ), name


def test_every_default_has_a_comment(role: Path) -> None:
    lines = (role / "defaults/main.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z]\w*:", line):
            assert lines[number - 1].startswith("#"), line


def test_tasks_are_named_and_their_modules_fully(role: Path) -> None:
    for path in task_files(role):
        for task in tasks(load(path)):
            assert task.get("name"), (path.name, task)
            modules = set(task) - KEYWORDS
            assert all(name.count(".") >= 2 for name in modules), (path.name, modules)


def test_no_error_is_passed_over(role: Path) -> None:
    for path in role.rglob("*.yml"):
        assert "ignore_errors" not in path.read_text(), path


def test_the_table_of_contents_is_short(role: Path) -> None:
    for path in task_files(role):
        assert len(path.read_text().splitlines()) <= 60, path


def test_a_service_role_knows_no_topology(role: Path) -> None:
    for path in role.rglob("*"):
        if path.is_file() and path.suffix in {".yml", ".j2"}:
            text = path.read_text()
            assert not re.search(r"\bgroups\[|\bgroups\.|hostvars", text), path
            if role.name not in {
                "django_app",
                "gunicorn",
                "whitenoise",
                "preflight",
                "django_q",
                "celery",
                "huey",
                "rq",
            }:
                assert "django_apps" not in text, path


def test_templates_mirror_where_they_go(role: Path) -> None:
    """A file's place in the role is its place on the host, so that one finds it."""
    tops = {"etc", "usr", "opt", "var", "config", "maintenance"}  # the last two: in the folder of an app
    for folder in ("files", "templates"):
        for path in (role / folder).rglob("*"):
            if path.is_file():
                assert path.relative_to(role / folder).parts[0] in tops, path


def test_secrets_are_marked() -> None:
    for path in ROLES:
        for spec in specs(path).values():
            for name, option in options(spec["options"]):
                if re.search(r"password|secret|token|private", name):
                    assert option.get("no_log") is True, name


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("django_app", {"django_app_apps": [{"blog": {"environment": {"KEY": CANARY}}}]}),
    ("django_app", {"django_app_apps": f"blog {CANARY}"}),
    ("postgres", {"postgres_databases": [{"name": "a", "owner": "a", "pasword": CANARY}]}),
    (
        "postgres",
        {"postgres_databases": [{"name": "a", "owner": "a", "password": CANARY, "extensions": {CANARY: 1}}]},
    ),
    ("postgres", {"postgres_databases": [{"name": "a", "password": CANARY}]}),
]


@pytest.mark.parametrize(("name", "given"), WRONG)
def test_what_is_refused_shows_no_secret(name: str, given: dict[str, Any]) -> None:
    found = ArgumentSpecValidator(specs(ROOT / "roles" / name)["main"]["options"]).validate(given)
    assert found.error_messages
    assert CANARY not in str(found.error_messages)


def test_the_validation_that_ansible_runs_shows_no_secret(tmp_path: Path) -> None:
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "roles": [{"role": "homeport.django.django_app", **WRONG[0][1]}],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-vvv",
        "-c",
        "local",
        "-i",
        "localhost,",
        str(tmp_path / "play.yml"),
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode
    assert "Validating arguments against arg spec" in done.stdout
    assert "unable to convert to dict" in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_no_order_is_that_of_a_set() -> None:
    """Ansible's filters of sets give their lists in another order in each run, and every run would change a file."""
    unordered = []
    for path in [*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/**/*.yml"), *ROOT.glob("roles/**/*.j2")]:
        for expression in re.findall(r"{{.*?}}|{%.*?%}", path.read_text(), re.DOTALL):
            found = re.search(r"\|\s*(difference|union|intersect|symmetric_difference)\(", expression)
            if found and not re.search(
                r"\| sort\b| if __differing \|", expression[found.start() :] + expression
            ):
                unordered.append(f"{path.relative_to(ROOT)}: {found[1]} without sort")
    assert unordered == []
