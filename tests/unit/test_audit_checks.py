"""Each check of an audit: what is ok, what is a warning and what is a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.reports import (
    audit_network,
    audit_services,
    audit_sites,
    audit_system,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_checks import (
    APP_CHECKS,
    HOST_CHECKS,
    SITE_CHECKS,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_network import allowed, ports_of
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import Checked, Seen

from tests.unit.audits import (
    CONTROLLER,
    DAY,
    INSIDE,
    NAME,
    NOW,
    SETTINGS,
    accept,
    cookie,
    looked,
    page,
    ran,
    seen,
    served,
    socket,
)

Problems = list[tuple[str, str]]  # level, and a part of the text


def judged(check: Callable[[Seen], Checked], problems: Problems, **changes: Any) -> None:
    verdict = check(seen(**changes))
    assert verdict is not None
    _note, found = verdict
    assert [problem["level"] for problem in found] == [level for level, _text in problems], found
    for problem, (_level, text) in zip(found, problems, strict=True):
        assert text in problem["text"]
        assert problem["do"]


@pytest.mark.parametrize(("name", "check"), [(name, check) for name, check, _needs in HOST_CHECKS])
def test_a_good_host_has_no_problem(name: str, check: Callable[[Seen], Checked]) -> None:
    verdict = check(seen())
    if name in ("stores", "service ports"):
        assert verdict is None  # there is none
    else:
        assert verdict
        assert verdict[0]
        assert verdict[1] == []


@pytest.mark.parametrize("check", [check for _name, check, _needs in (*APP_CHECKS, *SITE_CHECKS)])
def test_a_good_app_has_no_problem(check: Callable[[Seen], Checked]) -> None:
    verdict = check(seen(app="blog"))
    assert verdict
    assert verdict[0]
    assert verdict[1] == []


# The network

STRAY = [*INSIDE["sockets"], socket(9999, program="python3"), socket(9999, "::", "python3")]
FOR_PEERS = [{"port": 5432, "sources": ["192.0.2.7"]}]
DOCKER = [*INSIDE["sockets"], socket(8080, program="docker-proxy")]
OPEN = {"declared": False, "known": True, "dropping": [], "accepted": []}
OTHER = {"declared": False, "known": True, "dropping": ["ip filter"], "accepted": []}
NO_NFT = {"declared": False, "known": False, "dropping": [], "accepted": []}


def accepting(*more: dict[str, Any]) -> dict[str, Any]:
    """Homeport's firewall, with rules that are not in the inventory."""
    return {**INSIDE["firewall"], "accepted": [*INSIDE["firewall"]["accepted"], *more]}


EVERY = accept(0, 65535)


@pytest.mark.parametrize(
    ("sockets", "firewall", "rules", "problems"),
    [
        (STRAY, INSIDE["firewall"], [], []),
        (STRAY, OPEN, [], [("failure", "0.0.0.0:9999 (python3), [::]:9999 (python3) listens")]),
        (STRAY, OTHER, [], [("warning", "ip filter")]),
        (STRAY, NO_NFT, [], [("warning", "whether a firewall drops it is unknown")]),
        (STRAY, accepting(accept(9999)), [], [("failure", "the firewall accepts every source")]),
        (STRAY, accepting(accept(9990, 10000)), [], [("failure", "9999 (python3)")]),
        (STRAY, accepting(accept(9999, some=True)), [], [("warning", "the firewall accepts some sources")]),
        (STRAY, accepting(accept(9999, some=True), EVERY), [], [("failure", "accepts every source")]),
        (STRAY, accepting(accept(9999, protocol="udp"), accept(9998)), [], []),
        (DOCKER, INSIDE["firewall"], [], [("failure", "Docker forwards it past the firewall")]),
        (DOCKER, OTHER, [], [("failure", "8080 (docker-proxy)")]),
        (DOCKER, INSIDE["firewall"], [{"port": 8080}], []),
        (STRAY, OPEN, [{"port": 9999}], []),
        (STRAY, OPEN, [{"port": ["8000-8010", "9990-9999"], "sources": ["192.0.2.0/24"]}], []),
        (STRAY, OPEN, [{"port": 9999, "protocol": "udp"}], [("failure", "9999")]),
        ([socket(9999, "127.0.0.1"), socket(9999, "::1")], OPEN, [], []),
        ([socket(2222, program="sshd")], OPEN, [], [("failure", "2222")]),
        ([socket(5353, protocol="udp")], OPEN, [], [("warning", "over udp")]),
        ([socket(45000, protocol="udp"), socket(68, protocol="udp")], OPEN, [], []),
        ([socket(6379, "10.0.0.5", user="redis")], OPEN, [], [("failure", "10.0.0.5:6379 (redis)")]),
    ],
)
def test_ports(sockets: Any, firewall: Any, rules: Any, problems: Problems) -> None:
    judged(
        audit_network.ports,
        problems,
        parts={"sockets": sockets, "firewall": firewall},
        wanted_changes={"rules": rules},
    )


