"""A site is rendered the same by the oldest ansible-core, whatever form numbers and booleans come in, and in whatever
order Python keeps its sets.

Before ansible-core 2.19 a template gives a text where it is a number; what is typed after -e is a text in all versions.
The order of a set is another in each run of Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environments import programs
from tests.unit.test_versions import CORE

ROOT = Path(__file__).parents[2]
SCALARS = (bool, int, float)
# Four or more of whatever could become a set: two elements are often in the same order.
SITE = """
all:
  vars:
    homeport_setup: site
    homeport_secret: 0123456789abcdef0123456789abcdef
    host_users:
      - {name: ann, authorized_keys: [ssh-ed25519 AAAA ann]}
      - {name: bob, authorized_keys: [ssh-ed25519 AAAA bob]}
    host_checklists: true
    backup_repository: "sftp:admin@192.0.2.9:/var/backups/site"
    backup_ssh_key: -----BEGIN OPENSSH PRIVATE KEY-----
    backup_known_hosts: vault1 ssh-ed25519 AAAA
    pgbackrest_repository: /var/backups/archive
    certificates_email: admin@example.org
    django_apps:
      blog:
        domains: [blog.example, www.blog.example, old.blog.example, other.blog.example]
        source: {git: x}
        overlay: true
        broker: rabbitmq
        cache: redis
        processes:
          default: {kind: celery, queues: [a, b, c, d]}
          other: {kind: celery, queues: [c, d, e, f]}
          beat: {kind: celery_beat}
        schedules: {digest: {command: manage.py digest, calendar: "*-*-* 06:30"}}
        env: {A: "1", B: "2", C: "3", D: "4"}
        system_packages: [libmagic1, graphviz, ffmpeg, poppler-utils]
      shop:
        domains: [shop.example]
        source: {git: x}
        overlay: true
        broker: valkey
        cache: memcached
        processes: {queue: {kind: rq, queues: [a, b, c, d]}}
      wiki:
        domains: [wiki.example]
        source: {git: x}
        overlay: true
        broker: database
        static: whitenoise
        processes: {queue: {kind: django_q}}
app_servers: {hosts: {web1: {ansible_host: 192.0.2.1}, web2: {ansible_host: 192.0.2.2}}}
database_servers: {hosts: {db1: {ansible_host: 192.0.2.3}}}
cache_servers: {hosts: {cache1: {ansible_host: 192.0.2.4}}}
broker_servers: {hosts: {broker1: {ansible_host: 192.0.2.5}}}
others: {hosts: {monitor1: {ansible_host: 192.0.2.6}}}
"""


def defaults() -> dict[str, Any]:
    """The numbers and booleans among the inputs of all roles."""
    found: dict[str, Any] = {}
    for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        values = yaml.safe_load(path.read_text()) or {}
        found.update({name: value for name, value in values.items() if isinstance(value, SCALARS)})
    assert len(found) > 40
    return found


# Settings that have numbers below them.
MORE: dict[str, Any] = {
    "certificates_dns_server": "192.0.2.53",
    "certificates_dns_key_name": "key",
    "certificates_dns_key_secret": "c2VjcmV0",
    "backup_keep": {"daily": 2, "weekly": 0},
    "host_firewall_rules": [{"port": 8080}],
    "host_users": [{"name": "ann", "sudo": True}, {"name": "bob", "sudo": False}],
    "nginx_sites": {
        "own": {"server_names": ["own.example"], "upstream": "127.0.0.1:9000", "timeout": 30, "tls": {}}
    },
    "redis_instances": [
        {
            "name": "own",
            "port": 399,
            "password": "of-nobody-at-all-but-long",
            "memory": 32,
            "persistent": True,
        }
    ],
    "postgres_settings": {"max_worker_processes": 4},
}
APP: dict[str, Any] = {
    "web": {"workers": 3, "threads": 2, "memory": 300},
    "limits": {"processes": 200, "database_connections": 40},
    "proxy": {"timeout": 90},
    "env": {"NUMBER": 7},
    "maintenance": {"retry_after": 60},
    "static": {"precompress": False},
    "health": {"path": "/health/", "first": False},
}


def form(value: Any, change: Callable[[Any], Any]) -> Any:
    """A structure with each number and boolean in another form."""
    if isinstance(value, dict):
        return {key: form(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [form(item, change) for item in value]
    return change(value) if isinstance(value, SCALARS) else value


def typed(value: Any) -> str:
    """As it is typed after -e."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def templated(value: Any) -> str:
    return f"{{{{ {value!r} }}}}"


