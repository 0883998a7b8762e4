"""A host on which all is well, as an audit sees it."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import stamp
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import Seen

NOW = 1795478400  # 2026-11-24 00:00:00 UTC
DAY = 86400
CONTROLLER = "198.51.100.9"
NAME = "blog.example.org"


def socket(port: int, address: str = "0.0.0.0", program: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "protocol": "tcp",
        "address": address,
        "port": port,
        "user": "root",
        "program": program,
        **changes,
    }


def accept(first: int, last: int = 0, protocol: str = "tcp", some: bool = False) -> dict[str, Any]:
    """What a rule of the firewall lets in."""
    return {"protocol": protocol, "first": first, "last": last or first, "some": some}


def looked(found: Any) -> dict[str, Any]:
    return {"found": found, "error": ""}


def ran(hours: int, ok: bool = True) -> dict[str, Any]:
    """A backup or a drill of some hours ago."""
    entry = {
        "time": stamp(NOW - 3600 * hours),
        "ok": ok,
        "message": "" if ok else "no space left",
        "seconds": 9,
    }
    return {"last": entry, "good": entry if ok else None}


def served(**changes: Any) -> dict[str, Any]:
    return {
        "names": [NAME],
        "from": NOW - 30 * DAY,
        "until": NOW + 60 * DAY,
        "self_signed": False,
        "untrusted": "",
        "code": 0,
        **changes,
    }


def page(**changes: Any) -> dict[str, Any]:
    headers = {
        "server": "nginx",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "strict-transport-security": "max-age=86400",
    }
    return {
        "status": 200,
        "headers": {**headers, **changes.pop("headers", {})},
        "location": "",
        "framing": False,
        "cookies": [],
        **changes,
    }


def cookie(name: str, **changes: bool) -> dict[str, Any]:
    return {"name": name, "secure": True, "httponly": True, "samesite": True, **changes}


SETTINGS = {  # of sshd
    "ports": [22],
    "passwordauthentication": ["no"],
    "kbdinteractiveauthentication": ["no"],
    "permitrootlogin": ["without-password"],
    "permitemptypasswords": ["no"],
}
INSIDE: dict[str, Any] = {
    "host": {
        "disks": [{"path": "/", "total": 100 << 30, "free": 60 << 30}],
        "memory": {"total": 4 << 30, "available": 2 << 30},
    },
    "sockets": [
        socket(22, program="sshd"),
        socket(80, program="nginx"),
        socket(80, "::", "nginx"),
        socket(443, program="nginx"),
        socket(5432, "127.0.0.1", "postgres"),
        socket(53, "127.0.0.53", "systemd-resolve", protocol="udp"),
    ],
    "stores": [],
    "unprivileged_port": 1024,
    "firewall": {
        "declared": True,
        "known": True,
        "dropping": ["inet homeport"],
        "accepted": [accept(546, protocol="udp", some=True), accept(22), accept(80), accept(443)],
    },
    "client": CONTROLLER,
    "sshd": {
        **SETTINGS,
        "accounts": {"root": SETTINGS},
    },
    "accounts": {"password": [], "empty": [], "roots": []},
    "files": {"count": 13, "open": [], "unseen": []},
    "updates": {"packages": [], "security": [], "age": 3600, "automatic": False},
    "kernel": {"asked": False, "packages": [], "running": "6.1.0-28-amd64", "newer": ""},
    "stale": [],
    "failed": [],
    "clock": {"container": False, "synchronized": True},
    "supervisord": {"files": []},
    "postgres": {
        "databases": [
            {"name": "postgres", "owner": "postgres", "public": "CONNECT, TEMPORARY"},
            {"name": "blog", "owner": "blog", "public": ""},
        ],
        "roles": [
            {"name": "postgres", "md5": False, "powers": "SUPERUSER, CREATEROLE"},
            {"name": "blog", "md5": False, "powers": ""},
        ],
        "rules": [
            {"line": 1, "type": "local", "address": "", "method": "peer"},
            {"line": 2, "type": "host", "address": "127.0.0.1", "method": "scram-sha-256"},
            {"line": 3, "type": "hostssl", "address": "192.0.2.7", "method": "scram-sha-256"},
        ],
    },
    "backups": {
        "stopped": [],
        "limits": {"backup": 30 * 3600, "drill": 200 * 3600},
        "since": NOW - 90 * DAY,
        "apps": {"blog": {"backup": ran(5), "drill": ran(40)}},
        "all": {},
        "same_disk": False,
    },
    "archive": None,
}
APP: dict[str, Any] = {
    "files": {"count": 9, "open": []},
    "certificate": {"names": [NAME], "from": NOW - 30 * DAY, "until": NOW + 60 * DAY, "self_signed": False},
    "deploy": {"issues": {"CRITICAL": [], "ERROR": [], "WARNING": []}, "failed": ""},
    "bucket": {"name": "photos", "status": "Enabled", "error": ""},
}
OUTSIDE: dict[str, Any] = {
    "reached": True,
    "reason": "",
    "source": CONTROLLER,
    "ports": [22, 80, 443],
    "unknown_names": {"80": {"found": None, "error": "closed"}, "443": looked(False)},
}
SITE: dict[str, Any] = {
    f"certificate {NAME}": looked(served()),
    "old": looked(""),
    "weak": looked(""),
    "plain": looked(page(status=308, location="https")),
    "page": looked(page()),
    "hidden": looked([]),
}
WANTED: dict[str, Any] = {
    "now": NOW,
    "exposure": [
        {"port": port, "protocol": "tcp", "sources": ["any"], "service": "x"} for port in (22, 80, 443)
    ],
    "rules": [],
    "apps": [{"name": "blog", "database": {"engine": "postgres", "name": "blog", "managed": True}}],
    "backup": "here",
    "sites": {
        "blog": {
            "names": [NAME],
            "canonical": NAME,
            "proxied": True,
            "port": 80,
            "tls": True,
            "kind": "acme",
            "hsts": 86400,
        }
    },
}


def inside(parts: dict[str, Any] | None = None, own: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the module returns, with other parts of the host or of the app."""
    return {
        "time": NOW,
        **{name: looked(part) for name, part in {**copy.deepcopy(INSIDE), **(parts or {})}.items()},
        "apps": {
            "blog": {name: looked(part) for name, part in {**copy.deepcopy(APP), **(own or {})}.items()}
        },
    }


def outside(answers: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """What is seen from outside, with other answers of the site."""
    return {
        **copy.deepcopy(OUTSIDE),
        "sites": {"blog": {**copy.deepcopy(SITE), **(answers or {})}},
        **changes,
    }


def wanted(site: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    found = {**copy.deepcopy(WANTED), **changes}
    found["sites"]["blog"].update(site or {})
    return found


def seen(
    parts: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
    answers: dict[str, Any] | None = None,
    site: dict[str, Any] | None = None,
    outside_changes: dict[str, Any] | None = None,
    wanted_changes: dict[str, Any] | None = None,
    app: str = "",
) -> Seen:
    return Seen(
        inside(parts, own),
        outside(answers, **(outside_changes or {})),
        wanted(site, **(wanted_changes or {})),
        app,
    )
