"""Options of ansible-playbook that would do nothing are refused, and those of the user's own inventory are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import pytest
import yaml
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.collections import ImmutableDict
from ansible_collections.homeport.django.plugins.filter.apps import hosts_of
from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.plugin_utils.command_line import (
    PREFIXES,
    RENAMED,
    deprecations,
    left_by_limit,
    left_out,
    no_inventory,
    typed_names,
    unread,
    useless_tags,
)
from ansible_collections.homeport.django.plugins.plugin_utils.playbook_variables import PLAYBOOKS

ROOT = Path(__file__).parents[2]
ROLES = tuple(f"{path.name}_" for path in (ROOT / "roles").iterdir() if path.is_dir())
ANSIBLES = {
    "groups", "group_names", "hostvars", "inventory_dir", "inventory_hostname", "item", "playbook_dir", "play_hosts",
    "dict", "range", "omit", "lookup", "query", "role_path", "undef",
}  # fmt: skip


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a playbook, with the key that it stands at."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value


def names_read(key: str, text: str) -> set[str]:
    expression = key in ("when", "that", "until", "changed_when", "failed_when") and "{{" not in text
    tree = jinja2.Environment().parse(f"{{{{ {text} }}}}" if expression else text)
    found = {node.name for node in tree.find_all(jinja2.nodes.Name) if node.ctx == "load"}
    return found | set(re.findall(r"lookup\('vars', '(\w+)'", text))


def names_set(value: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        found |= set(value.get("vars") or {}) | set(value.get("ansible.builtin.set_fact") or {})
        found |= {value["register"]} if "register" in value else set()
        for item in value.values():
            found |= names_set(item)
    elif isinstance(value, list):
        for item in value:
            found |= names_set(item)
    return found


def names_of(value: Any) -> set[str]:
    return {name for key, text in texts(value) for name in names_read(key, text)}


def everything(path: Path) -> list[Any]:
    """The content of a playbook, and of those that it imports."""
    plays = yaml.safe_load(path.read_text())
    imported = [play["ansible.builtin.import_playbook"] for play in plays if "hosts" not in play]
    return plays + [play for name in imported for play in everything((path.parent / name).resolve())]


def read_by(playbook: Path) -> set[str]:
    """The variables that a playbook reads, also by those of playbooks/vars that it uses."""
    plays = everything(playbook)
    shared: dict[str, Any] = {}
    for path in (ROOT / "playbooks/vars").glob("*.yml"):
        shared.update(yaml.safe_load(path.read_text()))
    read = names_of(plays)
    if playbook.stem == "new_site":
        for path in (ROOT / "playbooks/templates/new_site").rglob("*.j2"):
            read |= names_read("", path.read_text())
    while more := {found for name in read & set(shared) for found in names_of({name: shared[name]})} - read:
        read |= more
    roles = set(re.findall(r"'name': 'homeport\.django\.(\w+)'", str(plays)))
    configured = [role for role in roles if "homeport.django.service_config" in tasks_of(role)]
    read |= {"full", "restart"} if configured else set()  # its action plugin reads them
    given = {*ANSIBLES, *shared, *names_set(plays), *RENAMED}
    return {
        name for name in read - given if not name.startswith((*PREFIXES, *ROLES, "homeport_", "django_apps"))
    }


def tasks_of(role: str) -> str:
    return "".join(path.read_text() for path in (ROOT / "roles" / role / "tasks").glob("*.yml"))


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_the_list_of_variables_is_what_the_playbook_reads(playbook: Path) -> None:
    assert read_by(playbook) == set(PLAYBOOKS[playbook.stem])


def test_each_list_is_of_a_playbook() -> None:
    assert {path.stem for path in (ROOT / "playbooks").glob("*.yml")} == set(PLAYBOOKS)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What is refused of options, with the playbook and the inventory of a site's folder."""
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod" / "hosts.yml").write_text("app_servers: {hosts: {web1: {release: v0, apps: [x]}}}\n")
    (tmp_path / "prod" / "page.html.j2").write_text("{{ motto }}{# apps #} version")
    (tmp_path / "prod" / "backup.yml").write_text("# {{ apps }}: name, version\n- when: colour == 'red'\n")
    (tmp_path / "deploy.yml").write_text("- ansible.builtin.import_playbook: homeport.django.deploy\n")
    hosts = [{"release": "{{ tag | default('main') }}", "django_apps": {"blog": {}}}]

    def problems(*options: str, playbook: str = "deploy.yml") -> list[str]:
        path = playbook if playbook.startswith("homeport.") else str(tmp_path / playbook)
        arguments = {"extra_vars": options, "args": (path,)}
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(arguments))
        hosts[0].update(dict.fromkeys(typed_names(options), "x"))
        return unread(hosts, [str(tmp_path / "prod")], ROLES)

    problems.folder = tmp_path  # type: ignore[attr-defined]
    return problems