def test_what_the_firewall_is_said_to_drop() -> None:
    sockets = [*STRAY, socket(7777, program="nc")]
    verdict = audit_network.ports(seen(parts={"sockets": sockets, "firewall": accepting(accept(9999))}))
    assert verdict
    assert verdict[0] == "22, 80, 443 as declared; the firewall drops 0.0.0.0:7777 (nc)"


def test_sshds_own_port_is_expected_where_another_one_is_forwarded_to_it() -> None:
    sshd = {**INSIDE["sshd"], "ports": [2222]}
    parts = {"sockets": [socket(2222, program="sshd")], "firewall": OPEN, "sshd": sshd}
    judged(audit_network.ports, [], parts=parts)


@pytest.mark.parametrize(
    ("value", "ports"),
    [(80, [80]), ("80", [80]), ("6000-6002", [6000, 6001, 6002]), ([22, "80-81"], [22, 80, 81])],
)
def test_ports_of_a_rule(value: Any, ports: list[int]) -> None:
    assert list(ports_of(value)) == ports


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (INSIDE["firewall"], []),
        ({**OPEN, "declared": True}, [("failure", "drops nothing")]),
        ({**OTHER, "declared": True}, [("failure", "drops nothing")]),
        (OTHER, []),
        (OPEN, [("warning", "there is no firewall")]),
        (NO_NFT, [("warning", "not known")]),
        ({**NO_NFT, "declared": True}, [("failure", "not known")]),
        ({**NO_NFT, "dropping": ["ip filter (iptables-legacy)"]}, []),
        (
            accepting(accept(9999), accept(60000, 61000, "udp", some=True)),
            [("warning", "the firewall accepts tcp 9999, udp 60000-61000, which is not declared")],
        ),
        (accepting(EVERY), [("failure", "every source on every port of tcp")]),
        (accepting({**EVERY, "some": True}), [("warning", "some sources on every port of tcp")]),
        (accepting(accept(5432, some=True)), []),
        (
            accepting(accept(5432)),
            [("failure", "every source on tcp 5432, which is declared for 192.0.2.7 alone")],
        ),
    ],
)
def test_firewall(found: Any, problems: Problems) -> None:
    judged(audit_network.firewall, problems, parts={"firewall": found}, wanted_changes={"rules": FOR_PEERS})


@pytest.mark.parametrize(
    ("changes", "rules", "firewall", "problems"),
    [
        ({"ports": [22, 80, 443, 8080]}, [], INSIDE["firewall"], [("failure", "port 8080 answers")]),
        (
            {"ports": [22, 5432]},
            FOR_PEERS,
            INSIDE["firewall"],
            [("failure", "is declared for 192.0.2.7 alone")],
        ),
        ({"ports": [22, 5432], "source": "192.0.2.7"}, FOR_PEERS, INSIDE["firewall"], []),
        ({"ports": [22, 9999]}, [], OPEN, []),  # the check of the ports has it
        ({"ports": [22, 9999]}, [], accepting(accept(9999)), []),
        ({"ports": [22, 9999]}, [], INSIDE["firewall"], [("failure", "port 9999")]),
        ({"ports": [22, 9999]}, [], NO_NFT, [("failure", "port 9999")]),
        ({"ports": [22, 7777]}, [], OPEN, [("failure", "port 7777")]),  # not the host itself answers there
        ({"reached": False, "reason": "no port answers"}, [], OPEN, [("warning", "no port answers")]),
    ],
)
def test_reach(changes: Any, rules: Any, firewall: Any, problems: Problems) -> None:
    judged(
        audit_network.from_outside,
        problems,
        parts={"sockets": STRAY, "firewall": firewall},
        outside_changes=changes,
        wanted_changes={"rules": rules},
    )


