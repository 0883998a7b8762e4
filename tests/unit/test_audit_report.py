"""The report of an audit: hosts in every state, as a document and as a table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter.apps import audit_sites
from ansible_collections.homeport.django.plugins.module_utils.reports.audit import lines, report, summary
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import WIDTH

from tests.unit.audits import INSIDE, NOW, inside, looked, outside, socket, wanted
from tests.unit.support import resolved

UNREACHABLE = {"unreachable": True, "msg": "Task failed: ssh: no route\nto host"}


def result(
    seen: dict[str, Any] | None = None, look: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    return {
        "inside": {"audit": inside() if seen is None else seen},
        "outside": {"outside": outside() if look is None else look, "wanted": wanted(**changes)},
    }


def text(document: dict[str, Any]) -> str:
    return "\n".join(line for _level, line in lines(document))


def test_all_is_well() -> None:
    document = report({"web1": result()}, NOW)
    assert (document["level"], document["problems"]) == ("ok", [])
    assert document.keys() == {"version", "time", "level", "problems", "hosts", "apps"}
    assert document["time"] == "2026-11-24T00:00:00Z"
    assert document["hosts"]["web1"]["reachable"] is True
    assert document["hosts"]["web1"]["checks"].keys() == {
        "ports", "firewall", "from outside", "unknown names", "sshd", "accounts", "secrets", "updates", "restarts",
        "units", "clock", "space", "postgresql", "supervisord", "backups",
    }  # fmt: skip
    assert document["apps"]["blog"]["hosts"]["web1"]["checks"].keys() == {
        "certificate", "tls", "https", "headers", "hidden files", "secrets", "check --deploy", "backup",
        "bucket",
    }  # fmt: skip
    assert json.loads(json.dumps(document)) == document
    assert summary(document) == "24 checks, all ok"
    assert "WHAT TO DO" not in text(document)


def test_what_is_wrong_comes_first_and_says_what_to_do() -> None:
    parts = {
        "sockets": [*INSIDE["sockets"], socket(9999, program="python3")],
        "firewall": {"declared": False, "known": True, "dropping": [], "accepted": []},
    }
    document = report({"web1": result(inside(parts))}, NOW)
    assert [(problem["level"], problem["check"]) for problem in document["problems"]] == [
        ("failure", "ports"),
        ("warning", "firewall"),
    ]
    assert document["problems"][0].keys() == {"level", "host", "app", "check", "text", "do"}
    assert (document["level"], document["hosts"]["web1"]["level"]) == ("failure", "failure")
    assert summary(document) == "24 checks, 1 failure, 1 warning"
    shown = text(document)
    assert "add {port: 9999} to" in shown
    assert all(len(line) <= WIDTH for line in shown.splitlines())


def test_the_same_about_several_is_said_once() -> None:
    seen = inside({"clock": {"container": False, "synchronized": False}})
    shown = text(report({"web1": result(seen), "web2": result(seen)}, NOW))
    assert shown.count("-> install systemd-timesyncd") == 1
    assert "warning  web1, web2, clock:" in shown


def test_a_host_that_gives_no_answer_is_part_of_the_report() -> None:
    results = {
        "web1": {**result(), "inside": UNREACHABLE},
        "web2": {**result(), "inside": {"msg": "no python"}},
    }
    document = report(results, NOW)
    web1, web2 = document["hosts"]["web1"], document["hosts"]["web2"]
    assert (web1["reachable"], web1["level"]) == (False, "failure")
    assert web1["checks"]["answer"]["problems"][0]["text"] == "cannot be reached: ssh: no route to host"
    assert web2["checks"]["answer"]["problems"][0]["text"] == "could not be inspected: no python"
    # what its visitors see is told all the same
    assert web1["checks"].keys() == {"answer", "from outside", "unknown names"}
    assert document["apps"]["blog"]["hosts"]["web1"]["checks"].keys() == {
        "certificate", "tls", "https", "headers", "hidden files",
    }  # fmt: skip


def test_what_cannot_be_looked_at_is_wrong_and_the_rest_is_told() -> None:
    seen = inside()
    seen["postgres"] = {"found": None, "error": "PostgreSQL does not answer its superuser"}
    seen["apps"]["blog"]["deploy"] = {"found": None, "error": "KeyError"}
    document = report({"web1": result(seen)}, NOW)
    assert [(problem["app"], problem["check"]) for problem in document["problems"]] == [
        ("", "postgresql"),
        ("blog", "check --deploy"),
    ]
    assert "does not answer its superuser" in document["problems"][0]["text"]


def test_without_a_look_from_outside() -> None:
    document = report({"web1": result(look={})}, NOW)
    assert document["level"] == "ok"
    assert "from outside" not in document["hosts"]["web1"]["checks"]
    assert document["apps"]["blog"]["hosts"]["web1"]["checks"].keys() == {
        "certificate",
        "secrets",
        "check --deploy",
        "backup",
        "bucket",
    }


def test_a_site_that_is_no_app() -> None:
    sites = audit_sites({}, {"intranet": {"server_names": ["intranet.example"], "tls": {"folder": "/x"}}})
    look = outside()
    look["sites"]["intranet"] = {"hidden": looked(["/.env"])}
    found = wanted()
    found["sites"].update(sites)
    document = report(
        {"web1": {"inside": {"audit": inside()}, "outside": {"outside": look, "wanted": found}}}, NOW
    )
    assert document["apps"]["intranet"]["level"] == "failure"
    assert "secrets" not in document["apps"]["intranet"]["hosts"]["web1"]["checks"]


def test_what_others_write_does_not_move_the_cursor() -> None:
    seen = inside({"failed": ["\x1b[31m.service"]})
    assert "\x1b" not in text(report({"web1": result(seen)}, NOW))


# From the inventory


@pytest.mark.parametrize(
    ("setup", "fields", "expected"),
    [
        ("typical", {}, {"port": 80, "tls": False, "kind": "none", "proxied": True}),
        ("simple", {}, {"port": 80, "tls": False, "kind": "none", "proxied": False}),
        ("simple", {"web": {"port": 8000}}, {"port": 8000}),
        ("typical", {"tls": "proxy", "proxy": {"trusted_proxies": ["10.0.0.7"], "public_port": 8443}},
         {"tls": True, "kind": "proxy", "port": 80, "front_port": 8443}),
        ("typical", {"tls": "selfsigned", "aliases": ["*.blog.example.org"]},
         {"tls": True, "kind": "selfsigned", "names": ["blog.example.org", "*.blog.example.org"]}),
    ],
)  # fmt: skip
def test_the_site_of_an_app(setup: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    site = audit_sites({"blog": resolved(setup=setup, **fields)})["blog"]
    assert {key: site[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("given", "certificates", "expected"),
    [
        ({"server_names": ["a.example"], "redirects": ["b.example"]}, {},
         {"names": ["a.example", "b.example"], "tls": False, "kind": "none"}),
        ({"server_names": ["_", "~^x"]}, {}, None),
        ({"server_names": ["a.example"], "tls_in_front": True, "trusted_proxies": ["10.0.0.7"], "hsts": 9}, {},
         {"tls": True, "kind": "proxy", "front_port": 443, "hsts": 9}),
        ({"server_names": ["*.a.example"], "tls": {"folder": "/x", "hsts": 9}}, {},
         {"canonical": "audit.a.example", "tls": True, "kind": "own", "hsts": 9}),
        ({"server_names": ["a.example"], "tls": {"folder": "/x"}}, {"x": {"kind": "acme"}}, {"kind": "acme"}),
    ],
)  # fmt: skip
def test_a_site_of_the_role_nginx(given: Any, certificates: Any, expected: dict[str, Any] | None) -> None:
    found = audit_sites({}, {"x": given}, certificates).get("x")
    assert (found and {key: found[key] for key in expected or {}}) == expected