@pytest.mark.parametrize(
    ("option", "meant"),
    [("ap=blog", "app"), ("app_=blog", "app"), ("fulll=true", "full"), ("unlok=true", "unlock"), ('{"ap": 1}', "app"),
     ("forec=true", ""), ("version=red", "")],
)  # fmt: skip
def test_a_variable_that_nothing_reads_is_refused(typed: Any, option: str, meant: str) -> None:
    (problem,) = typed("app=blog", option)
    name = re.findall(r"\w+", option)[0]
    assert problem == f"-e {name}: nothing reads this variable" + (
        f" (did you mean '{meant}'?)" if meant else ""
    )


OWN_PLAYS = """\
- hosts: app_servers
  tasks:
    - ansible.builtin.debug: {var: release}
      when: [force is defined]
    - ansible.builtin.assert:
        that: [sit == 'x']
    # ap
- import_playbook: homeport.django.deploy
"""


def test_plays_of_the_operators_own_may_read_what_looks_like_a_mistake(typed: Any) -> None:
    (typed.folder / "ours.yml").write_text(OWN_PLAYS)
    assert typed("release=1", "sit=x", "force=1", playbook="ours.yml") == []
    assert len(typed("ap=blog", playbook="ours.yml")) == 1


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_deprecated_name_works_and_names_its_successor(typed: Any, old: str, new: str) -> None:
    playbooks = [name for name, read in PLAYBOOKS.items() if new in read] or ["deploy"]
    assert typed(f"{old}=1", playbook=f"homeport.django.{playbooks[0]}") == []
    (message,) = deprecations([old, "app"])
    assert f"variable {old} is deprecated" in message
    assert f"-e {new}=" in message
    assert deprecations([new, "app"]) == []
    # the new name wins, the old one is what the playbook falls back to
    sources = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]
    text = " ".join(path.read_text() for path in sources)
    assert re.search(rf"\b{new} (\| default\(|or ){old}\b", text)


@pytest.mark.parametrize(
    "option",
    ["app=blog full=true", "ansible_user=root", "nginx_sandbox=false", "homeport_setup=site",
     "homeport_address=10.0.0.7", "homeport_memory_overcommit=true", "@/nowhere/vars.yml",
     "tag=v1", "motto=x", "colour=red", "{not yaml", '{"app": "blog"}'],
)  # fmt: skip
def test_what_homeport_or_the_inventory_reads_is_not(typed: Any, option: str) -> None:
    assert typed(option) == []


@pytest.mark.parametrize(
    "option",
    ["command=migrate --database=other", "command=shell -c x=1", "app=blog command=shell -c 'x: 1' more",
     "app=blog release=v1"],
)  # fmt: skip
def test_a_command_has_words_of_its_own(typed: Any, option: str) -> None:
    assert typed(option, playbook="homeport.django.manage") == []


@pytest.mark.parametrize(
    ("playbook", "option", "told"),
    [
        ("deploy", "apps=blog", "-e apps: nothing reads this variable (did you mean 'app'?)"),
        ("deploy", "to=v1", "-e to: nothing reads this variable"),
        ("deploy", "release=v1", "-e release: nothing reads this variable; manage reads it"),
        ("deploy", "site=x", "-e site: nothing reads this variable; new_site reads it"),
        ("deploy", "version=main", "-e version: nothing reads this variable"),
        ("rollback", "release=v1", "-e release: nothing reads this variable; manage reads it"),
        ("backup", "restore=true", "-e restore: nothing reads this variable; rollback reads it"),
        ("status", "allow_auth_downtime=true", "-e allow_auth_downtime: nothing reads this variable"),
        # names below the prefix of a role, or of Homeport, which nobody has
        ("deploy", "host_app=blog", "-e host_app: nothing reads this variable"),
        ("deploy", "homeport_app=blog", "-e homeport_app: nothing reads this variable"),
        ("deploy", "nginx_http2=false", "-e nginx_http2: nothing reads this variable"),
        # what Ansible ignores
        ("deploy", "app:blog", "-e app: has a word without a value; write app=VALUE"),
        ("deploy", "ap: blog", "-e ap: has a word without a value; write ap=VALUE"),
        ("deploy", "x", "-e: has a word without a value; write NAME=VALUE, and quote a value with spaces"),
        (
            "deploy",
            "app=blog x",
            "-e: has a word without a value; write NAME=VALUE, and quote a value with spaces",
        ),
    ],
)
def test_what_another_playbook_reads_is_refused(typed: Any, playbook: str, option: str, told: str) -> None:
    for name in (f"homeport.django.{playbook}", str(ROOT / f"playbooks/{playbook}.yml"), "own.yml"):
        (Path(typed.folder) / "own.yml").write_text(
            f"- ansible.builtin.import_playbook: homeport.django.{playbook}\n"
        )
        assert [line.partition(" (did you mean")[0] for line in typed(option, playbook=name)] == [
            told.partition(" (did you mean")[0]
        ]


