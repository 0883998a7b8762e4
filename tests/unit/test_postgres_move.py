"""What a run of move_postgresql decides, and what it compares."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter.parts import move_failures, moved_from
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.host.move import cluster
from ansible_collections.homeport.django.plugins.module_utils.host.move.compare import differences
from ansible_collections.homeport.django.plugins.module_utils.wiring.moves import MoveError, decided

from tests.unit.support import SECRET, app

SYSTEM = {"system": "debian 13", "architecture": "x86_64"}
SOURCE = {
    **SYSTEM, "host": "web1", "version": "17", "phase": "", "runs": True, "bytes": 1 << 30, "tables": 20,
    "databases": ["blog", "postgres", "template1"], "extensions": ["plpgsql"], "unlogged": [], "tablespaces": 0,
    "wal_level": "replica", "senders": 10, "slots": 10, "recovering": False, "pace": 2.0,
}  # fmt: skip
TARGET = {
    **SYSTEM, "host": "db1", "version": "17", "empty": True, "held": [], "promoted": False, "linked": False,
    "free": 5 << 30,
}  # fmt: skip
PROMOTED = {**TARGET, "phase": "promoted", "promoted": True, "source": "web1"}
LEFT = {"host": "web1", "version": "17", "phase": "left", "runs": False}


def test_the_plan_of_a_move() -> None:
    found = decided(SOURCE, TARGET, ["blog"], False)
    assert found["goes"] == "move"
    assert "moves from web1 to db1, with all databases: blog." in found["lines"][0]
    assert "about 30 s: blog" in found["lines"][1]


@pytest.mark.parametrize(
    ("source", "target", "apps", "goes"),
    [
        (SOURCE, {**TARGET, "phase": "copying", "empty": True}, ["blog"], "move"),  # once more
        (SOURCE, {**TARGET, "phase": "left", "empty": True}, ["blog"], "move"),  # back to where it was
        ({**LEFT, "phase": "stopped"}, PROMOTED, ["blog"], "resume"),
        ({**LEFT, "phase": "stopped"}, PROMOTED, [], "resume"),  # all but the end of it
        (LEFT, PROMOTED, [], ""),
        (SOURCE, PROMOTED, ["blog"], "move"),  # the original has served since
        ({}, TARGET, [], ""),
        ({**LEFT, "phase": "stopped"}, {**TARGET, "phase": "copying"}, ["blog"], ""),  # in check mode alone
        ({**SOURCE, "phase": "open"}, {**TARGET, "phase": "copying"}, ["blog"], "move"),
        ({**LEFT, "phase": "removing", "version": ""}, PROMOTED, [], ""),
        (SOURCE, {**TARGET, "version": ""}, ["blog"], "move"),  # a bare server has no list of packages yet
    ],
)
def test_where_a_move_goes_on(source: Any, target: Any, apps: list[str], goes: str) -> None:
    assert decided(source, target, apps, False)["goes"] == goes


def test_the_way_back_is_removed_once_all_have_moved() -> None:
    removed = {**LEFT, "version": ""}
    for source in (LEFT, {**removed, "phase": "removing"}, {**removed, "phase": ""}):
        assert decided(source, PROMOTED, [], True)["goes"] == "finish"
    for source, target, apps in (
        (LEFT, PROMOTED, ["blog"]),
        ({**LEFT, "phase": "stopped"}, PROMOTED, []),
        (SOURCE, TARGET, ["blog"]),
        ({}, TARGET, []),
    ):
        with pytest.raises(MoveError):
            decided(source, target, apps, True)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ({"runs": False}, {}, "does not run on web1"),
        ({}, {"version": "18"}, "run upgrade_postgresql on web1 first"),
        ({}, {"version": "15"}, "install postgresql-17 on db1"),
        ({}, {"system": "debian 12"}, "the same release of the distribution"),
        ({}, {"architecture": "aarch64"}, "the same architecture"),
        ({}, {"held": ["shop"], "empty": False}, "db1 has a cluster with shop already"),
        ({}, {"empty": False}, "a cluster with tables already"),
        ({}, {"linked": True}, "a link or a disk of its own"),
        ({}, {"free": 1 << 30}, "1024 MiB free"),
        ({"tablespaces": 1}, {}, "tablespaces of its own"),
        ({"unlogged": ["blog: public.hits"]}, {}, "blog: public.hits"),
        ({"wal_level": "minimal"}, {}, "allow no replica"),
        ({"senders": 0}, {}, "allow no replica"),
        ({"recovering": True}, {}, "a replica itself"),
    ],
)
def test_what_cannot_be_moved(source: Any, target: Any, said: str) -> None:
    with pytest.raises(MoveError, match=said):
        decided({**SOURCE, **source}, {**TARGET, **target}, ["blog"], False)


# Where it moves from


def variables(address: str, live: dict[str, str] | None = None, server: str = "10.0.0.2") -> dict[str, Any]:
    names = {name: app(domains=[f"{name}.example"]) for name in live or {}}
    facts = {"databases": {name: {"host": host, "name": name} for name, host in (live or {}).items()}}
    apps = resolve(names, {}, SECRET, "site", {"database_host": server})
    return {"ansible_host": address, "homeport_apps": apps, "ansible_facts": {"homeport": facts}}


def test_the_host_that_has_the_databases() -> None:
    hosts = {
        "web1": variables("10.0.0.1", {"blog": "/var/run/postgresql"}),
        "web2": variables("10.0.0.5", {"blog": "10.0.0.1"}),
        "db1": {"ansible_host": "10.0.0.2"},
    }
    assert moved_from(["web1", "web2"], hosts, "") == {"host": "web1", "apps": ["blog"]}
    hosts["web1"] = variables("10.0.0.1", {"blog": "10.0.0.2"})
    hosts["web2"] = variables("10.0.0.5", {"blog": "10.0.0.2"})
    assert moved_from(["web1", "web2"], hosts, "") == {"host": "", "apps": []}
    assert moved_from(["web1", "web2"], hosts, "web1") == {"host": "web1", "apps": []}


def test_a_server_that_the_inventory_does_not_have() -> None:
    hosts = {"web1": variables("10.0.0.1", {"blog": "10.0.0.9"}), "db1": {"ansible_host": "10.0.0.2"}}
    with pytest.raises(AnsibleFilterError, match="keep the previous database server in the inventory"):
        moved_from(["web1"], hosts, "")
    hosts["web1"] = variables("10.0.0.1", {"blog": "10.0.0.9", "shop": "/var/run/postgresql"})
    with pytest.raises(AnsibleFilterError, match="several servers"):
        moved_from(["web1"], hosts, "")


def test_a_move_brings_no_other_code() -> None:
    releases = {
        "blog": {"revision": "a", "live": "a"},
        "shop": {"revision": "b", "live": "a"},
        "wiki": {"changed": False},
    }
    hosts = {"web1": {"__django_app_built": {"releases": releases, "failed_apps": {"cms": "no space"}}}}
    found = move_failures(["web1"], hosts)
    assert sorted(found) == ["cms", "shop"]
    assert "Deploy before" in found["shop"]
    assert move_failures(["web1"], {"web1": {}}) == {}


# What is compared

HELD: dict[str, Any] = {
    "databases": {
        "blog": {
            "rows": {"public.post": 3, "public.tag": 0},
            "sequences": {"public.post_id_seq": [3, 1], "public.down": [-4, -2], "public.new": [None, 1]},
            "extensions": {"plpgsql": "1.0"},
        }
    },
    "roles": {"blog": "a"},
    "rights": {"blog": "b"},
}


def changed(*path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(HELD)
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return found


def test_the_same_is_the_same() -> None:
    assert differences(HELD, copy.deepcopy(HELD)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("databases", "blog", "rows", "public.post"), 2),
        (("databases", "blog", "rows", "public.post"), None),
        (("databases", "blog", "rows", "public.other"), 0),
        (("databases", "blog", "sequences", "public.post_id_seq"), [2, 1]),
        (("databases", "blog", "sequences", "public.post_id_seq"), [36, 1]),
        (("databases", "blog", "sequences", "public.post_id_seq"), [3, 2]),
        (("databases", "blog", "sequences", "public.post_id_seq"), [None, 1]),
        (("databases", "blog", "sequences", "public.down"), [-2, -2]),
        (("databases", "blog", "sequences", "public.new"), None),
        (("databases", "blog", "extensions", "plpgsql"), "2.0"),
        (("databases", "blog"), None),
        (("roles", "blog"), "c"),
        (("roles", "shop"), "c"),
        (("rights", "blog"), "c"),
    ],
)
def test_what_the_copy_lacks(path: tuple[str, ...], value: Any) -> None:
    assert len(differences(HELD, changed(*path, value=value))) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public.post_id_seq", [35, 1]),  # a replica begins after what is in the log in advance
        ("public.down", [-68, -2]),
        ("public.new", [1, 1]),
    ],
)
def test_a_sequence_goes_on(name: str, value: Any) -> None:
    assert differences(HELD, changed("databases", "blog", "sequences", name, value=value)) == []


def test_many_differences_are_a_few_lines() -> None:
    found = changed("databases", "blog", "rows", value={f"public.t{number}": 1 for number in range(30)})
    lines = differences(HELD, found)
    assert len(lines) == 11 and lines[-1] == "and 22 more"


def test_how_far_it_came_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "MOVE", str(tmp_path / "moves/postgresql.json"))
    assert cluster.record() == {}
    cluster.note("copying", source="web1")
    cluster.note("promoted")
    assert cluster.record() == {"phase": "promoted", "source": "web1"}
    cluster.forget()
    cluster.forget()
    assert cluster.record() == {}
