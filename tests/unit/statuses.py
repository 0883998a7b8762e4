"""What the module status finds on hosts in every state, good and bad, and the report of it."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import stamp
from ansible_collections.homeport.django.plugins.module_utils.reports.status import report
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps

from tests.unit.support import CANARY, SECRET, app

NOW = 1795478400  # 2026-11-24 00:00:00 UTC
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e"
GROUPS = {"all": ["web1", "web2", "db1"], "app_servers": ["web1", "web2"], "database_servers": ["db1"]}
COMMIT = "9f3c2a1b7d5e4f60718293a4b5c6d7e8f9012345"
GIB = 1 << 30


def release(commit: str = COMMIT, age: int = 11520, name: str = "20261123T204800-0a1b2c3d") -> dict[str, Any]:
    return {
        "id": name,
        "revision": commit,
        "built": "2026-11-23T20:47:41Z",
        "since": NOW - age,
        "django": "5.2.19",
        "python": "3.13.5",
        "interpreter": "/usr/bin/python3.13",
        "interpreter_missing": False,
        "interpreter_orphaned": False,
    }


def instance(name: str = "0", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": "running",
        "detail": "",
        "seconds": 11520,
        "release": "20261123T204800-0a1b2c3d",
        "workers": 0,
        "memory": 62 << 20,
        **changes,
    }


def web(**changes: Any) -> dict[str, Any]:
    slots = [instance("0", workers=2), instance("1", release="", memory=160 << 10)]
    return {"name": "web", "kind": "", "declared": 1, "running": 1, "instances": slots, **changes}


def workers(name: str = "queue", count: int = 2) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "django_q",
        "declared": count,
        "running": count,
        "instances": [instance(str(number)) for number in range(count)],
    }


def schedule(name: str = "digest", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "calendar": "*-*-* 06:30",
        "active": True,
        "last": NOW - 63000,
        "result": "success",
        "status": 0,
        "ended": NOW - 62990,
        "next": NOW + 23400,
        **changes,
    }


def deploy(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-23T20:48:00Z",
        "verb": "deploy",
        "outcome": "live",
        "release": "20261123T204800-0a1b2c3d",
        "before": "20261120T101500-77aa88bb",
        "revision": COMMIT,
        "by": "anna@laptop",
        "seconds": 11.4,
        "message": "",
        "migrations": [],
        **changes,
    }


def found(**changes: Any) -> dict[str, Any]:
    """One healthy app as the module tells of it."""
    return {
        "declared": True,
        "release": release(),
        "previous": "20261120T101500-77aa88bb",
        "health": {"ok": True, "status": 200, "milliseconds": 14, "error": "", "path": "/health/"},
        "visit": "",
        "processes": [web()],
        "schedules": [],
        "memory": {"bytes": 126 << 20, "kind": "pss"},
        "lock": None,
        "maintenance": None,
        "closed_by": "",
        "deploys": [deploy()],
        "disk": {
            "releases": {"bytes": 310 << 20, "complete": True, "count": 4},
            "media": {"bytes": 2 * GIB, "complete": True},
            "database": None,
        },
        **changes,
    }


def ran(hours: float, ok: bool = True, message: str = "") -> dict[str, Any]:
    """A backup or a drill that ended so long ago."""
    entry = {"time": stamp(NOW - hours * 3600), "ok": ok, "message": message, "seconds": 12.3}
    good = {**entry, "time": stamp(NOW - (hours + 24) * 3600), "ok": True, "message": ""}
    return {"last": entry, "good": entry if ok else good}


def backups(*apps: str, **changes: Any) -> dict[str, Any]:
    """Nightly backups and weekly drills of some apps, all of them well."""
    return {
        "stopped": [],
        "limits": {"backup": 30 * 3600, "drill": 174 * 3600},
        "since": NOW - 90 * 86400,
        "apps": {name: {"backup": ran(5), "drill": ran(50)} for name in apps},
        "all": {"backup": ran(5), "drill": ran(50)},
        "same_disk": False,
        **changes,
    }


def archive(**changes: Any) -> dict[str, Any]:
    """PostgreSQL's archive, which is well."""
    return {
        "stopped": [],
        "limits": {"backup": 30 * 3600, "full": 174 * 3600, "drill": 174 * 3600},
        "since": NOW - 90 * 86400,
        "state": {"backup": ran(6), "full": ran(52), "drill": ran(50)},
        "wal": {
            "archived": NOW - 40, "waiting": 1, "waiting_since": NOW - 2, "failing": False, "limit": 120, "mode": "on",
            "system": str(NOW - 95 * 86400 << 32 | 7),
        },
        **changes,
    }  # fmt: skip