def test_what_several_playbooks_of_a_file_read_is_not(typed: Any) -> None:
    own = "".join(f"- import_playbook: homeport.django.{name}\n" for name in ("site", "backup"))
    (Path(typed.folder) / "all.yml").write_text(own)
    assert typed("drill=true", playbook="all.yml") == []
    assert typed("drill=true") != []


def test_a_play_of_the_users_own_may_read_anything_else(typed: Any, tmp_path: Path) -> None:
    own = "- ansible.builtin.import_playbook: homeport.django.deploy\n- hosts: all\n  roles: [other.role]\n"
    (tmp_path / "own.yml").write_text(own)
    assert typed("version=red", playbook="own.yml") == []
    assert typed("ap=blog", playbook="own.yml") != []
    assert typed("version=red", playbook=str(ROOT / "playbooks/deploy.yml")) != []


@pytest.mark.parametrize(
    ("groups", "given", "expected"),
    [
        ({"app_servers": ["web1"]}, [], ""),
        ({"all": []}, ["/etc/ansible/hosts"], "The command names no inventory with hosts: add -i prod."),
        ({"all": []}, ["/nowhere/prd"], "There is no inventory '/nowhere/prd': add -i prod."),
        (
            {"all": ["db1"]},
            ["prod"],
            "The inventory's group app_servers has no host; name at least one there.",
        ),
    ],
)
def test_what_to_type_where_there_is_no_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: dict[str, Any], given: list[str], expected: str
) -> None:
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod" / "hosts.yml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict({"inventory": given}))
    assert no_inventory(groups, "app_servers") == (f"{expected} Nothing was changed." if expected else "")


def test_every_playbook_begins_with_a_play_that_finds_hosts() -> None:
    for path in (ROOT / "playbooks").glob("*.yml"):
        first = yaml.safe_load(path.read_text())[0]
        begins = str(first.get("ansible.builtin.import_playbook", first.get("hosts")))
        assert re.search(r"preflight\.yml$|hosts_of|^localhost$", begins), path


GROUPS = {
    "all": ["web1", "web2", "db1", "else1"],
    "app_servers": ["web1", "web2"],
    "database_servers": ["db1"],
    "others": ["else1"],
}


@pytest.mark.parametrize(
    ("limit", "names", "left"),
    [
        (None, ["app_servers"], True),
        ("web2", ["app_servers"], True),
        ("web*,!web1", ["app_servers"], True),
        ("all:!app_servers", ["app_servers"], False),
        ("db1", ["app_servers"], False),
        ("db1", ["app_servers", "database_servers"], True),
        ("others", ["app_servers", "database_servers"], False),
        ("app_servers:&database_servers", ["app_servers"], False),
    ],
)
def test_a_limit_that_leaves_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, names: list[str], left: bool
) -> None:
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict({"subset": limit}))
    expected = (
        f"--limit {printable(str(limit))} leaves no host of {' and '.join(names)}. Nothing was changed."
    )
    assert left_by_limit(GROUPS, names) == ("" if left else expected)
    if left:
        assert hosts_of(GROUPS, *names) == ":".join(names)
    else:
        with pytest.raises(AnsibleFilterError, match="leaves no host of"):
            hosts_of(GROUPS, *names)
        assert hosts_of(GROUPS, *names, optional=True) == ":".join(names)


def test_what_a_limit_leaves_out() -> None:
    assert left_out(GROUPS, ["db1"], ["app_servers"]) == ["app_servers (web1, web2)"]
    assert left_out(GROUPS, ["web2", "db1"], ["app_servers", "cache_servers"]) == []
    assert left_out(GROUPS, ["web2"], ["app_servers[0]"]) == ["app_servers (web1)"]


@pytest.mark.parametrize(
    ("chosen", "own", "refused"),
    [
        ([], ["always"], False),
        (["all"], ["always"], False),
        (["untagged"], ["always"], False),
        (["nginx"], ["always"], True),
        (["always"], ["always"], True),
        (["nginx", "web"], ["always", "web"], False),
    ],
)
def test_tags_that_select_nothing(chosen: list[str], own: list[str], refused: bool) -> None:
    assert bool(useless_tags(chosen, own)) == refused