@pytest.mark.parametrize(
    ("source", "client", "sources", "problems"),
    [
        # what the host sees counts
        ("192.168.1.5", "203.0.113.10", ["203.0.113.10"], []),
        (
            "192.168.1.5",
            "203.0.113.9",
            ["203.0.113.10"],
            [("failure", "port 9100 answers 203.0.113.9 and is")],
        ),
        (
            "192.168.1.5",
            "192.168.1.5",
            ["203.0.113.10"],
            [("failure", "port 9100 answers 192.168.1.5 and is")],
        ),
        # it has not said
        ("192.168.1.5", "", ["203.0.113.10"], [("warning", "the host may see another address")]),
        ("fd00::5", "", ["10.0.0.0/8", "2001:db8::/32"], [("warning", "the host may see another address")]),
        ("192.168.1.5", "", ["192.168.2.0/24"], [("failure", "is declared for 192.168.2.0/24 alone")]),
        # whoever is not behind NAT may have logged in from elsewhere
        (
            "203.0.113.9",
            "203.0.113.10",
            ["203.0.113.10"],
            [("failure", "port 9100 answers 203.0.113.9 and is")],
        ),
        ("203.0.113.10", "192.0.2.1", ["203.0.113.0/24"], []),
    ],
)
def test_reach_from_behind_nat(source: str, client: str, sources: list[str], problems: Problems) -> None:
    judged(
        audit_network.from_outside,
        problems,
        parts={"client": client},
        outside_changes={"ports": [22, 9100], "source": source},
        wanted_changes={"rules": [{"port": 9100, "sources": sources}]},
    )


@pytest.mark.parametrize(
    ("sources", "good"),
    [
        (["any"], True),
        (["198.51.100.0/24"], True),
        (["2001:db8::/32"], False),
        (["web1"], False),
        ([], False),
    ],
)
def test_who_may_come(sources: list[str], good: bool) -> None:
    assert allowed(CONTROLLER, sources) is good


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        ({"80": {"found": None, "error": "closed"}}, []),
        ({"80": looked(page(status=400))}, []),
        ({"80": looked(page(status=200))}, [("failure", "port 80 (status 200)")]),
        ({"80": looked(page(status=301))}, [("failure", "status 301")]),
        ({"443": looked(True)}, [("warning", "the certificate of another site")]),
    ],
)
def test_unknown_names(answers: Any, problems: Problems) -> None:
    judged(audit_network.unknown_names, problems, outside_changes={"unknown_names": answers})


# Who gets in


@pytest.mark.parametrize(
    ("settings", "passwords", "problems"),
    [
        ({"passwordauthentication": ["yes"]}, [], [("warning", "no account that may log in has one")]),
        ({"passwordauthentication": ["yes"]}, ["anna"], [("failure", "anna")]),
        ({"kbdinteractiveauthentication": ["yes"]}, ["anna"], [("failure", "anna")]),
        ({"passwordauthentication": ["yes"]}, ["root"], [("warning", "no account")]),  # which needs a key
        ({"passwordauthentication": ["yes"], "permitrootlogin": ["yes"]}, ["root"], [("failure", "root")]),
        ({"permitrootlogin": ["yes"]}, ["root"], []),
        ({"permitemptypasswords": ["yes"]}, [], [("failure", "without a password")]),
    ],
)
def test_sshd(settings: Any, passwords: list[str], problems: Problems) -> None:
    accounts = {**INSIDE["accounts"], "password": passwords}
    own = {**SETTINGS, **settings}
    sshd = {**own, "accounts": dict.fromkeys(["root", *passwords], own)}
    judged(audit_system.sshd, problems, parts={"sshd": sshd, "accounts": accounts})


