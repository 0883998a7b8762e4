"""What is rendered never depends on the order of a set, which each run of Python chooses anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SEEDS = ("1", "2")
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


def unsigned(what: Any) -> str:
    """Without what differs for another reason: no two signatures are the same."""
    text = json.dumps(what)
    if "BEGIN CERTIFICATE" in text:
        text = re.sub(r'"digest": "\w+"', '"digest": ""', text)
        text = re.sub("BEGIN CERTIFICATE.*?END CERTIFICATE", "CERTIFICATE", text)
    return text


def test_each_seed_gives_the_same(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(SITE)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.unit.rendered", str(inventory)],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in SEEDS
    ]
    results = [json.loads(process.communicate()[0]) for process in processes]
    groups = yaml.safe_load(SITE).values()
    hosts = {host for group in groups for host in group.get("hosts", {}) if host not in ("web1", "monitor1")}
    written = {
        (where.split(":")[0], file["path"])
        for where, what in results[0].items()
        for file in what.get("files", [])
    }
    assert {host for host, path in written if path == "/etc/fail2ban/jail.d/homeport.conf"} == hosts
    assert ("broker1", "/etc/valkey/valkey-shop-broker.conf") in written
    for found in results[1:]:
        assert list(found) == list(results[0])
        for where, what in found.items():
            assert unsigned(what) == unsigned(results[0][where]), where
