# ruff: noqa: E501  (a table reads best with one case a line)
"""What users may set of the roles: checked before anything changes, and by the role itself where it is used alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.homeport.django.plugins.action import preflight
from ansible_collections.homeport.django.plugins.filter.apps import accepted, postgres_value
from ansible_collections.homeport.django.plugins.module_utils.app.check import parse
from ansible_collections.homeport.django.plugins.module_utils.app.shell_syntax import shell_syntax
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (
    INPUTS,
    problems_of,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring import inputs as role_variables
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import nameless

from tests.unit.support import CANARY, SECRET, app

ROOT = Path(__file__).parents[2]
AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b/+="}
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
# What the playbooks set, and what reaches no file as a text.
ELSEWHERE = {
    "host_wired_packages", "host_wired_masked", "host_wired_ports", "host_wired_peers", "host_wired_authority", "host_setup",
    "host_wired_of_apps",
}  # fmt: skip
ROLES = (
    "host",
    "nginx",
    "supervisord",
    "certificates",
    "postgres",
    "rabbitmq",
    "redis",
    "memcached",
    "python",
)


@pytest.mark.parametrize("role", ROLES)
def test_every_input_that_users_set_is_looked_at(role: str) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
    wanted = {
        name
        for name, value in defaults.items()
        if not isinstance(value, bool) and not name.startswith((f"{role}_app_", f"{role}_install"))
    }
    assert wanted - set(INPUTS) <= ELSEWHERE
    for name in wanted & set(INPUTS):
        assert "{{" in str(defaults[name]) or problems_of({name: defaults[name]}) == []


TSIG = {"certificates_dns_key_name": "homeport.", "certificates_dns_key_secret": "QUJDRA=="}
GOOD: list[dict[str, Any]] = [
    {
        "nginx_sites": {
            "mine": {
                "server_names": ["mine.example", "*.mine.example", "_", "~^www\\d+\\.x$"],
                "upstream": "127.0.0.1:8000",
            }
        }
    },
    {
        "nginx_sites": {
            "m": {
                "server_names": ["x"],
                "upstream": "unix:/run/x.sock",
                "static": {},
                "tls": {},
                "redirects": ["y"],
                "canonical": "x",
            }
        }
    },
    {"nginx_client_timeout": "15", "nginx_http_extra": "map $host $mine { default 1; }"},
    {
        "supervisord_programs": {
            "x": {
                "command": "/bin/x --a 'b c' %(process_num)02d 5%%",
                "environment": 'A="b,c",B="d"',
                "numprocs": 2,
                "autorestart": True,
            }
        }
    },
    {
        "certificates_sites": {"x": {"domains": ["*.x.example"], "kind": "acme", "challenge": "dns-01"}},
        "certificates_email": "",
        "certificates_dns_server": "2001:db8::53",
        **TSIG,
    },
    {
        "certificates_sites": {"x": {"domains": ["*.x.example"], "kind": "acme", "challenge": "dns-01"}},
        "certificates_dns_server": "",
        "certificates_dns_key_secret": "",
        "certificates_dns_auth_hook": "/bin/set",
    },
    {
        "postgres_settings": {"log_line_prefix": "it's %m \\ ", "jit": False},
        "postgres_clients": [{"database": "x", "user": "_y", "address": "10.0.0.5/24"}],
    },
    {"rabbitmq_settings": {"log.console": True, "heartbeat": 30}},
    {
        "host_users": [
            {
                "name": "ann",
                "authorized_keys": ["ssh-ed25519 AAAA ann@x"],
                "groups": "adm",
                "sudo": True,
                "some": "more",
            }
        ]
    },
    {
        "postgres_databases": [
            {"name": "blog", "owner": "blog", "logins": [{"name": "blog.1", "password": "it's-12 $long"}]}
        ]
    },
    {"unknown_variable": CANARY, "nginx_sites": None},
]


@pytest.mark.parametrize("given", GOOD)
def test_accepted(given: dict[str, Any]) -> None:
    assert problems_of(given) == []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"nginx_sites": {"../x": {}}}, "nginx_sites: '../x' is not a good name here"),
    ({"nginx_sites": {"x": {"server_names": [f"a; {CANARY}"], "upstream": "h:1"}}}, "nginx_sites.x.server_names[0]: must be a host name"),
    ({"nginx_sites": {"x": {"server_names": ["~a b"], "upstream": "h:1"}}}, "nginx_sites.x.server_names[0]: has what nginx would not take as it is"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": f"h;{CANARY}"}}}, "nginx_sites.x.upstream: must be unix:/PATH or HOST:PORT"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": "h:1", "redirects": ["b"]}}}, "nginx_sites.x.canonical: is required with redirects"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": "h", "static": {"url": "/s/", "root": "/srv/x y"}}}}, "nginx_sites.x.static.root: must be an absolute path"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": "h", "static": {"url": "/s/", "root": "/s"}, "media": {"url": "/s/", "root": "/m"}}}}, "nginx_sites.x.media.url: is that of the static files"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": "h", "tls_in_front": True}}}, "nginx_sites.x.trusted_proxies: is required with tls_in_front"),
    ({"nginx_sites": {"x": {"server_names": ["a"], "upstream": "h", "extra": "}"}}}, "nginx_sites.x.extra: is not complete in itself: one } too many in line 1"),
    ({"nginx_http_extra": "server {"}, "nginx_http_extra: is not complete in itself"),
    ({"nginx_worker_connections": "many"}, "nginx_worker_connections: must be a whole number"),
    ({"supervisord_programs": {"a:b": {}}}, "supervisord_programs: 'a:b' is not a good name here"),
    ({"supervisord_programs": {"x": {"comand": "x"}}}, "supervisord_programs.x.comand: is not a field here (did you mean 'command'?)"),
    ({"supervisord_programs": {"x": {"command": f"x\nuser={CANARY}"}}}, "supervisord_programs.x.command: must be a single line"),
    ({"supervisord_programs": {"x": {"command": f"x 5% {CANARY}"}}}, "supervisord_programs.x.command: has a % that supervisord would expand; write %%"),
    ({"supervisord_programs": {"x": {"command": f"x ;{CANARY}"}}}, "supervisord_programs.x.command: has a ; or # after a space"),
    ({"supervisord_programs": {"x": {"user": " root"}}}, "supervisord_programs.x.user: begins or ends with a space"),
    ({"certificates_sites": {"..": {"domains": ["x"], "kind": "own"}}}, "certificates_sites: .. is not a good name here"),
    ({"certificates_sites": {"x": {"domains": ["-x"], "kind": "acme"}}}, "certificates_sites.x.domains[0]: must be a host name"),
    ({"certificates_sites": {"x": {"domains": ["x"], "kind": "own"}}}, "certificates_sites.x.chain: is required with kind: own"),
    ({"certificates_sites": {"x": {"domains": ["x"], "kind": "own", "chain": CA}}}, "certificates_private_keys: has no key for the certificate of certificates_sites.x"),
    ({"certificates_private_keys": {"x": CANARY}}, "certificates_private_keys.x: must be a private key in PEM"),
    ({"certificates_email": "nobody"}, "certificates_email: must be an address such as admin@example.org"),
    ({"certificates_dns_server": "ns.example.org", **TSIG}, "certificates_dns_server: must be an IP address"),
    ({"certificates_dns_server": "::1", **TSIG, "certificates_dns_auth_hook": "x"}, "certificates_dns_auth_hook: is not used with certificates_dns_server"),
    ({"certificates_dns_server": "::1", "certificates_dns_key_name": "x"}, "certificates_dns_server: needs certificates_dns_key_secret"),
    ({"certificates_dns_server": "::1", "certificates_dns_key_secret": "QQ=="}, "certificates_dns_server: needs certificates_dns_key_name"),
    ({"certificates_dns_key_secret": f"{CANARY}!"}, "certificates_dns_key_secret: must be a TSIG key in base64"),
    ({"certificates_dns_key_secret": "QUJD\ndns_rfc2136_server = 192.0.2.1"}, "certificates_dns_key_secret: must be a single line"),
    ({"certificates_dns_key_name": "a = b"}, "certificates_dns_key_name: must be the name of a TSIG key"),
    ({"certificates_dns_key_algorithm": "HMAC-SHA256"}, "certificates_dns_key_algorithm: must be one of hmac-sha224"),
    ({"certificates_dns_port": 0}, "certificates_dns_port: must be"),
    ({"certificates_dns_propagation_seconds": 3600}, "certificates_dns_propagation_seconds: must be"),
    ({"certificates_sites": {"x": {"domains": ["*.x"], "kind": "acme", "challenge": "dns-01"}}}, "certificates_sites.x.challenge: dns-01 needs certificates_dns_server"),
    ({"certificates_dns_auth_hook": "--x"}, "certificates_dns_auth_hook: must be a command"),
    ({"postgres_settings": {"a = 'b'\nc": 1}}, "postgres_settings: \"a = 'b'?c\" is not a good name here".replace('"', "'", 1).replace('"', "'", 1)),
    ({"postgres_databases": [{"name": "x", "owner": "x", "password": f"ｆ{CANARY}"}]}, "postgres_databases[0].password: has characters of which PostgreSQL's clients make others"),
    ({"postgres_clients": [{"database": 'x" all', "user": "x", "address": "::1"}]}, "postgres_clients[0].database: use letters"),
    ({"postgres_clients": [{"database": "x", "user": "x", "address": "everywhere"}]}, "postgres_clients[0].address: must be an IP address, or a network"),
    ({"rabbitmq_settings": {"a": f"b # {CANARY}"}}, "rabbitmq_settings.a: has a #"),
    ({"rabbitmq_settings": {"a": f"b\nc = {CANARY}"}}, "rabbitmq_settings.a: must be a single line"),
    ({"rabbitmq_vhosts": [{"name": "x", "users": []}]}, "rabbitmq_vhosts[0].users: must have at least 1 item, unless state is absent"),
    ({"rabbitmq_vhosts": [{"name": "x", "users": [{"name": "guest", "password": CANARY}]}]}, "rabbitmq_vhosts[0].users[0].name: must be a name, and not guest"),
    ({"rabbitmq_vhosts": [{"name": "x", "users": [{"name": "x", "password": ""}]}]}, "rabbitmq_vhosts[0].users[0].password: is empty"),
    ({"rabbitmq_vhosts": [{"name": "x", "state": "absent"}, {"name": "x", "state": "gone"}]}, "rabbitmq_vhosts[1].name: is the name of another virtual host (rabbitmq_vhosts[0].name)"),
    ({"rabbitmq_vhosts": [{"name": "x", "users": "x"}, {"name": 1}]}, "rabbitmq_vhosts[0].users: must be a list"),
    ({"rabbitmq_vhosts": [{"name": f"v{number}", "users": [{"name": "x", "password": CANARY}]} for number in range(2)]}, "rabbitmq_vhosts[1].users[0].name: is the name of another user (rabbitmq_vhosts[0].users[0].name)"),
    ({"rabbitmq_listen": ["localhost"]}, "rabbitmq_listen[0]: must be an IP address"),
    ({"postgres_listen_addresses": "localhost;10.0.0.1"}, "postgres_listen_addresses: must be addresses or host names"),
    ({"python_mirror": "ftp://mirror"}, "python_mirror: must be an address that begins with https://, http:// or file:///"),
    ({"host_timezone": "../../etc/shadow"}, "host_timezone: must be the name of a time zone"),
    ({"host_users": [{"name": "x ALL=(ALL) ALL\n"}]}, "host_users[0].name: must be a single line"),
    ({"host_packages": ["sudo-"]}, "host_packages[0]: must be the name of a Debian package"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"), BAD, ids=lambda value: value[:50] if isinstance(value, str) else ""
)
def test_refused(given: dict[str, Any], told: str) -> None:
    found = problems_of(given)
    assert [problem for problem in found if problem.startswith(told)], found
    assert CANARY not in "".join(found)


def test_a_role_that_is_used_alone_refuses_it_too() -> None:
    with pytest.raises(AnsibleFilterError, match=r"supervisord_programs\.x\.command: must be a single line"):
        accepted({"x": {"command": "a\nb"}}, "supervisord_programs")
    assert accepted({"x": {"command": "a"}}, "supervisord_programs") == {"x": {"command": "a"}}
    # what it needs besides is in other variables, which the filter does not see
    sites = {"x": {"domains": ["*.x.example"], "kind": "acme", "challenge": "dns-01"}}
    assert accepted(sites, "certificates_sites") == sites


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "'on'"),
        (False, "'off'"),
        (5, "'5'"),
        ("it's", "'it''s'"),
        ("a\\b\n", "'a\\\\b\\n'"),
        ("", "''"),
    ],
)
def test_postgres_value(value: Any, written: str) -> None:
    assert postgres_value(value) == written


class Late(dict[str, Any]):
    """A host whose variables are made from what is not known yet."""

    def __getitem__(self, name: str) -> Any:
        if name == "nginx_http_extra":
            raise AnsibleError("'ansible_facts' is undefined")
        return super().__getitem__(name)


def play(**hosts: dict[str, Any]) -> dict[str, Any]:
    return {"hostvars": hosts, "ansible_play_hosts_all": list(hosts)}


def problems_of_play(variables: dict[str, Any]) -> list[str]:
    return preflight.inputs(variables, None, {})


def shell_problems(fields: Any) -> list[str]:
    definition = {**app(), **fields} if isinstance(fields, dict) else fields
    return shell_syntax(parse({"blog": definition}, {}, SECRET, "site").apps)


def test_the_inputs_of_every_host_are_looked_at_and_each_problem_is_told_once() -> None:
    wrong = {"nginx_client_timeout": "soon"}
    found = problems_of_play(play(a=wrong, b=wrong, c=Late(nginx_http_extra="{", nginx_acme_root="x")))
    assert found == [
        "nginx_client_timeout: must be a whole number, not a string",
        "nginx_acme_root: must be an absolute path of letters, digits and ._-@+~",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"redis_instances": [{"name": "X;", "port": 6390, "password": CANARY * 2}]}, "redis_instances[0].name: must be small letters"),
        ({"redis_instances": "x"}, "redis_instances: must be a list, not a string"),
        ({"memcached_instances": [{"name": "x", "group": "root"}]}, "memcached_instances[0].group: must be the name of a group"),
        ({"backup_repository": "/etc"}, "backup_repository: must be a folder of its own"),
        ({"backup_repository": "/mnt/x", "backup_schedule": "daily\nx"}, "backup_schedule: must be a single line"),
        ({"backup_repository": "/mnt/x", "backup_password": f" {CANARY}{CANARY}"}, "backup_password: must be one line"),
        ({"backup_repository": "/mnt/x", "backup_keep": 5}, "backup_keep: must be a dictionary"),
        ({"backup_repository": "/mnt/x", "backup_keep": {"daily": [CANARY]}}, "backup_keep"),
        ({"backup_repository": "s3:h/b", "backup_credentials": {**AWS, "AWS_ACCESS_KEY_ID": "a\nb"}}, "backup_credentials.AWS_ACCESS_KEY_ID: must be a single line"),
        ({"backup_repository": "s3:h/b", "backup_credentials": {**AWS, "A=B": "x"}}, "backup_credentials: 'A=B' is not a good name here: use the name of a variable"),
        ({"backup_repository": "s3:https://h:99999/b"}, "backup_repository: S3 is written"),
        ({"backup_repository": "sftp:me@h:99999:/x"}, "backup_repository: sftp has a port from 1 to 65535"),
        ({"pgbackrest_repository": "/mnt/x", "pgbackrest_password": f"{CANARY} {CANARY}"}, "pgbackrest_password: must be 16"),
        ({"pgbackrest_repository": "/mnt/x", "pgbackrest_full_schedule": "whenever"}, "pgbackrest_full_schedule: must be a calendar expression"),
    ],
)  # fmt: skip
def test_instances_and_backups(given: dict[str, Any], told: str) -> None:
    found = problems_of_play(play(a=given))
    assert len(found) == 1, found
    assert found[0].startswith(told)
    assert CANARY not in found[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"host_journal_mb": CANARY}, "host_journal_mb: must be"),
        ({"postgres_sandbox": CANARY}, "postgres_sandbox: must be true or false"),
        ({"nginx_sandbox": [CANARY]}, "nginx_sandbox: must be true or false"),
        ({"nginx_connections_per_client": CANARY}, "nginx_connections_per_client: must be a whole number"),
        ({"supervisord_sandbox": {"a": CANARY}}, "supervisord_sandbox: must be true or false"),
        (
            {"memcached_instances": [{"memory_mb": CANARY, "name": "x", "group": "x"}]},
            "memcached_instances[0].memory_mb: is not a field here",
        ),
    ],
)
def test_a_role_need_not_look_at_types_again(given: dict[str, Any], told: str) -> None:
    found = problems_of_play(play(a=given))
    assert len(found) == 1, found
    assert found[0].startswith(told)
    assert CANARY not in found[0]


def test_every_input_of_every_role_is_looked_at() -> None:
    """None of them is taken as it is, whatever it holds."""
    for role in (name.removesuffix("_") for name in role_variables.ROLES):
        for name, spec in role_variables.argument_spec(role).items():
            wrong: Any = ["x"] if spec.get("type") in ("bool", "int", "dict") else {"x": object()}
            if spec.get("type") in ("str", "path", "raw", None):
                continue  # Ansible makes a text of anything
            found = problems_of_play(play(a={name: wrong}))
            assert [text for text in found if text.startswith(name)], name


def test_points_in_time_are_looked_at_before_anything_is_changed() -> None:
    assert preflight.typed_times({"target_time": "2026-01-31 14:30:05Z", "point": None}) == []
    assert preflight.typed_times({"target_time": "{{ lookup('file', 'then') }}"}) == []
    found = preflight.typed_times({"target_time": "yesterday", "point": "2026-02-31T14:30"})
    assert [problem.partition(" is an invalid timestamp: ")[0] for problem in found] == [
        "target_time:",
        "point:",
    ]
    assert problems_of({"pgbackrest_recover_target_time": "soon"}) == [
        "pgbackrest_recover_target_time: is an invalid timestamp: it is written 2026-01-31T14:30:00, in UTC"
    ]


def test_what_is_no_input_of_a_role_is_nobodys_business() -> None:
    assert problems_of_play(play(a={"celery_version": ["x"], "nginx_colour": {"a": 1}})) == []


def test_all_problems_of_backups_are_reported_at_once() -> None:
    given = {
        "backup_repository": "sftp:me@vault",
        "backup_password": "short",
        "backup_previous_passwords": ["short"],
        "backup_ssh_key": "/root/.ssh/id_ed25519",
        "backup_known_hosts": "/root/.ssh/known_hosts",
        "backup_ca": "/etc/ssl/ca.pem",
        "backup_keep": {"daly": 1},
        "backup_drill_percent": 0,
        "backup_scratch": {"Blog": "x"},
        "pgbackrest_repository": "s3:bucket",
        "pgbackrest_password": "with a space and more of it",
        "pgbackrest_keep": 0,
        "pgbackrest_queue_gb": "much",
        "nginx_client_timeout": "soon",
    }
    found = [re.split(r"[:.\[]", problem)[0] for problem in problems_of_play(play(a=given))]
    assert set(found) == set(given)
    assert [name for name in found if found.count(name) > 1] == ["backup_keep", "backup_keep"]


def test_all_that_a_repository_lacks_is_reported_at_once() -> None:
    given = {"backup_repository": "sftp:me@vault:/b", "backup_ca": CA, "pgbackrest_repository": "s3:h/b"}
    assert problems_of_play(play(a=given)) == [
        "backup_ssh_key: is required for sftp: the private key to log in with",
        "backup_known_hosts: is required for sftp: the host's public keys (ssh-keyscan)",
        "backup_ca: is for S3 alone, and backup_repository is none",
        "pgbackrest_credentials: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ]


def test_nothing_is_required_without_a_repository() -> None:
    given: dict[str, Any] = {
        "backup_ca": CA,
        "backup_password": "",
        "backup_ssh_key": None,
        "pgbackrest_credentials": {},
    }
    assert problems_of_play(play(a=given)) == []


def test_good_backups_are_no_problem() -> None:
    assert (
        problems_of_play(
            play(
                a={
                    "backup_repository": "/mnt/x",
                    "pgbackrest_repository": "s3:https://h:9000/b/c",
                    "pgbackrest_credentials": AWS,
                }
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("groups", "hosts", "count"),
    [
        ({"app_servers": ["a"], "database_servers": ["a"]}, {"a": {"ansible_host": "a.internal"}}, 0),
        ({"app_servers": ["a"], "database_servers": ["b"]}, {"a": {"ansible_host": "a.internal"}}, 1),
        (
            {"app_servers": ["a"], "database_servers": ["b"]},
            {"a": {"ansible_host": "a.internal", "homeport_address": "10.0.0.5"}},
            0,
        ),
        (
            {"app_servers": ["a"], "cache_servers": ["b"]},
            {"a": {"ansible_host": "10.0.0.5"}, "b": {"ansible_host": "b; drop"}},
            1,
        ),
        ({"app_servers": ["a", "b"], "broker_servers": ["b"]}, {"b": {"ansible_host": "10.0.0.5"}}, 1),
        ({"app_servers": ["a"], "broker_servers": ["a"]}, {}, 0),
        ({"app_servers": ["a"]}, {}, 0),
    ],
)
def test_hosts_that_others_reach_have_addresses(
    groups: dict[str, Any], hosts: dict[str, Any], count: int
) -> None:
    assert len(nameless(groups, hosts)) == count


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"build": ["npm ci && (npm run build"]}, "build[0]"),
        ({"hooks": {"after_switch": ["true", f"echo '{CANARY}"]}}, "hooks.after_switch[1]"),
        ({"hooks": {"after_build": "fi"}}, "hooks.after_build[0]"),
        ({"schedules": {"x": {"command": "a | | b", "calendar": "daily"}}}, "schedules.x.command"),
        ({"processes": {"x": "manage.py x `id"}}, "processes.x.command"),
        ({"notify": {"command": "if true"}}, "notify.command"),
    ],
)
def test_commands_that_no_shell_can_read(fields: dict[str, Any], told: str) -> None:
    found = shell_problems(fields)
    assert [problem.partition(": ")[0] for problem in found] == [f"django_apps.blog.{told}"]
    assert CANARY not in found[0]


def test_commands_that_a_shell_can_read() -> None:
    good = {
        "build": "npm ci && npm run build",
        "hooks": {"after_build": ['for x in 1 2; do echo "$x"; done']},
        "processes": {"a": "x"},
        "notify": {"url": "x"},
    }
    for fields in (good, None, {"build": 3, "hooks": [], "processes": {"a": [1]}}):
        assert shell_problems(fields) == []