YES = {**SETTINGS, "passwordauthentication": ["yes"]}


@pytest.mark.parametrize(
    ("others", "own", "problems"),
    [
        (SETTINGS, {"root": SETTINGS, "anna": YES}, [("failure", "these accounts have one: anna")]),
        (YES, {"root": SETTINGS, "anna": YES}, [("failure", "these accounts have one: anna")]),
        (YES, {"root": SETTINGS, "anna": SETTINGS}, [("warning", "sshd accepts passwords")]),
        (SETTINGS, {"root": SETTINGS, "anna": SETTINGS}, []),
        (
            SETTINGS,
            {"root": SETTINGS, "anna": {**SETTINGS, "permitemptypasswords": ["yes"]}},
            [("failure", "without a password")],
        ),
        # on one of its ports
        (
            SETTINGS,
            {"root": SETTINGS, "anna": {**SETTINGS, "kbdinteractiveauthentication": ["no", "yes"]}},
            [("failure", "anna")],
        ),
    ],
)
def test_what_sshd_says_of_one_account_alone(others: Any, own: Any, problems: Problems) -> None:
    accounts = {**INSIDE["accounts"], "password": ["anna"]}
    judged(audit_system.sshd, problems, parts={"sshd": {**others, "accounts": own}, "accounts": accounts})


def test_where_passwords_are_to_be_refused() -> None:
    accounts = {**INSIDE["accounts"], "password": ["anna"]}
    sshd = {**SETTINGS, "accounts": {"root": SETTINGS, "anna": YES}}
    verdict = audit_system.sshd(seen(parts={"sshd": sshd, "accounts": accounts}))
    assert verdict
    assert "Match" in verdict[1][0]["do"]


def test_a_host_without_sshd() -> None:
    assert audit_system.sshd(seen(parts={"sshd": None})) is None


def test_accounts() -> None:
    found = {"password": ["anna"], "empty": ["guest"], "roots": ["toor"]}
    judged(audit_system.accounts, [("failure", "guest"), ("failure", "toor")], parts={"accounts": found})


def test_files() -> None:
    entry = {"path": "/srv/blog/config/env", "mode": "0644", "expected": "0640", "owner": "root"}
    found = {"count": 2, "open": [entry, {**entry, "path": "/a b", "mode": "0640", "owner": "blog"}]}
    judged(
        audit_system.files,
        [("failure", "has mode 0644"), ("failure", "belongs to blog")],
        own={"files": found},
        app="blog",
    )
    verdict = audit_system.files(seen(parts={"files": found}))
    assert verdict
    assert [problem["do"] for problem in verdict[1]] == [
        "chmod 0640 /srv/blog/config/env",
        "chown root '/a b'",
    ]


def test_a_folder_that_was_not_looked_at_to_the_end() -> None:
    found = {"count": 2, "open": [], "unseen": ["/srv/shop"]}
    judged(audit_system.files, [("warning", "/srv/shop has too many files")], parts={"files": found})


# What has to be kept up to date


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"packages": ["tzdata"]}, []),
        ({"packages": ["tzdata", "x"], "security": ["x"]}, [("failure", "1 security upgrade is pending: x")]),
        (
            {"security": list("abcdefgh")},
            [("failure", "8 security upgrades are pending: a, b, c, d, e, f and 2 more")],
        ),
        ({"security": ["x"], "automatic": True}, [("warning", "1 security upgrade")]),
        ({"age": 3 * DAY}, [("warning", "3 d old")]),
        ({"age": None}, [("warning", "never")]),
    ],
)
def test_updates(changes: Any, problems: Problems) -> None:
    judged(audit_system.updates, problems, parts={"updates": {**INSIDE["updates"], **changes}})