def status(apps: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """One healthy host as the module tells of it."""
    return {
        "time": NOW,
        "host": {
            "name": "web1",
            "system": "Debian GNU/Linux 13 (trixie)",
            "setup": "typical",
            "set_up_by": "0.1.0",
            "uptime": 3456789,
            "booted": NOW - 3456789,
            "upgrade": None,
            "memory_mb": 7950,
            "size": {"cores": 4, "memory_mb": 7936},
            "load": [0.42, 0.3, 0.2],
            "cores": 4,
            "python": "/usr/bin/python3.13",
            "memory": {"total": 8 * GIB, "available": 5 * GIB},
            "disks": [{"path": "/", "total": 80 * GIB, "free": 52 * GIB}],
        },
        "services": {"nginx": "active", "supervisor": "active"},
        "stores": {},
        "supervisor": {"error": ""},
        "databases": {},
        "backups": backups(*(apps or {})),
        "archive": None,
        "differing": {},
        "touched": [],
        "restarts": [],
        "undeclared": [],
        "firewall": [],
        "apps": apps or {},
        **changes,
    }


def specs(**apps: dict[str, Any]) -> list[dict[str, Any]]:
    """Apps as the report gets them."""
    definitions = {
        name: app(**{"domains": [f"{name}.example.org"], "health": "/health/", **fields})
        for name, fields in apps.items()
    }
    return status_apps(resolve(definitions, {}, SECRET, "site", {"database_host": "10.0.0.5"}))


def document(
    status_of: dict[str, Any], apps: list[dict[str, Any]], groups: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    results = {name: result if "msg" in result else {"status": result} for name, result in status_of.items()}
    return report(results, apps, groups or GROUPS, "typical", now=NOW)


def one(changes: dict[str, Any] | None = None, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """The report of one app on one host that also has the database."""
    here = status({"blog": found(**(changes or {}))})
    here["services"]["postgresql"] = "active"
    groups = {"app_servers": ["web1"], "database_servers": ["web1"]}
    return document({"web1": here}, specs(blog=spec or {}), groups)


def good() -> dict[str, Any]:
    """Three apps, all well: one on both hosts, with its database on a third."""
    both = status({"blog": found(schedules=[schedule()]), "shop": found(processes=[web(), workers()])})
    database = status(
        services={"postgresql": "active"},
        databases={"blog": 48 << 20, "shop": 3 * GIB, "wiki": 9 << 20},
        archive=archive(),
        backups=None,
    )
    wiki = {**copy.deepcopy(both), "apps": {**copy.deepcopy(both["apps"]), "wiki": found()}}
    wiki["backups"] = backups("blog", "shop", "wiki")
    apps = specs(
        blog={"schedules": {"digest": {"command": "x", "calendar": "*-*-* 06:30"}}},
        shop={"processes": {"queue": {"command": "x", "count": 2}}},
        wiki={},
    )
    wiki["apps"]["wiki"]["deploys"] = []
    second = {**copy.deepcopy(wiki), "host": {**wiki["host"], "name": "web2"}}
    return document({"web1": wiki, "web2": second, "db1": database}, apps)


TRACE = (
    "migrate failed (exit status 1):\nTraceback (most recent call last):\n"
    '  File "/srv/shop/releases/20261123T231500-deadbeef/src/shop/migrations/0042_prices.py", line 17, in <module>\n'
    "    operations = [migrations.RunSQL('select no_such_column from shop_price_with_a_rather_long_name')]\n"
    'django.db.utils.ProgrammingError: column "no_such_column" does not exist'
)


def bad() -> dict[str, Any]:
    """Everything that can go wrong, long names and hostile text."""
    live = "20261123T204800-0a1b2c3d"
    shop = found(
        health={
            "ok": False,
            "status": 503,
            "milliseconds": 231,
            "error": f'answers with status 503: {{"database": "down", "detail": "{HOSTILE}"}}',
            "path": "/health/",
        },
        processes=[
            web(),
            {
                "name": "queue",
                "kind": "celery",
                "declared": 3,
                "running": 1,
                "instances": [
                    instance("0"),
                    instance("1", release="20261120T101500-77aa88bb"),
                    instance(
                        "2",
                        state="backoff",
                        release="",
                        seconds=None,
                        memory=0,
                        detail="Exited too quickly (process log may have details)",
                    ),
                ],
            },
        ],
        schedules=[
            schedule(result="exit-code", status=1),
            schedule("nightly-cleanup", last=None, ended=None, result="", calendar="daily"),
        ],
        deploys=[
            deploy(
                outcome="failed", time="2026-11-23T23:15:40Z", message=TRACE, by=f"ci@{HOSTILE}", seconds=38.2
            ),
            deploy(migrations=["shop.0040_orders", "shop.0041_prices"]),
            deploy(verb="rollback", time="2026-11-22T09:01:10Z", seconds=2.1),
            deploy(outcome="rolled back", time="2026-11-22T08:58:00Z", message="status 500 after the switch"),
            deploy(time="2026-11-21T16:20:00Z", by="ben@ops"),
            deploy(time="2026-11-20T10:15:00Z"),
            deploy(time="2026-11-19T11:00:00Z"),
        ],
    )
    long = "a-very-long-name-for-an-app-xxx"
    web1 = status(
        {
            "shop": shop,
            "blog": found(
                lock={
                    "holder": "anna@laptop",
                    "since": "2026-11-23T23:58:40Z",
                    "run": "1",
                    "doing": "the build command 'npm run build'",
                }
            ),
            "wiki": found(maintenance=NOW - 1500),
            long: found(processes=[web(), workers("import-of-the-price-lists", 12)]),
            "new": found(release=None, health=None, processes=[web(running=0, instances=[])], deploys=[]),
            "gone": found(declared=False, health=None, processes=[]),
        }
    )
    web1["host"]["disks"].append({"path": "/srv", "total": 40 * GIB, "free": int(0.9 * GIB)})
    web1["services"].update({"redis-server": "failed", "valkey-server": "active"})
    database = status(
        services={"postgresql": "active", "redis-server@shop-cache": "failed", "rabbitmq-server": "active"},
        stores={"rabbitmq-server": 140 << 20},
        databases={"shop": 3 * GIB, "blog": 48 << 20},
        archive=archive(
            stopped=["homeport-archive-drill.timer"],
            wal={**archive()["wal"], "archived": None, "waiting": 12, "waiting_since": NOW - 900, "failing": True},
            state={"backup": ran(6, False, f"making a backup failed:\n{HOSTILE}")},
        ),
    )  # fmt: skip
    web1["backups"]["apps"]["shop"] = {
        "backup": ran(31),
        "drill": ran(2, False, f"not what was stored {HOSTILE}"),
    }
    web1["backups"]["apps"]["blog"] = {}
    web1["backups"]["all"]["drill"] = ran(2, False, f"pack 12 {HOSTILE}")
    del web1["backups"]["apps"][long]
    unreachable = {
        "unreachable": True,
        "msg": f"Failed to connect to the host via ssh: ssh: connect to host 203.0.113.77 port 22: timed out {HOSTILE}",
    }
    apps = specs(
        shop={
            "processes": {"queue": {"kind": "celery", "count": 3}},
            "cache": "redis",
            "broker": "rabbitmq",
            "schedules": {"digest": {"command": "x", "calendar": "*-*-* 06:30"}},
        },
        blog={"cache": {"url": f"redis://:{CANARY.replace('!', '')}@cache.hoster.example/0"}},
        wiki={"database": {"url": f"postgres://me:{CANARY.replace('!', '')}@db.hoster.example/wiki"}},
        new={"database": "sqlite"},
        **{
            long: {"domains": ["a-very-long-name-for-an-app.on-a-long-domain.example.org", "www.example.org"]}
        },
    )
    shop["processes"][0]["instances"][0]["release"] = live
    groups = {**GROUPS, "cache_servers": ["db1"], "broker_servers": ["db1"]}
    return document({"web1": web1, "web2": unreachable, "db1": database}, apps, groups)
