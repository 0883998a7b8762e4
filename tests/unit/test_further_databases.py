"""Further databases of an app: what is refused, where they are, and that nothing leaves one out."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.homeport.django.plugins.filter.apps import renamed_apps
from ansible_collections.homeport.django.plugins.filter.parts import unproven
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.connections import most_connections
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import used_logins
from ansible_collections.homeport.django.plugins.module_utils.wiring.backup import (
    backup_apps,
    backup_scratch_databases,
    config_of,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.declared import declared
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import (
    app_files,
    system_packages,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.extension_packages import (
    extension_problems,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.parts import wanted
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_clients,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import release_specs
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import COLLECTION

SECRET = "only-for-tests-0123456789abcdef0123456789abcdef"
BLOG: dict[str, Any] = {"domains": ["blog.example.org"], "source": {"path": "."}}
MYSQL = "mysql://reader@db.example.org/crm"
THEIRS = "postgres://reader@db.example.org/crm"


def resolved(
    databases: dict[str, Any], setup: str = "typical", host: Any = None, vault: Any = None, **fields: Any
) -> dict[str, Any]:
    apps = {"blog": {**BLOG, "databases": databases, **fields}}
    return resolve(apps, {"blog": vault or {}}, SECRET, setup, host)


def problems(
    databases: Any, setup: str = "typical", vault: Any = None, others: Any = None, **fields: Any
) -> list[str]:
    apps = {"blog": {**BLOG, "databases": databases, **fields}, **(others or {})}
    return check(apps, {"blog": vault or {}}, SECRET, setup)


@pytest.mark.parametrize(
    ("setup", "fields", "databases", "url"),
    [
        ("typical", {}, {"reports": {}}, "postgres://blog@/blog_reports?host=/var/run/postgresql"),
        (
            "typical",
            {"database": {"name": "live"}},
            {"reports": {}},
            "postgres://blog@/live_reports?host=/var/run/postgresql",
        ),
        (
            "typical",
            {},
            {"reports": {"name": "numbers", "extensions": ["postgis"]}},
            "postgis://blog@/numbers?host=/var/run/postgresql",
        ),
        ("simple", {}, {"reports": {}}, "sqlite:////srv/blog/shared/data/db_reports.sqlite3"),
        ("typical", {"database": "none"}, {"reports": {"url": THEIRS}}, THEIRS),
        (
            "simple",
            {},
            {"reports": {"url": THEIRS, "ca": "ca.pem"}},
            f"{THEIRS}?sslmode=verify-full&sslrootcert=/srv/blog/config/database-ca-reports.pem",
        ),
    ],
)
def test_where_they_are(setup: str, fields: Any, databases: Any, url: str) -> None:
    app = resolved(databases, setup, **fields)["blog"]
    assert app["environment"]["REPORTS_DATABASE_URL"] == url
    assert app["databases"]["reports"]["url"] == url


def test_an_address_from_the_vault() -> None:
    vault = {"database_urls": {"legacy": "postgres://me:hidden@db.example.org/crm"}}
    app = resolved({"legacy": {"migrate": False}}, vault=vault)["blog"]
    assert app["environment"]["LEGACY_DATABASE_URL"] == vault["database_urls"]["legacy"]
    assert not app["databases"]["legacy"]["managed"]
    assert [entry["name"] for entry in postgres_databases({"blog": app})] == ["blog"]


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"databases": {"default": {}}}, "django_apps.blog.databases: default is not a good name here"),
        ({"databases": {"Reports": {}}}, "Reports is not a good name here"),
        (
            {"databases": {"reports": {}}, "database": "none"},
            "databases.reports: needs a url: Homeport makes further databases beside the app's own, and that is none",
        ),
        ({"databases": {"reports": {}}, "database": {"url": THEIRS}}, "that is somebody else's"),
        (
            {"databases": {"reports": {"backup": False}}},
            "databases.reports.backup: is false, and nobody else backs up this database",
        ),
        (
            {"databases": {"crm": {"url": MYSQL}}},
            "databases.crm.backup: must be false: Homeport backs up PostgreSQL and SQLite alone",
        ),
        (
            {"databases": {"crm": {"url": "sqlite:////var/lib/crm/db.sqlite3"}}},
            "databases.crm.backup: must be false: Homeport backs up SQLite files in /srv/blog/ alone",
        ),
        (
            {"databases": {"crm": {}}, "vault": {"database_urls": {"crm": "sqlite:///crm.sqlite3"}}},
            "databases.crm.backup: must be false",
        ),
        ({"databases": {"reports": {"name": "blog"}}}, "blog is the app's own database; choose another"),
        ({"databases": {"reports": {"name": "postgres"}}}, "is a database of the system"),
        (
            {"databases": {"a": {"name": "x"}, "b": {"name": "x"}}},
            "django_apps.blog.databases.b.name: x is the database of the app blog already (databases.a)",
        ),
        (
            {"databases": {"reports": {}}, "database": {"name": "b" * 60}},
            f"would be {'b' * 60}_reports, which is too long",
        ),
        (
            {"databases": {"reports": {"url": "mysql://u@h/n", "backup": False, "extensions": ["citext"]}}},
            "reports.extensions: are those of PostgreSQL only",
        ),
        ({"databases": {"reports": {"ca": "x.pem"}}}, "databases.reports.ca: goes with the url"),
        ({"databases": {"reports": {"scheme": "sqlite"}}}, "databases.reports.scheme: goes with sqlite"),
        ({"databases": {"reports": {"url": "db.example.org"}}}, "databases.reports.url: must be a URL"),
        (
            {"databases": {"reports": {}}, "overlay": True, "env": {"REPORTS_DATABASE_URL": None}},
            "env.REPORTS_DATABASE_URL: is what the overlay takes the setting from",
        ),
        (
            {"databases": {}, "vault": {"database_urls": {"legacy": THEIRS}}},
            "vault_django_apps.blog.database_urls.legacy: no such database in django_apps.blog.databases",
        ),
        (
            {"databases": {"legacy": {"url": THEIRS}}, "vault": {"database_urls": {"legacy": THEIRS}}},
            "databases.legacy.url: is also in vault_django_apps.blog.database_urls; keep one",
        ),
        (
            {"databases": {"legacy": {"name": "x"}}, "vault": {"database_urls": {"legacy": THEIRS}}},
            "databases.legacy.name: is that of a database of Homeport's",
        ),
        (
            {"databases": {"reports": {"extensions": ["citext"]}}, "database": "sqlite"},
            "databases.reports.extensions: are created by Homeport in its own PostgreSQL only",
        ),
        (
            {
                "databases": {"two": {}},
                "others": {"blog_two": {**BLOG, "domains": ["two.example.org"]}},
            },
            "django_apps.blog_two.database.name: blog_two is the database of the app blog already (databases.two)",
        ),
    ],
)
def test_what_is_refused(definition: dict[str, Any], problem: str) -> None:
    found = problems(**definition)
    assert any(problem in line for line in found), found


@pytest.mark.parametrize(
    "definition",
    [
        {"databases": {"crm": {"url": MYSQL, "backup": False, "migrate": False}}},
        {"databases": {"crm": {"url": "sqlite:////var/lib/crm/db.sqlite3", "backup": False}}},
        {"databases": {"crm": {"url": "sqlite:////srv/blog/shared/data/crm.sqlite3"}}},
        {"databases": {"reports": {}}, "setup": "simple"},
        {"databases": {"reports": {}}, "database": "sqlite", "overlay": True},
        {"databases": {"legacy": {}}, "vault": {"database_urls": {"legacy": THEIRS}}, "database": "none"},
    ],
)
def test_what_is_not(definition: dict[str, Any]) -> None:
    assert problems(**definition) == []


def test_one_role_owns_all_of_them() -> None:
    apps = resolved({"reports": {"extensions": ["citext"]}}, host={"database_host": "db1"})
    own, further = postgres_databases(apps)
    assert (own["name"], further["name"]) == ("blog", "blog_reports")
    assert own["owner"] == further["owner"] == "blog"
    assert own["logins"] == further["logins"] != []
    assert further["extensions"] == ["citext"]
    clients = postgres_clients(apps, ["10.0.0.1"])
    assert {client["database"] for client in clients} == {"blog", "blog_reports"}
    # one after the other is restored there by drills
    (scratch,) = backup_scratch_databases(apps)
    assert (scratch["name"], scratch["extensions"]) == ("homeport_drill_blog", ["citext"])


@pytest.mark.parametrize(
    ("web", "workers", "database", "made"),
    [
        (
            ["db1"],
            ["db1", "app2"],
            ["db1"],
            "[]",
        ),  # the drill has the cluster, and each backup drops what it has left
        (["db1", "app2"], ["db1"], ["db1"], "[]"),
        (["app2", "db1"], ["app2"], ["db1"], "['blog']"),
        (["db1"], ["db1"], ["db1"], "[]"),
        ([], ["app2"], ["db1"], "['blog']"),
    ],
)
def test_where_a_database_for_drills_stays(
    web: list[str], workers: list[str], database: list[str], made: str
) -> None:
    text = (COLLECTION / "playbooks/vars/backups.yml").read_text()
    environment = jinja2.Environment()
    environment.filters["homeport.django.backup_scratch_databases"] = list
    hosts = {
        "homeport_web_hosts": web,
        "homeport_database_hosts": database,
        "homeport_remote_app_hosts": [host for host in (*web, *workers) if host not in database],
    }
    found = environment.from_string(yaml.safe_load(text)["homeport_scratch_databases"]).render(
        **hosts, backup_repository="/x", homeport_database_apps=["blog"]
    )
    assert found == made


def test_connections_to_each() -> None:
    alone, two = resolved({})["blog"], resolved({"reports": {}, "legacy": {"url": THEIRS}})["blog"]
    assert most_connections(two, 1, 1) - 3 == 2 * (most_connections(alone, 1, 1) - 3)


def test_each_is_backed_up_unless_its_owner_does() -> None:
    databases = {"reports": {"extensions": ["citext"]}, "crm": {"url": THEIRS, "backup": False}}
    (app,) = backup_apps(resolved(databases))
    reports = {
        "sqlite": "",
        "database": "blog_reports",
        "extensions": ["citext"],
        "scratch": "",
        "migrate": True,
    }
    assert app["databases"] == {"reports": reports}
    (lite,) = backup_apps(resolved({"reports": {"migrate": False}}, "simple"))
    assert lite["databases"]["reports"]["sqlite"] == "/srv/blog/shared/data/db_reports.sqlite3"
    assert not lite["databases"]["reports"]["migrate"]
    values = {
        "apps": [app],
        "scratch": {"blog.reports": "spare"},
        "keep": {},
        "bandwidth": 0,
        "drill_percent": 1,
    }
    (told,) = config_of(values, {"repository": "/x"}, "web1")["apps"]
    assert (told["scratch"], told["databases"]["reports"]["scratch"]) == ("", "spare")
    # what those without any have does not change
    (plain,) = config_of({**values, "apps": backup_apps(resolved({}))}, {"repository": "/x"}, "web1")["apps"]
    assert "databases" not in plain


def test_what_each_wiring_knows() -> None:
    apps = resolved(
        {"reports": {"extensions": ["postgis"]}, "crm": {"url": THEIRS, "migrate": False, "ca": "ca.pem"}},
        overlay=True,
    )
    (spec,) = release_specs(apps)
    assert spec["databases"] == {"reports": {"migrate": True}, "crm": {"migrate": False}}
    assert {"postgresql-client", "gdal-bin"} <= set(system_packages(apps))
    files = {entry["path"]: entry for entry in app_files(apps)}
    assert files["/srv/blog/config/database-ca-crm.pem"]["src"] == "ca.pem"
    fragment = files["/srv/blog/config/overlay.d/05_databases.py"]["content"]
    compile(fragment, "05_databases.py", "exec")
    assert fragment.count("_database(_environment[") == 2
    assert not any("05_databases" in entry["path"] for entry in app_files(resolved({}, overlay=True)))
    parts = wanted(apps, apps, ["database"])["postgres_databases.postgres"]["blog"]
    assert {"database.name", "databases.reports.name", "databases.reports.extensions"} <= set(parts)
    (told,) = extension_problems(
        resolved({"reports": {"extensions": ["unheard_of"]}}), [], {}, {"distribution": "debian"}
    )
    assert told.startswith("django_apps.blog.databases.reports: extensions: ")
    known = declared(
        apps,
        {
            "here": True,
            "services": True,
            "databases": postgres_databases(apps),
            "instances": {},
            "vhosts": [],
            "backup": True,
            "archive": False,
        },
    )
    assert known["databases"] == ["blog", "blog_reports", "crm"]
    (status,) = status_apps(apps)
    assert status["databases"]["reports"]["name"] == "blog_reports"
    assert "hidden" not in json.dumps(status)
    (local,) = local_apps(apps, "/home/me/apps")
    assert local["environment"]["REPORTS_DATABASE_URL"] == "spatialite:////home/me/apps/blog/reports.sqlite3"


def test_those_of_others_are_reached_before_anything_changes() -> None:
    apps = resolved({"reports": {}, "crm": {"url": THEIRS}})
    asked = unproven(apps, {"logins": {}})
    assert set(asked) == {"django_apps.blog.databases.crm"}
    assert asked["django_apps.blog.databases.crm"]["url"] == THEIRS
    secret = {"database_urls": {"crm": "postgres://me:hidden@db.example.org/crm"}}
    apps = resolved({"crm": {}}, vault=secret)
    logins = {"blog": used_logins(apps["blog"]["environment"])}
    assert unproven(apps, {"logins": logins}) == {}


def test_they_are_renamed_with_the_app() -> None:
    databases = {"reports": {}, "numbers": {"name": "figures"}}
    (found,) = renamed_apps(resolved(databases, was=["diary"]))
    assert found["further"] == {"blog_reports": "diary_reports", "figures": "figures"}
    (found,) = renamed_apps(resolved(databases, was=["diary"], database={"name": "live"}))
    assert found["further"] == {"live_reports": "live_reports", "figures": "figures"}


def test_the_overlay_takes_each() -> None:
    """As the fragment says it, in the overlay's own names."""
    apps = resolved({"reports": {}}, overlay=True)
    files = {entry["path"]: entry for entry in app_files(apps)}
    seen: dict[str, Any] = {
        "_environment": apps["blog"]["environment"],
        "_database": lambda url, own: {"url": url, "own": own},
        "DATABASES": {"default": {}, "reports": {"ENGINE": "wrapped"}},
    }
    exec(files["/srv/blog/config/overlay.d/05_databases.py"]["content"], seen)
    assert seen["DATABASES"]["reports"]["own"] == {"ENGINE": "wrapped"}
    assert seen["DATABASES"]["reports"]["url"].startswith("postgres://blog@/blog_reports")