@pytest.mark.parametrize(
    ("kernel", "stale", "container", "problems"),
    [
        ({"asked": True, "packages": ["libc6"]}, [], False, [("warning", "(libc6)")]),
        ({"newer": "6.1.0-29-amd64"}, [], False, [("warning", "6.1.0-29-amd64 is installed")]),
        ({"newer": "6.1.0-29-amd64"}, [], True, []),
        (
            {},
            ["nginx.service", "supervisor.service"],
            False,
            [("warning", "nginx.service, supervisor.service")],
        ),
    ],
)
def test_restarts(kernel: Any, stale: list[str], container: bool, problems: Problems) -> None:
    clock = {"container": container, "synchronized": True}
    judged(
        audit_system.restarts,
        problems,
        parts={"kernel": {**INSIDE["kernel"], **kernel}, "stale": stale, "clock": clock},
    )


@pytest.mark.parametrize(
    ("failed", "problems"),
    [
        (["homeport-backup.service"], [("failure", "homeport-backup.service")]),
        (["nginx.service", "x.service"], [("failure", "nginx"), ("warning", "x.service")]),
        (["nginx-exporter.service"], [("warning", "nginx-exporter")]),
    ],
)
def test_units(failed: list[str], problems: Problems) -> None:
    judged(audit_system.units, problems, parts={"failed": failed})


@pytest.mark.parametrize(
    ("container", "synchronized", "problems"),
    [(False, False, [("warning", "not synchronised")]), (True, False, [])],
)
def test_clock(container: bool, synchronized: bool, problems: Problems) -> None:
    judged(
        audit_system.clock, problems, parts={"clock": {"container": container, "synchronized": synchronized}}
    )


def test_space() -> None:
    disks = [{"path": "/", "total": 100, "free": 5}, {"path": "/srv", "total": 100, "free": 1}]
    host = {"disks": disks, "memory": {"total": 100, "available": 50}}
    judged(audit_system.space, [("warning", "disk of /"), ("failure", "disk of /srv")], parts={"host": host})


# Services

RULE = {"line": 7, "type": "host", "address": "192.0.2.0", "method": "scram-sha-256"}


@pytest.mark.parametrize(
    ("part", "added", "problems"),
    [
        (
            "databases",
            {"name": "blog", "owner": "blog", "public": "CONNECT"},
            [("failure", "database blog (CONNECT)")],
        ),
        ("databases", {"name": "old", "owner": "blog", "public": "CONNECT"}, [("warning", "database old")]),
        ("roles", {"name": "blog", "md5": False, "powers": "CREATEDB"}, [("failure", "blog has CREATEDB")]),
        ("roles", {"name": "anna", "md5": False, "powers": "SUPERUSER"}, [("failure", "anna has SUPERUSER")]),
        ("roles", {"name": "copy", "md5": False, "powers": "REPLICATION"}, [("warning", "copy has")]),
        ("roles", {"name": "anna", "md5": True, "powers": ""}, [("warning", "MD5")]),
        ("rules", RULE, [("failure", "line 7 of its hba file accepts 192.0.2.0 without TLS")]),
        ("rules", {**RULE, "type": "hostssl"}, []),
        ("rules", {**RULE, "address": "all", "method": "reject"}, []),
        ("rules", {**RULE, "address": "samehost"}, []),
        ("rules", {**RULE, "type": "hostssl", "method": "password"}, [("failure", "in the clear")]),
        ("rules", {**RULE, "type": "local", "address": "", "method": "trust"}, [("failure", "(trust)")]),
    ],
)
def test_postgres(part: str, added: Any, problems: Problems) -> None:
    found = {**INSIDE["postgres"], part: [*INSIDE["postgres"][part], added]}
    judged(audit_services.postgres, problems, parts={"postgres": found})


def test_what_installs_updates_promises_no_time() -> None:
    found = {**INSIDE["updates"], "security": ["x"], "automatic": True}
    verdict = audit_system.updates(seen(parts={"updates": found}))
    assert verdict
    assert "day" not in verdict[1][0]["do"].replace("daily", "")