def site(change: Callable[[Any], Any]) -> str:
    found = yaml.safe_load(SITE)
    found["all"]["vars"].update(form({**defaults(), **MORE}, change))
    apps = form(found["all"]["vars"]["django_apps"], change)
    apps["blog"].update(form(APP, change))
    apps["blog"]["processes"]["default"]["count"] = change(2)
    apps["shop"]["cache"] = {"engine": "memcached", "memory": change(200)}
    found["all"]["vars"]["django_apps"] = apps
    return yaml.safe_dump(found, sort_keys=False)


def unsigned(what: Any) -> str:
    """Without what differs for another reason: no two signatures are the same."""
    text = json.dumps(what)
    if "BEGIN CERTIFICATE" in text:
        text = re.sub(r'"digest": "\w+"', '"digest": ""', text)
        text = re.sub("BEGIN CERTIFICATE.*?END CERTIFICATE", "CERTIFICATE", text)
    return text


@pytest.fixture(scope="module")
def oldest() -> Path:
    return programs("oldest")


def test_all_forms_on_the_oldest_and_this_core(oldest: Path, tmp_path: Path) -> None:
    python = str(oldest / "python")
    version = [python, "-c", "import ansible.release; print(ansible.release.__version__)"]
    assert subprocess.run(version, check=True, capture_output=True, text=True).stdout.startswith(f"{CORE}.")
    runs = {
        "numbers": (sys.executable, "1", lambda value: value),
        "typed, another order of sets": (sys.executable, "2", typed),
        "templated, oldest core": (python, "3", templated),
    }
    processes: dict[str, subprocess.Popen[str]] = {}
    for name, (program, seed, change) in runs.items():
        inventory = tmp_path / f"{len(processes)}.yml"
        inventory.write_text(site(change))
        processes[name] = subprocess.Popen(
            [program, "-m", "tests.unit.rendered", str(inventory)],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
    found = {name: process.communicate()[0] for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0, 0]
    wanted = json.loads(found.pop("numbers"))
    for name, text in found.items():
        result = json.loads(text)
        assert list(result) == list(wanted), name
        differing = [where for where in wanted if unsigned(result[where]) != unsigned(wanted[where])]
        assert differing == [], name
    written = {
        (where.split(":")[0], file["path"])
        for where, what in wanted.items()
        for file in what.get("files", [])
    }
    hosts = {host for group in yaml.safe_load(SITE).values() for host in group.get("hosts", {})}
    fail2ban = {host for host, path in written if path == "/etc/fail2ban/jail.d/homeport.conf"}
    # one of the two app servers, which are of one kind
    assert fail2ban | {"web1"} == hosts - {"monitor1"}
    assert ("broker1", "/etc/valkey/valkey-shop-broker.conf") in written
    assert ("web2", "/srv/shop/config/overlay.d/40_rq.py") in written


# Its backups go to a host that is known by the variables of that.
AWAY = """
all: {vars: {homeport_secret: 0123456789abcdef0123456789abcdef}, hosts: {vault1: {ansible_host: 192.0.2.9}}}
app_servers:
  hosts: {web1: {}}
  vars:
    django_apps: {blog: {domains: [blog.example], source: {git: x}, database: sqlite}}
    backup_repository: "sftp:admin@{{ hostvars['vault1'].ansible_host }}:/var/backups/site"
    backup_known_hosts: vault1 ssh-ed25519 AAAA
    backup_ssh_key: -----BEGIN OPENSSH PRIVATE KEY-----
    backup_drill_percent: "{{ 900 }}"
"""


@pytest.mark.parametrize("core", ["oldest", "this"])
def test_what_another_host_knows_and_what_is_encrypted_is_looked_at(
    core: str, oldest: Path, tmp_path: Path
) -> None:
    (tmp_path / "hosts.yml").write_text(AWAY)
    (tmp_path / "key").write_text("of nobody")
    vault = ["--vault-password-file", str(tmp_path / "key")]
    words = [
        str(Path(sys.executable).parent / "ansible-vault"),
        "encrypt_string",
        *vault,
        "--name",
        "backup_password",
    ]
    encrypted = subprocess.run(
        [*words, "sixteen-letters-and-more"], check=True, capture_output=True, text=True
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/app_servers.yml").write_text(encrypted.stdout)
    play = {
        "hosts": "app_servers",
        "gather_facts": False,
        "tasks": [{"homeport.django.preflight": {"setup": "site"}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    folder = oldest if core == "oldest" else Path(sys.executable).parent
    done = subprocess.run(
        [folder / "ansible-playbook", *vault, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    told = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("- ")]
    assert set(told) == {"- backup_drill_percent: must be from 1 to 100"}, done.stdout