def test_stores() -> None:
    found = [
        {"program": "redis-server", "port": 6379, "open": True},
        {"program": "redis", "port": 6380, "open": False},
        {"program": "valkey", "port": 6381, "open": None},
    ]
    judged(
        audit_services.stores,
        [("failure", "redis-server on port 6379"), ("warning", "valkey on port 6381 did not answer")],
        parts={"stores": found},
    )


@pytest.mark.parametrize(
    ("first", "port", "problems"),
    [
        (1024, 433, []),
        (0, 433, [("failure", "127.9.8.7:433 (redis-server)")]),
        (500, 433, []),
        (1024, 6380, [("warning", "127.9.8.7:6380 (redis-server)")]),
        (0, 6380, [("warning", "127.9.8.7:6380 (redis-server)")]),
    ],
)
def test_service_ports(first: int, port: int, problems: Problems) -> None:
    found = [socket(port, "127.9.8.7", "redis-server", user="redis"), socket(9999, "127.0.0.1", user="blog")]
    judged(audit_services.service_ports, problems, parts={"sockets": found, "unprivileged_port": first})


def test_supervisord() -> None:
    judged(audit_services.supervisord, [("failure", "/etc/x")], parts={"supervisord": {"files": ["/etc/x"]}})
    assert audit_services.supervisord(seen(parts={"supervisord": None})) is None


def test_backups() -> None:
    late = {"last": {"ok": False, "time": "2026-11-23T02:00:00Z", "message": "damaged"}}
    found = {**INSIDE["backups"], "stopped": ["homeport-drill.timer"], "all": {"backup": late}}
    judged(
        audit_services.backups,
        [("failure", "homeport-drill.timer is not active"), ("failure", "damaged")],
        parts={"backups": found},
    )
    assert audit_services.backups(seen(parts={"backups": None})) is None
    judged(
        audit_services.backups,
        [("warning", "name another host in backup_repository")],
        parts={"backups": {**INSIDE["backups"], "same_disk": True}},
    )


# Apps


@pytest.mark.parametrize(
    ("issues", "failed", "tls", "problems"),
    [
        (["security.W018"], "", True, [("failure", "security.W018")]),
        (["security.W004", "security.W005", "security.W008", "security.W021"], "", True, []),
        (["security.W012", "security.W016"], "", True, [("failure", "security.W012, security.W016")]),
        (["security.W012", "security.W016"], "", False, []),
        (
            ["security.W019", "models.W042", "models.W042"],
            "",
            True,
            [("warning", "security.W019, models.W042")],
        ),
        (["security.W009", "shop.W1"], "", True, [("failure", "security.W009"), ("warning", "shop.W1")]),
        ([], "ended with exit status 1", True, [("failure", "ended with exit status 1")]),
    ],
)
def test_deploy(issues: list[str], failed: str, tls: bool, problems: Problems) -> None:
    found = {"issues": {"CRITICAL": [], "ERROR": [], "WARNING": issues}, "failed": failed}
    judged(audit_sites.deploy, problems, own={"deploy": found}, site={"tls": tls}, app="blog")


def test_an_error_of_an_apps_check_is_wrong_whatever_it_is() -> None:
    found = {"issues": {"CRITICAL": ["a.C1"], "ERROR": ["b.E1"], "WARNING": []}, "failed": ""}
    judged(audit_sites.deploy, [("failure", "a.C1, b.E1")], own={"deploy": found}, app="blog")
    assert audit_sites.deploy(seen(own={"deploy": None}, app="blog")) is None


@pytest.mark.parametrize(
    ("status", "error", "problems"),
    [
        ("Enabled", "", []),
        ("Suspended", "", [("warning", "the versioning of photos is suspended: removed uploads are lost")]),
        ("", "", [("warning", "the versioning of photos is off: removed uploads are lost")]),
        ("", "h answers 403 AccessDenied", [("warning", "is not known: h answers 403 AccessDenied")]),
    ],
)
def test_bucket(status: str, error: str, problems: Problems) -> None:
    found = {"name": "photos", "status": status, "error": error}
    judged(audit_sites.bucket, problems, own={"bucket": found}, app="blog")


def test_an_app_without_a_bucket() -> None:
    assert audit_sites.bucket(seen(own={"bucket": None}, app="blog")) is None


SELF = {"self_signed": True, "untrusted": "self-signed certificate", "code": 18}
SOON = {"from": NOW - 80 * DAY, "until": NOW + 5 * DAY}


@pytest.mark.parametrize(
    ("changes", "kind", "kept", "problems"),
    [
        (SOON, "acme", SOON, [("failure", "expires in 5 d")]),
        ({"until": NOW - DAY}, "own", {"until": NOW - DAY}, [("failure", "expired 1 d ago")]),
        (SELF, "acme", {"self_signed": True}, [("failure", "no authority has signed")]),
        (SELF, "selfsigned", {"self_signed": True}, []),
        (SELF, "own", {"self_signed": True}, [("warning", "self-signed certificate")]),
        ({"untrusted": "unable to get local issuer", "code": 20}, "acme", {}, [("failure", "unable to get")]),
        ({"untrusted": "unable to get local issuer", "code": 20}, "own", {}, [("warning", "unable to get")]),
        (
            {"names": ["x.example"], "code": 62},
            "acme",
            {"names": ["x.example"]},
            [("warning", "is not valid for")],
        ),
        (
            {"names": ["x.example"], "code": 62},
            "own",
            {"names": ["x.example"]},
            [("failure", "is not valid for")],
        ),
        ({}, "acme", {"until": NOW + 90 * DAY}, [("failure", "serves another certificate")]),
    ],
)
def test_certificate(changes: Any, kind: str, kept: Any, problems: Problems) -> None:
    judged(
        audit_sites.certificate,
        problems,
        answers={f"certificate {NAME}": looked(served(**changes))},
        own={"certificate": {**served(), **kept}},
        site={"kind": kind},
        app="blog",
    )


def test_a_name_that_is_served_another_certificate() -> None:
    judged(
        audit_sites.certificate,
        [("failure", "for www.blog.example.org")],
        answers={
            f"certificate {NAME}": looked(served(names=[NAME, f"www.{NAME}"])),
            f"certificate www.{NAME}": looked(served(names=["other.example"])),
        },
        site={"names": [NAME, f"www.{NAME}"]},
        app="blog",
    )


def test_no_handshake_is_wrong_and_the_file_is_judged() -> None:
    gone = {f"certificate {NAME}": {"found": None, "error": "Connection refused"}}
    kept = {"certificate": {**served(), **SOON}}
    judged(
        audit_sites.certificate,
        [("failure", "cannot be reached over TLS: Connection refused"), ("failure", "expires in 5 d")],
        answers=gone,
        own=kept,
        app="blog",
    )
    # from outside, nothing was looked at
    judged(
        audit_sites.certificate,
        [("failure", "expires in 5 d")],
        outside_changes={"sites": {}},
        own=kept,
        app="blog",
    )
    assert audit_sites.certificate(seen(site={"tls": False}, app="blog")) is None


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        ({"old": looked("TLS 1.1 X")}, [("failure", "an old version: TLS 1.1 X")]),
        ({"weak": looked("TLS 1.2 RC4-SHA")}, [("failure", "a weak suite: TLS 1.2 RC4-SHA")]),
        ({"weak": {"found": None, "error": "timed out"}}, [("warning", "timed out")]),
    ],
)
def test_tls(answers: Any, problems: Problems) -> None:
    judged(audit_sites.tls, problems, answers=answers, app="blog")


@pytest.mark.parametrize(
    ("answer", "site", "problems"),
    [
        (looked(page(status=301, location="https")), {}, []),
        (looked(page(status=301, location="http")), {}, [("failure", "status 301")]),
        (looked(page(status=200)), {}, [("failure", "status 200")]),
        ({"found": None, "error": "refused"}, {}, [("warning", "port 80 does not answer")]),
        (looked(page()), {"tls": False}, [("warning", "without encryption")]),
        (looked(page()), {"tls": False, "proxied": False}, [("warning", "without encryption")]),
    ],
)
def test_https(answer: Any, site: Any, problems: Problems) -> None:
    judged(audit_sites.https, problems, answers={"plain": answer}, site=site, app="blog")


HSTS = "strict-transport-security"


@pytest.mark.parametrize(
    ("changes", "site", "problems"),
    [
        ({"headers": {"x-content-type-options": ""}}, {}, [("failure", "nosniff")]),
        ({"headers": {"x-frame-options": ""}}, {}, [("failure", "frame its pages")]),
        ({"headers": {"x-frame-options": "ALLOWALL"}}, {}, [("failure", "frame its pages")]),
        ({"headers": {"x-frame-options": ""}, "framing": True}, {}, []),
        ({"headers": {"x-frame-options": "sameorigin"}}, {}, []),
        ({"headers": {HSTS: ""}}, {}, [("failure", "Strict-Transport-Security")]),
        ({"headers": {HSTS: "max-age=0"}}, {}, [("failure", "Strict-Transport-Security")]),
        ({"headers": {HSTS: ""}}, {"hsts": 0}, [("warning", "browsers may leave HTTPS")]),
        ({"headers": {HSTS: ""}}, {"kind": "selfsigned"}, []),
        ({"headers": {HSTS: ""}}, {"tls": False}, []),
        ({"headers": {"server": "nginx/1.22.1"}}, {}, [("warning", "nginx/1.22.1")]),
        ({"headers": {"x-powered-by": "magic"}}, {}, [("warning", "X-Powered-By")]),
        ({"cookies": [cookie("sessionid", secure=False)]}, {}, [("failure", "sessionid may leave HTTPS")]),
        ({"cookies": [cookie("sessionid", secure=False)]}, {"tls": False}, []),
        ({"cookies": [cookie("my_session", httponly=False)]}, {}, [("failure", "no HttpOnly")]),
        ({"cookies": [cookie("csrftoken", httponly=False)]}, {}, []),
        ({"status": 502, "headers": {"x-frame-options": ""}}, {}, [("warning", "status 502")]),
    ],
)
def test_headers(changes: Any, site: Any, problems: Problems) -> None:
    judged(audit_sites.headers, problems, answers={"page": looked(page(**changes))}, site=site, app="blog")


def test_a_header_that_is_missing_altogether() -> None:
    bare = page()
    del bare["headers"]["referrer-policy"]
    judged(audit_sites.headers, [("warning", "Referrer-Policy")], answers={"page": looked(bare)}, app="blog")
    gone = {"page": {"found": None, "error": "timed out"}}
    judged(audit_sites.headers, [("failure", "timed out")], answers=gone, app="blog")


def test_hidden() -> None:
    judged(audit_sites.hidden, [("failure", "/.env")], answers={"hidden": looked(["/.env"])}, app="blog")


BACKUPS = INSIDE["backups"]


@pytest.mark.parametrize(
    ("backup", "found", "problems"),
    [
        (
            "here",
            {**BACKUPS, "apps": {"blog": {"backup": ran(31), "drill": ran(40)}}},
            [("failure", "1 d 7 h old")],
        ),
        (
            "here",
            {**BACKUPS, "apps": {"blog": {"backup": ran(5), "drill": ran(5, False)}}},
            [("failure", "no space left")],
        ),
        ("here", {**BACKUPS, "apps": {"blog": {}}, "since": NOW - 3600}, []),  # the first is not due yet
        ("here", {**BACKUPS, "apps": {}}, [("failure", "does not do it")]),
        ("here", None, [("failure", "does not do it")]),
        ("none", None, [("warning", "nothing backs it up")]),
    ],
)
def test_backup(backup: str, found: Any, problems: Problems) -> None:
    judged(
        audit_sites.backup, problems, parts={"backups": found}, wanted_changes={"backup": backup}, app="blog"
    )


def test_a_backup_that_another_host_makes() -> None:
    assert audit_sites.backup(seen(wanted_changes={"backup": "elsewhere"}, app="blog")) is None
